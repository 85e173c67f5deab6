"""Result of a fit: parameters, intervals, compute-optimal training and a verdict; as numbers, text and HTML.

Key: N parameters, D tokens, C FLOPs, L nats per token; B bootstrap samples, n points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from analysis.data.points import Points
from analysis.errors import FitError
from analysis.format import aligned, count, estimate, interval_text, json_ready, three_digits
from analysis.laws.law import Law, formula
from analysis.uncertainty.influence import Refit
from analysis.uncertainty.intervals import corrected_interval, percentile_band
from analysis.uncertainty.profile import Profile
from analysis.uncertainty.verdicts import warning

Row = tuple[str, str, str, str]  # name, value, interval, unit
ROUNDING = 1.001  # tolerance of the range of inputs, so that its ends are not extrapolations


@dataclass(frozen=True)
class Optimum:
    """Compute-optimal training: N* = e^ln_n·C^a, D* = e^ln_d·C^b.

    Attributes:
        path: ln_n, a, ln_d and b, each (1 + B,) with the estimate first.
        level: Coverage of the intervals.
        largest: The largest C of the points.
        loss: Function that returns L of N and D, each (1 + B,); None without a law of the loss.
        extrapolation_ratio: Multiple of `largest` beyond which a budget counts as extrapolation.
        profiled: Intervals of a and b by profile likelihood, if computed.
    """

    path: dict[str, np.ndarray]
    level: float
    largest: float
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    extrapolation_ratio: float = 1.0
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
        """Intervals of a and b."""
        return {name: corrected_interval(self.path[name], self.level) for name in ("a", "b")} | self.profiled

    def at(self, C: float) -> dict[str, Any]:
        """Returns N, D and, if the law has a loss, L at budget C, with intervals and a verdict."""
        with np.errstate(over="ignore"):
            N = np.exp(self.path["ln_n"] + self.path["a"] * np.log(C))
            D = np.exp(self.path["ln_d"] + self.path["b"] * np.log(C))
        values = {"N": N, "D": D, "tokens_per_parameter": D / N}
        if self.loss is not None:
            values["L"] = self.loss(N, D)
        ratio = C / self.largest
        extrapolated = ratio > self.extrapolation_ratio * ROUNDING
        return {
            "C": float(C),
            **{name: float(value[0]) for name, value in values.items()},
            "intervals": {name: corrected_interval(value, self.level) for name, value in values.items()},
            "verdict": [warning("extrapolation", f"{ratio:.3g} times the largest budget")] if extrapolated else [],
        }


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    Attributes:
        law: Name of the law.
        points: Fitted points.
        params: Estimates of the parameters, including fixed and tied parameters.
        intervals: Intervals of the parameters.
        level: Coverage of the intervals.
        objective: Name, value and settings of the objective.
        starts: Number of starts "tried", and number that "agreed" on the optimum.
        verdict: Warnings, or ("converged",) if there are none (analysis/uncertainty/verdicts.py).
        samples: Bootstrap samples of the parameters (B,).
        optimum: Compute-optimal training; None if the law has no optimum.
        notes: Notes on the selection of points and the fit.
        budget_multiples: Budgets of reported optima, relative to the largest C.
        form: The law; None for approaches 1 and 2, which only estimate exponents.
        constraints: Value of each fixed parameter, and name of the parameter that each tied parameter equals.
        bounds: Lower and upper bound of each parameter that the options limit.
        resampling: Bootstrap scheme.
        refits: Fits without each part of the points.
        profiles: Profiles by quantity, for intervals by profile likelihood.
        extrapolation_ratio: Predictions beyond this multiple of the range of the points count as extrapolation.
    """

    law: str
    points: Points
    params: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    level: float
    objective: dict[str, Any]
    starts: dict[str, int]
    verdict: tuple[str, ...]
    samples: dict[str, np.ndarray]
    optimum: Optimum | None = None
    notes: tuple[str, ...] = ()
    budget_multiples: tuple[float, ...] = (10.0, 100.0)
    form: Law | None = None
    constraints: dict[str, float | str] = field(default_factory=dict)
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    resampling: str = "residuals"
    refits: tuple[Refit, ...] = ()
    profiles: dict[str, Profile] = field(default_factory=dict)
    extrapolation_ratio: float = 1.0

    def predict(self, **inputs: ArrayLike) -> np.ndarray:
        """Returns the output of the law at inputs (N=, D=, ...) of broadcastable shapes; other names are ignored."""
        return np.asarray(self._form().function(*self._arguments(inputs), **self.params))

    def predict_interval(self, **inputs: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Returns both ends of the interval of the output at inputs, without the noise of a single run."""
        return percentile_band(self.predict_samples(**inputs), self.level)

    def predict_samples(self, **inputs: ArrayLike) -> np.ndarray:
        """Returns the output at inputs for each bootstrap sample (B, ...)."""
        arrays = np.broadcast_arrays(*self._arguments(inputs))
        axes = (slice(None), *(None,) * arrays[0].ndim)
        params = {name: samples_B[axes] for name, samples_B in self.samples.items()}
        return np.asarray(self._form().function(*arrays, **params))

    def at(self, **inputs: float) -> dict[str, Any]:
        """Returns the output at scalar inputs with its interval and a verdict, in types of JSON."""
        form = self._form()
        unknown = [name for name in inputs if name not in form.inputs]
        if unknown:
            raise FitError(f"{self.law} takes {', '.join(form.inputs)}, not {', '.join(unknown)}")
        low, high = self.predict_interval(**inputs)
        warnings = []
        for name, value in inputs.items():
            smallest, largest = float(self.points[name].min()), float(self.points[name].max())
            ratio = value / largest if value > largest else smallest / value if 0 < value < smallest else 1.0
            if ratio > self.extrapolation_ratio * ROUNDING:
                sentence = f"{name} is {ratio:.3g} times beyond the points ({smallest:.3g} to {largest:.3g})"
                warnings.append(warning("extrapolation", sentence))
        prediction = {"value": float(self.predict(**inputs)), "interval": (float(low), float(high))}
        return {"inputs": dict(inputs), "output": form.output, **prediction, "verdict": warnings}

    def residuals(self) -> np.ndarray:
        """Returns ln(predicted / measured) of the points (n,), or the difference if outputs can be negative."""
        form = self._form()
        predicted = self.predict(**{letter: self.points[letter] for letter in form.inputs})
        measured = self.points[form.output]
        return predicted - measured if form.output in form.signed else np.log(predicted) - np.log(measured)

    def _form(self) -> Law:
        if self.form is None:
            raise FitError(
                f"{self.law} only estimates exponents of the optimum, not a loss: use chinchilla for predictions"
            )
        return self.form

    def _arguments(self, inputs: Mapping[str, ArrayLike | None]) -> list[np.ndarray]:
        letters = self._form().inputs
        missing = [letter for letter in letters if inputs.get(letter) is None]
        if missing:
            needed = ", ".join(f"{letter}=" for letter in missing)
            raise FitError(f"{self.law} takes {', '.join(letters)}: give {needed}")
        return [np.asarray(inputs[letter], np.float64) for letter in letters]

    def __repr__(self) -> str:
        rows = [f"  {line}" for line in aligned(table_rows(self)).split("\n")]
        return "\n".join([*heading(self), *rows, *footing(self)])

    def _repr_html_(self) -> str:
        from jinja2 import Environment  # here, because only notebooks need it

        template = Environment(autoescape=True).from_string(Path(__file__).with_name("fit.html.j2").read_text("utf-8"))
        titles = ("parameter", "value", f"{self.level:.0%} interval", "")
        return template.render(heading=heading(self), titles=titles, rows=table_rows(self), footing=footing(self))

    def to_json(self) -> dict[str, Any]:
        """Returns the result in types of JSON, as written by `fit --json`."""
        entries: dict[str, Any] = {
            "law": self.law,
            "points": len(self.points),
            "params": self.params,
            "intervals": self.intervals,
            "level": self.level,
            "objective": self.objective,
            "starts": self.starts,
            "verdict": self.verdict,
        }
        if self.constraints:
            entries["held"] = self.constraints
        if self.bounds:
            entries["bounds"] = self.bounds
        entries["bootstrap"] = {"kind": self.resampling, "draws": len(next(iter(self.samples.values())))}
        if self.refits:
            entries["left_out"] = [refit.to_json() for refit in self.refits]
        if self.profiles:
            entries["profile"] = {name: curve.to_json() for name, curve in self.profiles.items()}
        if self.optimum is not None:
            entries["optimum"] = {
                "a": self.optimum.a,
                "b": self.optimum.b,
                "intervals": self.optimum.intervals,
                "at": [self.optimum.at(multiple * self.optimum.largest) for multiple in self.budget_multiples],
            }
        entries["source"] = {"name": self.points.source, "convention": self.points.convention}
        entries["notes"] = [*self.points.notes, *self.notes]
        return json_ready(entries)


def heading(fit: Fit) -> list[str]:
    """Returns a line with the law and the source of the points, and a line with the formula of the law."""
    first = f"{fit.law}, {len(fit.points)} points of {fit.points.source}"
    return [first] if fit.form is None else [first, formula(fit.form)]


def table_rows(fit: Fit) -> list[Row]:
    """Returns the rows of the parameters, then of the exponents of the optimum if the law has an optimum."""
    units = fit.form.units if fit.form else {}
    rows = [
        _table_row(name, value, fit.intervals[name], units.get(name, ""), fit) for name, value in fit.params.items()
    ]
    if fit.optimum is not None and "a" not in fit.params:
        intervals = fit.optimum.intervals
        rows.append(_table_row("a", fit.optimum.a, intervals["a"], "N* grows as C^a", fit))
        rows.append(_table_row("b", fit.optimum.b, intervals["b"], "D* grows as C^b", fit))
    return rows


def footing(fit: Fit) -> list[str]:
    """Returns the lines after the parameters: optimum, objective and verdict."""
    optima = []
    if fit.optimum is not None:
        optima = [
            _optimum_text(fit.optimum.at(multiple * fit.optimum.largest), multiple) for multiple in fit.budget_multiples
        ]
    first, *others = fit.verdict
    return [
        *optima,
        f"objective: {_objective_text(fit.objective)}; {starts_text(fit)}",
        f"verdict: {first}",
        *(f"         {line}" for line in others),
    ]


def _table_row(name: str, value: float, interval: tuple[float, float], unit: str, fit: Fit) -> Row:
    constraint = fit.constraints.get(name)
    if name in fit.bounds:
        low, high = fit.bounds[name]
        unit = ", ".join(filter(None, (unit, f"bounds {low:.4g} to {high:.4g}")))
    if constraint is None:
        return name, f"{value:.5g}", interval_text(interval, lambda end: f"{end:.4g}"), unit
    return name, f"{value:.5g}", f"= {constraint}" if isinstance(constraint, str) else "fixed", unit


def _optimum_text(entry: dict[str, Any], multiple: float) -> str:
    """The optimum at a budget in one line."""
    intervals = entry["intervals"]
    parts = [f"{name} = {estimate(entry[name], intervals[name], count)}" for name in ("N", "D")]
    ratio = estimate(entry["tokens_per_parameter"], intervals["tokens_per_parameter"], three_digits)
    parts.append(f"{ratio} tokens per parameter")
    parts += [f"L = {estimate(entry['L'], intervals['L'])}"] if "L" in entry else []
    return f"at {multiple:g}× the largest budget, C = {entry['C']:.3g}: {', '.join(parts)}"


def starts_text(fit: Fit) -> str:
    """Describes the number of starts that reached the same optimum."""
    count = fit.starts.get("tried")
    return f"{fit.starts['agreed']} of {count} starts agree" if count else "computed directly, without a search"


def _objective_text(objective: dict[str, Any]) -> str:
    """Name, settings and value of the objective."""
    settings = {name: value for name, value in objective.items() if name not in ("name", "value")}
    texts = (f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in settings.items())
    return f"{', '.join([objective['name'], *texts])}, value {objective['value']:.7g}"
