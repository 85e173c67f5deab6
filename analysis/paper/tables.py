"""Tables of a paper, as tables of the report have them: runs, parameters, laws, optima, budgets and influence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analysis import format
from analysis.data.points import Points
from analysis.figures.source import Source
from analysis.fitting.result import Fit
from analysis.format import MISSING, short_loss_unit
from analysis.paper.forecasts import forecast_table
from analysis.paper.latex import Symbol
from analysis.report import sentences
from analysis.report.findings import Findings
from analysis.report.html import Table
from analysis.report.law import describe_refits
from analysis.report.optimum import describe_optimum
from analysis.studies.forecast.scores import Outcome

MAX_RUNS = 30  # largest number of runs that are listed one by one
BINS_PER_DECADE = 2  # rows per factor of ten in compute, of a table of more runs
MAX_CODES = 3  # codes of a verdict that a cell lists

CAPTIONS = {  # by name of the table, in the order of the sample; {level} is the coverage of the intervals
    "runs": "The fitted runs. N: parameters; D: training tokens; C: training FLOPs.",
    "parameters": "Parameters of the fitted laws with {level} intervals.",
    "laws": "The fitted laws: runs, exponents of N* and D* in compute with {level} intervals, and verdict.",
    "optima": (
        "Compute-optimal training at multiples of the largest budget by Hoffmann's three approaches, with {level} "
        "intervals of the laws. N*: parameters; D*: training tokens."
    ),
    "budgets": "Minimum of each budget in approach 2, with {level} intervals.",
    "influence": (
        "Parameters of the law fitted without each part of the runs. p: probability of at least this deviation of the "
        "omitted runs from the law by chance."
    ),
    "forecasts": (
        "Forecasts that were sealed before the runs were trained. Beyond: FLOPs relative to the largest run before; "
        "CRPS: continuous ranked probability score; PIT: probability that the forecast gave to smaller losses."
    ),
}


def all_tables(findings: Findings, outcomes: Sequence[Outcome] = ()) -> dict[str, Table]:
    """Returns the tables that the source allows, by their names in CAPTIONS.

    Args:
        findings: The fits.
        outcomes: Sealed forecasts of the store with their outcomes.
    """
    source, fits = findings.source, list(findings.fits.values())
    section = describe_optimum(findings)
    tables = {
        "runs": describe_points(source),
        "parameters": parameters(fits),
        "laws": compare_laws(fits),
        "optima": _narrow(section.predictions),
        "budgets": section.budgets if "chinchilla-2" in findings.fits else None,
        "influence": describe_refits(findings.fits.get("chinchilla")),
        "forecasts": forecast_table(outcomes),
    }
    return {name: table for name, table in tables.items() if table is not None}


def describe_points(source: Source) -> Table:
    """Returns the runs that were fitted: one by one, or the ranges of those of similar compute if they are many."""
    points = source.points
    if len(points) > MAX_RUNS and np.isfinite(points.C).all():
        return _point_ranges(points)
    ordered = points.select(np.lexsort((points.N, points.C)))
    names = [name[: sentences.SHORT_ID] if source.store is not None else name for name in ordered.names]
    rows = [
        (name, format.count(N), format.count(D), format.flops(C), _loss(L))
        for name, N, D, C, L in zip(names, ordered.N, ordered.D, ordered.C, ordered.L, strict=True)
    ]
    return Table(("run", "N", "D", "C", f"loss ({short_loss_unit(points.loss_unit)})"), "tnnnn", rows[:MAX_RUNS])


def _narrow(table: Table | None) -> Table | None:
    """The table of optima of the report with short heads, for the width of a page."""
    if table is None:
        return None
    rows = [(cells[0].removesuffix(" FLOPs"), *cells[1:]) for cells in table.rows]
    return Table(("FLOPs", "approach", "N*", "D*", "D*/N*", table.head[-1]), table.kinds, rows)


def _point_ranges(points: Points) -> Table:
    """Ranges of N, D and the loss of the runs in each part of a decade of compute."""
    part_n = np.floor(np.log10(points.C) * BINS_PER_DECADE).astype(int)
    rows = []
    for part in np.unique(part_n):
        chosen = points.select(part_n == part)
        numbers = (_range(chosen.C, format.flops), str(len(chosen)), _range(chosen.N, format.count))
        losses = f"{_loss(chosen.L.min())} to {_loss(chosen.L.max())}" if len(chosen) > 1 else _loss(chosen.L[0])
        rows.append((*numbers, _range(chosen.D, format.count), losses))
    head = ("C", "runs", "N", "D", f"loss ({short_loss_unit(points.loss_unit)})")
    return Table(head, "wnwww", rows)


def _range(values: np.ndarray, formatter: format.Formatter) -> str:
    low, high = formatter(float(values.min())), formatter(float(values.max()))
    return low if low == high else f"{low} to {high}"


def _loss(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else MISSING


def parameters(fits: list[Fit]) -> Table:
    """Returns the parameters of each law with interval and unit; the name of the law is in its first row."""
    rows = [row for fit in fits for row in _parameter_rows(fit)]
    return Table(("law", "parameter", "value", "interval", "unit"), "wtwww", rows)


def _parameter_rows(fit: Fit) -> Iterator[tuple[str, ...]]:
    units = fit.form.units if fit.form else {}
    label = fit.law
    for name, value in fit.params.items():
        constraint, interval = fit.constraints.get(name), fit.intervals.get(name)
        text = format.interval_text(interval)
        if constraint is not None:
            text = f"= {constraint}" if isinstance(constraint, str) else "fixed"
        yield label, Symbol(name), format.number(value, interval), text, units.get(name, "")
        label = ""


def compare_laws(fits: list[Fit]) -> Table:
    """Returns one row per law: runs, objective, exponents of compute-optimal training, and warnings of the verdict."""
    rows = [(fit.law, str(len(fit.points)), *_exponents(fit), _codes(fit)) for fit in fits]
    return Table(("law", "runs", "exponent of N*", "exponent of D*", "verdict"), "wnwwt", rows)


def _exponents(fit: Fit) -> tuple[str, str]:
    if fit.optimum is None:
        return MISSING, MISSING
    intervals = fit.optimum.intervals
    return format.estimate(fit.optimum.a, intervals["a"]), format.estimate(fit.optimum.b, intervals["b"])


def _codes(fit: Fit) -> str:
    codes = list(dict.fromkeys(line.partition(":")[0] for line in fit.verdict))
    return format.join_names(codes, MAX_CODES)
