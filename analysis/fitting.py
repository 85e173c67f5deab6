"""Fits a law to points: parameters, intervals, what the optimum says, and a verdict. Float64 throughout.

Key: N parameters, D tokens, C FLOPs, L nats a token; B draws, n points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from analysis import laws
from analysis.data.load import load
from analysis.data.points import Points
from analysis.enough import chosen, enough, falls, frontier
from analysis.errors import DataError, FitError
from analysis.fitted import Fit, Optimum
from analysis.format import plain
from analysis.solver import local_minima
from analysis.solver.objective import OBJECTIVES, Objective, objective_of
from analysis.solver.problem import Problem
from analysis.solver.search import search
from analysis.uncertainty import diagnostics, influence, profile, regimes, seed_noise
from analysis.uncertainty.bootstrap import KINDS, draws, resolved
from analysis.uncertainty.intervals import INTERVALS, interval

__all__ = ["Fit", "FitError", "Optimum", "fit", "frontier", "plain", "search"]


def fit(
    source: Any,
    law: str | laws.Law = "chinchilla",
    *,
    objective: str | None = None,
    delta: float | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    kind: str = "auto",
    intervals: str = "bootstrap",
    weighting: str = "noise",
    minimum: str = "parabola",
    beyond: float = 1.0,
    extrapolate: tuple[float, ...] = (10.0, 100.0),
    fix: Mapping[str, float] | None = None,
    tie: Mapping[str, str] | None = None,
    start: Mapping[str, float | tuple[float, ...]] | None = None,
    undertuned: float | None = None,
    weights: str = "column",
    **reading: Any,
) -> Fit:
    """The law that fits `source` best, with its doubt.

    source: Points, a DataFrame, arrays by letter ({"N": ..., "D": ..., "L": ...}), or what `points.load` reads;
    `reading` are its options (columns, where, flops, params). law: a name in laws.NAMES, "FILE.py:FUNCTION" or a Law.
    objective: a name in OBJECTIVES, the law's own unless given, with Huber's delta (1e-3). bootstrap: draws, at least
    100. kind: of doubt.KINDS (doubt.draws). intervals: bootstrap or profile (analysis/uncertainty/profile.py).
    minimum: parabola or
    akima, of chinchilla-2. beyond: how many times the largest input is called extrapolation. weighting: of
    chinchilla-2's minima, by noise or equal. extrapolate: multiples of the largest C that to_json tells of. fix:
    parameters held at values; tie: parameters equal to others, {"beta": "alpha"}. start: values to search from instead
    of the law's own. undertuned: runs above the law count twice this, those below it twice what is left to 1 (0.1: a
    run worse than the law says is taken nine times less seriously). weights: column (the source's own, if any), seeds
    (analysis/uncertainty/seed_noise.py) or even. Raises FitError (one line), and DataError for what cannot be read.
    """
    name = law if isinstance(law, str) else law.function.__name__
    if name == "two-step":
        from analysis import twostep

        twostep.alone(fix=fix, tie=tie, start=start, undertuned=undertuned, weights=weights != "column")
        doubts: dict[str, Any] = {"bootstrap": bootstrap, "seed": seed, "level": level, "kind": kind}
        return twostep.fit(source, objective=objective, delta=delta, **doubts, **reading)
    approach = name in laws.APPROACHES
    form = None if approach else law if isinstance(law, laws.Law) else laws.find(name)
    objective = objective or (form.objective if form else "huber-log")
    _check(objective, bootstrap, level, kind, intervals)
    if weights not in seed_noise.WEIGHTS:
        raise DataError(f"weights {weights!r}: known are {', '.join(seed_noise.WEIGHTS)}")
    points = _read(source, form, name, reading)
    if form is None:
        if undertuned is not None or weights != "column":
            raise DataError(f"{name} has no objective to choose: undertuned and weights are for laws of the loss")
        if kind not in ("auto", "residuals") or intervals != "bootstrap" or fix or tie or start:
            raise DataError(
                f"{name} draws residuals and has nothing to hold: kind, intervals, fix, tie and start are for laws"
            )
        from analysis import approaches

        taken: dict[str, Any] = {"bootstrap": bootstrap, "seed": seed, "level": level, "extrapolate": extrapolate}
        found = approaches.fit(points, name, weighting=weighting, minimum=minimum, **taken)
        return _called(found, extrapolate, beyond)
    summed = objective_of(objective, delta, undertuned)
    held: dict[str, float | str] = {**(fix or {}), **(tie or {})}
    free = _given(form, fix, tie, start)
    points = seed_noise.weighed(points, form, summed, weights)
    found = _fit_form(points, name, form, free, held, summed, bootstrap, seed, level, kind, intervals)
    if points.weights is not None:
        found = replace(found, objective=found.objective | {"weights": weights})
    return _called(found, extrapolate, beyond)


def _called(found: Fit, extrapolate: tuple[float, ...], beyond: float) -> Fit:
    """With what is told of beyond the points, and what is called so."""
    optimum = None if found.optimum is None else replace(found.optimum, beyond=beyond)
    return replace(found, optimum=optimum, extrapolate=tuple(extrapolate), beyond=beyond)


def _read(source: Any, form: laws.Law | None, name: str, reading: dict[str, Any]) -> Points:
    if not isinstance(source, Points):
        return load(source, law=form, **{"curves": name == "chinchilla-1", **reading})
    if reading:
        raise FitError(f"{', '.join(reading)}: points are read already; give these to load")
    return source


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


def _check(objective: str, bootstrap: int, level: float, kind: str, intervals: str) -> None:
    if objective not in OBJECTIVES:
        raise FitError(f"objective {objective!r}: known are {', '.join(OBJECTIVES)}")
    if bootstrap < 100:
        raise FitError(f"bootstrap = {bootstrap}: an interval takes at least 100 draws")
    if kind not in KINDS:
        raise FitError(f"kind {kind!r} of bootstrap: known are {', '.join(KINDS)}")
    if intervals not in INTERVALS:
        raise FitError(f"intervals {intervals!r}: known are {', '.join(INTERVALS)}")
    if not 0 < level < 1:
        raise FitError(f"level = {level}: must lie between 0 and 1")


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
