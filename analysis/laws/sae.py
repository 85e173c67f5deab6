"""Sparse autoencoders: reconstruction error from the number of latents and how many of them are active (Gao 2024).

Key: n latents, k active latents, L mean squared error as a share of the activations' variance.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.law import Array, Law

POWER = (-5.0, 5.0)
LOG = (-100.0, 100.0)  # of the logarithm of a factor


def sae_n(n: Array, *, alpha: Array, beta_n: Array, zeta: Array) -> Array:
    """e^(α + βn·ln n) + e^ζ: at one k (Gao 2024, section 3.1.3 with k held)."""
    return np.exp(alpha + beta_n * np.log(n)) + np.exp(zeta)


def sae_nk(
    n: Array, k: Array, *, alpha: Array, beta_k: Array, beta_n: Array, gamma: Array, zeta: Array, eta: Array
) -> Array:
    """e^(α + βk·ln k + βn·ln n + γ·ln k·ln n) + e^(ζ + η·ln k) (Gao 2024, section 3.1.3)."""
    size, active = np.log(n), np.log(k)
    return np.exp(alpha + beta_k * active + (beta_n + gamma * active) * size) + np.exp(zeta + eta * active)


UNITS = {"n": "latents", "k": "active latents", "L": "share of variance"}
COLUMNS = {"n": "n latents n_latents num_latents dict_size d_sae width", "k": "k active l0 topk sparsity"}
SAE_N = Law(
    sae_n,
    "Gao 2024 (sparse autoencoders), section 3.1.3",
    {"alpha": (-1.0, 1.0, 4.0), "beta_n": (-0.1, -0.3, -0.8), "zeta": (-4.0, -1.0)},
    bounds={"alpha": LOG, "beta_n": (-5.0, 0.0), "zeta": LOG},
    units=UNITS,
    columns=COLUMNS,
)
SAE_NK = Law(
    sae_nk,
    "Gao 2024 (sparse autoencoders), section 3.1.3",
    {
        "alpha": (-1.0, 3.0),
        "beta_k": (-0.3, 0.3),
        "beta_n": (-0.05, -0.3),
        "gamma": (-0.05, 0.0),
        "zeta": (-3.0, -1.0),
        "eta": (-0.5, -0.05),
    },
    bounds={"alpha": LOG, "beta_k": POWER, "beta_n": POWER, "gamma": POWER, "zeta": LOG, "eta": POWER},
    units=UNITS,
    columns=COLUMNS,
)
