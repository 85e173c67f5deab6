"""Points of known laws, for tests of fits."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import laws
from analysis.data.points import Points
from analysis.laws.loss import chinchilla
from tests.support.commands import PUBLISHED

needs_published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="no published data sets at ../shared/data")

TRUTH = {"E": 1.2, "A": 60.0, "B": 120.0, "alpha": 0.32, "beta": 0.36}

HOFFMANN = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.336, "beta": 0.283}  # as Sardana 2024 takes them

BESIROGLU = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}  # Besiroglu 2024

PEARCE = {"E": 1.6934, "A": 406.4, "B": 410.7, "alpha": 0.3392, "beta": 0.2849}  # Hoffmann 2022, as Pearce has them


def points(N: np.ndarray, D: np.ndarray, L: np.ndarray, budgets: np.ndarray | None = None) -> Points:
    """Points with C = 6·N·D."""
    return Points(N, D, 6 * N * D, L, [f"run {i}" for i in range(len(N))], budgets=budgets)


def grid(noise: float = 0.0, seed: int = 0, size: int = 5, **changed: float) -> Points:
    """Sizes × tokens on the surface TRUTH, with relative noise."""
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e5, 3e6, size), np.geomspace(1e6, 1e8, size)))
    L = chinchilla.chinchilla(N, D, **{**TRUTH, **changed})
    return points(N, D, L * np.exp(noise * np.random.default_rng(seed).normal(size=len(N))))


def isoflop_sweep(noise: float = 0.0, seed: int = 0, budgets: int = 4, sizes: int = 5, off_cost: float = 0.0) -> Points:
    """An isoFLOP sweep, `off` nats of N off the optimum."""
    C = np.repeat(np.geomspace(1e12, 3e13, budgets), sizes)
    a, _, ln_g = laws.chinchilla_optimum(TRUTH, 6.0)
    N = np.exp(ln_g + off_cost) * (C / 6) ** a * np.tile(np.exp(np.linspace(-1.1, 1.1, sizes)), budgets)
    L = chinchilla.chinchilla(N, C / 6 / N, **TRUTH)
    return points(N, C / 6 / N, L * np.exp(noise * np.random.default_rng(seed).normal(size=len(N))), C)


def surface_points(noise: float = 0.0, seed: int = 0, **params: float) -> dict[str, np.ndarray]:
    """Sizes × tokens on Hoffmann's surface, with relative noise."""
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e8, 1e11, 6), np.geomspace(1e9, 1e13, 6)))
    L = chinchilla.chinchilla(N, D, **{**HOFFMANN, **params})
    return {"N": N, "D": D, "L": L * np.exp(noise * np.random.default_rng(seed).normal(size=36))}
