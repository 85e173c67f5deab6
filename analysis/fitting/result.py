"""A fitted law: parameters, intervals, what the optimum says, and a verdict.

Key: N parameters, D tokens, C FLOPs, L nats a token; B draws, n points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from analysis import laws
from analysis.data.points import Points
from analysis.errors import FitError
from analysis.format import aligned, between, count, estimate, plain, three
from analysis.laws.law import formula
from analysis.uncertainty import influence, profile
from analysis.uncertainty.intervals import interval

Row = tuple[str, str, str, str]


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
        return {name: interval(self.path[name][1:], self.level) for name in ("a", "b")} | self.profiled

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
            "intervals": {name: interval(value[1:], self.level) for name, value in values.items()},
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
    left_out: tuple[influence.LeftOut, ...] = ()
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

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)

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


def budget(at: dict[str, Any], times: float) -> str:
    """The optimum at a budget in one line."""
    of = at["intervals"]
    parts = [f"{name} = {estimate(at[name], of[name], count)}" for name in ("N", "D")]
    parts.append(f"{estimate(at['tokens_per_parameter'], of['tokens_per_parameter'], three)} tokens a parameter")
    parts += [f"L = {estimate(at['L'], of['L'])}"] if "L" in at else []
    return f"at {times:g}× the largest budget, C = {at['C']:.3g}: {', '.join(parts)}"


def starts(fit: Fit) -> str:
    """How many starts reached the same optimum."""
    tried, agreed = fit.starts.get("tried"), fit.starts.get("agreed")
    if not tried:
        return "solved directly, without a search"
    return f"{agreed} of {tried} starts agree"


def table_rows(fit: Fit) -> list[Row]:
    """Parameters, then exponents of the optimum where the law has one: name, value, interval, unit."""
    units = fit.form.units if fit.form else {}
    found = [
        _table_row(name, value, fit.intervals[name], units.get(name, ""), fit) for name, value in fit.params.items()
    ]
    if fit.optimum is not None and "a" not in fit.params:
        spread = fit.optimum.intervals
        found.append(_table_row("a", fit.optimum.a, spread["a"], "N* grows as C^a", fit))
        found.append(_table_row("b", fit.optimum.b, spread["b"], "D* grows as C^b", fit))
    return found


def _table_row(name: str, value: float, spread: tuple[float, float], unit: str, fit: Fit) -> Row:
    held = fit.held.get(name)
    if held is None:
        return name, f"{value:.5g}", between(spread, lambda end: f"{end:.4g}"), unit
    return name, f"{value:.5g}", f"as {held}" if isinstance(held, str) else "held", unit


def heading(fit: Fit) -> str:
    """Law and source of the points; then its form and where it comes from."""
    said = f"{fit.law}, {len(fit.points)} points of {fit.points.source}"
    return said if fit.form is None else f"{said}\n{formula(fit.form)}"


def footing(fit: Fit) -> list[str]:
    """Optimum, objective and verdict, a line each."""
    said = []
    if fit.optimum is not None:
        said = [budget(fit.optimum.at(times * fit.optimum.largest), times) for times in fit.extrapolate]
    first, *rest = fit.verdict
    return [
        *said,
        f"objective: {_objective_text(fit.objective)}; {starts(fit)}",
        f"verdict: {first}",
        *(f"         {one}" for one in rest),
    ]


def _objective_text(of: dict[str, Any]) -> str:
    """Name, what it was set to, value; of two steps, both."""
    more = {name: value for name, value in of.items() if name not in ("name", "value", "second")}
    said = ", ".join([of["name"], *(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in more.items())])
    second = f"; second step: {_objective_text(of['second'])}" if "second" in of else ""
    return f"{said}, value {of['value']:.7g}{second}"


def as_text(fit: Fit) -> str:
    """Plain text, a line a parameter."""
    lines = [f"  {line}" for line in aligned(table_rows(fit)).split("\n")]
    return "\n".join([heading(fit), *lines, *footing(fit)])


def as_html(fit: Fit) -> str:
    """The same as a table."""
    head, *form = heading(fit).split("\n")
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in row) + "</tr>"
        for row in table_rows(fit)
    )
    top = "".join(
        f'<th style="text-align:left">{escape(cell)}</th>'
        for cell in ("parameter", "value", f"{fit.level:.0%} interval", "")
    )
    said = "".join(f"<div>{escape(line)}</div>" for line in (*form, *footing(fit)))
    return f"<div><b>{escape(head)}</b><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{said}</div>"
