"""Sharpness of a rise with scale: test of a hinge against a straight line, unpredicted share, and steepness.

A curve is sharp in the sense of Wei 2022 if it rises after a stretch that did not predict the rise. A straight line in
log scale is fitted to the points up to the changepoint; the share of the rise that its extrapolation misses is
*unpredicted*. Whether the hinge is more than noise is tested by F = max over changepoints of (RSS of the line - RSS of
the hinge) / dispersion, against the same F of simulated lines with the same noise (Hansen 1996: a changepoint has no
tabulated distribution). Only the part up to nine tenths of the rise is used, so that a ceiling does not count.

Key: n scales in increasing order, T changepoints, B simulations; x log10 of C, N or D (or -L), y the score; dispersion:
variance of the points relative to the variance over items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from analysis.evals.series import Series, isotonic_regression

MIN_SCALES_BELOW = 3  # smallest number of scales for the line below a changepoint
MIN_SCALES = 6  # smallest number of scales of a series
PLATEAU_SHARE = 0.9  # share of the rise from which a curve counts as saturated
PRIOR_DOF = 2.0  # degrees of freedom of the prior, a dispersion of 1
HINGE_SAMPLES, FLAT_SAMPLES = 2000, 1000  # simulations of straight lines, and of flat curves
TWO_STEP_SHARE = 0.75  # smallest share of the rise in two steps of scale that counts as one jump
CHANGEPOINTS = 60  # number of changepoints tried


@dataclass(frozen=True)
class Sharpness:
    """Sharpness of the rise of a series.

    Attributes:
        scales: Number of scales.
        rise: Difference between its highest and its lowest smoothed score.
        p_rise: p-value of the rise if the true score is constant.
        changepoint: Scale at which the hinge bends, as x.
        interval: Interval of the changepoint.
        unpredicted: Share of the rise that the points below the changepoint do not predict.
        p_hinge: p-value of the hinge if the true curve is a straight line.
        steepest: Largest share of the rise within `window`.
        window: Lower and upper end of the range of x of `steepest`.
        dispersion: Variance of the points relative to the variance over items.
    """

    scales: int
    rise: float
    p_rise: float
    changepoint: float
    interval: tuple[float, float]
    unpredicted: float
    p_hinge: float
    steepest: float
    window: tuple[float, float]
    dispersion: float


def sharpness(series: Series, width: float, level: float = 0.95, seed: int = 0) -> Sharpness | None:
    """Returns the sharpness of a series, None if it has fewer than MIN_SCALES scales.

    Args:
        series: Scores by scale.
        width: Largest width of a sudden change, in x.
        level: Coverage of the interval of the changepoint.
        seed: Seed of the simulations.
    """
    n = len(series.x)
    if n < MIN_SCALES:
        return None
    smooth = isotonic_regression(series.y, 1 / series.variance)
    rise = float(smooth[-1] - smooth[0])
    dispersion, dof = map(float, _dispersion(series, smooth, series.dispersion, series.y))
    top = max(int(np.argmax(smooth - smooth[0] >= PLATEAU_SHARE * rise)) + 1, MIN_SCALES_BELOW + 1)
    hinge = _Hinge(series.x[:top], series.y[:top], series.variance[:top])
    gain_T = hinge.gains(hinge.z)
    best = int(np.argmax(gain_T))
    plausible = hinge.tau_T[gain_T >= gain_T[best] - dispersion * chdtri(1, 1 - level)]
    steepest, window = _steepest(series.x, smooth, width)
    return Sharpness(
        scales=n,
        rise=rise,
        p_rise=_p_rise(series, dispersion, seed),
        changepoint=float(hinge.tau_T[best]),
        interval=(float(plausible.min()), _upper_end(hinge.x, float(plausible.max()))),
        unpredicted=hinge.unpredicted(best),
        p_hinge=hinge.p_value(gain_T[best] / dispersion, dof, seed),
        steepest=steepest,
        window=window,
        dispersion=dispersion,
    )


def _dispersion(
    series: Series, smooth: np.ndarray, dispersion: float | np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Dispersion and its degrees of freedom, from runs of one scale and from decreases of y between scales."""
    pooled = (np.diff(smooth, axis=-1) == 0).sum(-1)
    dof = PRIOR_DOF + series.dof + pooled
    return (PRIOR_DOF + series.dof * dispersion + ((y - smooth) ** 2 / series.variance).sum(-1)) / dof, dof


def _p_rise(series: Series, dispersion: float, seed: int) -> float:
    """Share of simulated constant curves with the same noise whose statistic is at least as large."""
    rng = np.random.default_rng(seed)
    size = max(dispersion, 1.0)
    noise = rng.standard_normal((FLAT_SAMPLES, len(series.x))) * np.sqrt(size * series.variance)
    between = size * rng.chisquare(series.dof, FLAT_SAMPLES) / series.dof if series.dof else np.ones(FLAT_SAMPLES)
    weight = 1 / series.variance

    def statistic(y: np.ndarray, dispersion: float | np.ndarray) -> np.ndarray:
        smooth = isotonic_regression(y, weight)
        flat = (y * weight).sum(-1, keepdims=True) / weight.sum()
        return np.asarray(((smooth - flat) ** 2 * weight).sum(-1) / _dispersion(series, smooth, dispersion, y)[0])

    exceedances = np.count_nonzero(statistic(noise, between) >= statistic(series.y, series.dispersion))
    return float((1 + exceedances) / (1 + FLAT_SAMPLES))


def rise_share_before(series: Series, x: float) -> float:
    """Returns the share of the total rise of a series that occurs below x.

    Args:
        series: Scores by scale.
        x: Scale, in the units of `series.x`.
    """
    smooth = isotonic_regression(series.y, 1 / series.variance)
    rise = smooth[-1] - smooth[0]
    return float((np.interp(x, series.x, smooth) - smooth[0]) / rise) if rise > 0 else 0.0


class _Hinge:
    """Fits of a straight line plus an upward hinge, for all changepoints at once.

    q_Tn are the hinges orthogonal to straight lines, in units of the noise: (q·z)² is the sum of squares of points z
    that each hinge explains.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, variance: np.ndarray) -> None:
        self.x, self.scale, self.tau_T = x, 1 / np.sqrt(variance), _changepoints(x)
        self.z = y * self.scale
        basis = np.linalg.qr(np.stack([np.ones_like(x), x - x.mean()], -1) * self.scale[:, None])[0]
        hinge_Tn = np.maximum(x - self.tau_T[:, None], 0.0) * self.scale
        hinge_Tn = hinge_Tn - hinge_Tn @ basis @ basis.T
        self.q_Tn = hinge_Tn / np.linalg.norm(hinge_Tn, axis=1)[:, None]

    def gains(self, z: np.ndarray) -> np.ndarray:
        """Sum of squares (..., T) that each changepoint explains of points (..., n) in units of noise."""
        return np.maximum(z @ self.q_Tn.T, 0.0) ** 2

    def p_value(self, gain: float, dof: float, seed: int) -> float:
        """Share of simulated straight lines with noise whose best hinge explains at least as much.

        Args:
            gain: Sum of squares that the best hinge explains, over the dispersion.
            dof: Degrees of freedom of the dispersion.
            seed: Seed of the simulation.
        """
        rng = np.random.default_rng(seed)
        null_B = self.gains(rng.standard_normal((HINGE_SAMPLES, len(self.x)))).max(-1)
        return float(
            (1 + np.count_nonzero(null_B * dof / rng.chisquare(dof, HINGE_SAMPLES) >= gain)) / (1 + HINGE_SAMPLES)
        )

    def unpredicted(self, index: int) -> float:
        """Share of the rise not predicted by the line below changepoint `index`; a decreasing line predicts nothing."""
        above = np.maximum(self.x - self.tau_T[index], 0.0)
        design = np.stack([np.ones_like(self.x), self.x, above], -1) * self.scale[:, None]
        _, b, c = np.linalg.lstsq(design, self.z, rcond=None)[0]
        if b < 0:
            b, c = 0.0, np.linalg.lstsq(design[:, [0, 2]], self.z, rcond=None)[0][1]
        total = b * np.ptp(self.x) + c * above[-1]
        return float(c * above[-1] / total) if total > 0 else 0.0


def _changepoints(x: np.ndarray) -> np.ndarray:
    """Changepoints to try (T,): an even grid from scale MIN_SCALES_BELOW on, and every scale but the last."""
    grid = np.linspace(x[MIN_SCALES_BELOW - 1], x[-1], CHANGEPOINTS, endpoint=False)
    return np.unique(np.concatenate([grid, x[MIN_SCALES_BELOW - 1 : -1]]))


def _upper_end(x: np.ndarray, tau: float) -> float:
    """Upper end of the interval: a changepoint with only one scale above it can lie anywhere below that scale."""
    return float(x[-1]) if tau >= x[-2] else tau


def _steepest(x: np.ndarray, smooth: np.ndarray, width: float) -> tuple[float, tuple[float, float]]:
    """Largest share of the rise within `width` of x, or between two neighbouring scales, and its window.

    A jump with a scale in its middle spans two steps, which count together if they contain TWO_STEP_SHARE.
    """
    rise = smooth[-1] - smooth[0]
    best, window = 0.0, (float(x[0]), float(x[-1]))
    for i in range(len(x) - 1):
        j = max(i + 1, int(np.searchsorted(x, x[i] + width + 1e-9, "right")) - 1)
        for end in (j, min(i + 2, len(x) - 1)):
            share = (smooth[end] - smooth[i]) / rise if rise > 0 else 0.0
            if share > best + 1e-12 and (end <= j or share >= TWO_STEP_SHARE):
                best, window = float(share), (float(x[i]), float(x[end]))
    return best, window
