"""Runs of one set of inputs: the best of several hyper-parameters, and the mean of several seeds.

Key: n rows.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.data.points import Points, combination_codes
from analysis.data.rows.factors import Factors, table_factors
from analysis.errors import DataError
from analysis.format import join_names, plural
from analysis.laws.law import Law

REPLICATES = ("auto", "best", "mean", "seeds", "all")
RECIPE_OUTPUTS = ("lr", "B")  # outputs of laws of optimal hyper-parameters: those with the lowest loss
SAME_INPUT = 5e-3  # tokens are rounded to whole batches: relative difference up to which inputs are the same


@dataclass(frozen=True)
class Selection:
    """Rows that are fitted.

    Attributes:
        sets: Rows of each point; several rows are averaged. None: each row is a point.
        notes: Notes on the selection.
    """

    sets: list[np.ndarray] | None
    notes: tuple[str, ...] = ()


def combine_replicates(
    points: Points, frame: pd.DataFrame, used: Iterable[str], law: Law | None, choice: str
) -> Points:
    """Combines rows of one set of inputs, with notes on what they differ in.

    Args:
        points: One row per run (n,).
        frame: The same rows of the table (n,).
        used: Columns that are read as numbers, names or groups of the points.
        law: Law that is fitted; None stands for laws of the loss in N, D and C.
        choice: One of REPLICATES. "auto" takes, of each set of inputs, the hyper-parameters with the lowest loss (mean
            over their seeds), and averages its seeds; "seeds" does not average. "best" takes the lowest loss, whatever
            rows differ in; seeds are averaged first. "mean" averages all rows. "all" changes nothing. Rows of
            different groups, and with "auto" and "seeds" rows that differ in other columns such as a corpus, are never
            combined. "auto" and "seeds" combine rows for laws of a loss, and of the hyper-parameters of lowest loss.

    Raises:
        DataError: Rows are to be compared by their loss, which is not known.
    """
    selection = select_replicates(points, frame, used, law, choice)
    combined = points if selection.sets is None else average_rows(points, selection.sets)
    return replace(combined, notes=(*combined.notes, *selection.notes))


def select_replicates(
    points: Points, frame: pd.DataFrame, used: Iterable[str], law: Law | None, choice: str
) -> Selection:
    """Returns the rows of each point.

    Args:
        points: As in `combine_replicates`, and so are the others.
        frame: The same rows of the table.
        used: Columns that are not factors.
        law: Law that is fitted.
        choice: One of REPLICATES.
    """
    everything = Selection(None)
    letters = input_letters(points, law)
    if choice == "all" or not letters:
        return everything
    apart = [points.groups] if points.groups else []
    apart += [] if points.epochs is None else [np.nan_to_num(points.epochs)]  # repeated data are another input
    exact_n = combination_codes([*(points[letter] for letter in letters), *apart])
    near_n = combination_codes([*(_rounded(points[letter]) for letter in letters), *apart])
    repeated = np.flatnonzero(np.bincount(near_n)[near_n] > 1)
    if not len(repeated):
        return everything
    factors = table_factors(frame.iloc[repeated], frozenset(used))
    set_n = exact_n.copy()
    set_n[repeated] = _merge_near(exact_n[repeated], near_n[repeated], factors)
    rows = repeated[np.bincount(set_n)[set_n[repeated]] > 1]
    if not len(rows):
        return everything
    inside = np.isin(repeated, rows)
    chooser = _Chooser(points.select(rows), letters, set_n[rows], factors.select(inside), law, choice)
    chosen, notes = chooser.choose()
    sets = [*([row] for row in np.setdiff1d(np.arange(len(points)), rows)), *(rows[part] for part in chosen)]
    return Selection([np.asarray(part) for part in sorted(sets, key=min)], notes)


def average_rows(points: Points, sets: list[np.ndarray]) -> Points:
    """Averages the rows of each set; the weight of a mean is the sum of the weights, 1 for each row by default.

    Args:
        points: The rows.
        sets: Rows of each point.
    """
    first = points.select(np.array([rows[0] for rows in sets]))
    if all(len(rows) == 1 for rows in sets):
        return first
    weight_n = np.ones(len(points)) if points.weights is None else points.weights

    def average(x_n: np.ndarray) -> np.ndarray:
        return np.array([np.average(x_n[rows], weights=weight_n[rows]) for rows in sets])

    weights = np.array([weight_n[rows].sum() for rows in sets])
    N, D, C, L = (average(points[letter]) for letter in "NDCL")
    extra = {letter: average(values) for letter, values in points.extra.items()}
    return replace(first, N=N, D=D, C=C, L=L, extra=extra, weights=None if np.ptp(weights) == 0 else weights)


def input_letters(points: Points, law: Law | None) -> list[str]:
    """Returns the letters that are equal in rows of one set of inputs; none if the inputs are not known.

    Rows with equal compute alone are not of one set, because their sizes are not known.

    Args:
        points: The rows.
        law: Law that is fitted; None stands for laws of the loss in N and D.
    """
    known = [letter for letter in "ND" if np.isfinite(points[letter]).all()]
    needed = ("N", "D") if law is None else law.inputs
    if not len(points) or not all(np.isfinite(points[letter]).all() for letter in needed):
        return []
    if "C" in needed and len(known) < 2:
        return []
    return list(dict.fromkeys([*known, *(letter for letter in needed if letter != "C")]))


def _parts(part_n: np.ndarray) -> list[np.ndarray]:
    """Rows of each part, from the part of each row (n,)."""
    codes = pd.factorize(part_n)[0]
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])


def _rounded(x_n: np.ndarray) -> np.ndarray:
    """The first of each run of values (n,) within SAME_INPUT of it."""
    values, value_n = np.unique(x_n, return_inverse=True)
    first = values.copy()
    start, near = 0, np.flatnonzero(np.diff(values) <= SAME_INPUT * np.abs(values[:-1]))  # the others begin a run
    while (i := int(np.searchsorted(near, start))) < len(near):
        start = int(near[i])
        smallest = values[start]
        end = bisect.bisect_right(values, SAME_INPUT * abs(smallest), start, key=lambda value: value - smallest)
        first[start:end] = smallest
        start = end
    return np.asarray(first[value_n])


def _merge_near(exact_n: np.ndarray, near_n: np.ndarray, factors: Factors) -> np.ndarray:
    """Sets (n,) of rows: of nearly equal inputs if all of them differ in hyper-parameters or seeds, else exact."""
    varied = [*factors.hyperparameters.values(), *factors.seeds.values()]
    set_n = exact_n.copy()
    if not varied:
        return set_n
    settings_n = combination_codes([*varied, *factors.others.values()])
    for rows in _parts(near_n):
        if len(np.unique(settings_n[rows])) == len(rows):
            set_n[rows] = exact_n[rows[0]]
    return set_n


def _varying(columns: Mapping[str, np.ndarray], part_n: np.ndarray) -> dict[str, np.ndarray]:
    """Columns with several values within a part."""
    parts = len(np.unique(part_n))
    return {name: code_n for name, code_n in columns.items() if combination_codes([part_n, code_n]).max() + 1 > parts}


@dataclass(frozen=True)
class _Chooser:
    """Choice among rows that share their inputs with others: points and set of each row (n,)."""

    points: Points
    letters: list[str]
    set_n: np.ndarray
    factors: Factors
    law: Law | None
    choice: str

    def choose(self) -> tuple[list[np.ndarray], tuple[str, ...]]:
        """Rows of each point, and notes."""
        n = len(self.set_n)
        shared = f"{plural(n, 'row')} share {' and '.join(self.letters)} with others"
        output = "L" if self.law is None else self.law.output
        has_loss = bool(np.isfinite(self.points.L).all())
        is_recipe = output in RECIPE_OUTPUTS and has_loss
        if self.choice in ("auto", "seeds") and output != "L" and not is_recipe:
            return [np.array([row]) for row in range(n)], ()
        if self.choice == "mean":
            return _parts(self.set_n), (f"{shared}: averaged, weighted by their number",)
        if self.choice == "best" and not has_loss:
            raise DataError(f"replicates best: {self.points.source} has no loss to compare rows by")
        others = _varying(self.factors.others, self.set_n)
        compared = {**self.factors.hyperparameters, **(others if self.choice == "best" else {})}
        if is_recipe:
            compared[output] = np.unique(self.points[output], return_inverse=True)[1]
        part_n = self.set_n if self.choice == "best" else combination_codes([self.set_n, *others.values()])
        varied = _varying(compared, part_n)
        best = [self._best_setting(rows, varied) for rows in _parts(part_n)]
        notes = self._note_best(part_n, varied, best) if varied else []
        seeds = _varying(self.factors.seeds, part_n)
        chosen = [self._without_replicates(rows, seeds) for rows in best]
        means = [rows for sets in chosen for rows in sets if len(rows) > 1]
        if means:
            rows_text = f"{plural(sum(map(len, means)), 'row')} that differ only in {join_names(seeds)}"
            notes.append(f"{rows_text} are averaged: {plural(len(means), 'point')}, weighted by the number of rows")
        if self.choice == "best" and not notes:
            notes.append(f"{shared}: the lowest loss of each set is used")
        notes += self._note_others(others if self.choice != "best" else {}, part_n, {**varied, **seeds})
        return [rows for sets in chosen for rows in sets], tuple(notes)

    def _best_setting(self, rows: np.ndarray, varied: Mapping[str, np.ndarray]) -> np.ndarray:
        """Rows of the hyper-parameters with the lowest mean loss."""
        if not varied:
            return rows
        settings = combination_codes([codes[rows] for codes in varied.values()])
        losses = np.bincount(settings, self.points.L[rows]) / np.bincount(settings)
        return rows[settings == np.argmin(losses)]

    def _without_replicates(self, rows: np.ndarray, seeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Sets of rows that become one point each."""
        differ_in_seed = any(np.ptp(codes[rows]) > 0 for codes in seeds.values())
        if self.choice in ("auto", "best") and differ_in_seed:
            return [rows]
        if self.choice == "best":
            return [rows[[np.argmin(self.points.L[rows])]]]
        return [np.array([row]) for row in rows]

    def _note_best(self, part_n: np.ndarray, varied: Mapping[str, np.ndarray], best: list[np.ndarray]) -> list[str]:
        """Notes the columns that are minimised over, and the sets whose best value is at the edge of its grid."""
        parts = [rows for rows in _parts(part_n) if any(np.ptp(codes[rows]) > 0 for codes in varied.values())]
        n = sum(len(rows) for rows in parts)
        inputs = " and ".join(self.letters)
        note = (
            f"{plural(n, 'row')} are {plural(len(parts), 'set')} of the same {inputs} that differ in "
            f"{join_names(varied)}: the lowest loss of each set is used (--replicates best, mean or all)"
        )
        edges = []
        for name, codes in varied.items():
            sizes = [(rows, chosen) for rows, chosen in zip(_parts(part_n), best, strict=True)]
            wide = [(codes[rows], codes[chosen[0]]) for rows, chosen in sizes if len(np.unique(codes[rows])) > 2]
            at_edge = sum(value in (values.min(), values.max()) for values, value in wide)
            if at_edge:
                edges.append(f"the best {name} is the smallest or largest in {at_edge} of {plural(len(wide), 'set')}")
        return [note + "".join(f"; {edge}" for edge in edges)]

    def _note_others(
        self, others: Mapping[str, np.ndarray], part_n: np.ndarray, varied: Mapping[str, np.ndarray]
    ) -> list[str]:
        """Notes rows of the same inputs that are all fitted."""
        notes = []
        if others:
            notes.append(
                f"rows of the same {' and '.join(self.letters)} differ in {join_names(others)}: all are fitted as one "
                f"group (--by {next(iter(others))} fits each, --replicates best takes the lowest loss)"
            )
        equal = [rows for rows in _parts(part_n) if not any(np.ptp(codes[rows]) > 0 for codes in varied.values())]
        unnamed = sum(len(rows) for rows in equal if len(np.unique(self.points.L[rows])) > 1)
        if unnamed and self.choice in ("auto", "seeds"):
            notes.append(
                f"{plural(unnamed, 'row')} share {' and '.join(self.letters)} with others and differ in no other "
                "column: all are fitted (--replicates best or mean)"
            )
        return notes
