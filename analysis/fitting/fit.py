"""Fits a law to a source: a parametric law, one of Hoffmann's approaches, or a two-step law."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting import two_step
from analysis.fitting.hoffmann import approaches
from analysis.fitting.options import FitOptions
from analysis.fitting.parametric import fit_law
from analysis.fitting.result import Fit

APPROACH_OPTIONS = {"frontier": "chinchilla-1", "weighting": "chinchilla-2", "minimum": "chinchilla-2"}
PARAMETRIC_OPTIONS = (
    "fix",
    "tie",
    "bounds",
    "start",
    "undertuned",
    "weights",
    "intervals",
)  # apply only to a parametric law


def fit(
    source: Any,
    law: str | laws.Law | Callable[..., Any] = "chinchilla",
    options: FitOptions = FitOptions(),
    reading: ReadOptions = ReadOptions(),
) -> Fit:
    """Fits a scaling law to runs.

    Args:
        source: Folder of a store, file of a table, a DataFrame, arrays by letter ({"N": ..., "D": ..., "L": ...}),
            or `Points`.
        law: A name in `analysis.laws.NAMES`; your own law, "FILE.py:FUNCTION" or "package.module:FUNCTION"; a `Law`;
            or a function of inputs and parameters, such as `law(N, D, *, E, A=(1, 100), alpha=0.3)`.
        options: Options of the fit and its uncertainty, such as `FitOptions(objective="mse", bootstrap=200)`.
        reading: Options of reading the source, such as `ReadOptions(where="C<1e21")`; not for `Points`.

    Returns:
        The fit: parameters, intervals, compute-optimal training if the law has an optimum, and a verdict.

    Raises:
        FitError: The law cannot be fitted to these points.
        DataError: The source cannot be read, or an option does not apply to the law.
    """
    name = laws.law_name(law)
    if isinstance(source, Points) and reading != ReadOptions():
        raise FitError(f"{source.source}: these points have already been read: pass the options to load")
    _refuse_others(name, options)
    if options.weights == "seeds":
        reading = reading.with_seeds()
    if name == "two-step":
        _refuse(name, options, PARAMETRIC_OPTIONS)
        loss_points, accuracy_points, notes = two_step.read_steps(source, reading)
        return two_step.fit_two_step(loss_points, accuracy_points, options, notes)
    if name in laws.APPROACHES:
        _refuse(name, options, PARAMETRIC_OPTIONS)
        return approaches.fit_approach(_points(source, None, name, reading), name, options)
    form = laws.find(law)
    return fit_law(_points(source, form, name, reading), name, form, options)


def _points(source: Any, law: laws.Law | None, name: str, reading: ReadOptions) -> Points:
    return source if isinstance(source, Points) else load(source, law, reading, curves=name == "chinchilla-1")


def _refuse_others(name: str, options: FitOptions) -> None:
    """Raises DataError for options of another approach."""
    others = {field: approach for field, approach in APPROACH_OPTIONS.items() if approach != name}
    changed = [field for field in others if field in options.changed()]
    if changed:
        allowed = ", ".join(dict.fromkeys(others[field] for field in changed))
        raise DataError(f"{', '.join(changed)}: options do not apply to {name}, only to {allowed}")


def _refuse(name: str, options: FitOptions, fields: tuple[str, ...]) -> None:
    """Raises DataError for options that do not apply to a law."""
    changed = [field for field in fields if field in options.changed()]
    if name in laws.APPROACHES and options.resampling not in ("auto", "residuals"):
        changed.append("resampling")
    if changed:
        raise DataError(
            f"{', '.join(changed)}: options do not apply to {name}, only to a parametric law such as chinchilla"
        )
