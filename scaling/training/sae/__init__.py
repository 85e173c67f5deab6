"""Training of sparse autoencoders: several of them, alone or together, read one stream of activations.

`stream` computes the activations, of the layers and sites that the autoencoders read, in one pass over the text;
`loop.train_saes` trains the autoencoders, each a run with its own record, curve, lease and checkpoints.
"""
