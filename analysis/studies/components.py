"""Scores of models: reading from a table, imputation of missing cells, and principal components.

Key: m models, s scores, K components, y the score of the task (0 to 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.data import filter as row_filter
from analysis.data.record_cache import StoreSnapshot
from analysis.data.sources import readers
from analysis.data.table import Table, cell_texts, parse_column, quote_cell
from analysis.errors import DataError
from analysis.format import join_names, plural
from analysis.studies.options import ObservationalOptions

EMPTY_CELLS = ("", "nan", "na", "n/a", "null", "none", "-")
MAX_ROUNDS = 1000  # largest number of rounds of imputation, as in the code of Ruan 2024
TOLERANCE = 1e-12  # change of a standardised score at which imputation stops


@dataclass(frozen=True)
class PrincipalComponents:
    """Principal components of scores.

    Attributes:
        mean: Mean of each score (s,).
        loadings: Direction of each component (K, s).
        share: Share of the variance of the scores explained by each component (K,).
    """

    mean: np.ndarray
    loadings: np.ndarray
    share: np.ndarray

    def transform(self, scores: np.ndarray) -> np.ndarray:
        """Returns the components (m, K) of scores (m, s)."""
        return np.asarray((scores - self.mean) @ self.loadings.T)


@dataclass(frozen=True)
class ModelScores:
    """Scores of models.

    Attributes:
        scores: Scores (m, s), NaN where missing.
        y: Score of the task (m,), NaN where missing.
        held_out: Mask of the models that are predicted, not fitted (m,).
        undecided: Mask of the models with an empty cell that decides whether they are held out (m,); they are neither
            fitted nor predicted.
        names: Names of the models.
        source: Name of the table.
    """

    scores: np.ndarray
    y: np.ndarray
    held_out: np.ndarray
    undecided: np.ndarray
    names: list[str]
    source: str

    @property
    def left_out(self) -> str:
        """Note on the undecided models; empty if there are none."""
        names = [self.names[i] for i in np.flatnonzero(self.undecided)]
        if not names:
            return ""
        return f"{plural(len(names), 'model')} left out, with no value in a column of --holdout: {join_names(names, 8)}"


def read_model_scores(
    source: Any, scores: Sequence[str], target: str, options: ObservationalOptions = ObservationalOptions()
) -> ModelScores:
    """Reads the scores of models from a table.

    Args:
        source: A table's file, a DataFrame or columns by name.
        scores: Columns of benchmarks, shares from 0 to 1; cells may be empty.
        target: Column of the task.
        options: Highest possible score of the task, held-out models, and column of model names.

    Raises:
        DataError: A column is missing, or a score is not a share from 0 to 1.
    """
    if isinstance(source, str | Path | StoreSnapshot) and not Path(source).is_file():
        raise DataError(f"{source}: not a file: an observational law needs a table of models")
    table = readers.read_table(source)
    if len(set(scores)) < max(len(scores), 2):
        raise DataError(f"scores {', '.join(scores)}: must be at least two different columns")
    scores_ms = np.stack([_numbers(table, column) for column in scores], -1)
    y = _numbers(table, target) / options.full
    _check_shares(scores_ms, y, (*scores, target), options.full, table)
    held_out, empty = _held_out_rows(table, options.holdout)
    has_target = ~np.isnan(y)
    names = _model_names(table, options.name)
    return ModelScores(scores_ms, y, has_target & held_out, has_target & ~held_out & empty, names, table.name)


def impute_scores(train: np.ndarray, held_out: np.ndarray, components: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns the scores with missing cells filled in by principal components (Ruan 2024, section 3.1).

    Scores are standardised. Missing cells start at the mean and are replaced by the values predicted by the components
    until convergence. Held-out models use the components of the training models. Imputed scores are clipped to 0 and 1.

    Args:
        train: Scores of the models that are fitted (m, s), NaN where missing.
        held_out: Scores of the held-out models (m, s), NaN where missing.
        components: Number of components K.
    """
    with np.errstate(invalid="ignore"):
        mean, std = np.nanmean(train, 0), np.nanstd(train, 0)
    std = np.where(std > 0, std, 1.0)
    train_z, fitted = _impute((train - mean) / std, None, components)
    held_out_z, _ = _impute((held_out - mean) / std, fitted, components)
    filled = (
        np.where(np.isnan(x), np.clip(z * std + mean, 0.0, 1.0), x)
        for x, z in ((train, train_z), (held_out, held_out_z))
    )
    return next(filled), next(filled)


def _impute(
    z: np.ndarray, fixed: PrincipalComponents | None, components: int
) -> tuple[np.ndarray, PrincipalComponents]:
    """Standardised scores (m, s) without NaN, and the components; `fixed` components are not fitted again."""
    missing = np.isnan(z)
    z = np.where(missing, 0.0, z)
    for _ in range(MAX_ROUNDS if missing.any() else 1):
        fitted = fixed or principal_components(z, components)
        new = np.where(missing, fitted.mean + fitted.transform(z) @ fitted.loadings, z)
        converged = bool(np.abs(new - z).max(initial=0.0) < TOLERANCE)
        z = new
        if converged:
            break
    return z, fitted


def principal_components(scores: np.ndarray, components: int) -> PrincipalComponents:
    """Returns the first principal components of scores, with signs such that most scores increase along each component.

    Args:
        scores: Scores (m, s) without NaN.
        components: Number of components K.
    """
    mean = scores.mean(0)
    _, singular_values, loadings = np.linalg.svd(scores - mean, full_matrices=False)
    loadings = loadings * np.where(loadings.sum(1) < 0, -1.0, 1.0)[:, None]
    total = max(float(np.sum(singular_values**2)), 1e-300)
    return PrincipalComponents(mean, loadings[:components], singular_values[:components] ** 2 / total)


def _numbers(table: Table, name: str) -> np.ndarray:
    """A column as float64 (m,), NaN where the cell is empty. Raises DataError for other text."""
    if name not in table.frame.columns:
        raise DataError(f"{table.name}: no column {name!r}: it has {join_names(table.frame.columns)}")
    column = table.frame[name]
    number = parse_column(column, counts=False, decimal_comma=table.decimal_comma).values
    empty = column.isna() | column.astype("string").str.strip().str.lower().isin(EMPTY_CELLS)
    bad = ~empty.to_numpy(bool, na_value=True) & ~np.isfinite(number)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{table.name}: {table.row_name(row)}, column {name}: {quote_cell(column[row])} is not a number"
        )
    return number


def _check_shares(scores: np.ndarray, y: np.ndarray, columns: tuple[str, ...], full: float, table: Table) -> None:
    """Raises DataError for a score outside 0 to 1, or a model without any score."""
    for name, values in zip(columns, (*scores.T, y), strict=True):
        outside = (values < 0) | (values > 1)
        if outside.any():
            row, is_target = int(np.argmax(outside)), name == columns[-1]
            remedy = (
                f"set the highest possible score, now {full:g}, with --full"
                if is_target
                else "divide by the highest score"
            )
            cell = values[row] * (full if is_target else 1)
            raise DataError(
                f"{table.name}: {table.row_name(row)}, column {name}: {cell:g} is not a share from 0 to 1: {remedy}"
            )
    empty = np.isnan(scores).all(1) & ~np.isnan(y)
    if empty.any():
        row = int(np.argmax(empty))
        raise DataError(f"{table.name}: {table.row_name(row)}: has no score: leave this row out")


def _held_out_rows(table: Table, holdout: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Masks (m,) of the rows that an expression selects, and of those with an empty cell in a column of it."""
    empty = np.zeros(len(table.frame), bool)
    if holdout is None:
        return empty, empty

    def column(name: str) -> np.ndarray:
        if name not in table.frame.columns:
            columns = join_names(table.frame.columns)
            raise DataError(f"{table.name}: holdout {holdout!r}: no column {name!r}: it has {columns}")
        texts = np.array(cell_texts(table.frame[name]), object)
        empty[:] |= np.array([text.lower() in EMPTY_CELLS for text in texts])
        try:
            return _numbers(table, name)
        except DataError:
            return texts

    return row_filter.row_mask(holdout, column, len(table.frame)), empty


def _model_names(table: Table, name: str | None) -> list[str]:
    common = [c for c in table.frame.columns if c.lower() in ("model", "name")]
    if name is not None and name not in table.frame.columns:
        raise DataError(f"{table.name}: no column {name!r} (names of models): it has {join_names(table.frame.columns)}")
    column = name or (common[0] if common else None)
    if column is None or table.frame[column].duplicated().any():
        return [table.row_name(i) for i in range(len(table.frame))]
    return [str(cell) for cell in table.frame[column]]
