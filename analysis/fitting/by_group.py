"""Fits of one law to each group of runs, such as each corpus, side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit, footing, table_rows
from analysis.format import aligned, join_names

MAX_GROUPS = 30


@dataclass(frozen=True)
class GroupFits:
    """Fits of the groups of a column.

    Attributes:
        column: Column whose values are the groups.
        fits: Fit of each group.
        errors: Message for each group that cannot be fitted.
    """

    column: str
    fits: dict[str, Fit]
    errors: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Returns the results in types of JSON, as written by `fit --by --json`."""
        return self.combine({group: result.to_json() for group, result in self.fits.items()})

    def combine(self, results: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Returns the JSON of results by group, with an "error" for each group without a fit."""
        errors = {group: {"error": message} for group, message in self.errors.items()}
        return {"by": self.column, "groups": {**results, **errors}}

    def __repr__(self) -> str:
        return "\n".join([self.table(), *self.verdict_lines()])

    def table(self) -> str:
        """Returns a table with a column per group: number of points, then parameters with intervals."""
        columns = [
            [(row[0], f"{row[1]} {row[2]}".strip()) for row in table_rows(result)] for result in self.fits.values()
        ]
        rows = [(self.column, *self.fits), ("points", *(str(len(result.points)) for result in self.fits.values()))]
        for cells in zip(*columns, strict=True):
            rows.append((cells[0][0], *(value for _, value in cells)))
        return aligned(rows)

    def verdict_lines(self) -> list[str]:
        """Returns the optima, objective and verdict of each group, and the errors."""
        lines = []
        for group, result in self.fits.items():
            lines += [f"{self.column} {group}:", *(f"  {line}" for line in footing(result))]
        return lines + [f"{self.column} {group}: {message}" for group, message in self.errors.items()]


def fit_by(
    source: Any,
    column: str,
    law: str | laws.Law = "chinchilla",
    options: FitOptions = FitOptions(),
    reading: ReadOptions = ReadOptions(),
) -> GroupFits:
    """Fits a law to each group of runs.

    Args:
        source: As in `fit`. Points must have the column in `labels`, or their groups as "group".
        column: Column of the source whose values are the groups.
        law: As in `fit`.
        options: As in `fit`.
        reading: As in `fit`; `column` replaces the column of groups.

    Raises:
        DataError: The source cannot be read, or has no such column or too many values in it.
        FitError: No group can be fitted; a single one that cannot be is in `errors`.
    """
    points = source if isinstance(source, Points) else _load(source, column, law, reading)
    labels = points.labels.get(column, points.groups)
    if labels is None:
        raise DataError(
            f"by {column}: {points.source} has no such labels: it has {join_names(points.labels) or 'none'}"
        )
    names = sorted(set(labels))
    if len(names) > MAX_GROUPS:
        raise DataError(f"by {column}: has {len(names)} values; at most {MAX_GROUPS} groups are fitted side by side")
    fits, errors = {}, {}
    for name in names:
        group = select_group(points, np.array(labels) == name)
        try:
            fits[name] = fit(group, law, options)
        except FitError as error:
            errors[name] = str(error)
    if not fits:
        first, message = next(iter(errors.items()))
        raise FitError(f"by {column}: no group can be fitted; {first}: {message}")
    return GroupFits(column, fits, errors)


def select_group(points: Points, is_group: np.ndarray) -> Points:
    """Returns the points of a group (mask (n,)) with their training curves, without labels.

    Args:
        points: All points.
        is_group: Mask of the points of the group.
    """
    group = replace(points.select(is_group), groups=None, labels={})
    if group.curves is None:
        return group
    names = {*group.names, *(group.runs or ())}
    return replace(group, curves=tuple(curve for curve in group.curves if curve.name in names))


def _load(source: Any, column: str, law: str | laws.Law, reading: ReadOptions) -> Points:
    name = laws.law_name(law)
    form = None if name in laws.APPROACHES else laws.find(law)
    if reading.columns.get("group", column) != column:
        raise DataError(f"by {column}: and --columns group={reading.columns['group']}: give one of them")
    reading = replace(reading, columns={**reading.columns, "group": column})
    return load(source, form, reading, curves=name == "chinchilla-1")
