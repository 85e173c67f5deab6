"""Measurements of runs as a series by scale: runs close in scale are one scale, and what differs between them is noise.

Key: r runs, n scales.
"""

from __future__ import annotations

import numpy as np

from analysis.sharp import Series, rising

SAME = 0.05  # decades within which runs are of one scale


def choices(x: np.ndarray, hits: np.ndarray, items: np.ndarray, same: float = SAME) -> Series:
    """A share of right answers by scale, of runs at x (r,) with `hits` of `items` right.

    A scale's variance is binomial, at the smoothed share with half an item added to each side (Jeffreys): at a floor of
    no hits there is doubt too.
    """
    scale = scales(x, same)
    k, n = _sum(hits, scale), _sum(items, scale)
    share = rising((k + 0.5) / (n + 1), n)
    return _series(x, hits / items, share[scale] * (1 - share[scale]) / items, scale, k / n)


def values(x: np.ndarray, y: np.ndarray, v: np.ndarray, same: float = SAME) -> Series:
    """A mean by scale, of runs at x (r,) with mean y and variance of it v."""
    scale = scales(x, same)
    floor = 1e-6 * max(float(np.ptp(y)), 1e-6) ** 2
    v = _sum(np.maximum(v, floor), scale)[scale] / np.bincount(scale)[scale]  # of few items, steadier
    return _series(x, y, v, scale, _sum(y, scale) / np.bincount(scale))


def _series(x: np.ndarray, y: np.ndarray, v: np.ndarray, scale: np.ndarray, mean: np.ndarray) -> Series:
    count = np.bincount(scale)
    freedom = float(len(x) - len(count))
    phi = float(np.sum((y - (_sum(y, scale) / count)[scale]) ** 2 / v) / freedom) if freedom else 1.0
    return Series(_sum(x, scale) / count, mean, _sum(v, scale) / count**2, phi, freedom)


def scales(x: np.ndarray, same: float = SAME) -> np.ndarray:
    """The scale, from 0, of each run (r,): a new one begins more than `same` above where the last began."""
    out, begun, current = np.zeros(len(x), int), -np.inf, -1
    for i in np.argsort(x, kind="stable"):
        if x[i] > begun + same:
            begun, current = x[i], current + 1
        out[i] = current
    return out


def _sum(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.bincount(scale, weights=values)
