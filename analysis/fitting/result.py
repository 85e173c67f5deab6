"""Result of a fit: parameters, intervals, compute-optimal training and a verdict; as numbers, text and HTML.

Key: N parameters, D tokens, C FLOPs, L nats per token; B bootstrap samples, n points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from analysis.data.points import Points
from analysis.errors import FitError
from analysis.fitting.optimum import ROUNDING, Optimum
from analysis.fitting.profiler import Profiler
from analysis.format import aligned, count, estimate, interval_text, json_ready, three_digits
from analysis.laws.law import Law, formula
from analysis.uncertainty.influence import Refit
from analysis.uncertainty.intervals import percentile_band
from analysis.uncertainty.new_run import new_run_interval
from analysis.uncertainty.posterior.posterior import Posterior
from analysis.uncertainty.profile import Profile
from analysis.uncertainty.verdicts import warning
from scaling.store.origin.paths import public_path

Row = tuple[str, str, str, str]  # name, value, interval, unit
POSTERIOR = "posterior"  # of `FitOptions.intervals`, and method of intervals that are quantiles of the posterior


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
        samples: Bootstrap samples, or draws from the posterior, of the parameters (B,).
        optimum: Compute-optimal training; None if the law has no optimum.
        notes: Notes on the selection of points and the fit.
        budget_multiples: Budgets of reported optima, relative to the largest C.
        form: The law; None for approaches 1 and 2, which only estimate exponents.
        constraints: Value of each fixed parameter, and name of the parameter that each tied parameter equals.
        bounds: Lower and upper bound of each parameter that the options limit.
        resampling: Bootstrap scheme, or POSTERIOR.
        refits: Fits without each part of the points.
        profiles: Profiles by quantity, for intervals by profile likelihood.
        extrapolation_ratio: Predictions beyond this multiple of the range of the points count as extrapolation.
        profiler: Intervals of predictions by profile likelihood, if these are used.
        scatter: Draws of the deviation of a new run from the law (B,): ln(measured / predicted), or the difference if
            outputs can be negative. None for approaches 1 and 2.
        posterior: The posterior, for its intervals.
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
    profiler: Profiler | None = None
    scatter: np.ndarray | None = None
    posterior: Posterior | None = None

    @property
    def interval_method(self) -> str:
        """Method of the intervals."""
        return interval_method(self.resampling, profiled=self.profiler is not None)

    def predict(self, **inputs: ArrayLike) -> np.ndarray:
        """Returns the output of the law at inputs (N=, D=, ...) of broadcastable shapes; other names are ignored."""
        with np.errstate(over="ignore"):  # an infinite output is the value of some laws far from the points
            return np.asarray(self._form().function(*self._arguments(inputs), **self.params))

    def predict_interval(self, **inputs: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Returns both ends of the interval of the output at inputs, without the noise of a single run."""
        return percentile_band(self.predict_samples(**inputs), self.level)

    def new_run_interval(self, **inputs: float) -> tuple[float, float] | None:
        """Returns the interval of a new run at scalar inputs: that of the law, with the scatter of single runs."""
        if self.scatter is None:
            return None
        form = self._form()
        profiled = None if self.profiler is None else self.profiler.prediction(inputs)
        return new_run_interval(
            float(self.predict(**inputs)),
            self.predict_samples(**inputs),
            self.scatter,
            self.level,
            profiled=profiled,
            signed=form.output in form.signed,
        )

    def predict_samples(self, **inputs: ArrayLike) -> np.ndarray:
        """Returns the output at inputs for each bootstrap sample (B, ...)."""
        arrays = np.broadcast_arrays(*self._arguments(inputs))
        axes = (slice(None), *(None,) * arrays[0].ndim)
        params = {name: samples_B[axes] for name, samples_B in self.samples.items()}
        with np.errstate(over="ignore"):
            return np.asarray(self._form().function(*arrays, **params))

    def at(self, **inputs: float) -> dict[str, Any]:
        """Returns the output at scalar inputs with its interval and a verdict, in types of JSON."""
        form = self._form()
        unknown = [name for name in inputs if name not in form.inputs]
        if unknown:
            raise FitError(f"{self.law} takes {', '.join(form.inputs)}, not {', '.join(unknown)}")
        low, high = self.predict_interval(**inputs) if self.profiler is None else self.profiler.prediction(inputs)
        warnings = []
        for name, value in inputs.items():
            smallest, largest = float(self.points[name].min()), float(self.points[name].max())
            ratio = value / largest if value > largest else smallest / value if 0 < value < smallest else 1.0
            if ratio > self.extrapolation_ratio * ROUNDING:
                sentence = f"{name} is {ratio:.3g} times beyond the points ({smallest:.3g} to {largest:.3g})"
                warnings.append(warning("extrapolation", sentence))
        prediction = {"value": float(self.predict(**inputs)), "interval": (float(low), float(high))}
        prediction |= {"interval_of": "law", "interval_method": self.interval_method}
        prediction |= {"new_run_interval": self.new_run_interval(**inputs)}
        return {
            "inputs": dict(inputs),
            "output": form.output,
            "unit": self._unit(form.output),
            **prediction,
            "verdict": warnings,
        }

    def residuals(self) -> np.ndarray:
        """Returns ln(predicted / measured) of the points (n,), or the difference if outputs can be negative."""
        form = self._form()
        predicted = self.predict(**{letter: self.points[letter] for letter in form.inputs})
        measured = self.points[form.output]
        return predicted - measured if form.output in form.signed else np.log(predicted) - np.log(measured)

    def _unit(self, letter: str) -> str:
        return self._form().units.get(letter, self.points.loss_unit if letter == "L" else "")

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
        titles = ("parameter", "value", interval_title(self), "")
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
        if self.form is None or "L" in (*self.form.inputs, self.form.output):
            entries["loss_unit"] = self.points.loss_unit
        if self.bounds:
            entries["bounds"] = self.bounds
        entries |= {"interval_of": "law", "interval_method": self.interval_method}
        if self.posterior is not None:
            entries["posterior"] = self.posterior.to_json()
        else:
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
        entries["source"] = {"name": public_path(self.points.source), "convention": self.points.convention}
        entries["notes"] = [*self.points.notes, *self.notes]
        return json_ready(entries)


def interval_method(resampling: str, *, profiled: bool = False) -> str:
    """Returns the method of intervals in words.

    Args:
        resampling: Bootstrap scheme, or POSTERIOR.
        profiled: Whether the intervals are by profile likelihood instead.
    """
    if resampling == POSTERIOR:
        return POSTERIOR
    return "profile likelihood" if profiled else f"bootstrap ({resampling})"


def interval_title(fit: Fit) -> str:
    """Returns the title of the column of intervals: their coverage and method."""
    return f"{fit.level:.0%} interval, {fit.interval_method}"


def heading(fit: Fit) -> list[str]:
    """Returns a line with the law and the source of the points, and a line with the formula of the law."""
    first = f"{fit.law}, {len(fit.points)} points of {public_path(fit.points.source)}"
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
            _optimum_text(fit.optimum.at(multiple * fit.optimum.largest), multiple, fit.points.loss_unit)
            for multiple in fit.budget_multiples
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


def _optimum_text(entry: dict[str, Any], multiple: float, loss_unit: str) -> str:
    """The optimum at a budget in one line."""
    intervals = entry["intervals"]
    parts = [f"{name} = {estimate(entry[name], intervals[name], count)}" for name in ("N", "D")]
    ratio = estimate(entry["tokens_per_parameter"], intervals["tokens_per_parameter"], three_digits)
    parts.append(f"{ratio} tokens per parameter")
    if "L" in entry:
        new_run = entry["new_run_intervals"].get("L")
        parts.append(f"L = {estimate(entry['L'], intervals['L'])} {loss_unit}")
        parts += [f"a new run {interval_text(new_run)}"] if new_run is not None else []
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
