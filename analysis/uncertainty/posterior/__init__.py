"""Bayesian intervals of a law by NumPyro's sampler: `posterior.sample_posterior`, with the priors of `priors`.

`density`, `nuts` and `traced` import JAX, and are themselves only imported when a posterior is sampled.
"""
