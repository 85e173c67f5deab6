"""A table as points: which columns, which rows, which units, and what is said about all of it.

Key: N parameters, D tokens, C training FLOPs, L loss in nats a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from analysis.data import columns as columns_of
from analysis.data import filter as language
from analysis.data import trackers, units
from analysis.data.columns import Choice
from analysis.data.points import Points, duplicates
from analysis.data.table import Table, count, listed, parse, shown, words
from analysis.errors import DataError
from analysis.laws.law import Law

NOT_COUNTS = ("L", "weight", "lr")
SAMPLE = 8  # names that a note lists


@dataclass(frozen=True)
class Wanted:
    """What a person asked for: see points.load."""

    law: Law | None = None
    columns: Mapping[str, str] | None = None
    units: Mapping[str, str] | None = None
    where: str | None = None
    drop_bad: bool = False
    flops: str | None = None
    params: str = "total"
    usual: dict[str, str] = field(default_factory=dict)  # columns that a store has for N, D, C and L


def points_of(table: Table, wanted: Wanted, convention: str | None = None) -> Points:
    """Points of a table's rows. Raises DataError (one line)."""
    law, params = wanted.law, wanted.params
    if wanted.flops not in (None, "6nd"):
        raise DataError(
            f"flops = {wanted.flops!r}: a file carries no counts by part: allowed is 6nd, or name a column as C"
        )
    if table.plot and not (law and set(law.inputs) <= {"S", "x"}):
        table = trackers.ended(table)
    letters = columns_of.letters_of(law)
    given = units.given(columns_of.lettered(wanted.units, law), letters)
    chosen = columns_of.choose(table, wanted.columns, params, law, wanted.usual)
    columns_of.sufficient(table, chosen.names, law)
    table = trackers.done(table)
    read = Reader(table, chosen, given, law, wanted.drop_bad)
    label = chosen.names.get("name")
    telling = label if label and len(set(words(table.frame[label]))) == len(table.frame) else None
    table = read.table = keep(table, wanted.where, chosen, read)
    if not len(table.frame):
        raise DataError(f"{table.name}: no rows to fit{': ' if table.notes else ''}{'; '.join(table.notes)}")
    have = read.all()
    table = read.table
    notes = [*chosen.notes, *table.notes, *read.notes]
    others = {k: have.pop(k) for k in columns_of.extra(law) if k in have}
    counted, said = columns_of.complete(have, chosen.names, wanted.flops, params, len(table.frame))
    notes += [] if convention else said
    for letter in "NDCL":
        if letter in have and letter not in given:
            notes += units.doubts(letter, have[letter])
    names, groups = _names(table, telling), _groups(table, chosen.names)
    notes += _uneven(have, names) if "C" in chosen.names else []
    points = Points(
        N=have["N"],
        D=have["D"],
        C=have["C"],
        L=have.get("L", np.full(len(table.frame), np.nan)),
        names=names,
        budgets=have.get("budget"),
        groups=groups,
        weights=have.get("weight"),
        source=table.name,
        notes=tuple(notes),
        convention=convention or counted,
        more=others,
    )
    twins = duplicates(points)
    return replace(points, notes=(*notes, f"duplicate rows, both kept: {listed(twins, 5)}")) if twins else points


@dataclass
class Reader:
    """Columns of a table as numbers in our units, with notes on how they were read."""

    table: Table
    chosen: Choice
    given: dict[str, units.Unit]
    law: Law | None
    drop_bad: bool = False
    notes: list[str] = field(default_factory=list)

    def numbers(self, letter: str, frame: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
        """Values behind a letter in those rows (n,), NaN where a cell is no number; what there is to say."""
        name = self.chosen.names[letter]
        said: list[str] = []
        if self.law and letter in self.law.labels:
            return pd.factorize(frame[name])[0] + 1.0, said
        counts = letter not in NOT_COUNTS and not (self.law and letter == self.law.output)
        found = parse(frame[name], counts, self.table.comma)
        if found.example:
            said.append(f"{letter}: cells such as {found.example}")
        unit, guess = self.given.get(letter), self.chosen.units.get(letter)
        if unit is None and guess:
            unit = units.unit(letter, guess)
            if not units.believed(letter, unit, found.values[~found.whole]):
                said.append(f"{letter} is not taken to be in {unit.name}, as column {name} says: too large")
                unit = None
            elif not found.whole.all() and unit != units.Unit(unit.name):
                said.append(f"{letter} taken to be in {unit.name}, as column {name} says")
        values = found.values if unit is None else np.where(found.whole, found.values, unit(found.values))
        return values, said

    def wrong(self, letter: str, values: np.ndarray) -> np.ndarray:
        """Cells (n,) that cannot be: not finite, or not greater than 0 where the letter is."""
        signed = bool(self.law) and letter in self.law.signed  # type: ignore[union-attr]
        return ~np.isfinite(values) | (False if signed else values <= 0)

    def all(self) -> dict[str, np.ndarray]:
        """Every letter's values; rows with bad cells are an error, or left out and named."""
        have: dict[str, np.ndarray] = {}
        bad: dict[str, np.ndarray] = {}
        order = [k for k in (*"NDCL", *columns_of.extra(self.law), "budget", "weight") if k in self.chosen.names]
        for letter in dict.fromkeys(order):
            values, said = self.numbers(letter, self.table.frame)
            wrong = self.wrong(letter, values)
            if wrong.any() and self._optional(letter):
                self.notes.append(f"{letter} not used after all: {self.cell(letter, wrong, values)}")
                continue
            if wrong.any() and not self.drop_bad:
                raise DataError(
                    f"{self.table.name}: {self.cell(letter, wrong, values)}; --drop-bad leaves such rows out"
                )
            have[letter], bad[letter] = values, wrong
            self.notes += said
        return self._drop(have, bad)

    def _drop(self, have: dict[str, np.ndarray], bad: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        out = np.logical_or.reduce(list(bad.values()))
        if not out.any():
            return have
        rows = []
        for at in np.flatnonzero(out)[: SAMPLE + 1]:
            index = self.table.frame.index[at]
            letter = next(k for k in bad if bad[k][at])
            name = self.chosen.names[letter]
            rows.append(f"{self.table.place(index)}: {name} = {shown(self.table.frame.at[index, name])}")
        more = f" and {out.sum() - SAMPLE} more" if out.sum() > SAMPLE else ""
        self.notes.append(f"{count(int(out.sum()), 'row')} left out: {', '.join(rows[:SAMPLE])}{more}")
        self.table = self.table.keep(~out)
        if not len(self.table.frame):
            raise DataError(f"{self.table.name}: no rows to fit: {self.notes[-1]}")
        return {letter: values[~out] for letter, values in have.items()}

    def cell(self, letter: str, wrong: np.ndarray, values: np.ndarray) -> str:
        """The first bad cell in words, and how many rows have one."""
        at, name = int(np.argmax(wrong)), self.chosen.names[letter]
        index = self.table.frame.index[at]
        cell = shown(self.table.frame.at[index, name])
        unit = self.given.get(letter)
        became = f" ({values[at]:g} from {unit.name})" if unit and np.isfinite(values[at]) else ""
        positive = not (self.law and letter in self.law.signed)
        allowed = f"finite numbers{' greater than 0' if positive else ''}"
        more = f" ({wrong.sum() - 1} more such rows)" if wrong.sum() > 1 else ""
        return f"{self.table.place(index)}, column {name}: {cell}{became}: allowed are {allowed}{more}"

    def _optional(self, letter: str) -> bool:
        """Whether a fit can do without a column that nobody named."""
        if letter in self.chosen.named:
            return False
        if letter in ("budget", "weight"):
            return True
        if self.law is None:
            return False
        needed = {*self.law.inputs, self.law.output}
        return letter not in (needed if needed <= set(self.chosen.names) else {*needed, "N", "D", "C"})


def keep(table: Table, where: str | None, chosen: Choice, read: Reader) -> Table:
    """Rows that `where` keeps, and a note that counts the others."""
    if where is None:
        return table
    frame, names = table.frame, chosen.names
    empty = np.zeros(len(frame), bool)

    def values(letter: str) -> np.ndarray:
        if letter not in names and letter not in frame.columns:
            if letter in ("C", "M") and "N" in names and "D" in names:
                return 6 * values("N") * values("D") if letter == "C" else values("D") / values("N")
            raise DataError(f"where {where!r}: no column {letter!r}: there are {listed([*names, *frame.columns])}")
        column = frame[names.get(letter, letter)]
        if column.dtype == bool:
            return column.to_numpy()
        text = np.array(words(column), object)
        lower = np.array([cell.lower() for cell in text], object)
        void = np.isin(lower, ["", "nan"])
        meant = letter in names and letter not in ("name", "group")
        number = read.numbers(letter, frame)[0] if meant else parse(column, False, table.comma).values
        other = ~void & np.isnan(number)
        if meant and other.any() and not read.drop_bad:
            raise DataError(f"{table.name}: {read.cell(letter, other, number)}")
        if meant or not other.any():
            empty[:] |= np.isnan(number)
            return number
        return lower == "true" if set(lower[~void]) <= {"true", "false"} else text

    kept = language.rows(where, values, len(frame))
    left = int((~kept).sum())
    because = f" ({int((empty & ~kept).sum())} of them for an empty cell)" if (empty & ~kept).any() else ""
    return table.keep(kept).say(f"{count(left, 'row')} left out by where {where!r}{because}") if left else table


def _names(table: Table, label: str | None) -> list[str]:
    """What each row is called, the same whichever rows are kept: labels that do not tell all apart cannot name one."""
    return [table.place(i) for i in table.frame.index] if label is None else words(table.frame[label])


def _groups(table: Table, chosen: Mapping[str, str]) -> list[str] | None:
    if "group" not in chosen:
        return None
    groups = words(table.frame[chosen["group"]])
    return groups if any(groups) else None


def _uneven(have: Mapping[str, np.ndarray], names: list[str]) -> list[str]:
    """Rows whose C is more than 3 times off what 6·N·D makes of the others."""
    with np.errstate(all="ignore"):
        ratio = have["C"] / (6 * have["N"] * have["D"])
    if not np.isfinite(ratio).all():
        return []
    off = np.abs(np.log(ratio / np.median(ratio))) > np.log(3)
    if not off.any():
        return []
    rows = listed([f"{names[i]} ({ratio[i]:.3g})" for i in np.flatnonzero(off)[: SAMPLE + 1]], SAMPLE)
    return [f"C is {np.median(ratio):.3g} times 6·N·D in most rows, and not within 3 times of that in {rows}"]
