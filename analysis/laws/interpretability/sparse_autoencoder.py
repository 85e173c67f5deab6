"""Sparse autoencoders: reconstruction error from the number of latents and how many of them are active (Gao 2024).

Key: n latents, k active latents, L mean squared error as a share of the activations' variance.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.law import Array, Law

POWER = (-5.0, 5.0)
FLOORS = (0.1, 0.5, 0.8, 0.95, 0.99)
LOG = (-100.0, 100.0)  # of the logarithm of a factor


def sae_n(n: Array, *, alpha: Array, beta_n: Array, zeta: Array) -> Array:
    """e^(α + βn·ln n) + e^ζ: at one k (Gao 2024, section 3.1 with k held)."""
    return np.exp(alpha + beta_n * np.log(n)) + np.exp(zeta)


def _n_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starts of `sae_n`: floors at shares of the lowest error, and least squares of the ln of what is above."""
    size, zeta = np.log(inputs[0]), np.log(np.array(FLOORS) * output.min())
    basis = np.stack([np.ones_like(size), size], -1)
    return {"zeta": zeta, **_above(np.exp(zeta)[:, None], basis, output, ("alpha", "beta_n"))}


def sae_nk(
    n: Array, k: Array, *, alpha: Array, beta_k: Array, beta_n: Array, gamma: Array, zeta: Array, eta: Array
) -> Array:
    """e^(α + βk·ln k + βn·ln n + γ·ln k·ln n) + e^(ζ + η·ln k) (Gao 2024, section 3.1)."""
    size, active = np.log(n), np.log(k)
    return np.exp(alpha + beta_k * active + (beta_n + gamma * active) * size) + np.exp(zeta + eta * active)


def _nk_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starts of `sae_nk`, as those of `sae_n`, for several slopes of the floor in k."""
    size, active = (np.log(x) for x in inputs)
    share, eta = (x.ravel() for x in np.meshgrid(FLOORS, (0.0, -0.1, -0.3, -1.0)))
    zeta = np.log(share) + np.min(np.log(output) - eta[:, None] * active, -1)
    basis = np.stack([np.ones_like(size), active, size, active * size], -1)
    floor = np.exp(zeta[:, None] + eta[:, None] * active)
    return {"zeta": zeta, "eta": eta, **_above(floor, basis, output, ("alpha", "beta_k", "beta_n", "gamma"))}


def _above(floor: np.ndarray, basis: np.ndarray, output: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Coefficients (S,) of the basis (n, names) in ln(output − floor), floor (S, n) or (S, 1) below the output."""
    found = np.linalg.lstsq(basis, np.log(output - floor).T, rcond=None)[0]
    return dict(zip(names, found, strict=True))


UNITS = {"n": "latents", "k": "active latents", "L": "share of variance"}
COLUMNS = {"n": "n latents n_latents num_latents dict_size d_sae width", "k": "k active l0 topk sparsity"}
SAE_N = Law(
    sae_n,
    "Gao 2024 (sparse autoencoders), section 3.1",
    {},
    bounds={"alpha": LOG, "beta_n": (-5.0, 0.0), "zeta": LOG},
    seeds=_n_starts,
    units=UNITS,
    columns=COLUMNS,
)
SAE_NK = Law(
    sae_nk,
    "Gao 2024 (sparse autoencoders), section 3.1",
    {},
    bounds={"alpha": LOG, "beta_k": POWER, "beta_n": POWER, "gamma": POWER, "zeta": LOG, "eta": POWER},
    seeds=_nk_starts,
    units=UNITS,
    columns=COLUMNS,
)
