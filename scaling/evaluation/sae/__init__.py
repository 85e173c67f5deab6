"""Evaluation and inspection of trained sparse autoencoders (SAEs).

`measures` computes sums over the tokens of a sequence, `scores` turns them into scores with intervals over sequences,
`latents` describes each latent, and `run` writes all of it beside the record. `top_passages` and `page` make the page
of latents.
"""
