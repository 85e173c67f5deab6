"""Fits a law to a source: reads the points, and fits a parametric law, one of Hoffmann's approaches, or two steps."""

from __future__ import annotations

from typing import Any

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting import approaches, two_step
from analysis.fitting.options import FitOptions
from analysis.fitting.parametric import fit_law
from analysis.fitting.result import Fit

ONE_LAW = ("fix", "tie", "start", "undertuned", "weights", "intervals")  # options of a single parametric law


def fit(
    source: Any,
    law: str | laws.Law = "chinchilla",
    options: FitOptions = FitOptions(),
    reading: ReadOptions = ReadOptions(),
) -> Fit:
    """Fits a scaling law to runs.

    Args:
        source: A store's folder or a table's file, a DataFrame, arrays by letter ({"N": ..., "D": ..., "L": ...}),
            or `Points`.
        law: A name in `analysis.laws.NAMES`, "FILE.py:FUNCTION", or a `Law`.
        options: How the law is fitted and its uncertainty estimated, `FitOptions(objective="mse", bootstrap=200)`.
        reading: How the source is read, `ReadOptions(where="C<1e21")`; not for `Points`.

    Returns:
        The fit: parameters, intervals, the compute-optimal training where the law has one, and a verdict.

    Raises:
        FitError: The law cannot be fitted to these points.
        DataError: The source cannot be read, or an option does not apply to the law.
    """
    name = law if isinstance(law, str) else law.function.__name__
    if isinstance(source, Points) and reading != ReadOptions():
        raise FitError(f"{source.source}: these points are read already: give the options to load")
    if name == "two-step":
        _refuse(name, options, ONE_LAW)
        loss_points, accuracy_points, notes = two_step.read_steps(source, reading)
        return two_step.fit_two_step(loss_points, accuracy_points, options, notes)
    if name in laws.APPROACHES:
        _refuse(name, options, ONE_LAW)
        return approaches.fit_approach(_points(source, None, name, reading), name, options)
    form = law if isinstance(law, laws.Law) else laws.find(law)
    return fit_law(_points(source, form, name, reading), name, form, options)


def _points(source: Any, law: laws.Law | None, name: str, reading: ReadOptions) -> Points:
    if reading.run_columns:
        raise DataError(
            f"runs {','.join(reading.run_columns)}: {name} takes one row per run; two-step takes checkpoints"
        )
    return source if isinstance(source, Points) else load(source, law, reading, curves=name == "chinchilla-1")


def _refuse(name: str, options: FitOptions, fields: tuple[str, ...]) -> None:
    """Raises DataError for options that do not apply to a law."""
    changed = [field for field in fields if field in options.changed()]
    if name in laws.APPROACHES and options.resampling not in ("auto", "residuals"):
        changed.append("resampling")
    if changed:
        raise DataError(
            f"{', '.join(changed)}: {name} takes none of these: they apply to a single law, such as chinchilla"
        )
