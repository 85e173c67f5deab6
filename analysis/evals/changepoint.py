"""Whether a score jumps with scale: a hinge against a straight line, how much of the rise nothing below it foretold,
and how narrow the rise is.

A curve is sharp in the sense of Wei 2022 where it rises after a stretch that did not foretell it. Up to its
change-point a straight line in log scale is laid through the points; what that line, drawn on, misses of the rise is
*unforetold*. Whether the hinge is more than noise is told by F = max over change-points of (RSS of the line − RSS of
the hinge)/φ, against the same F of lines with the same noise (Hansen 1996: a change-point has no table). Only the part
up to where the score has made nine tenths of its way is looked at: a ceiling is no news.

Key: n scales in order, x log10 of C, N or D (or −L), y the score, v its variance from items, φ how many times more the
points scatter than items alone would have them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from analysis.evals.series import Series, rising

BELOW = 3  # scales that a line to foretell from is laid through, at least
LEAST = 6  # scales that anything can be said from
RISEN = 0.9  # share of the way after which a curve is at its top
PRIOR = 2.0  # degrees of freedom that φ = 1, items alone, counts as
DRAWS, FLAT = 2000, 1000
MOST = 0.75  # share of a rise that two steps of the scales must hold to be one jump
TAUS = 60  # change-points tried


@dataclass(frozen=True)
class Sharpness:
    """What a series does. rise: from its lowest to its highest. p_rise: of as much under no change at all.

    change: the change-point, and its interval. unforetold: share of the rise that the points below do not foretell.
    p: of such a hinge under a straight line. steepest: largest share of the rise within `window`, from x to x.
    phi: scatter of the points in units of what items alone give.
    """

    scales: int
    rise: float
    p_rise: float
    change: float
    interval: tuple[float, float]
    unforetold: float
    p: float
    steepest: float
    window: tuple[float, float]
    phi: float


def sharpness(of: Series, narrow: float, level: float = 0.95, seed: int = 0) -> Sharpness | None:
    """The sharpness of a series; None where it has fewer than LEAST scales. narrow: width of a sudden change, as x."""
    n = len(of.x)
    if n < LEAST:
        return None
    smooth = rising(of.y, 1 / of.v)
    rise = float(smooth[-1] - smooth[0])
    phi, freedom = map(float, _scatter(of, smooth, of.phi, of.y))
    keep = max(int(np.argmax(smooth - smooth[0] >= RISEN * rise)) + 1, BELOW + 1)
    hinge = _Hinge(of.x[:keep], of.y[:keep], of.v[:keep])
    gains = hinge.gains(hinge.z)
    at = int(np.argmax(gains))
    inside = hinge.taus[gains >= gains[at] - phi * chi2.ppf(level, 1)]
    steepest, window = _steepest(of.x, smooth, narrow)
    return Sharpness(
        scales=n,
        rise=rise,
        p_rise=_p_rise(of, phi, seed),
        change=float(hinge.taus[at]),
        interval=(float(inside.min()), _end(hinge.x, float(inside.max()))),
        unforetold=hinge.unforetold(at),
        p=hinge.p(gains[at] / phi, freedom, seed),
        steepest=steepest,
        window=window,
        phi=phi,
    )


def _scatter(of: Series, smooth: np.ndarray, phi: float | np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """φ and its degrees of freedom: from runs of one scale, and from what falls where a curve should not fall."""
    left = (np.diff(smooth, axis=-1) == 0).sum(-1)
    freedom = PRIOR + of.freedom + left
    return (PRIOR + of.freedom * phi + ((y - smooth) ** 2 / of.v).sum(-1)) / freedom, freedom


def _p_rise(of: Series, phi: float, seed: int) -> float:
    """Share of flat curves with noise of this size that seem to rise as clearly."""
    rng = np.random.default_rng(seed)
    size = max(phi, 1.0)
    noise = rng.standard_normal((FLAT, len(of.x))) * np.sqrt(size * of.v)
    between = size * rng.chisquare(of.freedom, FLAT) / of.freedom if of.freedom else np.ones(FLAT)
    weight = 1 / of.v

    def clear(y: np.ndarray, found: float | np.ndarray) -> np.ndarray:
        smooth = rising(y, weight)
        flat = (y * weight).sum(-1, keepdims=True) / weight.sum()
        return np.asarray(((smooth - flat) ** 2 * weight).sum(-1) / _scatter(of, smooth, found, y)[0])

    return float((1 + np.count_nonzero(clear(noise, between) >= clear(of.y, of.phi))) / (1 + FLAT))


def gain_before(of: Series, x: float) -> float:
    """Share of its rise that a series has made at x."""
    smooth = rising(of.y, 1 / of.v)
    rise = smooth[-1] - smooth[0]
    return float((np.interp(x, of.x, smooth) - smooth[0]) / rise) if rise > 0 else 0.0


class _Hinge:
    """Upward hinges at every change-point over a straight line, fitted at once.

    q_TN are the hinges made orthogonal to lines, in units of the noise: (q·z)² is what each explains of points z.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, v: np.ndarray) -> None:
        self.x, self.scale, self.taus = x, 1 / np.sqrt(v), _taus(x)
        self.z = y * self.scale
        basis = np.linalg.qr(np.stack([np.ones_like(x), x - x.mean()], -1) * self.scale[:, None])[0]
        free = np.maximum(x - self.taus[:, None], 0.0) * self.scale
        free = free - free @ basis @ basis.T
        self.q = free / np.linalg.norm(free, axis=1)[:, None]

    def gains(self, z: np.ndarray) -> np.ndarray:
        """What each change-point explains (..., T) of points (..., n) in units of noise."""
        return np.maximum(z @ self.q.T, 0.0) ** 2

    def p(self, gain: float, freedom: float, seed: int) -> float:
        """Share of straight lines with noise whose best hinge explains as much, φ being known as well as it is."""
        rng = np.random.default_rng(seed)
        null = self.gains(rng.standard_normal((DRAWS, len(self.x)))).max(-1)
        return float((1 + np.count_nonzero(null * freedom / rng.chisquare(freedom, DRAWS) >= gain)) / (1 + DRAWS))

    def unforetold(self, at: int) -> float:
        """Share of the rise that the line below the change-point misses; a line that falls foretells nothing."""
        above = np.maximum(self.x - self.taus[at], 0.0)
        design = np.stack([np.ones_like(self.x), self.x, above], -1) * self.scale[:, None]
        _, b, c = np.linalg.lstsq(design, self.z, rcond=None)[0]
        if b < 0:
            b, c = 0.0, np.linalg.lstsq(design[:, [0, 2]], self.z, rcond=None)[0][1]
        whole = b * np.ptp(self.x) + c * above[-1]
        return float(c * above[-1] / whole) if whole > 0 else 0.0


def _taus(x: np.ndarray) -> np.ndarray:
    """Change-points to try: from the BELOWth scale to before the last, every scale among them."""
    at = np.linspace(x[BELOW - 1], x[-1], TAUS, endpoint=False)
    return np.unique(np.concatenate([at, x[BELOW - 1 : -1]]))


def _end(x: np.ndarray, tau: float) -> float:
    """A change-point between two scales with one above it could be anywhere between the two."""
    return float(x[-1]) if tau >= x[-2] else tau


def _steepest(x: np.ndarray, smooth: np.ndarray, narrow: float) -> tuple[float, tuple[float, float]]:
    """The largest share of the rise within `narrow` of x, or between two neighbouring scales, and where.

    A jump that a scale lies in the middle of falls to two steps: both together count where they have three quarters.
    """
    rise = smooth[-1] - smooth[0]
    best, where = 0.0, (float(x[0]), float(x[-1]))
    for i in range(len(x) - 1):
        j = max(i + 1, int(np.searchsorted(x, x[i] + narrow + 1e-9, "right")) - 1)
        for end in (j, min(i + 2, len(x) - 1)):
            share = (smooth[end] - smooth[i]) / rise if rise > 0 else 0.0
            if share > best + 1e-12 and (end <= j or share >= MOST):
                best, where = float(share), (float(x[i]), float(x[end]))
    return best, where
