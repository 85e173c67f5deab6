"""The loss surface L(N, D) of a fit and its bootstrap samples: minima and level sets of all rows at once.

Key: N parameters, D training tokens, C training FLOPs (C = k·N^s·D), T FLOPs of training and inference together, L the
loss; R rows (the estimate, then the samples), K queries. Arrays are (R, K).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from analysis.errors import FitError
from analysis.fitting.result import Fit
from analysis.format import estimate
from analysis.laws.compute_cost import ComputeCost, optimal_size
from analysis.laws.law import Law
from analysis.uncertainty.intervals import corrected_interval, percentile_interval

KNOWN_INPUTS = ("N", "D", "C", "M")  # inputs of a law that are functions of N and D; M is D / N
INFERENCE_SHARE = 1 / 3  # FLOPs per inference token relative to a training token: 2·N / 6·N
SCAN_POINTS, GOLDEN_STEPS = 97, 44  # values of ln N in the scan for a minimum, then golden-section steps
SIZE_MARGIN = 12.0  # range of the search for a minimum beyond the points, in ln N
LOW_MARGIN, HIGH_MARGIN = 30.0, 70.0  # range of the search for a loss below and above the points, in ln C or ln D
HALVINGS = 60
GOLDEN = (np.sqrt(5) - 1) / 2

Array = np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A quantity for each of K queries.

    Attributes:
        rows: Values (R, K), infinite if the law cannot reach the target, NaN if there is no value.
        level: Coverage of the intervals.
        profiled: Intervals by profile likelihood (K, 2), which replace those of the rows; None without them.
    """

    rows: Array
    level: float
    profiled: Array | None = None

    @property
    def value(self) -> Array:
        """The estimate (K,)."""
        return np.asarray(self.rows[0])

    @property
    def low(self) -> Array:
        """Lower ends of the intervals (K,)."""
        return np.array([self.interval(i)[0] for i in range(self.rows.shape[1])])

    @property
    def high(self) -> Array:
        """Upper ends of the intervals (K,)."""
        return np.array([self.interval(i)[1] for i in range(self.rows.shape[1])])

    def interval(self, index: int = 0) -> tuple[float, float]:
        """Returns the interval of a query: of its profile likelihood, or the percentile interval of its samples.

        The upper end is infinite if enough samples are infinite. The interval is NaN if too many samples are NaN.
        """
        if self.profiled is not None:
            return float(self.profiled[index, 0]), float(self.profiled[index, 1])
        samples = self.rows[1:, index]
        if not len(samples) or np.isnan(samples).mean() > (1 - self.level) / 2:
            return float("nan"), float("nan")
        if np.isinf(samples).any():
            return percentile_interval(samples, self.level, "inverted_cdf")
        return corrected_interval(self.rows[:, index], self.level)

    def __str__(self) -> str:
        """The value and interval of each query."""
        return ", ".join(estimate(float(v), self.interval(i)) for i, v in enumerate(self.value))


@dataclass(frozen=True)
class Surface:
    """L(N, D) of a fit, with one row for the estimate and one for each bootstrap sample.

    Attributes:
        fit: The fit.
        law: Law of the fit.
        cost: Training FLOPs of N and D, C = k·N^s·D.
        params: The law's parameters (R, 1).
        inputs: Values of the law's inputs other than KNOWN_INPUTS.
    """

    fit: Fit
    law: Law
    cost: ComputeCost
    params: dict[str, Array]
    inputs: dict[str, float]

    @property
    def row_count(self) -> int:
        """Number of rows R."""
        return len(next(iter(self.params.values())))

    def loss(self, N: Array, D: Array) -> Array:
        """Returns L (R, K), infinite if the law has no finite value.

        Args:
            N: Parameters.
            D: Tokens.
        """
        inputs = {"N": N, "D": D, "C": self.cost.flops(N, D), "M": D / N, **self.inputs}
        with np.errstate(all="ignore"):
            L = np.asarray(self.law.function(*(inputs[letter] for letter in self.law.inputs), **self.params))
        return np.where(np.isfinite(L), L, np.inf)

    def optimum(self, T: Array, inference_tokens: float = 0.0) -> tuple[Array, Array, Array]:
        """Returns N, D and L with the lowest loss for T = k·N^s·(D + inference_tokens/3).

        Args:
            T: FLOPs of training and inference.
            inference_tokens: Tokens of inference.

        Returns:
            N, D and L, each (R, K); N and D are NaN if the loss has no minimum.
        """
        T = np.broadcast_to(T, (self.row_count, np.shape(T)[-1]))
        if self.law.optimum is not None and inference_tokens == 0 and self.law.inputs == ("N", "D"):
            with np.errstate(all="ignore"):
                N = optimal_size(self.law.optimum, self.params, self.cost, T)
                D = self.cost.tokens(T, N)
            return N, D, self.loss(N, D)
        inference = INFERENCE_SHARE * inference_tokens  # training tokens with the same FLOPs

        def tokens(ln_N: Array) -> Array:
            return self.cost.tokens(T, np.exp(ln_N)) - inference

        def loss(ln_N: Array) -> Array:
            D = tokens(ln_N)
            return np.where(D > 0, self.loss(np.exp(ln_N), np.where(D > 0, D, 1.0)), np.inf)

        ln_N, L, at_edge = _minimise_scalar(loss, *self._size_range(T, inference))
        return np.where(at_edge, np.nan, np.exp(ln_N)), np.where(at_edge, np.nan, tokens(ln_N)), L

    def _size_range(self, T: Array, inference: float) -> tuple[Array, Array]:
        """Lower and upper end of ln N in the search."""
        points = self.fit.points
        C, N = points.C[np.isfinite(points.C)], points.N[np.isfinite(points.N)]
        smallest, largest = (C.min(), C.max()) if len(C) else (T, T)
        low = np.log(N.min()) - SIZE_MARGIN + np.minimum(0.0, np.log(T / smallest))
        high = np.log(N.max()) + SIZE_MARGIN + np.maximum(0.0, np.log(T / largest))
        if inference and not self.cost.bend:
            high = np.minimum(high, np.log(T / self.cost.k / inference) / self.cost.s)
        return np.minimum(low, high - SIZE_MARGIN), high

    def tokens(self, N: Array, L: Array) -> Array:
        """Returns D (R, K) at which a model reaches a loss, infinite if it does not.

        Args:
            N: Parameters.
            L: Loss.
        """
        D = self.fit.points.D[np.isfinite(self.fit.points.D)]
        low, high = np.log(D.min()) - LOW_MARGIN, np.log(D.max()) + HIGH_MARGIN
        return _bisect(lambda ln_D: self.loss(N, np.exp(ln_D)) <= L, low, high, L.shape)

    def budget(self, L: Array, inference_tokens: float = 0.0) -> Array:
        """Returns the smallest T (R, K) with which L can be reached, infinite if it cannot.

        Args:
            L: Loss.
            inference_tokens: Tokens of inference.
        """
        C = self.fit.points.C
        low, high = np.log(np.nanmin(C)) - LOW_MARGIN, np.log(np.nanmax(C)) + HIGH_MARGIN
        return _bisect(lambda ln_T: self.optimum(np.exp(ln_T), inference_tokens)[2] <= L, low, high, L.shape)


def loss_surface(fit: Fit, inputs: Mapping[str, float] | None = None) -> Surface:
    """Returns the loss surface of a fit.

    Args:
        fit: A fit of a law of the loss.
        inputs: Values of the law's inputs other than N, D, C and M.

    Raises:
        FitError: The law has no loss surface in N and D, or inputs are missing.
    """
    law, extra = fit.form, dict(inputs or {})
    if law is None:
        raise FitError(f"{fit.law} only estimates N* and D*, not a loss: use chinchilla")
    if law.output != "L":
        raise FitError(f"{fit.law} gives {law.output}, not a loss: an optimum needs a law of L(N, D)")
    unknown = [letter for letter in extra if letter not in law.inputs or letter in KNOWN_INPUTS]
    if unknown:
        raise FitError(f"{fit.law} has no input {', '.join(unknown)} to set: it takes {', '.join(law.inputs)}")
    missing = [letter for letter in law.inputs if letter not in KNOWN_INPUTS and letter not in extra]
    if missing:
        raise FitError(f"{fit.law} takes {', '.join(missing)} too: give a value with at")
    if sum(letter in KNOWN_INPUTS for letter in law.inputs) < 2:
        raise FitError(f"{fit.law} is a law of {', '.join(law.inputs)}: an optimum takes a law of N and D")
    with np.errstate(all="ignore"):
        cost = fit.points.compute_cost
    if not np.isfinite(cost.k):
        raise FitError(f"{fit.law}: {fit.points.source} has no N, D and C: an optimum takes all three")
    params = {name: np.concatenate([[fit.params[name]], fit.samples[name]])[:, None] for name in law.parameters}
    return Surface(fit, law, cost, params, extra)


def _minimise_scalar(f: Callable[[Array], Array], low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Minimum of f between low and high by a scan and golden sections: x, f(x), and whether x is at an end."""
    share = np.linspace(0, 1, SCAN_POINTS)
    lowest, index = np.full(np.shape(low), np.inf), np.zeros(np.shape(low), int)
    for i, s in enumerate(share):
        value = f(low + s * (high - low))
        better = value < lowest
        lowest, index = np.where(better, value, lowest), np.where(better, i, index)
    step = (high - low) / (SCAN_POINTS - 1)
    left, right = low + np.maximum(index - 1, 0) * step, low + np.minimum(index + 1, SCAN_POINTS - 1) * step
    for _ in range(GOLDEN_STEPS):
        inner, outer = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
        lower = f(inner) <= f(outer)
        left, right = np.where(lower, left, inner), np.where(lower, outer, right)
    x = (left + right) / 2
    return x, f(x), (index == 0) | (index == SCAN_POINTS - 1) | ~np.isfinite(lowest)


def _bisect(condition: Callable[[Array], Array], low: float, high: float, shape: tuple[int, ...]) -> Array:
    """e^x at the x where `condition` becomes true (it changes once); infinite if never true, NaN if always true."""
    left, right = np.full(shape, low), np.full(shape, high)
    always, never = condition(left), ~condition(right)
    for _ in range(HALVINGS):
        middle = (left + right) / 2
        true = condition(middle)
        left, right = np.where(true, left, middle), np.where(true, middle, right)
    return np.where(never, np.inf, np.where(always, np.nan, np.exp((left + right) / 2)))
