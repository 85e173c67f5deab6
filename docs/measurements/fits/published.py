"""Fits of published data sets: the authors' figures, the fit by their procedure, and the fit by default.

The figures and procedures are those of `python -m analysis problems` (analysis/studies/published), which the tests hold
to the digits.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from analysis.studies.published.outcomes import Comparison, Estimate
from analysis.studies.published.problems import PROBLEMS, run_problem
from docs.measurements.results import Cell, Column, Results, Table, Value
from docs.measurements.session import Session
from tests.support.commands import PUBLISHED


def measure(session: Session) -> Results:
    """Fits every data set by both procedures."""
    began, clock = datetime.now(UTC), time.monotonic()
    outcomes = [run_problem(name, PUBLISHED) for name in PROBLEMS]
    session.log("python -m docs.measurements published-fits", began, time.monotonic() - clock)
    columns = [
        Column("data set"),
        Column("quantity"),
        Column("authors", ".6g"),
        Column("their procedure, here", ".6g"),
        Column("default fit, here [95% interval]", ".4g"),
    ]
    rows = [row(comparison) for outcome in outcomes for comparison in outcome.comparisons]
    fits = {name: result for outcome in outcomes for name, result in outcome.fits.items()}
    lines = [[name, len(result.points), "; ".join(result.verdict)] for name, result in fits.items()]
    return Results(
        {
            "main": Table(columns, rows),
            "verdicts": Table([Column("default fit"), Column("points", ","), Column("verdict")], lines),
        },
        {"figures": Value(len(rows)), "data_sets": Value(len(PROBLEMS))},
    )


def row(comparison: Comparison) -> list[Cell]:
    """Returns the row of a comparison."""
    values = (comparison.procedure, comparison.default)
    return [comparison.data, comparison.quantity, comparison.authors, *map(_cell, values)]


def _cell(value: Estimate | None) -> Cell:
    return list(value) if isinstance(value, tuple) else value
