"""Sparse autoencoders (SAEs) of a model's activations, as pure functions of a dict of parameters.

`functions` encodes and decodes, `selection` finds the largest latents, `sparse` multiplies with these alone,
`objective` is the training loss, and `initial` makes the parameters from a sample of activations.

Axes: B tokens, D width of the activations, n latents, k active latents.
"""
