"""Fits the law of Gao 2024 to errors of sparse autoencoders: how they fall with latents n at k active latents.

The errors are made here from a known law; replace them by your own, or give `fit` a store of `sweeps launch sae`.
"""

import numpy as np

from analysis import FitOptions, fit

ALPHA, BETA_K, BETA_N, GAMMA, ZETA, ETA = 1.1, -0.35, -0.24, -0.01, -2.6, -0.2


def errors(n, k):
    """Squared errors relative to the variance of the activations, with 0.3% noise."""
    noise = np.random.default_rng(0).normal(size=n.shape)
    power = np.exp(ALPHA + BETA_K * np.log(k) + (BETA_N + GAMMA * np.log(k)) * np.log(n))
    return (power + np.exp(ZETA + ETA * np.log(k))) * np.exp(0.003 * noise)


n, k = (grid.ravel() for grid in np.meshgrid([256.0, 512.0, 1024.0, 2048.0, 4096.0], [8.0, 16.0, 32.0, 64.0]))
law = fit({"n": n, "k": k, "L": errors(n, k)}, "sae-nk", FitOptions(bootstrap=200))
print(law)
for active in (8.0, 64.0):
    slope = law.params["beta_n"] + law.params["gamma"] * np.log(active)
    print(f"with {active:.0f} active latents, what can be gained falls as n^{slope:.3f}")
prediction = law.at(n=16384.0, k=32.0)
print(f"at n = 16384 and k = 32 the error is {prediction['value']:.4f}, interval {prediction['interval']}")
