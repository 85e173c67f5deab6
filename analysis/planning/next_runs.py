"""Recommends runs that narrow the interval of a prediction of a fitted law most for their FLOPs.

Key: N parameters, D tokens, C FLOPs, L nats per token; S samples, P coordinates, n points, K candidates. u coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.errors import DataError, FitError
from analysis.fitting.result import Fit
from analysis.laws.compute_cost import ComputeCost, optimal_size
from analysis.laws.law import Law, constrain
from analysis.planning import optimal_design
from analysis.planning.optimal_design import Candidates
from analysis.planning.options import QUANTITIES, DesignOptions
from analysis.planning.trust_region import TrustRegion, trust_region
from analysis.solver.differences import central_gradient
from analysis.solver.objective import make_objective
from analysis.solver.problem import Problem
from analysis.uncertainty.intervals import percentile_interval

MAX_SAMPLES = 48  # number of bootstrap samples over which the design is averaged
SIZE_STEP = 1.5  # default ratio of neighbouring sizes
RATIO_MARGIN = 3.0  # factor by which tokens per parameter can exceed the range of the runs
PRUNE_TOLERANCE = 0.005  # relative widening of the interval below which a run is dropped
HALVINGS = 5  # number of halvings of the budget at which the expected interval is reported


@dataclass(frozen=True)
class Target:
    """Predicted quantity: L, N* or D* of the optimum at C, or L at N and D. Raises DataError for other values.

    Attributes:
        C: Budget of the optimum.
        N: Parameters of a run.
        D: Tokens of a run.
        quantity: "L", "N" or "D".
    """

    C: float | None = None
    N: float | None = None
    D: float | None = None
    quantity: str = "L"

    def __post_init__(self) -> None:
        place = {name: value for name in "CND" if (value := getattr(self, name)) is not None}
        if set(place) not in ({"C"}, {"N", "D"}) or not all(0 < value < np.inf for value in place.values()):
            raise DataError(f"target {place or 'empty'}: must be C=1e24, or N=7e10,D=1.4e12")
        if self.quantity not in QUANTITIES or (self.quantity != "L" and self.C is None):
            raise DataError(f"quantity {self.quantity!r}: must be one of {', '.join(QUANTITIES)}; at N and D only L")

    def __str__(self) -> str:
        if self.C is None:
            return f"L at N = {self.N:.4g}, D = {self.D:.4g}"
        return f"{self.quantity if self.quantity == 'L' else self.quantity + '*'} at C = {self.C:.4g}"

    def value(self, law: Law, params: dict[str, np.ndarray], cost: ComputeCost) -> np.ndarray:
        """Returns the quantity (S,).

        Args:
            law: The law.
            params: Its parameters (S,).
            cost: Training FLOPs of N and D.
        """
        N, D = self.N, self.D
        if self.C is not None:
            if law.optimum is None:
                raise DataError("this law has no optimum at a C: give the target as N=..,D=..")
            N = optimal_size(law.optimum, params, cost, self.C)
            D = cost.tokens(self.C, N)
        value = {"N": N, "D": D}[self.quantity] if self.quantity != "L" else law.function(N, D, **params)
        return np.asarray(value, np.float64)


@dataclass(frozen=True)
class Advice:
    """Recommended runs.

    Attributes:
        target: Predicted quantity.
        value: Current estimate.
        interval: Current interval.
        level: Coverage of the intervals.
        budget: Largest FLOPs of all runs together.
        runs: N, D, C, tokens_per_parameter and ratio of each run, in order of narrowing per FLOP. The ratio is the
            expected interval width after this and all earlier runs, relative to the current width.
        curve: (FLOPs, ratio) of the best designs for shares of the budget.
        reason: Reason for the recommended FLOPs, in one line.
        restriction: Why only runs near the existing ones were considered; empty: others were too.
    """

    target: Target
    value: float
    interval: tuple[float, float]
    level: float
    budget: float
    runs: tuple[dict[str, float], ...]
    curve: tuple[tuple[float, float], ...]
    reason: str
    restriction: str = ""

    @property
    def ratio(self) -> float:
        """Expected interval width after all runs, relative to the current width."""
        return self.runs[-1]["ratio"] if self.runs else 1.0

    def expected(self, ratio: float | None = None) -> tuple[float, float]:
        """Returns the expected interval if the estimate does not change: narrower by `ratio` in logarithms."""
        ratio = self.ratio if ratio is None else ratio
        low, high = (float(self.value * (x / self.value) ** ratio) for x in self.interval)
        return low, high

    def to_json(self) -> dict[str, Any]:
        """Returns the recommendation in types of JSON, as written by `next --json`."""
        target = {name: value for name, value in vars(self.target).items() if value is not None}
        return {
            "target": target,
            "value": self.value,
            "interval": self.interval,
            "level": self.level,
            "budget": self.budget,
            "flops": sum(run["C"] for run in self.runs),
            "expected": {"interval": self.expected(), "ratio": self.ratio},
            "runs": [{**run, "interval": self.expected(run["ratio"])} for run in self.runs],
            "curve": [{"flops": C, "ratio": r, "interval": self.expected(r)} for C, r in self.curve],
            "why": self.reason,
            **({"restriction": self.restriction} if self.restriction else {}),
        }


def advise(fit: Fit, target: Target, budget: float, options: DesignOptions = DesignOptions()) -> Advice:
    """Recommends runs that narrow the target's interval most, and the interval expected after them.

    The FLOPs are doubled as long as that narrows the interval by at least `options.worth`. No run has fewer parameters
    or tokens than the smallest existing runs. If the fit has warnings, all runs are near the existing ones
    (trust_region.py).

    Args:
        fit: A law of the loss in N and D.
        target: Predicted quantity.
        budget: Largest FLOPs of all runs together.
        options: Limits of the design.

    Raises:
        DataError: The law, the target or the budget does not apply, or no run is possible.
        FitError: The fit cannot predict the target.
    """
    _check(fit, budget)
    region = trust_region(fit)
    candidates = make_candidates(fit, target, budget, options, region)
    spending = budget * 0.5 ** np.arange(HALVINGS, -1, -1)
    designs = [optimal_design.choose_runs(candidates, float(flops), options.max_runs) for flops in spending]
    ratio = np.minimum.accumulate([candidates.width_ratio(design) for design in designs])
    index = _last_worthwhile(np.concatenate([[1.0], ratio]), options.worth) - 1
    chosen: list[int] = []
    if index >= 0:
        chosen = optimal_design.prune_runs(candidates, designs[index], PRUNE_TOLERANCE)
        chosen = optimal_design.order_runs(candidates, chosen)
    value, interval = predict_target(fit, target)
    curve = tuple((float(candidates.C[design].sum()), float(r)) for design, r in zip(designs, ratio, strict=True))
    reason = _explanation(index, ratio, budget, options.worth)
    return Advice(target, value, interval, fit.level, budget, _describe_runs(candidates, chosen), curve, reason,
                  region.reason)  # fmt: skip


def design_runs(
    fit: Fit,
    target: Target,
    budget: float,
    options: DesignOptions,
    cost_exponents: tuple[float, ...] = optimal_design.COST_EXPONENTS,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns N and D of the best runs for a whole budget, and the expected width relative to the current width.

    Args:
        fit: A law of the loss in N and D.
        target: Predicted quantity.
        budget: Largest FLOPs of all runs together.
        options: Limits of the design.
        cost_exponents: As in `optimal_design.choose_runs`.
    """
    candidates = make_candidates(fit, target, budget, options)
    chosen = optimal_design.choose_runs(candidates, budget, options.max_runs, cost_exponents)
    return candidates.N[chosen], candidates.D[chosen], candidates.width_ratio(chosen)


def make_candidates(
    fit: Fit,
    target: Target,
    budget: float,
    options: DesignOptions = DesignOptions(),
    region: TrustRegion = TrustRegion(),
) -> Candidates:
    """Returns the candidate runs with their gradients at samples of the fit.

    Args:
        fit: A law of the loss in N and D.
        target: Predicted quantity.
        budget: Largest FLOPs of all runs together.
        options: Sizes, tokens per parameter and FLOPs of a run.
        region: Further bounds of the runs.

    Raises:
        DataError: No run is possible.
        FitError: The fit cannot predict the target.
    """
    points, cost = fit.points, fit.points.compute_cost
    largest = min(options.largest or budget, budget, region.C)
    N0, D0 = float(points.N.min()), float(points.D.min())
    requested = options.ratios or default_ratios(points.D / points.N)
    ratios = max(requested[0], region.ratios[0]), min(requested[1], region.ratios[1])
    max_size = (largest / (cost.k * ratios[0])) ** (1 / (1 + cost.s))  # at the smallest number of tokens per parameter
    ladder = N0 * SIZE_STEP ** np.arange(np.log(max_size / N0) / np.log(SIZE_STEP))
    sizes = np.asarray(options.sizes, float) if options.sizes else ladder
    N, D = optimal_design.candidate_grid(sizes[sizes <= region.N], largest, cost, (N0, D0), ratios)
    N, D = N[region.D >= D], D[region.D >= D]
    if not len(N):
        restriction = f"{region.reason}; " if region.reason else ""
        raise DataError(
            f"{restriction}no run of at most {largest:.3g} FLOPs has {requested[0]:.3g} to {requested[1]:.3g} tokens "
            f"per parameter and N of {N0:.3g} or more, D of {D0:.3g} or more, as the existing runs: raise the budget "
            "or widen the ratio"
        )
    return _with_gradients(fit, target, N, D)


def default_ratios(tokens_per_parameter: np.ndarray) -> tuple[float, float]:
    """Returns the default range of tokens per parameter of a design, from those of the existing runs (n,)."""
    return float(tokens_per_parameter.min()) / RATIO_MARGIN, float(tokens_per_parameter.max()) * RATIO_MARGIN


def predict_target(fit: Fit, target: Target) -> tuple[float, tuple[float, float]]:
    """Returns the current estimate of the target and its interval.

    Args:
        fit: A law of the loss in N and D.
        target: Predicted quantity.
    """
    assert fit.form is not None
    cost = fit.points.compute_cost
    with np.errstate(all="ignore"):
        samples_S = target.value(fit.form, fit.samples, cost)
    value = float(target.value(fit.form, {name: np.asarray(x) for name, x in fit.params.items()}, cost))
    return value, percentile_interval(np.where(np.isfinite(samples_S), samples_S, np.nan), fit.level)


def _with_gradients(fit: Fit, target: Target, N: np.ndarray, D: np.ndarray) -> Candidates:
    """Candidates with gradients of existing runs, candidates and target at the samples."""
    points, n, cost = fit.points, len(fit.points), fit.points.compute_cost
    problem = _problem(fit, np.append(points.N, N), np.append(points.D, D))
    law = problem.law
    u = problem.coordinates({name: fit.samples[name][:MAX_SAMPLES] for name in law.parameters})
    with np.errstate(all="ignore"):
        J = problem.evaluate(u)[1]
        g = central_gradient(lambda u_SP: np.log(target.value(law, problem.params(u_SP), cost)), u, 1e-5, 1.0)
    finite = np.isfinite(J).all((1, 2)) & np.isfinite(g).all(1) & (np.abs(g).max(1) > 0)
    if finite.sum() < MAX_SAMPLES / 4:
        raise FitError(
            f"{fit.law}: only {finite.sum()} of {len(u)} bootstrap samples predict {target}: add runs of other sizes"
        )
    J, g = J[finite] * np.sqrt(candidate_weights(fit, N)), g[finite]
    J_points = J[:, :, :n]
    size = np.where(np.isin(problem.names, law.linear), problem.output_scale(), 1.0)
    prior = np.diag((optimal_design.WEAK * _noise(fit) / size) ** 2)
    information = J_points @ J_points.transpose(0, 2, 1) + prior
    return Candidates(N, D, cost.flops(N, D), J[:, :, n:], information, g)


def _problem(fit: Fit, N: np.ndarray, D: np.ndarray) -> Problem:
    """The fitted law at existing runs and candidates, with predictions as outputs."""
    assert fit.form is not None
    fixed = {name: value for name, value in fit.constraints.items() if not isinstance(value, str)}
    tied = {name: value for name, value in fit.constraints.items() if isinstance(value, str)}
    law = constrain(fit.form, fixed, tied)
    objective = make_objective(fit.objective["name"])
    predicted = fit.predict(N=N, D=D, C=fit.points.compute_cost.flops(N, D), M=D / N)
    inputs = {"N": N, "D": D}
    y = objective.transform(predicted)
    return Problem(law, tuple(inputs[letter] for letter in law.inputs), y, np.ones(len(N)), objective)


def candidate_weights(fit: Fit, N: np.ndarray) -> np.ndarray:
    """Returns the weights of the existing runs (mean 1), then of candidates, as noisy as runs of their size (n + K,).

    Args:
        fit: The fit.
        N: Parameters of the candidates (K,).
    """
    points = fit.points
    if points.weights is None:
        return np.ones(len(points) + len(N))
    weights = points.weights / points.weights.mean()
    order = np.argsort(points.N, kind="stable")
    interpolated = np.interp(np.log(N), np.log(points.N[order]), np.log(weights[order]))
    return np.append(weights, np.exp(interpolated))


def _noise(fit: Fit) -> float:
    """Standard deviation of ln L of a run about the law."""
    dof = max(len(fit.points) - len(fit.params) + len(fit.constraints), 1)
    return max(float(np.sqrt(np.sum(fit.residuals() ** 2) / dof)), 1e-6)


def _describe_runs(candidates: Candidates, chosen: Sequence[int]) -> tuple[dict[str, float], ...]:
    runs = []
    for count, index in enumerate(chosen, 1):
        N, D, C = (float(x[index]) for x in (candidates.N, candidates.D, candidates.C))
        ratio = candidates.width_ratio(list(chosen[:count]))
        runs.append({"N": N, "D": D, "C": C, "tokens_per_parameter": D / N, "ratio": ratio})
    return tuple(runs)


def _last_worthwhile(ratio: np.ndarray, worth: float) -> int:
    """Index of the last doubling that narrows the interval by `worth` (1: the first design); 0 if there is none."""
    narrows = np.flatnonzero(1 - ratio[1:] / ratio[:-1] >= worth) + 1
    return int(narrows[-1]) if len(narrows) else 0


def _explanation(index: int, ratio: np.ndarray, budget: float, worth: float) -> str:
    """Reason for the FLOPs of a design; index: index of the design, -1 for no runs."""
    if index < 0:
        return (
            f"no runs are recommended: no doubling of the FLOPs narrows the interval by {worth:.0%}; "
            f"the whole budget of {budget:.3g} FLOPs would narrow it by {1 - ratio[-1]:.1%}"
        )
    if index == len(ratio) - 1:
        return "the whole budget is recommended: its second half narrows the interval by " + (
            f"{1 - ratio[-1] / ratio[-2]:.1%}"
        )
    spent = budget * 0.5 ** (len(ratio) - 1 - index)
    return (
        f"{spent:.3g} FLOPs are sufficient: no further doubling narrows the interval by {worth:.0%}; the whole "
        f"budget of {budget:.3g} would make it {1 - ratio[-1] / ratio[index]:.1%} narrower"
    )


def _check(fit: Fit, budget: float) -> None:
    if fit.form is None or not set(fit.form.inputs) <= {"N", "D"} or fit.form.output != "L":
        raise DataError(f"law {fit.law}: must be a law of the loss in N and D, such as chinchilla or kaplan-nd")
    if not 0 < budget < np.inf:
        raise DataError(f"budget {budget:g}: must be a number of FLOPs above 0")
