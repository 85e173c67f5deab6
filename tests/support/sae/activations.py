"""Activations of a known dictionary: sparse sums of known directions, with noise.

Axes: n rows, D width, F features.
"""

from pathlib import Path

import numpy as np

WIDTH, FEATURES, ACTIVE = 24, 32, 3.0  # D, F, and features that are active in a row, in the mean
NOISE = 0.02  # standard deviation of each coordinate
MEAN = 0.3  # of each coordinate


def known_dictionary() -> np.ndarray:
    """Directions of norm 1, (F, D)."""
    directions = np.random.default_rng(0).standard_normal((FEATURES, WIDTH))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def write_activations(path: Path, rows: int) -> Path:
    """Writes float32 (n, D); each feature is active with probability ACTIVE / F, at .5 plus an exponential of mean .5.

    Args:
        path: The .npy file.
        rows: Rows, n.
    """
    draws = np.random.default_rng(1)
    active = draws.random((rows, FEATURES)) < ACTIVE / FEATURES
    values = active * (0.5 + draws.exponential(0.5, active.shape))
    x = values @ known_dictionary() + MEAN + NOISE * draws.standard_normal((rows, WIDTH))
    np.save(path, x.astype(np.float32))
    return path


def recovered_share(decoder: np.ndarray, cosine: float = 0.9) -> float:
    """Share of the known directions that some latent has with at least this cosine.

    Args:
        decoder: Directions of the latents, (n, D).
        cosine: The least cosine.
    """
    unit = decoder / np.linalg.norm(decoder, axis=1, keepdims=True)
    return float(((known_dictionary() @ unit.T).max(1) >= cosine).mean())


def noise_floor(path: Path) -> float:
    """Squared error relative to the variance that is left if the active features and their values are known.

    The noise in the directions of the active features is explained by their values.

    Args:
        path: File of `write_activations`.
    """
    return NOISE**2 * (WIDTH - ACTIVE) / float(np.load(path).var(0).sum())
