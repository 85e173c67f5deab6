"""Causal self-attention: the Flax module, position encodings, and the kernels that compute it on each platform."""
