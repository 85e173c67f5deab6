"""analysis.fitting.parametric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from analysis import laws
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.result import Fit, Optimum
from analysis.fitting.selection import chosen, enough, falls
from analysis.solver import local_minima
from analysis.solver.objective import Objective
from analysis.solver.problem import Problem
from analysis.solver.search import search
from analysis.uncertainty import diagnostics, influence, profile, regimes
from analysis.uncertainty.bootstrap import draws, resolved
from analysis.uncertainty.intervals import interval


def _given(
    form: laws.Law,
    fix: Mapping[str, float] | None,
    tie: Mapping[str, str] | None,
    start: Mapping[str, float | tuple[float, ...]] | None,
) -> laws.Law:
    try:
        return laws.given(form, fix, tie).begun(start or {})
    except ValueError as error:
        raise DataError(str(error)) from None


def _fit_form(
    points: Points,
    law: str,
    form: laws.Law,
    free: laws.Law,
    held: dict[str, float | str],
    objective: Objective,
    bootstrap: int,
    seed: int,
    level: float,
    kind: str,
    intervals: str,
) -> Fit:
    points, notes = chosen(points, form, law)
    enough(points, free, law, notes, bool(held))
    problem = _problem(points, free, objective)
    u, starts, minima = search(problem)
    falls(problem, u, law)
    kind = resolved(kind, points)
    drawn = draws(problem, u, points, bootstrap, seed, kind)
    said = {name: interval(values, level) for name, values in drawn.items()}
    profiles = profile.of_fit(problem, u, points, level) if intervals == "profile" else {}
    said |= {name: one.interval for name, one in profiles.items() if name in said}
    left = influence.out(problem, u, points)
    params = {name: float(value[0]) for name, value in problem.params(u[None]).items()}
    value = problem.objective.value(problem.residual(u[None])[0], problem.weights)
    more = [
        *local_minima.said(problem, minima),
        *profile.verdict(profiles),
        *influence.verdict(left, said),
        *regimes.verdict(problem, u, points),
    ]
    verdict = diagnostics.verdict(problem, u, points, starts, drawn, level, more)
    params, drawn = (_with(form, held, of) for of in (params, drawn))
    optimum = _optimum(points, form, params, drawn, level)
    if optimum is not None:
        optimum = replace(optimum, profiled={k: profiles[k].interval for k in ("a", "b") if k in profiles})
    return Fit(
        law=law,
        points=points,
        params=params,
        intervals=_intervals(drawn, said, held, level),
        level=level,
        objective={"name": objective.name, "value": value, **objective.to_json()},
        starts=starts,
        verdict=verdict,
        draws=drawn,
        optimum=optimum,
        notes=notes,
        form=form,
        held=held,
        drawn_by=kind,
        left_out=left,
        profiles=profiles,
    )


def _intervals(
    drawn: dict[str, np.ndarray], said: dict[str, tuple[float, float]], held: dict[str, float | str], level: float
) -> dict[str, tuple[float, float]]:
    """Of what was fitted, and of what was held: a tied parameter has its twin's."""
    twins = {name: said[to] for name, to in held.items() if isinstance(to, str)}
    return {k: said.get(k) or twins.get(k) or interval(np.atleast_1d(v), level) for k, v in drawn.items()}


def _with(form: laws.Law, held: dict[str, float | str], free: dict[str, Any]) -> dict[str, Any]:
    """Fitted values or draws, and beside them those that were held, in the law's order."""
    like = next(iter(free.values()))
    out = dict(free)
    for name, to in held.items():
        out[name] = free[to] if isinstance(to, str) else np.full(like.shape, to) if np.ndim(like) else float(to)
    return {name: out[name] for name in form.parameters}


def _problem(points: Points, form: laws.Law, objective: Objective) -> Problem:
    weights = np.ones(len(points)) if points.weights is None else points.weights / points.weights.mean()
    output = points[form.output]
    least = {"log": 0.0, "log1p": -1.0}.get(objective.link, -np.inf)
    bad = np.flatnonzero(output <= least)
    if len(bad):
        raise FitError(
            f"objective {objective.name} takes logarithms: {form.output} of {points.names[bad[0]]} is "
            f"{output[bad[0]]:g}: it must be greater than {least:g}, or choose mse or huber"
        )
    return Problem(form, tuple(points[letter] for letter in form.inputs), objective.of(output), weights, objective)


def _optimum(
    points: Points, form: laws.Law, params: dict[str, float], drawn: dict[str, np.ndarray], level: float
) -> Optimum | None:
    if form.optimum is None or not np.isfinite(points.C).all():
        return None
    k = float(np.median(points.C / (points.N * points.D)))  # 6 under C = 6·N·D
    both = {name: np.concatenate([[params[name]], values]) for name, values in drawn.items()}
    with np.errstate(all="ignore"):
        a, b, ln_g = (np.where(np.isfinite(x), x, np.nan) for x in form.optimum(both, k))
    path = {"ln_n": ln_g - a * np.log(k), "a": a, "ln_d": -ln_g - b * np.log(k), "b": b}

    def loss(N: np.ndarray, D: np.ndarray) -> np.ndarray:
        known = {"N": N, "D": D, "C": k * N * D, "M": D / N}
        return np.asarray(form.function(*(known[letter] for letter in form.inputs), **both))

    return Optimum(path, level, float(points.C.max()), loss)
