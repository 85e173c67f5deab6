"""Compute-optimal training of a law of the loss, with intervals and warnings of extrapolation.

The optimum at a budget, optionally with inference; the cheapest training for a loss; the cost of other model sizes; and
the wasted compute of a run.

Key: N parameters, D training tokens, C training FLOPs (C = k·N^s·D), T FLOPs of training and inference together, L the
loss; R rows (the estimate, then the bootstrap samples), K queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from analysis.errors import FitError
from analysis.fitting.optimum import ROUNDING
from analysis.fitting.result import Fit, interval_method
from analysis.planning.surface import Array, Estimate, Surface, loss_surface
from analysis.uncertainty.new_run import new_run_interval
from analysis.uncertainty.verdicts import warning

LOG_STEP = 1e-3  # step in ln T of the difference for the local exponent


@dataclass(frozen=True)
class OptimalTraining:
    """Optimal training for each of K queries.

    Attributes:
        total: FLOPs of training and inference.
        C: FLOPs of training.
        N: Parameters.
        D: Training tokens.
        L: Loss; None without a law of the loss.
        tokens_per_parameter: D / N.
        exponent: ∂ ln N*/∂ ln T; equals a if N* is a power law of compute.
        verdict: Warnings of each query.
        interval_method: Method of the intervals.
        new_run: Interval (K, 2) of the loss of a new run, with the scatter of single runs; None without a law of the
            loss.
    """

    total: Estimate
    C: Estimate
    N: Estimate
    D: Estimate
    L: Estimate | None
    tokens_per_parameter: Estimate
    exponent: Estimate
    verdict: tuple[tuple[str, ...], ...]
    interval_method: str = "bootstrap"
    new_run: Array | None = None

    def __len__(self) -> int:
        return self.N.rows.shape[1]

    def to_json(self) -> list[dict[str, Any]]:
        """Returns values, intervals and verdict of each query in types of JSON."""
        estimates = {"total": self.total, "C": self.C, "N": self.N, "D": self.D, "L": self.L}
        estimates |= {"tokens_per_parameter": self.tokens_per_parameter, "exponent": self.exponent}
        present = {name: estimate for name, estimate in estimates.items() if estimate is not None}
        entries = [
            entry | {"interval_of": "law", "interval_method": self.interval_method, "verdict": list(warnings)}
            for entry, warnings in zip(_entries(present), self.verdict, strict=True)
        ]
        for entry, interval in zip(entries, () if self.new_run is None else self.new_run.tolist(), strict=False):
            entry["new_run_intervals"] = {"L": tuple(interval)}
        return entries


@dataclass(frozen=True)
class SizeCost:
    """Cost of a model of `factor` times the optimal size at K budgets.

    Attributes:
        factor: Model size relative to the optimal size.
        N: Parameters.
        more_loss: Additional loss at the same compute, in the unit of the loss.
        more_compute: Additional compute for the same loss, relative to the optimum; infinite if it is not reachable.
    """

    factor: float
    N: Estimate
    more_loss: Estimate
    more_compute: Estimate

    def to_json(self) -> list[dict[str, Any]]:
        """Returns one entry per budget in types of JSON."""
        estimates = {"N": self.N, "more_loss": self.more_loss, "more_compute": self.more_compute}
        return [{"factor": self.factor} | entry for entry in _entries(estimates)]


@dataclass(frozen=True)
class WastedCompute:
    """Wasted compute of K runs.

    Attributes:
        share: Share of their compute that the cheapest training of the same loss would have saved.
        more_loss: Loss above the lowest loss at their compute, in the unit of the loss.
        best_N: Parameters of the model with the lowest loss at their compute.
    """

    share: Estimate
    more_loss: Estimate
    best_N: Estimate

    def to_json(self) -> list[dict[str, Any]]:
        """Returns one entry per run in types of JSON."""
        return _entries({"share": self.share, "more_loss": self.more_loss, "best_N": self.best_N})


def optimal_training(
    fit: Fit, C: ArrayLike, *, inference_tokens: float = 0.0, inputs: Mapping[str, float] | None = None
) -> OptimalTraining:
    """Computes optimal training at budgets: the lowest L under k·N·D = C (Hoffmann 2022, equation 4).

    Args:
        fit: A law of the loss in N and D, or approach 1 or 2, which only estimate N* and D*.
        C: Budgets (K,).
        inference_tokens: Tokens processed at inference. The budget is then k·N·D + k/3·N·inference_tokens (6·N·D +
            2·N·D_inf for C = 6·N·D; Sardana 2024, equation 2, solved for the lowest loss instead of cost).
        inputs: Values of the law's inputs other than N and D.

    Raises:
        FitError: The fit has no optimum, or an argument is not positive.
    """
    budgets = _positive("budget", C)
    _check_inference(inference_tokens)
    if fit.form is None and fit.optimum is not None and not inference_tokens:
        return _from_exponents(fit, budgets)
    surface = loss_surface(fit, inputs)
    T = np.tile(budgets, (surface.row_count, 1))
    training = _describe(surface, T, inference_tokens, [()] * len(budgets))
    return training if inference_tokens or inputs else _with_profiles(training, fit, budgets)


def _with_profiles(training: OptimalTraining, fit: Fit, budgets: Array) -> OptimalTraining:
    """The optima with intervals by profile likelihood, if the fit has these at any budget."""
    if fit.optimum is None or fit.optimum.profiler is None or training.L is None:
        return training
    profiles = [fit.optimum.profiler.optimum(float(C)) for C in budgets]
    names = ("N", "D", "tokens_per_parameter", "L")
    estimates = {
        name: replace(getattr(training, name), profiled=np.array([intervals[name] for intervals in profiles]))
        for name in names
    }
    exponents = np.tile(fit.optimum.intervals["a"], (len(budgets), 1))
    estimates["exponent"] = replace(training.exponent, profiled=exponents)
    return replace(
        training,
        **estimates,
        interval_method=fit.interval_method,
        new_run=_new_run(fit, training.L.rows, estimates["L"].profiled),
    )


def _new_run(fit: Fit, L: Array, profiled: Array | None = None) -> Array | None:
    """Intervals of the loss of a new run (K, 2); L: the estimates and the samples (R, K)."""
    if fit.scatter is None:
        return None
    return np.array(
        [
            new_run_interval(
                float(L[0, i]),
                L[1:, i],
                fit.scatter,
                fit.level,
                profiled=None if profiled is None else tuple(profiled[i]),
            )
            for i in range(L.shape[1])
        ]
    )


def cheapest_training(
    fit: Fit, target_loss: ArrayLike, *, inference_tokens: float = 0.0, inputs: Mapping[str, float] | None = None
) -> OptimalTraining:
    """Computes the cheapest training that reaches each loss, optionally with inference.

    The minimum of k·N·D + k/3·N·inference_tokens with L(N, D) = target (Sardana 2024, equation 2).

    Args:
        fit: A law of the loss in N and D.
        target_loss: Losses (K,).
        inference_tokens: Tokens processed at inference.
        inputs: Values of the law's inputs other than N and D.

    Raises:
        FitError: A target cannot be reached, or is reached by any training.
    """
    surface, targets = loss_surface(fit, inputs), _positive("target loss", target_loss)
    _check_inference(inference_tokens)
    T = surface.budget(np.tile(targets, (surface.row_count, 1)), inference_tokens)
    for target, value in zip(targets, T[0], strict=True):
        if np.isinf(value):
            raise FitError(f"target loss {target:g}: cannot be reached: {_describe_floor(fit)}")
        if np.isnan(value):
            raise FitError(f"target loss {target:g}: so high that any training reaches it: give a lower one")
    unreachable = np.isinf(T[1:]).mean(0)
    sentence = "cannot be reached in {:.1%} of the bootstrap samples: the interval has no upper end"
    warnings = [(warning("unreachable", sentence.format(share)),) if share else () for share in unreachable]
    return _describe(surface, T, inference_tokens, warnings)


def off_optimum(
    fit: Fit, C: ArrayLike, factors: ArrayLike, *, inputs: Mapping[str, float] | None = None
) -> list[SizeCost]:
    """Computes the cost of models of other sizes than the optimal size.

    more_loss: L(r·N*, C/(k·r·N*)) − L*. more_compute: k·r·N*·D'/C − 1, with D' from L(r·N*, D') = L*(C).

    Args:
        fit: A law of the loss in N and D.
        C: Budgets (K,).
        factors: Sizes r relative to the optimal size.
        inputs: Values of the law's inputs other than N and D.
    """
    surface, level, budgets = loss_surface(fit, inputs), fit.level, _positive("budget", C)
    N, _, L = surface.optimum(budgets[None])
    costs = []
    for r in _positive("factor", factors):
        L_same = L if r == 1 else surface.loss(r * N, surface.cost.tokens(budgets, r * N))
        D_same = surface.cost.tokens(budgets, N) if r == 1 else surface.tokens(r * N, L)
        more_compute = surface.cost.flops(r * N, D_same) / budgets - 1
        costs.append(SizeCost(float(r), *(Estimate(rows, level) for rows in (r * N, L_same - L, more_compute))))
    return costs


def wasted_compute(fit: Fit, N: ArrayLike, D: ArrayLike, *, inputs: Mapping[str, float] | None = None) -> WastedCompute:
    """Returns 1 − C*(L(N, D)) / (k·N·D), and L(N, D) − L*(k·N·D), of runs.

    Args:
        fit: A law of the loss in N and D.
        N: Parameters (K,).
        D: Tokens (K,).
        inputs: Values of the law's inputs other than N and D.
    """
    surface = loss_surface(fit, inputs)
    N, D = np.broadcast_arrays(_positive("N", N), _positive("D", D))
    L, C = surface.loss(N[None], D[None]), surface.cost.flops(N, D)
    best_N, _, best_L = surface.optimum(C[None])
    rows = 1 - surface.budget(L) / C, L - best_L, best_N
    return WastedCompute(*(Estimate(values, fit.level) for values in rows))


def _entries(estimates: dict[str, Estimate]) -> list[dict[str, Any]]:
    """Values and intervals of each query."""
    return [
        {name: float(estimate.value[i]) for name, estimate in estimates.items()}
        | {"intervals": {name: estimate.interval(i) for name, estimate in estimates.items()}}
        for i in range(next(iter(estimates.values())).rows.shape[1])
    ]


def _describe_floor(fit: Fit) -> str:
    if "E" not in fit.params:
        return f"{fit.law} stays above it at any compute"
    low, high = fit.intervals["E"]
    return f"the law goes no lower than E = {fit.params['E']:.4g} ({low:.4g} to {high:.4g})"


def _describe(
    surface: Surface, T: Array, inference_tokens: float, warnings: Sequence[tuple[str, ...]]
) -> OptimalTraining:
    """The optimum at T (R, K); warnings: further warnings of each query."""
    fit = surface.fit
    with np.errstate(all="ignore"):
        T_finite = np.where(np.isfinite(T), T, 1.0)
        N, D, L = surface.optimum(T_finite, inference_tokens)
        N_next = surface.optimum(T_finite * np.exp(LOG_STEP), inference_tokens)[0]
        exponent = np.log(N_next / N) / LOG_STEP
    unreachable = np.isinf(T)
    N, D = (np.where(unreachable, np.inf, x) for x in (N, D))
    with np.errstate(over="ignore"):
        ratio = D / np.where(unreachable, 1.0, N)
    ratio, exponent, L = (np.where(unreachable, np.nan, x) for x in (ratio, exponent, L))
    C = np.where(unreachable, np.inf, surface.cost.flops(N, D)) if inference_tokens else T
    L = np.where(np.isnan(N), np.nan, L)
    verdict = tuple(
        (*_check_minimum(N[:, i], fit.level), *_check_range(fit, C[0, i], N[0, i], D[0, i]), *warnings[i])
        for i in range(T.shape[1])
    )
    rows = {"total": T, "C": C, "N": N, "D": D, "L": L, "tokens_per_parameter": ratio, "exponent": exponent}
    return _optimal_training(rows, fit, verdict)


def _optimal_training(rows: dict[str, Array], fit: Fit, verdict: tuple[tuple[str, ...], ...]) -> OptimalTraining:
    """The result with the estimates in `rows` by field, and bootstrap intervals; L is optional."""
    estimates = {name: Estimate(values, fit.level) for name, values in rows.items()}
    return OptimalTraining(
        total=estimates["total"],
        C=estimates["C"],
        N=estimates["N"],
        D=estimates["D"],
        L=estimates.get("L"),
        tokens_per_parameter=estimates["tokens_per_parameter"],
        exponent=estimates["exponent"],
        verdict=verdict,
        interval_method=interval_method(fit.resampling),
        new_run=_new_run(fit, rows["L"]) if "L" in rows else None,
    )


def _from_exponents(fit: Fit, budgets: Array) -> OptimalTraining:
    """The optimum of approaches 1 and 2, which only estimate N* and D*."""
    assert fit.optimum is not None
    path = {name: rows[:, None] for name, rows in fit.optimum.path.items()}
    with np.errstate(over="ignore"):
        N, D = (np.exp(path[f"ln_{x}"] + path[e] * np.log(budgets)) for x, e in (("n", "a"), ("d", "b")))
    C = np.tile(budgets, (len(N), 1))
    verdict = tuple(_check_range(fit, C[0, i], N[0, i], D[0, i]) for i in range(len(budgets)))
    exponent = np.tile(path["a"], (1, len(budgets)))
    rows = {"total": C, "C": C, "N": N, "D": D, "tokens_per_parameter": D / N, "exponent": exponent}
    return _optimal_training(rows, fit, verdict)


def _check_minimum(N: Array, level: float) -> tuple[str, ...]:
    """Warns if the loss has no minimum in N; N: the estimate and the samples (R,)."""
    share = float(np.isnan(N[1:]).mean()) if len(N) > 1 else 0.0
    if np.isnan(N[0]):
        sentence = "the loss has no minimum in N at this compute"
        return (warning("no-optimum", sentence),)
    if share <= (1 - level) / 2:
        return ()
    return (warning("no-optimum", f"{share:.0%} of the bootstrap samples have no minimum in N"),)


def _check_range(fit: Fit, C: float, N: float, D: float) -> tuple[str, ...]:
    """Warns if C, N or D exceeds the largest value of the points."""
    with np.errstate(all="ignore"):
        ratios = {name: x / np.nanmax(fit.points[name]) for name, x in (("C", C), ("N", N), ("D", D))}
    beyond = [f"{name} is {ratio:.3g} times" for name, ratio in ratios.items() if ratio > ROUNDING]
    return (warning("extrapolation", f"{', '.join(beyond)} the largest"),) if beyond else ()


def _positive(name: str, values: ArrayLike) -> Array:
    array = np.atleast_1d(np.asarray(values, np.float64))
    if not (np.isfinite(array) & (array > 0)).all():
        raise FitError(f"{name} = {', '.join(f'{value:g}' for value in array)}: must be greater than 0")
    return array


def _check_inference(tokens: float) -> None:
    if not (np.isfinite(tokens) and tokens >= 0):
        raise FitError(f"inference tokens = {tokens:g}: must be 0 or more")
