"""Fits a parametric law to points: minimum of the objective, uncertainty, and compute-optimal training.

Key: N parameters, D tokens, C FLOPs, L nats per token; B bootstrap samples, P coordinates, n points. u coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.optimum import Optimum
from analysis.fitting.options import FitOptions
from analysis.fitting.profiler import Profiler
from analysis.fitting.result import POSTERIOR, Fit, interval_method
from analysis.fitting.selection import check_decrease, check_points, select_points
from analysis.laws.bounds import natural_bounds, with_bounds
from analysis.laws.compute_cost import optimal_path
from analysis.laws.curve.schedules import with_schedules
from analysis.laws.law import Law, constrain
from analysis.solver.objective import LINKS, Objective, make_objective
from analysis.solver.problem import Problem
from analysis.solver.search import Solution, search
from analysis.uncertainty.accounting import check_compute, check_repetition
from analysis.uncertainty.diagnostics import diagnose
from analysis.uncertainty.effects import check_frontier, check_inputs
from analysis.uncertainty.groups import check_groups
from analysis.uncertainty.influence import Refit, check_influence, refit_without_parts
from analysis.uncertainty.intervals import percentile_interval
from analysis.uncertainty.new_run import draw_scatter
from analysis.uncertainty.posterior.posterior import Posterior, check_posterior, sample_posterior
from analysis.uncertainty.profile import Profile, check_profiles, profile_fit
from analysis.uncertainty.regimes import check_regimes
from analysis.uncertainty.resampling.bootstrap import choose_resampling, sample_parameters
from analysis.uncertainty.resampling.clusters import check_runs
from analysis.uncertainty.seed_noise import weight_points
from analysis.uncertainty.verdicts import verdict

MENTIONED = 0.1  # relative deviation of C from k·N·D from which a note mentions it

Constraints = dict[str, float | str]  # value of each fixed parameter, and name that each tied parameter equals


@dataclass(frozen=True)
class Uncertainty:
    """The uncertainty of the free parameters of a fit.

    Attributes:
        resampling: Bootstrap scheme, or POSTERIOR.
        samples: Bootstrap samples, or draws from the posterior, of each parameter (B,).
        intervals: Interval of each parameter.
        profiles: Profiles by quantity, for intervals by profile likelihood.
        profiler: Intervals of predictions and optima by profile likelihood, if these are used.
        refits: Fits without each part of the points.
        verdict: Warnings, or ("converged",).
        posterior: The posterior, for its intervals.
    """

    resampling: str
    samples: dict[str, np.ndarray]
    intervals: dict[str, tuple[float, float]]
    profiles: dict[str, Profile]
    profiler: Profiler | None
    refits: tuple[Refit, ...]
    verdict: tuple[str, ...]
    posterior: Posterior | None = None


def fit_law(points: Points, name: str, law: Law, options: FitOptions = FitOptions()) -> Fit:
    """Fits a parametric law to points.

    Args:
        points: Runs with the inputs and the output of the law.
        name: Name of the law for messages and the result.
        law: The law.
        options: Objective, constraints and estimation of the uncertainty.

    Raises:
        FitError: The points cannot determine the law.
        DataError: The options do not apply to the law.
    """
    law = law if points.schedules is None else with_schedules(law, points.schedules)
    objective = make_objective(options.objective or law.objective, options.delta, options.undertuned)
    constraints: Constraints = {**options.fix, **options.tie}
    free_law = _free_law(law, options)
    points, notes, warnings = _fitted_points(weight_points(points, law, objective, options.weights), law, name)
    check_points(points, free_law, name, notes, constrained=bool(constraints))
    problem = make_problem(points, free_law, objective)
    solution = search(problem, find_others=options.checks)
    check_decrease(problem, solution.u_P, name)
    uncertainty = estimate_uncertainty(problem, solution, points, options, warnings)
    params = _with_constraints(law, constraints, _values(problem.params(solution.u_P[None])))
    samples = _with_constraints(law, constraints, uncertainty.samples)
    scatter = _scatter(points, law, params, uncertainty, problem, options)
    return Fit(
        law=name,
        points=points,
        params=params,
        intervals=_with_constraints(law, constraints, uncertainty.intervals),
        level=options.level,
        objective=_describe_objective(problem, solution, points, options),
        starts=solution.starts,
        verdict=uncertainty.verdict,
        samples=samples,
        optimum=_optimum(points, law, params, samples, uncertainty, scatter, options),
        notes=(*notes, *_cost_notes(points, law)),
        budget_multiples=options.budget_multiples,
        form=law.in_loss_unit(points.loss_unit),
        constraints=constraints,
        bounds=natural_bounds(constrain(law, options.fix, options.tie), options.bounds),
        resampling=uncertainty.resampling,
        refits=uncertainty.refits,
        profiles=uncertainty.profiles,
        extrapolation_ratio=options.extrapolation_ratio,
        profiler=uncertainty.profiler,
        scatter=scatter,
        posterior=uncertainty.posterior,
    )


def _values(rows: dict[str, np.ndarray]) -> dict[str, float]:
    """The first value of each parameter."""
    return {name: float(row[0]) for name, row in rows.items()}


def _fitted_points(points: Points, law: Law, name: str) -> tuple[Points, tuple[str, ...], list[str]]:
    """The points that are fitted, notes on their selection, and warnings on the points."""
    selected, notes = select_points(points, law, name)
    warnings = check_frontier(points, law.inputs[0]) if len(selected) < len(points) else []
    return selected, notes, [*warnings, *check_repetition(selected, law), *check_compute(selected, law)]


def make_problem(points: Points, law: Law, objective: Objective) -> Problem:
    """Returns the minimisation problem of a law on points.

    Args:
        points: Runs with the law's inputs and output; their weights are scaled to mean 1.
        law: The law, without the parameters that are fixed or tied.
        objective: Objective to minimise.

    Raises:
        FitError: The objective takes the logarithm of an output that is not positive.
    """
    weights = np.ones(len(points)) if points.weights is None else points.weights / points.weights.mean()
    output, infimum = points[law.output], LINKS[objective.link].infimum
    outside = np.flatnonzero(output <= infimum)
    if len(outside):
        raise FitError(
            f"objective {objective.name} takes logarithms: {law.output} of {points.names[outside[0]]} is "
            f"{output[outside[0]]:g}: it must be greater than {infimum:g}, or choose mse or huber"
        )
    return Problem(law, tuple(points[letter] for letter in law.inputs), objective.transform(output), weights, objective)


def estimate_uncertainty(
    problem: Problem, solution: Solution, points: Points, options: FitOptions, selection_warnings: Sequence[str] = ()
) -> Uncertainty:
    """Estimates the uncertainty of the free parameters and checks the fit.

    Args:
        problem: The law on points.
        solution: The optimum.
        points: The points.
        options: Bootstrap scheme, method and level of the intervals.
        selection_warnings: Warnings on the selection of the points, which become part of the verdict.
    """
    u_P, level = solution.u_P, options.level
    resampling, posterior = choose_resampling(options.resampling, points), None
    scheme = "profile" if options.intervals == "profile" else resampling
    if options.intervals == POSTERIOR:
        minima = [u_P, *solution.other_minima]
        posterior = sample_posterior(problem, minima, points, options.bootstrap, options.seed, resampling)
        samples, resampling = problem.params(posterior.u), POSTERIOR
    else:
        samples = sample_parameters(problem, u_P, points, options.bootstrap, options.seed, resampling)
    intervals = {name: percentile_interval(samples_B, level) for name, samples_B in samples.items()}
    profiles = profile_fit(problem, u_P, points, level) if options.intervals == "profile" else {}
    intervals |= {name: profiles[name].interval for name in intervals if name in profiles}
    profiler = Profiler(problem, u_P, level, points).reuse(profiles) if options.intervals == "profile" else None
    if not options.checks:
        return Uncertainty(
            resampling, samples, intervals, profiles, profiler, (), verdict(selection_warnings), posterior
        )
    refits = refit_without_parts(problem, u_P, points)
    warnings = [
        *selection_warnings,
        *diagnose(problem, solution, points, samples, level),
        *(check_posterior(problem, posterior) if posterior is not None else ()),
        *check_runs(points, scheme),
        *check_profiles(profiles),
        *check_influence(refits, intervals, level),
        *check_regimes(problem, u_P, points),
        *check_groups(problem, u_P, points),
        *check_inputs(problem, u_P, points),
    ]
    return Uncertainty(resampling, samples, intervals, profiles, profiler, refits, verdict(warnings), posterior)


def _free_law(law: Law, options: FitOptions) -> Law:
    """The law without fixed and tied parameters, with the bounds and starts of the options."""
    try:
        return with_bounds(constrain(law, options.fix, options.tie).with_starts(options.start), options.bounds)
    except ValueError as error:
        raise DataError(str(error)) from None


def _with_constraints(law: Law, constraints: Constraints, free: dict[str, Any]) -> dict[str, Any]:
    """Estimates, samples (B,) or intervals of all parameters in the order of the law, from those of the free ones.

    A tied parameter has the values of the other parameter, and a fixed parameter has its value everywhere.
    """
    example = next(iter(free.values()))
    values = dict(free)
    for name, constraint in constraints.items():
        if isinstance(constraint, str):
            values[name] = free[constraint]
        elif isinstance(example, tuple):
            values[name] = (float(constraint), float(constraint))
        else:
            values[name] = np.full(example.shape, constraint) if np.ndim(example) else float(constraint)
    return {name: values[name] for name in law.parameters}


def _describe_objective(problem: Problem, solution: Solution, points: Points, options: FitOptions) -> dict[str, Any]:
    """Name, value and settings of the objective."""
    objective = problem.objective
    value = objective.value(problem.residual(solution.u_P[None])[0], problem.weights)
    weights = {} if points.weights is None else {"weights": options.weights}
    return {"name": objective.name, "value": value, **objective.to_json(), **weights}


def _cost_notes(points: Points, law: Law) -> tuple[str, ...]:
    """Note on the compute of optima, if it is not proportional to N·D."""
    if law.optimum is None or not np.isfinite(points.C).all():
        return ()
    cost = points.compute_cost
    within = f"within {cost.deviation:.0%} of the stated C"
    if cost.s == 1 and not cost.bend:
        return (f"optima use C = {cost.k:.3g}·N·D, {within}",) if cost.deviation > MENTIONED else ()
    power = f"C = {cost.k:.3g}·N^{cost.s:.3g}·D" if not cost.bend else "C / D as a function of N"
    return (f"C is not proportional to N·D: optima use {power}, {within}",)


def _optimum(
    points: Points,
    law: Law,
    params: dict[str, float],
    samples: dict[str, np.ndarray],
    uncertainty: Uncertainty,
    scatter: np.ndarray,
    options: FitOptions,
) -> Optimum | None:
    """Compute-optimal training of the law; None if it has no optimum or compute is not known."""
    if law.optimum is None or not np.isfinite(points.C).all():
        return None
    cost = points.compute_cost
    rows = {name: np.concatenate([[params[name]], samples_B]) for name, samples_B in samples.items()}
    with np.errstate(all="ignore"):
        path = optimal_path(law.optimum, rows, cost, float(points.C.min()), float(points.C.max()))
    path = {name: np.where(np.isfinite(x), x, np.nan) for name, x in path.items()}

    def loss(N: np.ndarray, D: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            inputs = {"N": N, "D": D, "C": cost.flops(N, D), "M": D / N}
        return np.asarray(law.function(*(inputs[letter] for letter in law.inputs), **rows))

    profiler = uncertainty.profiler
    return Optimum(
        path=path,
        level=options.level,
        largest=float(points.C.max()),
        loss=loss,
        extrapolation_ratio=options.extrapolation_ratio,
        profiled={name: curve.interval for name, curve in uncertainty.profiles.items() if name in ("a", "b")},
        profiler=profiler,
        scatter=scatter,
        method=interval_method(uncertainty.resampling, profiled=profiler is not None),
    )


def _scatter(
    points: Points, law: Law, params: dict[str, float], uncertainty: Uncertainty, problem: Problem, options: FitOptions
) -> np.ndarray:
    """Draws of the deviation of a new run from the law (B,): ln(measured / predicted), or the difference if signed."""
    measured, signed = points[law.output], law.output in law.signed
    if uncertainty.posterior is not None:
        output = np.median(measured)  # where a deviation on the link is taken as one of the output
        slope = problem.objective.link_derivative(output) * (1.0 if signed else output)
        return np.asarray(uncertainty.posterior.scatter / slope)
    with np.errstate(all="ignore"):
        predicted = np.asarray(law.function(*(points[letter] for letter in law.inputs), **params))
        deviation = measured - predicted if signed else np.log(measured / predicted)
    return draw_scatter(deviation, len(problem.names), options.bootstrap, options.seed)
