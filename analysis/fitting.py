"""Fits a law to points: parameters, intervals, what the optimum says, and a verdict. Float64 throughout.

Key: N parameters, D tokens, C FLOPs, L nats a token; B draws, n points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis import doubt, laws, leave, noise, profile, regimes, valleys
from analysis.points import DataError, Points, load
from analysis.search import search
from analysis.solve import OBJECTIVES, FitError, Objective, Problem, objective_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Fit", "FitError", "Optimum", "fit"]


@dataclass(frozen=True)
class Optimum:
    """Compute-optimal training: N* = e^ln_n·C^a, D* = e^ln_d·C^b.

    path: ln_n, a, ln_d, b as arrays (1 + B,): the estimate, then the draws. loss: (N, D) of each -> L of each, where
    the law has one. largest: the largest C of the points. beyond: how many times that is called extrapolation.
    profiled: intervals of a and b by profile, where they were asked for.
    """

    path: dict[str, np.ndarray]
    level: float
    largest: float
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    beyond: float = 1.0
    profiled: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def a(self) -> float:
        """Exponent of N*(C)."""
        return float(self.path["a"][0])

    @property
    def b(self) -> float:
        """Exponent of D*(C)."""
        return float(self.path["b"][0])

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        return {name: doubt.interval(self.path[name][1:], self.level) for name in ("a", "b")} | self.profiled

    def at(self, C: float) -> dict[str, Any]:
        """N, D and (where the law has one) L at budget C, with intervals; verdict says how far beyond the points."""
        with np.errstate(over="ignore"):
            N = np.exp(self.path["ln_n"] + self.path["a"] * np.log(C))
            D = np.exp(self.path["ln_d"] + self.path["b"] * np.log(C))
        values = {"N": N, "D": D, "tokens_per_parameter": D / N}
        if self.loss is not None:
            values["L"] = self.loss(N, D)
        times = C / self.largest
        far = times > self.beyond * 1.001
        return {
            "C": float(C),
            **{name: float(value[0]) for name, value in values.items()},
            "intervals": {name: doubt.interval(value[1:], self.level) for name, value in values.items()},
            "verdict": [f"extrapolates: {times:.3g} times beyond the largest budget"] if far else [],
        }


@dataclass(frozen=True)
class Fit:
    """A fitted law. points: those it was fitted to. draws: parameters (B,) of the bootstrap.

    form: the law itself, None for the approaches that give exponents alone. held: parameters that were fixed (their
    values) or tied (the names of others); params, intervals and draws hold them as well. drawn_by: kind of bootstrap.
    left_out: the parameters without each budget. profiles: by quantity, where intervals are by profile. beyond: how
    many times the largest input is called extrapolation.
    """

    law: str
    points: Points
    params: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    level: float
    objective: dict[str, Any]
    starts: dict[str, int]
    verdict: tuple[str, ...]
    draws: dict[str, np.ndarray]
    optimum: Optimum | None = None
    notes: tuple[str, ...] = ()
    extrapolate: tuple[float, ...] = (10.0, 100.0)
    form: laws.Law | None = None
    held: dict[str, float | str] = field(default_factory=dict)
    drawn_by: str = "residuals"
    left_out: tuple[leave.LeftOut, ...] = ()
    profiles: dict[str, profile.Profile] = field(default_factory=dict)
    beyond: float = 1.0

    def predict(self, **inputs: Any) -> np.ndarray:
        """The law's output at its inputs (N=, D=, ...), of any shapes that broadcast; others are not looked at."""
        return np.asarray(self._form().function(*self._take(inputs), **self.params))

    def predict_interval(self, **inputs: Any) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest output that the draws allow, at `level`; the doubt about the law, seed noise left out."""
        low, high = np.nanquantile(self.predict_draws(**inputs), [(1 - self.level) / 2, (1 + self.level) / 2], axis=0)
        return low, high

    def predict_draws(self, **inputs: Any) -> np.ndarray:
        """The output at its inputs under each draw (B, ...)."""
        taken = np.broadcast_arrays(*self._take(inputs))
        axes = (slice(None), *(None,) * taken[0].ndim)
        return np.asarray(self._form().function(*taken, **{name: values[axes] for name, values in self.draws.items()}))

    def at(self, **inputs: float) -> dict[str, Any]:
        """The output at one setting of the inputs: plain numbers, its interval, and how far beyond the points it is."""
        form = self._form()
        unknown = [name for name in inputs if name not in form.inputs]
        if unknown:
            raise FitError(f"{self.law} takes {', '.join(form.inputs)}: not {', '.join(unknown)}")
        low, high = self.predict_interval(**inputs)
        verdict = []
        for name, value in inputs.items():
            least, most = float(self.points[name].min()), float(self.points[name].max())
            times = value / most if value > most else least / value if 0 < value < least else 1.0
            if times > self.beyond * 1.001:
                verdict.append(
                    f"extrapolates: {name} is {times:.3g} times beyond the points ({least:.3g} to {most:.3g})"
                )
        predicted = {"value": float(self.predict(**inputs)), "interval": (float(low), float(high))}
        return {"inputs": dict(inputs), "output": form.output, **predicted, "verdict": verdict}

    def residuals(self) -> np.ndarray:
        """ln of predicted over measured, of the points (n,); their difference where outputs may be negative."""
        form = self._form()
        predicted = self.predict(**{letter: self.points[letter] for letter in form.inputs})
        measured = self.points[form.output]
        return predicted - measured if form.output in form.signed else np.log(predicted) - np.log(measured)

    def _form(self) -> laws.Law:
        if self.form is None:
            raise FitError(f"{self.law} gives exponents of the optimum, not a loss: predict with chinchilla")
        return self.form

    def _take(self, given: dict[str, Any]) -> list[np.ndarray]:
        wanted = self._form().inputs
        missing = [letter for letter in wanted if given.get(letter) is None]
        if missing:
            raise FitError(f"{self.law} takes {', '.join(wanted)}: give {', '.join(f'{m}=' for m in missing)}")
        return [np.asarray(given[letter], np.float64) for letter in wanted]

    def figure(self, name: str = "law", width: str = "text") -> Figure:
        """A figure of this fit by name (analysis/figures): law, parity, contours, ...; of no pyplot state."""
        from analysis import notebook

        return notebook.figure(self, name, width)

    def __repr__(self) -> str:
        from analysis import notebook

        return notebook.text(self)

    def _repr_html_(self) -> str:
        from analysis import notebook

        return notebook.html(self)

    def to_json(self) -> dict[str, Any]:
        """What `fit --json` writes; plain Python numbers."""
        out: dict[str, Any] = {
            "law": self.law,
            "points": len(self.points),
            "params": self.params,
            "intervals": self.intervals,
            "level": self.level,
            "objective": self.objective,
            "starts": self.starts,
            "verdict": self.verdict,
        }
        if self.held:
            out["held"] = self.held
        out["bootstrap"] = {"kind": self.drawn_by, "draws": len(next(iter(self.draws.values())))}
        if self.left_out:
            out["left_out"] = [one.to_json() for one in self.left_out]
        if self.profiles:
            out["profile"] = {name: one.to_json() for name, one in self.profiles.items()}
        if self.optimum is not None:
            out["optimum"] = {
                "a": self.optimum.a,
                "b": self.optimum.b,
                "intervals": self.optimum.intervals,
                "at": [self.optimum.at(times * self.optimum.largest) for times in self.extrapolate],
            }
        out["source"] = {"name": self.points.source, "convention": self.points.convention}
        out["notes"] = [*self.points.notes, *self.notes]
        return plain(out)


def plain(value: Any) -> Any:
    """JSON's own types; a number that is not finite is null."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value


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
    100. kind: of doubt.KINDS (doubt.draws). intervals: bootstrap or
    profile (analysis/profile.py). minimum: parabola or akima, of chinchilla-2. beyond: how many times the largest input
    is called extrapolation. weighting: of chinchilla-2's minima, by noise or equal.
    extrapolate: multiples of the largest C that to_json tells of. fix: parameters held at values; tie: parameters
    equal to others, {"beta": "alpha"}. start: values to search from instead of the law's own. undertuned: runs above
    the law count twice this, those below it twice what is left to 1 (0.1: a run worse than the law says is taken nine
    times less seriously). weights: column (the source's own, if any), seeds (analysis/noise.py) or even.
    Raises FitError (one line), and DataError for what cannot be read.
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
    if weights not in noise.WEIGHTS:
        raise DataError(f"weights {weights!r}: known are {', '.join(noise.WEIGHTS)}")
    points = _read(source, form, name, reading)
    if form is None:
        if undertuned is not None or weights != "column":
            raise DataError(f"{name} has no objective to choose: undertuned and weights are for laws of the loss")
        from analysis import approaches

        taken: dict[str, Any] = {"bootstrap": bootstrap, "seed": seed, "level": level, "extrapolate": extrapolate}
        found = approaches.fit(points, name, weighting=weighting, minimum=minimum, **taken)
        return _called(found, extrapolate, beyond)
    chosen = objective_of(objective, delta, undertuned)
    held: dict[str, float | str] = {**(fix or {}), **(tie or {})}
    free = _given(form, fix, tie, start)
    points = noise.weighed(points, form, chosen, weights)
    found = _fit_form(points, name, form, free, held, chosen, bootstrap, seed, level, kind, intervals)
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
        raise FitError(str(error)) from None


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
    points, notes = _chosen(points, form, law)
    _enough(points, free, law, notes)
    problem = _problem(points, free, objective)
    u, starts, minima = search(problem)
    _falls(problem, u, law)
    kind = doubt.resolved(kind, points)
    drawn = doubt.draws(problem, u, points, bootstrap, seed, kind)
    said = {name: doubt.interval(values, level) for name, values in drawn.items()}
    profiles = profile.of_fit(problem, u, points, level) if intervals == "profile" else {}
    said |= {name: one.interval for name, one in profiles.items() if name in said}
    left = leave.out(problem, u, points)
    params = {name: float(value[0]) for name, value in problem.params(u[None]).items()}
    value = problem.objective.value(problem.residual(u[None])[0], problem.weights)
    more = [
        *valleys.said(problem, minima),
        *profile.verdict(profiles),
        *leave.verdict(left, said),
        *regimes.verdict(problem, u, points),
    ]
    verdict = doubt.verdict(problem, u, points, starts, drawn, level, more)
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
    return {k: said.get(k) or twins.get(k) or doubt.interval(np.atleast_1d(v), level) for k, v in drawn.items()}


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
    if kind not in doubt.KINDS:
        raise FitError(f"kind {kind!r} of bootstrap: known are {', '.join(doubt.KINDS)}")
    if intervals not in doubt.INTERVALS:
        raise FitError(f"intervals {intervals!r}: known are {', '.join(doubt.INTERVALS)}")
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


def _chosen(points: Points, form: laws.Law, law: str) -> tuple[Points, tuple[str, ...]]:
    """Points that a law is fitted to: the frontier where it speaks of the best run for its one input."""
    missing = [x for x in (*form.inputs, form.output) if not np.isfinite(points[x]).all()]
    if missing:
        raise FitError(f"{law} needs {', '.join(missing)}, which {points.source} does not have")
    if not form.frontier or not _others_vary(points, form.inputs[0]):
        return points, ()
    kept = frontier(points[form.inputs[0]], points.L)
    if len(kept) == len(points):
        return points, ()
    note = f"{law} is fitted to {len(kept)} of {len(points)} runs: those that no run with less {form.inputs[0]} beats"
    return points.where(kept), (note,)


def _others_vary(points: Points, letter: str) -> bool:
    """Whether another input varies too: if not, every run is on the curve that the law describes."""
    others = [getattr(points, other) for other in "ND" if other != letter]
    return any(np.isfinite(x).all() and x.max() > 1.1 * x.min() for x in others)


def frontier(x: np.ndarray, L: np.ndarray, tolerance: float = 0.02) -> np.ndarray:
    """Indices of the runs that no run with less x beats, one for each x (equal within `tolerance`), x rising."""
    order = np.lexsort((L, x))
    kept: list[int] = []
    for at in order:
        if kept and x[at] <= x[kept[-1]] * (1 + tolerance):
            if L[at] < L[kept[-1]]:
                kept[-1] = int(at)
        elif not kept or L[at] < L[kept[-1]]:
            kept.append(int(at))
    return np.array(kept)


def _enough(points: Points, form: laws.Law, law: str, notes: tuple[str, ...]) -> None:
    n, p = len(points), len(form.parameters)
    if n <= p and notes:
        raise FitError(f"{notes[0]}: too few for {p} parameters: the loss hardly falls with {form.inputs[0]}")
    if n <= p:
        raise FitError(
            f"{law} has {p} parameters and there are {n} points: it takes at least {p + 1} to say how sure it is"
        )
    for letter in form.inputs:
        x = points[letter]
        if np.ptp(x) < 0.05 * np.abs(x).max():
            raise FitError(f"{law}: all points have the same {letter} (within 5%): nothing can be said about it")
        if form.frontier and np.polyfit(np.log(x), points.L, 1)[0] >= 0:
            raise FitError(f"{law}: the loss does not fall with {letter} in these points")
    if form.optimum is not None and np.isfinite(points.C).all() and points.C.max() < 1.3 * points.C.min():
        raise FitError(f"{law}: all points lie at one budget (C within 30%): run more budgets to see how loss scales")


def _falls(problem: Problem, u_P: np.ndarray, law: str) -> None:
    """FitError where the term of an input has vanished: then the loss does not fall with it."""
    r = problem.residual(u_P[None])[0]
    noise = np.median(np.abs(r))
    # A law of one term has one relative share everywhere, however steeply it falls: what varies is the share in nats.
    share = 1 / problem.objective.steepness(problem.model(u_P[None])[0])
    share = share / share.mean()
    J = problem.jacobian(u_P[None])[0] * share
    for name, (letter, _) in problem.law.powers.items():
        at = problem.names.index(name)
        part = u_P[at] * J[at]  # of the loss
        if np.ptp(part) <= 0.1 * noise + 1e-12:
            raise FitError(f"{law}: the loss does not fall with {letter} in these points (the best {name} is 0)")


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
