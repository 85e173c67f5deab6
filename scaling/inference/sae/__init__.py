"""Trained sparse autoencoders: loading them, and files of activations that they are trained on."""
