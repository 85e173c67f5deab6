"""Compute multipliers: relative compute efficiency of groups of runs, such as architectures.

At each budget C the losses of a group are fitted by a parabola in ln N, whose minimum is the group's loss at C. The
curves of the groups are shifts of one curve, ln L = p(ln C + s), with s the log multiplier: a group with a multiplier
of 2 reaches at C the loss that the reference reaches at 2·C. p is a parabola, or a line if a group has two budgets. The
interval is from a parametric bootstrap: normal noise with the variance of the residuals is added, and all is refitted.

Key: C planned FLOPs, N parameters, L nats per token; B bootstrap samples, K budgets of both groups, S shifts, n runs of
a budget.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points, group_by_budget
from analysis.errors import DataError, FitError
from analysis.studies.options import MultiplierOptions
from analysis.uncertainty import intervals

LARGEST_MULTIPLIER = 32.0  # the search range is 1/32 to 32
SHIFTS = 801  # number of log multipliers tried
MIN_SIZES = 3  # smallest number of sizes of a budget: a parabola has three coefficients
MIN_BUDGETS = 2


@dataclass(frozen=True)
class Multiplier:
    """Compute multiplier of a group relative to a reference.

    Attributes:
        group: Name of the group.
        reference: Name of the reference.
        value: The multiplier.
        interval: Its interval.
        level: Coverage of the interval.
        budgets: Number of budgets of both groups.
        runs: Number of runs of both groups.
        verdict: Warnings, one line each; "converged" if there are none.
    """

    group: str
    reference: str
    value: float
    interval: tuple[float, float]
    level: float
    budgets: int
    runs: int
    verdict: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Returns the multiplier in types of JSON."""
        return {**asdict(self), "interval": list(self.interval)}


@dataclass(frozen=True)
class LossCurve:
    """Loss of a group by budget.

    Attributes:
        x: ln C of each budget (K,).
        L: Lowest loss of each budget (K,).
        samples: Bootstrap samples of L (B, K), NaN if a parabola has no minimum.
        warnings: Warnings, one line each.
    """

    x: np.ndarray
    L: np.ndarray
    samples: np.ndarray
    warnings: list[str]


@dataclass(frozen=True)
class _Parabola:
    """Parabola in ln N through the losses of one budget: C, design X (n, 3), its pseudoinverse, coefficients (3,)."""

    C: float
    L: np.ndarray
    X: np.ndarray
    inverse: np.ndarray
    coefficients: np.ndarray

    @property
    def residual(self) -> np.ndarray:
        """Measured minus fitted loss (n,)."""
        return self.L - self.X @ self.coefficients


def compute_multipliers(
    source: str | Path,
    by: str,
    options: MultiplierOptions = MultiplierOptions(),
    reading: ReadOptions = ReadOptions(),
) -> list[Multiplier]:
    """Computes the compute multiplier of each group relative to the reference.

    Args:
        source: A store's folder or a file.
        by: Column that names the group of a run, such as "model.mlp".
        options: Reference and bootstrap.
        reading: Options of reading the source.

    Raises:
        DataError: There are fewer than two groups, or a group has fewer than two budgets with three sizes.
        FitError: Fewer than two budgets of a group have a minimum.
    """
    points = load(source, options=replace(reading.with_seeds(), columns={**reading.columns, "group": by}))
    assert points.groups is not None
    names = sorted({str(name) for name in points.groups})
    if len(names) < 2:
        raise DataError(f"{source}: {by} is {names[0]} in all runs: a multiplier needs at least two groups")
    reference = names[0] if options.reference is None else options.reference
    if reference not in names:
        raise DataError(f"{source}: reference {reference}: must be one of the values of {by}, {', '.join(names)}")
    rng = np.random.default_rng(options.seed)
    labels = np.array([str(name) for name in points.groups])
    parts = {name: points.select(labels == name) for name in names}
    curves = {name: fit_budget_minima(part, name, options.bootstrap, rng) for name, part in parts.items()}
    return [
        compare_curves(name, reference, curves, options.level, len(parts[name]) + len(parts[reference]))
        for name in names
        if name != reference
    ]


def fit_budget_minima(points: Points, name: str, samples: int, rng: np.random.Generator) -> LossCurve:
    """Fits the lowest loss of each budget with at least MIN_SIZES sizes.

    Args:
        points: Runs of one group.
        name: Name of the group.
        samples: Number of bootstrap samples.
        rng: Random number generator.

    Raises:
        DataError: Fewer than two budgets have MIN_SIZES sizes.
        FitError: Fewer than two budgets have a minimum.
    """
    parabolas, warnings = _fit_parabolas(points, name)
    dof = sum(len(parabola.L) - MIN_SIZES for parabola in parabolas)
    if dof < 1:
        warnings.append(
            f"{name}: no budget has more than three runs: the noise cannot be estimated, and the interval is too narrow"
        )
    noise = float(np.sqrt(sum(np.sum(parabola.residual**2) for parabola in parabolas) / max(dof, 1)))
    noise_B1 = noise * np.sqrt(max(dof, 1) / rng.chisquare(max(dof, 1), (samples, 1)))  # uncertainty of the noise
    minima = [_minimum(parabola.coefficients) for parabola in parabolas]
    if min(minima) <= 0:
        raise FitError(
            f"{points.source}: {name}: the parabola of a budget has a minimum of {min(minima):.3g}: losses must be "
            "positive"
        )
    minima_BK = []
    for parabola in parabolas:
        noise_Bn = noise_B1 * rng.standard_normal((samples, len(parabola.L)))
        minima_BK.append(_minimum((parabola.X @ parabola.coefficients + noise_Bn) @ parabola.inverse.T))
    x = np.log([parabola.C for parabola in parabolas])
    return LossCurve(x, np.array(minima), np.stack(minima_BK, -1), warnings)


def _minimum(coefficients: np.ndarray) -> np.ndarray:
    """Minimum of parabolas with coefficients (..., 3), NaN where they have none."""
    a, b, c = np.moveaxis(coefficients, -1, 0)
    with np.errstate(all="ignore"):
        return np.where(c > 0, a - b**2 / (4 * c), np.nan)


def _fit_parabolas(points: Points, name: str) -> tuple[list[_Parabola], list[str]]:
    """The parabolas of the budgets that have a minimum, with warnings."""
    parabolas, warnings = [], []
    for C, rows in group_by_budget(points):
        if len(np.unique(points.N[rows])) < MIN_SIZES:
            continue
        x, L = np.log(points.N[rows]) - np.log(points.N[rows]).mean(), points.L[rows]
        X = np.stack([np.ones_like(x), x, x**2], -1)
        inverse = np.linalg.pinv(X)
        parabolas.append(_Parabola(C, L, X, inverse, inverse @ L))
        if np.argmin(L) in (np.argmin(x), np.argmax(x)):
            warnings.append(f"{name}: the lowest loss at C = {C:.3g} is at the edge of its sizes")
    if len(parabolas) < MIN_BUDGETS:
        raise DataError(
            f"{points.source}: {name}: {len(parabolas)} budgets with at least {MIN_SIZES} sizes: a multiplier needs "
            f"{MIN_BUDGETS}"
        )
    concave = [parabola for parabola in parabolas if not parabola.coefficients[2] > 0]
    if concave:
        budgets = ", ".join(f"{parabola.C:.3g}" for parabola in concave)
        warnings.append(f"{name}: losses at C = {budgets} have no minimum in N (concave) and are left out")
        parabolas = [parabola for parabola in parabolas if parabola.coefficients[2] > 0]
        if len(parabolas) < MIN_BUDGETS:
            raise FitError(
                f"{points.source}: {warnings[-1]}; a multiplier needs {MIN_BUDGETS} budgets: train more sizes, further "
                "apart"
            )
    return parabolas, warnings


def compare_curves(name: str, reference: str, curves: dict[str, LossCurve], level: float, runs: int) -> Multiplier:
    """Returns the multiplier of one group, from both curves and their bootstrap samples.

    Args:
        name: Name of the group.
        reference: Name of the reference.
        curves: Loss by budget of each group.
        level: Coverage of the interval.
        runs: Number of runs of both.
    """
    group, base = curves[name], curves[reference]
    shift = float(fit_shifts(base.x, group.x, np.concatenate([base.L, group.L])[None])[0])
    samples_BK = np.concatenate([base.samples, group.samples], -1)
    finite_B = (samples_BK > 0).all(-1)  # False for NaN; noise as large as the loss has minima below 0
    low, high = -np.inf, np.inf
    if finite_B.any():
        low, high = intervals.percentile_interval(fit_shifts(base.x, group.x, samples_BK[finite_B]), level)
    return Multiplier(
        group=name,
        reference=reference,
        value=float(np.exp(shift)),
        interval=(float(np.exp(low)), float(np.exp(high))),
        level=level,
        budgets=len(group.x) + len(base.x),
        runs=runs,
        verdict=_warnings(group, base, shift, 1 - finite_B.mean(), level) or ["converged"],
    )


def _warnings(group: LossCurve, base: LossCurve, shift: float, failed: float, level: float) -> list[str]:
    """Warnings of a comparison; `failed`: share of bootstrap samples without a minimum at some budget."""
    warnings = [*base.warnings, *group.warnings]
    if 1 - failed < level:
        warnings.append(f"{failed:.0%} of bootstrap samples have a budget without a minimum and are left out")
    if abs(shift) > np.log(LARGEST_MULTIPLIER) * 0.99:
        warnings.append(
            f"the multiplier is at the end of the search range, 1/{LARGEST_MULTIPLIER:g} to {LARGEST_MULTIPLIER:g}"
        )
    if base.L.min() > group.L.max() or group.L.min() > base.L.max():
        warnings.append("the ranges of the losses of the two groups do not overlap: the multiplier is an extrapolation")
    return warnings


def fit_shifts(x: np.ndarray, x_group: np.ndarray, L: np.ndarray) -> np.ndarray:
    """Returns the shift s (B,) for which the losses of both groups are closest to one curve in ln C + s.

    The coefficients of the curve are solved in closed form on a grid of shifts (S,); a parabola through the best three
    refines the best one.

    Args:
        x: ln C of the budgets of the reference.
        x_group: ln C of the budgets of the group, which are shifted.
        L: Losses (B, K) of the reference, then of the group.
    """
    shift_S = np.linspace(-np.log(LARGEST_MULTIPLIER), np.log(LARGEST_MULTIPLIER), SHIFTS)
    y_BK, degree = np.log(L), 2 if min(len(x), len(x_group)) > 2 else 1
    rss_SB = np.empty((len(shift_S), len(y_BK)))
    for i, s in enumerate(shift_S):
        z = np.concatenate([x, x_group + s])
        X = np.vander((z - z.mean()) / np.ptp(z), degree + 1)
        q = np.linalg.qr(X)[0]
        rss_SB[i] = np.sum(y_BK**2, -1) - np.sum((y_BK @ q) ** 2, -1)
    best_B = np.clip(rss_SB.argmin(0), 1, len(shift_S) - 2)
    column = np.arange(len(y_BK))
    a, b, c = (rss_SB[best_B + k, column] for k in (-1, 0, 1))
    bend = np.maximum(a - 2 * b + c, 1e-300)
    return np.asarray(shift_S[best_B] + (shift_S[1] - shift_S[0]) * np.clip((a - c) / (2 * bend), -1, 1))
