"""Compute that a sequential design saves over an isoFLOP grid, on simulated sweeps of known laws.

The grid is that of `coverage.simulate_sweep`, centred on the true optimum. The design starts with the runs of the two
smallest budgets of the grid, with the same noise, and then chooses runs with `next_runs.design_runs` in ROUNDS rounds,
fitting after each round. The size and number of runs are limited, and tokens per parameter are limited as in `next`.
Both are fitted in the same way. The design saves compute if it reaches the interval width of the grid with fewer FLOPs.

Key: N parameters, D tokens, C FLOPs; R simulated sweeps, F shares of the FLOPs of the grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from analysis import laws
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.laws.compute_cost import ComputeCost
from analysis.planning.next_runs import Target, default_ratios, design_runs, predict_target
from analysis.planning.options import DesignOptions
from analysis.studies.options import DesignSavingsOptions
from analysis.studies.simulations.coverage import BUDGETS, FLOPS_PER_TOKEN, HOFFMANN, simulate_sweep

# Gemstones: McLeish 2025, approach 3 on the cooled-down runs, as in their code (E, A and B by their logarithms).
GEMSTONES = {
    "E": float(np.exp(0.7458889548)),
    "A": float(np.exp(5.3627962101)),
    "B": float(np.exp(14.9717677508)),
    "alpha": 0.2970133066,
    "beta": 0.6903991635,
}
KAPLAN = {"Nc": 6.4e13, "Dc": 1.8e13, "alphaN": 0.076, "alphaD": 0.103}  # Kaplan 2020, table 2
TRUTHS: dict[str, tuple[str, dict[str, float]]] = {  # law and parameters
    "chinchilla": ("chinchilla", HOFFMANN),
    "kaplan": ("kaplan-nd", KAPLAN),
    "gemstones": ("chinchilla", GEMSTONES),
}
PILOT_BUDGETS = 2  # number of the smallest budgets of the grid whose runs the design starts with
ROUNDS = 3
ROUND_SHARE = 0.25  # share of the remaining FLOPs spent in each round but the last, on half of the remaining runs
EXTRAPOLATION = 100.0  # multiple of the largest budget of the grid at which both predict


@dataclass(frozen=True)
class DesignResult:
    """Predictions from one choice of runs, over all simulated sweeps.

    Attributes:
        share: FLOPs relative to the grid.
        runs: Median number of runs.
        width: Median width of the intervals, in ln.
        std: Standard deviation of the log estimates.
        rmse: Root mean square error of the log estimates.
        coverage: Share of the intervals that contain the truth.
        failed: Number of sweeps that could not be fitted.
    """

    share: float
    runs: float
    width: float
    std: float
    rmse: float
    coverage: float
    failed: int


@dataclass(frozen=True)
class DesignSavings:
    """The grid, the design at each share of its FLOPs, and the share that gives the interval of the grid.

    Attributes:
        truth: Name of the true law in TRUTHS.
        target: Description of the predicted quantity.
        true: True value of the quantity.
        flops: FLOPs of the grid.
        draws: Number of simulated sweeps.
        grid: Result of the grid.
        designs: Results of the design, by decreasing share of the FLOPs.
        sufficient_share: Median over sweeps of the smallest sufficient share: the interval of the design at this and
            all larger shares is not wider than the interval of the grid. Infinite if no share is sufficient.
        width_to_expected: Median ratio of the width after the last round to the width expected before it.
    """

    truth: str
    target: str
    true: float
    flops: float
    draws: int
    grid: DesignResult
    designs: tuple[DesignResult, ...]
    sufficient_share: float
    width_to_expected: float

    def to_json(self) -> dict[str, Any]:
        """Returns the results in types of JSON."""
        return {**vars(self), "grid": vars(self.grid), "designs": [vars(design) for design in self.designs]}


class _Outcome(NamedTuple):
    """Prediction from one simulated sweep: logarithms of estimate and interval, NaN if it could not be fitted."""

    estimate: float = np.nan
    low: float = np.nan
    high: float = np.nan
    width_to_expected: float = np.nan
    runs: float = np.nan


def design_savings(
    truth: str = "chinchilla",
    options: DesignSavingsOptions = DesignSavingsOptions(),
    progress: Callable[[int, int], None] | None = None,
) -> DesignSavings:
    """Compares the design with the grid on simulated sweeps.

    Args:
        truth: Name of the true law in TRUTHS.
        options: Target, noise and number of the sweeps, and limits of the design.
        progress: Called with the number of sweeps done and in total.

    Raises:
        DataError: The truth is unknown.
    """
    if truth not in TRUTHS:
        raise DataError(f"truth {truth!r}: must be one of {', '.join(TRUTHS)}")
    simulation = _simulation(truth, options)
    clean = simulation.clean
    shares = sorted(options.shares, reverse=True)
    outcomes_RF = np.full((options.draws, 1 + len(shares), len(_Outcome._fields)), np.nan)
    for draw in range(options.draws):
        rng = np.random.default_rng([options.seed, draw])
        grid = simulation.measure(clean.N, clean.D, rng)
        outcomes_RF[draw, 0] = simulation.outcome(grid)
        pilot_largest = np.sort(clean.C)[len(clean) * PILOT_BUDGETS // BUDGETS - 1]
        pilot = grid.select(pilot_largest * 1.001 > grid.C)
        for column, share in enumerate(shares, 1):
            seed = [options.seed, draw, column]
            outcomes_RF[draw, column] = _design_outcome(simulation, pilot, share * simulation.flops, seed)
        if progress is not None:
            progress(draw + 1, options.draws)
    true = simulation.true_value
    results = [_summarise(outcomes_RF[:, i], share, np.log(true)) for i, share in enumerate((1.0, *shares))]
    return DesignSavings(
        truth=truth,
        target=str(simulation.target),
        true=true,
        flops=simulation.flops,
        draws=options.draws,
        grid=results[0],
        designs=tuple(results[1:]),
        sufficient_share=_sufficient_share(outcomes_RF, shares),
        width_to_expected=_width_to_expected(outcomes_RF),
    )


@dataclass(frozen=True)
class _Simulation:
    """Settings of all simulated sweeps: law, target, grid without noise, and limits of designs."""

    law: str
    params: dict[str, float]
    target: Target
    clean: Points
    noise: float
    fit_options: FitOptions
    largest: float  # largest FLOPs of a run
    runs: int  # largest number of runs of a design

    @property
    def flops(self) -> float:
        """FLOPs of the grid."""
        return float(self.clean.C.sum())

    @property
    def true_value(self) -> float:
        """True value of the target."""
        params = {name: np.asarray(value) for name, value in self.params.items()}
        return float(self.target.value(laws.find(self.law), params, ComputeCost(FLOPS_PER_TOKEN)))

    def measure(self, N: np.ndarray, D: np.ndarray, rng: np.random.Generator) -> Points:
        """Simulates runs with noise.

        Args:
            N: Parameters of each run.
            D: Tokens of each run.
            rng: Random number generator.
        """
        L = laws.find(self.law).function(N, D, **self.params) * np.exp(self.noise * rng.standard_normal(len(N)))
        return Points(N, D, FLOPS_PER_TOKEN * N * D, L, [f"run {i}" for i in range(len(N))], source="simulated")

    def fit(self, points: Points) -> Fit:
        """Fits the law."""
        return fit(points, self.law, self.fit_options)

    def outcome(self, points: Points) -> _Outcome:
        """Returns the prediction from these points."""
        try:
            value, (low, high) = predict_target(self.fit(points), self.target)
        except FitError:
            return _Outcome()
        with np.errstate(all="ignore"):
            estimate, low, high = (float(x) for x in np.log([value, low, high]))
        return _Outcome(estimate, low, high, runs=len(points))


def _simulation(truth: str, options: DesignSavingsOptions) -> _Simulation:
    law, params = TRUTHS[truth]
    clean = simulate_sweep(law, params, "isoflop", options.runs)
    largest = float(clean.C.max())
    return _Simulation(
        law=law,
        params=params,
        target=Target(C=EXTRAPOLATION * largest, quantity=options.quantity),
        clean=clean,
        noise=options.noise,
        fit_options=FitOptions(bootstrap=options.bootstrap, level=options.level),
        largest=largest * options.largest,
        runs=round(options.most_runs * len(clean)),
    )


def _design_outcome(simulation: _Simulation, pilot: Points, budget: float, seed: list[int]) -> _Outcome:
    """Prediction of the design that starts with the pilot runs and spends `budget` in total."""
    rng, width, expected_ratio = np.random.default_rng(seed), np.nan, np.nan
    points, ratios = pilot, default_ratios(pilot.D / pilot.N)
    for round_number in range(ROUNDS):
        flops, runs = budget - float(points.C.sum()), simulation.runs - len(points)
        if round_number < ROUNDS - 1:
            flops, runs = ROUND_SHARE * flops, runs // 2
        try:
            result = simulation.fit(points)
            limits = DesignOptions(max_runs=runs, largest=simulation.largest, ratios=ratios)
            N, D, expected_ratio = design_runs(result, simulation.target, flops, limits)
            width = float(np.diff(np.log(predict_target(result, simulation.target)[1]))[0])
        except FitError:
            return _Outcome()
        points = _join(points, simulation.measure(N, D, rng))
    outcome = simulation.outcome(points)
    return outcome._replace(width_to_expected=(outcome.high - outcome.low) / width / expected_ratio)


def _join(first: Points, second: Points) -> Points:
    N, D, C, L = (np.append(first[letter], second[letter]) for letter in "NDCL")
    return Points(N, D, C, L, [f"run {i}" for i in range(len(N))], source="simulated")


def _summarise(outcomes_R: np.ndarray, share: float, log_truth: float) -> DesignResult:
    fitted = outcomes_R[np.isfinite(outcomes_R[:, :3]).all(1)]
    if len(fitted) < 2:
        return DesignResult(share, *(float("nan"),) * 5, len(outcomes_R))
    estimate, low, high, _, runs = fitted.T
    return DesignResult(
        share=share,
        runs=float(np.median(runs)),
        width=float(np.median(high - low)),
        std=float(estimate.std(ddof=1)),
        rmse=float(np.sqrt(np.mean((estimate - log_truth) ** 2))),
        coverage=float(np.mean((low <= log_truth) & (log_truth <= high))),
        failed=len(outcomes_R) - len(fitted),
    )


def _sufficient_share(outcomes_RF: np.ndarray, shares: Sequence[float]) -> float:
    """Median over sweeps of the smallest sufficient share (`DesignSavings.sufficient_share`)."""
    width_RF = outcomes_RF[:, :, 2] - outcomes_RF[:, :, 1]
    # A sweep that could not be fitted has a width of NaN, which compares as not sufficient.
    sufficient = np.logical_and.accumulate(width_RF[:, 1:] <= width_RF[:, :1], axis=1)
    return float(np.median(np.where(sufficient, np.asarray(shares), np.inf).min(1)))


def _width_to_expected(outcomes_RF: np.ndarray) -> float:
    ratios = outcomes_RF[:, 1:, 3]
    return float(np.median(ratios[np.isfinite(ratios)]))
