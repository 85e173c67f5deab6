"""Fits a law to points: parameters, intervals, what the optimum says, and a verdict. Float64 throughout.

Key: N parameters, D tokens, C FLOPs, L nats a token; B draws, n points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from analysis import laws
from analysis.data.load import load
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.parametric import _fit_form, _given
from analysis.fitting.result import Fit
from analysis.solver.objective import OBJECTIVES, objective_of
from analysis.uncertainty import seed_noise
from analysis.uncertainty.bootstrap import KINDS
from analysis.uncertainty.intervals import INTERVALS


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
        from analysis.fitting import two_step

        two_step.alone(fix=fix, tie=tie, start=start, undertuned=undertuned, weights=weights != "column")
        doubts: dict[str, Any] = {"bootstrap": bootstrap, "seed": seed, "level": level, "kind": kind}
        return two_step.fit(source, objective=objective, delta=delta, **doubts, **reading)
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
        from analysis.fitting import approaches

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
