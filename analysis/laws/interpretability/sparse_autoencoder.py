"""Laws of the reconstruction error of sparse autoencoders in the numbers of latents and active latents (Gao 2024).

Key: n latents, k active latents, L mean squared error relative to the variance of the activations; S starts.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.law import SIGNED_EXPONENT, Array, Law, Published

FLOORS = (0.1, 0.5, 0.8, 0.95, 0.99)  # starting values of the irreducible error, relative to the smallest error
LOG = (-100.0, 100.0)  # bounds of the logarithm of a factor


def sae_n(n: Array, *, alpha: Array, beta_n: Array, zeta: Array) -> Array:
    """e^(α + βn·ln n) + e^ζ, for constant k (Gao 2024, section 3.1).

    Args:
        n: Latents.
        alpha: Logarithm of the factor.
        beta_n: Exponent of n, 0 or less.
        zeta: Logarithm of the irreducible error.
    """
    return np.exp(alpha + beta_n * np.log(n)) + np.exp(zeta)


def sae_nk(
    n: Array, k: Array, *, alpha: Array, beta_k: Array, beta_n: Array, gamma: Array, zeta: Array, eta: Array
) -> Array:
    """e^(α + βk·ln k + βn·ln n + γ·ln k·ln n) + e^(ζ + η·ln k) (Gao 2024, section 3.1).

    Args:
        n: Latents.
        k: Active latents.
        alpha: Logarithm of the factor.
        beta_k: Exponent of k.
        beta_n: Exponent of n.
        gamma: Change of the exponent of n with ln k.
        zeta: Logarithm of the factor of the irreducible error.
        eta: Exponent of k in the irreducible error.
    """
    log_n, log_k = np.log(n), np.log(k)
    return np.exp(alpha + beta_k * log_k + (beta_n + gamma * log_k) * log_n) + np.exp(zeta + eta * log_k)


def _n_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starting values of `sae_n`: floors below the smallest error, and linear regression of logarithms above it."""
    log_n, zeta = np.log(inputs[0]), np.log(np.array(FLOORS) * output.min())
    basis = np.stack([np.ones_like(log_n), log_n], -1)
    return {"zeta": zeta, **_fit_above(np.exp(zeta)[:, None], basis, output, ("alpha", "beta_n"))}


def _nk_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starting values of `sae_nk`: as for `sae_n`, with several exponents of k in the floor."""
    log_n, log_k = (np.log(x) for x in inputs)
    share, eta = (x.ravel() for x in np.meshgrid(FLOORS, (0.0, -0.1, -0.3, -1.0)))
    zeta = np.log(share) + np.min(np.log(output) - eta[:, None] * log_k, -1)
    basis = np.stack([np.ones_like(log_n), log_k, log_n, log_k * log_n], -1)
    floor = np.exp(zeta[:, None] + eta[:, None] * log_k)
    return {"zeta": zeta, "eta": eta, **_fit_above(floor, basis, output, ("alpha", "beta_k", "beta_n", "gamma"))}


def _fit_above(
    floor: np.ndarray, basis: np.ndarray, output: np.ndarray, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Coefficients (S,) of the basis (n, names) in ln(output − floor), floor (S, n) or (S, 1) below the output."""
    solution = np.linalg.lstsq(basis, np.log(output - floor).T, rcond=None)[0]
    return dict(zip(names, solution, strict=True))


UNITS = {"n": "latents", "k": "active latents", "L": "share of variance"}
COLUMNS = {"n": "n latents n_latents num_latents dict_size d_sae width", "k": "k active l0 topk sparsity"}
SAE_N = Law(
    sae_n,
    "Gao 2024 (sparse autoencoders), section 3.1",
    {},
    bounds={"alpha": LOG, "beta_n": (SIGNED_EXPONENT[0], 0.0), "zeta": LOG},
    starts_from_data=_n_starts,
    latex=(r"L(n) = e^{\alpha + \beta_n \ln n} + e^\zeta",),
    units=UNITS,
    columns=COLUMNS,
    runs="saes",
)
SAE_NK = Law(
    sae_nk,
    "Gao 2024 (sparse autoencoders), section 3.1",
    {},
    bounds={
        "alpha": LOG,
        "beta_k": SIGNED_EXPONENT,
        "beta_n": SIGNED_EXPONENT,
        "gamma": SIGNED_EXPONENT,
        "zeta": LOG,
        "eta": SIGNED_EXPONENT,
    },
    starts_from_data=_nk_starts,
    latex=(r"L(n, k) = e^{\alpha + \beta_k \ln k + \beta_n \ln n + \gamma \ln k \ln n} + e^{\zeta + \eta \ln k}",),
    published=(
        Published(
            "Gao 2024, GPT-4",
            {"alpha": -0.50, "beta_k": 0.26, "beta_n": -0.017, "gamma": -0.042, "zeta": -1.32, "eta": -0.085},
        ),
    ),
    units=UNITS,
    columns=COLUMNS,
    runs="saes",
)
