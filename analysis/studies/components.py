"""Scores of models: read from a table with gaps, filled in, and turned into principal components.

Key: m models, s scores, K components, y the task's score (0 to 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.data import filter as language
from analysis.data import readers
from analysis.data.table import Table, listed, parse, shown
from analysis.errors import DataError

EMPTY = ("", "nan", "na", "n/a", "null", "none", "-")
ROUNDS = 1000  # of filling in; the code of Ruan 2024 has as many


@dataclass(frozen=True)
class Components:
    """Principal components of scores (K, s), about `mean` (s,); share of the scores' variance that each has (K,)."""

    mean: np.ndarray
    loadings: np.ndarray
    share: np.ndarray

    def of(self, scores: np.ndarray) -> np.ndarray:
        """Components (m, K) of scores (m, s)."""
        return np.asarray((scores - self.mean) @ self.loadings.T)


@dataclass(frozen=True)
class Models:
    """scores (m, s), NaN where missing; y (m,), NaN where not known; held (m,): to be predicted, not fitted to."""

    scores: np.ndarray
    y: np.ndarray
    held: np.ndarray
    names: list[str]
    source: str


def read(source: Any, scores: Sequence[str], target: str, holdout: str | None, full: float, name: str | None) -> Models:
    """Models of a table; the arguments are those of observational.fit."""
    if isinstance(source, str | Path) and not Path(source).is_file():
        raise DataError(f"{source}: not a file: an observational law is fitted to a table of models")
    table = readers.read(Path(source)) if isinstance(source, str | Path) else readers.from_memory(source)
    if len(set(scores)) < max(len(scores), 2):
        raise DataError(f"scores {', '.join(scores)}: two different columns at least")
    x = np.stack([_numbers(table, column) for column in scores], -1)
    y = _numbers(table, target) / full
    _shares(x, y, (*scores, target), full, table)
    return Models(x, y, ~np.isnan(y) & _held(table, holdout), _names(table, name), table.name)


def fill(train: np.ndarray, held: np.ndarray, components: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Scores (m, s) without gaps, by principal components of the standardised training scores (Ruan 2024, section 3.1).

    A gap begins at the mean and takes what the components say of it until nothing changes; held-out rows take the
    training rows' components. What is filled in lies between 0 and 1.
    """
    with np.errstate(invalid="ignore"):
        mean, spread = np.nanmean(train, 0), np.nanstd(train, 0)
    spread = np.where(spread > 0, spread, 1.0)
    fixed: Components | None = None
    out = []
    for rows in (train, held):
        gaps = np.isnan(rows)
        z = np.where(gaps, 0.0, (rows - mean) / spread)
        used = fixed
        for _ in range(ROUNDS if gaps.any() else 1):
            used = fixed or principal(z, components)
            new = np.where(gaps, used.mean + used.of(z) @ used.loadings, z)
            still = bool(np.abs(new - z).max(initial=0.0) < 1e-12)
            z = new
            if still:
                break
        fixed = used
        out.append(np.where(gaps, np.clip(z * spread + mean, 0.0, 1.0), rows))
    return out[0], out[1]


def principal(scores: np.ndarray, components: int) -> Components:
    """The first components of scores (m, s) about their mean; each points to where most scores rise."""
    mean = scores.mean(0)
    _, size, loadings = np.linalg.svd(scores - mean, full_matrices=False)
    loadings = loadings * np.where(loadings.sum(1) < 0, -1.0, 1.0)[:, None]
    total = max(float(np.sum(size**2)), 1e-300)
    return Components(mean, loadings[:components], size[:components] ** 2 / total)


def _numbers(table: Table, name: str) -> np.ndarray:
    """A column as float64 (m,), NaN where the cell is empty; DataError for what is no number."""
    if name not in table.frame.columns:
        raise DataError(f"{table.name}: no column {name!r}: it has {listed(table.frame.columns)}")
    column = table.frame[name]
    number = parse(column, counts=False, comma=table.comma).values
    void = column.isna() | column.astype("string").str.strip().str.lower().isin(EMPTY)
    bad = ~void.to_numpy(bool, na_value=True) & ~np.isfinite(number)
    if bad.any():
        at = int(np.argmax(bad))
        raise DataError(f"{table.name}: {table.place(at)}, column {name}: {shown(column[at])} is not a number")
    return number


def _shares(x: np.ndarray, y: np.ndarray, named: tuple[str, ...], full: float, table: Table) -> None:
    """DataError for a score beyond 0 to 1, or a model without any."""
    for name, values in zip(named, (*x.T, y), strict=True):
        beyond = (values < 0) | (values > 1)
        if beyond.any():
            at, task = int(np.argmax(beyond)), name == named[-1]
            how = f"full marks are {full:g}: say how many with --full" if task else "give shares of full marks"
            cell = values[at] * (full if task else 1)
            raise DataError(f"{table.name}: {table.place(at)}, column {name}: {cell:g} is not from 0 to 1 ({how})")
    empty = np.isnan(x).all(1) & ~np.isnan(y)
    if empty.any():
        raise DataError(f"{table.name}: {table.place(int(np.argmax(empty)))}: has none of the scores: leave it out")


def _held(table: Table, holdout: str | None) -> np.ndarray:
    """Rows to hold out (m,)."""
    if holdout is None:
        return np.zeros(len(table.frame), bool)

    def values(name: str) -> np.ndarray:
        if name not in table.frame.columns:
            raise DataError(f"holdout {holdout!r}: no column {name!r}: it has {listed(table.frame.columns)}")
        try:
            return _numbers(table, name)
        except DataError:
            return table.frame[name].fillna("").astype(str).to_numpy(object)

    return language.rows(holdout, values, len(table.frame))


def _names(table: Table, name: str | None) -> list[str]:
    usual = [c for c in table.frame.columns if c.lower() in ("model", "name")]
    if name is not None and name not in table.frame.columns:
        raise DataError(f"{table.name}: no column {name!r} to name models by: it has {listed(table.frame.columns)}")
    chosen = name or (usual[0] if usual else None)
    if chosen is None or table.frame[chosen].duplicated().any():
        return [table.place(i) for i in range(len(table.frame))]
    return [str(cell) for cell in table.frame[chosen]]
