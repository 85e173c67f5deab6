"""Approach 2: the model size of lowest loss at each budget, and power laws fitted to these minima (Hoffmann 2022).

Key: N parameters, D tokens, C FLOPs, L nats per token; B bootstrap samples, K budgets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.data.points import Points, separate_budgets
from analysis.errors import FitError
from analysis.fitting.hoffmann import minima
from analysis.fitting.hoffmann.budget_curves import BudgetCurves, fit_curves
from analysis.fitting.options import FitOptions
from analysis.format import plural
from analysis.uncertainty.intervals import corrected_band, corrected_interval
from analysis.uncertainty.verdicts import verdict, warning

MAX_REACH = 5.0  # largest distance of a minimum from the middle of its runs, in spans of ln N; samples are clipped
MIN_SIZES = {"parabola": 3, "akima": 5, "chinchilla": 4}
ONE_SIGMA = (0.1587, 0.8413)  # percentiles of a normal variable at ∓1 standard deviation
MIN_NOISE = 1e-9  # in ln N; smaller values are rounding, for budgets with three sizes


@dataclass(frozen=True)
class Parabola:
    """L = c0 + c1·x + c2·x², x = ln N, at one budget. The minimum can be that of another curve instead.

    Attributes:
        budget: Key of the budget (planned FLOPs).
        C: Median FLOPs of the runs.
        points: Runs of the budget.
        coefficients: c0, c1 and c2.
        N_opt: N at the minimum; None if the parabola is concave.
        D_opt: Tokens at the minimum.
        L_opt: Loss at the minimum.
        interval: Interval of N_opt; None if it is not bounded.
        inside: Whether the minimum lies between the smallest and the largest N of the runs.
        concave: Whether the losses have no minimum.
        count: Number of runs.
        samples: Bootstrap samples of N_opt (B,), NaN if a sample has no minimum. If `inside`, they are minima of
            Chinchilla's curve, without the bias of the parabola.
    """

    budget: float
    C: float
    points: Points
    coefficients: tuple[float, float, float]
    N_opt: float | None
    D_opt: float | None
    L_opt: float | None
    interval: tuple[float, float] | None
    inside: bool
    concave: bool
    count: int
    samples: np.ndarray

    def predict(self, N: np.ndarray | float) -> np.ndarray:
        """Returns L at N."""
        x = np.log(N)
        c0, c1, c2 = self.coefficients
        return np.asarray(c0 + c1 * x + c2 * x * x)

    def tokens(self, N: np.ndarray | float) -> np.ndarray:
        """Returns D of a run of size N at this budget, from N·D interpolated in ln N (constant if C = 6·N·D)."""
        return np.exp(minima.ln_tokens(self.points, np.log(N)))

    @property
    def sound(self) -> bool:
        """Whether the minimum lies between the runs."""
        return self.inside and not self.concave


@dataclass(frozen=True)
class IsoFlop:
    """Parabolas in order of budget, and N*(C) = G_N·C^a, D*(C) = G_D·C^b through the sound ones.

    Attributes:
        budgets: Parabola of each budget.
        level: Coverage of the intervals.
        params: a, b, G_N and G_D, each (1 + B,) with the estimate first; None for fewer than two sound minima.
        verdict: Warnings.
        value: Sum of squared residuals of the parabolas in nats².
        notes: Notes on the budgets, one line each.
        weights: Weights of the sound minima in the power laws (K,).
        minimum: "parabola", "akima" or "chinchilla".
        curves: Chinchilla's curves of the sound budgets; None without them. The samples of `params` are of these
            curves, except for Akima curves.
    """

    budgets: list[Parabola]
    level: float
    params: dict[str, np.ndarray] | None
    verdict: tuple[str, ...]
    value: float
    notes: tuple[str, ...] = ()
    weights: np.ndarray | None = None
    minimum: str = "parabola"
    curves: BudgetCurves | None = None

    @property
    def sound(self) -> list[Parabola]:
        """Parabolas whose minimum lies between the runs."""
        return [parabola for parabola in self.budgets if parabola.sound]

    def path(self, C: np.ndarray | float, letter: str = "N") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns N*(C) or D*(C): the estimate and both ends of its interval, each in the shape of C.

        Args:
            C: Budgets.
            letter: "N" or "D".
        """
        if self.params is None:
            raise FitError("chinchilla-2: fewer than two budgets have a minimum inside their grid")
        scale, exponent = ("G_N", "a") if letter == "N" else ("G_D", "b")
        C = np.asarray(C, np.float64)
        axes = (slice(None), *(None,) * C.ndim)
        with np.errstate(divide="ignore"):  # a sample of a steep power law has a factor of 0
            values = np.exp(np.log(self.params[scale])[axes] + self.params[exponent][axes] * np.log(C))
        return values[0], *corrected_band(values, self.level)


def fit_isoflop(points: Points, options: FitOptions = FitOptions()) -> IsoFlop:
    """Fits the minimum of each budget, and the power laws through the minima.

    Args:
        points: Runs with N and C, grouped by budget.
        options: Bootstrap, `weighting` of the minima, and `minimum` (the curve of each budget).

    Raises:
        FitError: No budget has enough sizes (MIN_SIZES).
    """
    if not (np.isfinite(points.N).all() and np.isfinite(points.C).all()):
        raise FitError(f"chinchilla-2 needs N and C, which {points.source} does not have")
    budgets, notes = _select_budgets(points, options.minimum)
    parts = [points.select(rows) for _, rows in budgets]
    fits, value = minima.fit_minima(points, budgets, options.bootstrap, options.seed, options.minimum)
    curves = None
    if options.minimum == "chinchilla":
        curves = fit_curves(parts, options.bootstrap, options.seed)
        fits, value = curves.minima(fits), curves.value
    parabolas = [
        _parabola(part, key, fit, options.level) for part, (key, _), fit in zip(parts, budgets, fits, strict=True)
    ]
    inside = [k for k, parabola in enumerate(parabolas) if parabola.sound]
    spread = _ln_samples([parabolas[k] for k in inside], options.seed)
    if curves is not None:
        curves = curves.select(inside)
    elif inside:
        curves = fit_curves([parts[k] for k in inside], options.bootstrap, options.seed)
    if curves is not None and options.minimum == "parabola":
        for k, samples in zip(inside, curves.corrected()[1].T, strict=True):
            parabolas[k] = _with_samples(parabolas[k], samples, options.level)
    params, weights = None, None
    if len(inside) > 1:
        params, weights = _power_laws([parabolas[k] for k in inside], spread, curves, options)
    verdict = _verdict(parabolas)
    return IsoFlop(parabolas, options.level, params, verdict, value, notes, weights, options.minimum, curves)


def _select_budgets(points: Points, minimum: str) -> tuple[minima.Budgets, tuple[str, ...]]:
    """Budgets with enough sizes, and notes."""
    needed = MIN_SIZES[minimum]
    budgets, notes = separate_budgets(points, "chinchilla-2")
    count = sum(len(rows) for _, rows in budgets)
    budgets = [(key, _distinct_rows(points, rows)) for key, rows in budgets]
    duplicates = count - sum(len(rows) for _, rows in budgets)
    if duplicates:
        notes.append(f"{plural(duplicates, 'duplicate row')} not counted twice")
    enough = [(key, rows) for key, rows in budgets if len(np.unique(points.N[rows].round())) >= needed]
    if len(enough) < len(budgets):
        notes.append(f"{len(budgets) - len(enough)} of {len(budgets)} budgets have fewer than {needed} sizes: dropped")
    if not enough:
        raise FitError(f"chinchilla-2: no budget has {needed} model sizes, which the {minimum} needs")
    return enough, tuple(notes)


def _distinct_rows(points: Points, rows: np.ndarray) -> np.ndarray:
    """Rows without duplicates, in an order that does not depend on that of the source: bootstraps draw by row."""
    keys = np.stack([points.N[rows], points.L[rows], points.C[rows]], -1)
    return np.asarray(rows[np.unique(keys, axis=0, return_index=True)[1]])


def _parabola(points: Points, key: float, minimum: minima.Minimum, level: float) -> Parabola:
    x, c = np.log(points.N), minimum.coefficients
    m = float(x.mean())
    concave = bool(np.isnan(minimum.ln_N))
    N = None if concave else float(np.exp(np.clip(minimum.ln_N, m - 50, m + 50)))
    parabola = Parabola(
        budget=key,
        C=float(np.median(points.C)),
        points=points,
        coefficients=(float(c[0] - c[1] * m + c[2] * m * m), float(c[1] - 2 * c[2] * m), float(c[2])),
        N_opt=N,
        D_opt=None if N is None else float(np.exp(minima.ln_tokens(points, np.log(N)))),
        L_opt=None if concave else minimum.loss,
        interval=None,
        inside=not concave and bool(x.min() < minimum.ln_N < x.max()),
        concave=concave,
        count=len(points),
        samples=np.empty(0),
    )
    return _with_samples(parabola, minimum.samples, level)


def _with_samples(parabola: Parabola, ln_N: np.ndarray, level: float) -> Parabola:
    """The parabola with samples of its minimum, and their interval if it is bounded: few samples lack a minimum."""
    x = np.log(parabola.points.N)
    reach = MAX_REACH * float(np.ptp(x))
    samples = np.exp(np.clip(ln_N, x.mean() - reach, x.mean() + reach))
    bounded = parabola.N_opt is not None and np.isnan(samples).mean() <= (1 - level) / 2
    interval = corrected_interval(np.array([parabola.N_opt, *samples]), level) if bounded else None
    return replace(parabola, samples=samples, interval=interval)


def _ln_samples(sound: list[Parabola], seed: int) -> np.ndarray:
    """Samples of ln N at the minima (B, K).

    The minimum of a sample without one is unknown: it is set to either end of the allowed range at random.
    """
    if not sound:
        return np.empty((0, 0))
    y = np.log([parabola.N_opt for parabola in sound])  # type: ignore[arg-type]
    samples_BK = np.log(np.stack([parabola.samples for parabola in sound], -1))
    ends = np.log([[parabola.points.N.min(), parabola.points.N.max()] for parabola in sound]).T
    sign_BK = 2 * np.random.default_rng(seed + 1).integers(2, size=samples_BK.shape) - 1
    return np.where(np.isnan(samples_BK), y + sign_BK * MAX_REACH * np.ptp(ends, axis=0), samples_BK)


def _noise(samples_BK: np.ndarray) -> np.ndarray:
    """Half the distance of the percentiles of one standard deviation (K,)."""
    return np.asarray(np.diff(np.quantile(samples_BK, ONE_SIGMA, axis=0), axis=0)[0] / 2)


def _power_laws(
    sound: list[Parabola], spread_BK: np.ndarray, curves: BudgetCurves | None, options: FitOptions
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Weighted least squares of ln N* and ln D* on ln C over the sound minima, and the weights (K,).

    spread_BK: samples of ln N at the minima of the estimate, whose spread is the noise of the losses.
    """
    x = np.log([parabola.C for parabola in sound])
    y = np.log([parabola.N_opt for parabola in sound])  # type: ignore[arg-type]
    noise_K = _noise(spread_BK)
    weight_K = 1 / np.maximum(noise_K, MIN_NOISE) ** 2 if options.weighting == "noise" else np.ones(len(x))
    samples_BK, centre = _ln_samples(sound, options.seed), y
    if curves is not None and options.minimum == "parabola":
        centre = curves.corrected()[0]
        noise_K = np.where(noise_K > MIN_NOISE, _noise(samples_BK), noise_K)
    samples_BK = _inflate(x, centre, samples_BK, noise_K, weight_K, options.seed)
    ln_n = np.vstack([y, samples_BK])
    ln_d = np.stack(
        [minima.ln_tokens(parabola.points, column) for parabola, column in zip(sound, ln_n.T, strict=True)], -1
    )
    a, n0 = weighted_line(x, ln_n, weight_K)
    b, d0 = weighted_line(x, ln_d, weight_K)
    with np.errstate(over="ignore"):
        return {"a": a, "b": b, "G_N": np.exp(n0), "G_D": np.exp(d0)}, weight_K


def _verdict(parabolas: list[Parabola]) -> tuple[str, ...]:
    warnings = []
    for parabola in parabolas:
        prefix = f"at C = {parabola.budget:.3g}"
        if parabola.concave:
            warnings.append(warning("concave-parabola", f"{prefix} the losses have no minimum in N: budget dropped"))
        elif not parabola.inside:
            sentence = f"{prefix} the minimum, N = {parabola.N_opt:.3g}, is outside the runs: budget dropped"
            warnings.append(warning("edge-minimum", sentence))
        elif parabola.interval is None:
            sentence = f"{prefix} the interval of the minimum is open: the losses are too flat for their noise"
            warnings.append(warning("edge-minimum", sentence))
        elif parabola.interval[0] <= parabola.points.N.min() or parabola.interval[1] >= parabola.points.N.max():
            warnings.append(warning("edge-minimum", f"{prefix} the interval of the minimum reaches beyond the runs"))
    sound = sum(parabola.sound for parabola in parabolas)
    if sound < 2:
        sentence = f"{sound} with a minimum between its runs, but a power law needs two"
        warnings.append(warning("too-few-budgets", sentence))
    elif sound == 2:
        sentence = "a line through two minima has no residual to estimate its error from"
        warnings.append(warning("too-few-budgets", sentence))
    return verdict(warnings)


def weighted_line(x_K: np.ndarray, y_BK: np.ndarray, weight_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns slope and intercept (B,) of each row of y on x, by weighted least squares.

    Args:
        x_K: Values of x.
        y_BK: Values of y, one row per line.
        weight_K: Weights.
    """
    weight = weight_K / weight_K.sum()
    centre = weight @ x_K
    slope = y_BK @ (weight * (x_K - centre)) / (weight @ (x_K - centre) ** 2)
    return slope, y_BK @ weight - slope * centre


def _inflate(
    x: np.ndarray, y: np.ndarray, samples_BK: np.ndarray, noise_K: np.ndarray, weight_K: np.ndarray, seed: int
) -> np.ndarray:
    """Widens samples (B, K) if the minima scatter about their line more than the noise of the losses explains.

    The factor is the Birge ratio (Birge 1932), at least 1.
    """
    if len(x) < 3:
        return samples_BK
    slope, intercept = weighted_line(x, y[None], weight_K)
    deviation, dof = y - (intercept + slope * x), len(x) - 2
    if (
        noise_K.max() <= MIN_NOISE
    ):  # three sizes per budget: the noise can only be estimated from the scatter about the line
        rng = np.random.default_rng(seed)
        scale = np.sqrt(np.sum(deviation**2) / dof * dof / rng.chisquare(dof, size=(len(samples_BK), 1)))
        return samples_BK + scale * rng.standard_normal(samples_BK.shape)
    ratio = np.sqrt(np.sum((deviation / np.maximum(noise_K, MIN_NOISE)) ** 2) / dof)
    return y + (samples_BK - y) * max(float(ratio), 1.0)
