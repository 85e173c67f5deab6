"""The loss surface L(N, D) of a fit and of its draws, and how its minima and levels are found: all rows at once.

Key: N parameters, D training tokens, C training FLOPs (C = k·N·D), T FLOPs of training and inference together, L the
loss; R rows: the estimate, then the draws; K questions. Arrays are (R, K).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from analysis.errors import FitError
from analysis.fitting.result import Fit
from analysis.uncertainty import intervals

LETTERS = ("N", "D", "C", "M")  # what N and D of a run say of a law's inputs; M is D / N
FORWARD = 1 / 3  # share of a training token's FLOPs that a token of inference takes: 2·N of 6·N
SCAN, NARROW = 97, 44  # values of ln N at which a minimum is looked for, then steps of a golden section
FAR = 12.0  # nats of N beyond the points within which an optimum is looked for
LOW, HIGH, HALVINGS = 30.0, 70.0, 60  # nats of C or D below and above the points within which a loss is looked for
GOLDEN = (np.sqrt(5) - 1) / 2

Array = np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A quantity (R, K): infinite where the law cannot reach what was asked, NaN where it has none."""

    rows: Array
    level: float

    @property
    def value(self) -> Array:
        """The estimate (K,)."""
        return np.asarray(self.rows[0])

    @property
    def low(self) -> Array:
        return np.array([self.interval(i)[0] for i in range(self.rows.shape[1])])

    @property
    def high(self) -> Array:
        return np.array([self.interval(i)[1] for i in range(self.rows.shape[1])])

    def interval(self, at: int = 0) -> tuple[float, float]:
        """Percentile interval; open upwards where enough draws are infinite, none where too many have no value."""
        draws = self.rows[1:, at]
        tail = (1 - self.level) / 2
        if not len(draws) or np.isnan(draws).mean() > tail:
            return float("nan"), float("nan")
        if not np.isinf(draws).any():
            return intervals.interval(draws, self.level)
        low, high = np.nanquantile(draws, [tail, 1 - tail], method="inverted_cdf")
        return float(low), float(high)


@dataclass(frozen=True)
class Surface:
    """L(N, D) of a fit, one row for the estimate and one for each draw."""

    fit: Fit
    k: float
    params: dict[str, Array]
    at: dict[str, float]

    def loss(self, N: Array, D: Array) -> Array:
        """L (R, K); infinite where the law has no value."""
        form = self.fit.form
        assert form is not None
        known = {"N": N, "D": D, "C": self.k * N * D, "M": D / N, **self.at}
        with np.errstate(all="ignore"):
            L = np.asarray(form.function(*(known[letter] for letter in form.inputs), **self.params))
        return np.where(np.isfinite(L), L, np.inf)

    def best(self, T: Array, inference: float = 0.0) -> tuple[Array, Array, Array]:
        """N, D and L with the least loss for T = k·N·D + k/3·N·inference; N and D are NaN where it has no minimum."""
        form, rows = self.fit.form, len(next(iter(self.params.values())))
        assert form is not None
        T = np.broadcast_to(T, (rows, np.shape(T)[-1]))
        if form.optimum is not None and inference == 0 and form.inputs == ("N", "D"):
            with np.errstate(all="ignore"):
                a, _, ln_g = form.optimum(self.params, self.k)
                N = np.exp(ln_g + a * np.log(T / self.k))
            return N, T / self.k / N, self.loss(N, T / self.k / N)
        served = FORWARD * inference

        def tokens(x: Array) -> Array:
            return T / self.k * np.exp(-x) - served

        def loss(x: Array) -> Array:
            D = tokens(x)
            return np.where(D > 0, self.loss(np.exp(x), np.where(D > 0, D, 1.0)), np.inf)

        low, high = self._sizes(T, served)
        x, L, edge = _least(loss, low, high)
        return np.where(edge, np.nan, np.exp(x)), np.where(edge, np.nan, tokens(x)), L

    def _sizes(self, T: Array, served: float) -> tuple[Array, Array]:
        """Lowest and highest ln N of the search."""
        points = self.fit.points
        C, N = points.C[np.isfinite(points.C)], points.N[np.isfinite(points.N)]
        smallest, largest = (C.min(), C.max()) if len(C) else (T, T)
        low = np.log(N.min()) - FAR + np.minimum(0.0, np.log(T / smallest))
        high = np.log(N.max()) + FAR + np.maximum(0.0, np.log(T / largest))
        if served:
            high = np.minimum(high, np.log(T / self.k / served))
        return np.minimum(low, high - FAR), high

    def tokens(self, N: Array, L: Array) -> Array:
        """D at which a model of N reaches L: infinite where it never does."""
        D = self.fit.points.D[np.isfinite(self.fit.points.D)]
        return _first(lambda x: self.loss(N, np.exp(x)) <= L, np.log(D.min()) - LOW, np.log(D.max()) + HIGH, L.shape)

    def budget(self, L: Array, inference: float = 0.0) -> Array:
        """The least T with which L can be reached: infinite where it cannot."""
        C = self.fit.points.C
        low, high = np.log(np.nanmin(C)) - LOW, np.log(np.nanmax(C)) + HIGH
        return _first(lambda x: self.best(np.exp(x), inference)[2] <= L, low, high, L.shape)


def surface(fit: Fit, at: Mapping[str, float] | None = None) -> Surface:
    """The loss surface of a fit; `at`: values of inputs beyond N, D, C and M. Raises FitError where there is none."""
    form, held = fit.form, dict(at or {})
    if form is None:
        raise FitError(f"{fit.law} gives N* and D* alone, not a loss: ask chinchilla")
    if form.output != "L":
        raise FitError(f"{fit.law} gives {form.output}, not a loss: what follows takes a law of L(N, D)")
    unknown = [letter for letter in held if letter not in form.inputs or letter in LETTERS]
    if unknown:
        raise FitError(f"{fit.law} has no input {', '.join(unknown)} to hold: it takes {', '.join(form.inputs)}")
    missing = [letter for letter in form.inputs if letter not in LETTERS and letter not in held]
    if missing:
        raise FitError(f"{fit.law} takes {', '.join(missing)} too: say at which value")
    if sum(letter in LETTERS for letter in form.inputs) < 2:
        raise FitError(f"{fit.law} is a law of {', '.join(form.inputs)}: an optimum takes a law of N and D")
    points = fit.points
    with np.errstate(all="ignore"):
        k = float(np.median(points.C / (points.N * points.D)))
    if not np.isfinite(k):
        raise FitError(f"{fit.law}: {points.source} has no N, D and C: an optimum takes all three")
    params = {name: np.concatenate([[fit.params[name]], fit.draws[name]])[:, None] for name in form.parameters}
    return Surface(fit, k, params, held)


def _least(f: Callable[[Array], Array], low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Where f is least between low and high, f there, and whether that is at an end: a scan, then golden sections."""
    share = np.linspace(0, 1, SCAN)
    best, at = np.full(np.shape(low), np.inf), np.zeros(np.shape(low), int)
    for i, s in enumerate(share):
        value = f(low + s * (high - low))
        better = value < best
        best, at = np.where(better, value, best), np.where(better, i, at)
    step = (high - low) / (SCAN - 1)
    left, right = low + np.maximum(at - 1, 0) * step, low + np.minimum(at + 1, SCAN - 1) * step
    for _ in range(NARROW):
        inner, outer = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
        lower = f(inner) <= f(outer)
        left, right = np.where(lower, left, inner), np.where(lower, outer, right)
    x = (left + right) / 2
    return x, f(x), (at == 0) | (at == SCAN - 1) | ~np.isfinite(best)


def _first(holds: Callable[[Array], Array], low: float, high: float, shape: tuple[int, ...]) -> Array:
    """e^x at the x from which on `holds` is true (it changes once): infinite where it never is, NaN where always."""
    left, right = np.full(shape, low), np.full(shape, high)
    always, never = holds(left), ~holds(right)
    for _ in range(HALVINGS):
        middle = (left + right) / 2
        there = holds(middle)
        left, right = np.where(there, left, middle), np.where(there, middle, right)
    return np.where(never, np.inf, np.where(always, np.nan, np.exp((left + right) / 2)))
