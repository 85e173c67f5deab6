"""Measurements of runs as a series by scale: runs close in scale are one scale, and what differs between them is noise.

Key: r runs, n scales.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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


@dataclass(frozen=True)
class Series:
    """A score by scale: x (n,) strictly rising, y (n,), v (n,); between runs of one scale: φ and degrees of freedom."""

    x: np.ndarray
    y: np.ndarray
    v: np.ndarray
    phi: float = 1.0
    freedom: float = 0.0


def rising(y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The nearest curves (..., n) that never fall, by weighted least squares: the largest, over beginnings up to a
    point, of the smallest mean, over ends from it, of what lies between (Barlow 1972)."""
    n = y.shape[-1]
    sums = np.concatenate([np.zeros((*y.shape[:-1], 1)), np.cumsum(y * weight, -1)], -1)
    weights = np.concatenate([[0.0], np.cumsum(weight)])
    begin, end = np.tril_indices(n)[::-1]
    means = np.full((*y.shape[:-1], n, n), np.inf)  # from a begin to an end
    means[..., begin, end] = (sums[..., end + 1] - sums[..., begin]) / (weights[end + 1] - weights[begin])
    least = np.minimum.accumulate(means[..., ::-1], -1)[..., ::-1]  # over ends from here on
    least = np.where(np.tri(n, dtype=bool).T, least, -np.inf)
    return np.asarray(least.max(-2))
