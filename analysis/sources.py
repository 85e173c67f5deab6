"""Where points come from: a store, CSV, TSV, Parquet or JSON lines, as one pandas table each."""

from __future__ import annotations

import csv
import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.where import DataError
from scaling.record import Record, Store, StoreError

PARAMS = ("total", "nonembedding")
FLOPS = ("6nd", "6nd-nonembedding", "exact", "exact-full-attention")
KINDS = ".csv, .tsv, .parquet, .jsonl, or the folder of a store"


def _choice(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise DataError(f"{what} = {value!r}: allowed are {', '.join(allowed)}")


def count_params(params: dict[str, int], convention: str) -> float | None:
    """N of a record: `total`, or without embedding, head and position tables (Kaplan 2020, section 2.1)."""
    _choice("params", convention, PARAMS)
    if "total" not in params:
        return None
    if convention == "total":
        return float(params["total"])
    return float(params["total"] - sum(params.get(group, 0) for group in ("embedding", "head", "position")))


def count_flops(record: Record, tokens: float | None, convention: str) -> float | None:
    """C of a record.

    6nd: 6·N·D with all parameters (Hoffmann 2022); 6nd-nonembedding: with Kaplan's N; exact: every
    matrix product, causal attention, head included; exact-full-attention: the same, attention unmasked.
    """
    _choice("flops", convention, FLOPS)
    if convention.startswith("6nd"):
        n = count_params(record.params, "nonembedding" if convention.endswith("nonembedding") else "total")
        return None if n is None or tokens is None else 6 * n * tokens
    if "total" not in record.flops:
        return None
    total = float(record.flops["total"])
    if convention == "exact-full-attention":
        for side in ("forward", "backward"):
            total += record.flops[f"attention_full_{side}"] - record.flops[f"attention_causal_{side}"]
    return total


def _flat(config: Any, prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        name = prefix + field.name
        out.update(_flat(value, name + ".") if dataclasses.is_dataclass(value) else {name: value})
    return out


def run_row(record: Record, flops: str = "6nd", params: str = "total") -> dict[str, Any]:
    """One run as a row: run_id, sweep, status, N, D, C, loss, budget, seconds, then config fields by dotted name.

    What is not known is None. D and C of a run that has not ended are those of its plan; its loss is absent.
    """
    tokens = record.final.get("tokens") if record.status == "done" else None
    tokens = float(record.config.tokens) if tokens is None else float(tokens)
    return {
        "run_id": record.run_id,
        "sweep": record.sweep,
        "status": record.status,
        "N": count_params(record.params, params),
        "D": tokens,
        "C": count_flops(record, tokens, flops),
        "loss": record.final.get("loss"),
        "budget": record.config.budget,
        "computed_in": record.about.get("precision"),
        "shared_steps": record.about.get("shared_steps"),
        "seconds": record.about.get("seconds"),
        "error": record.about.get("error"),
        **{f"eval.{task}": score for task, score in record.evals.items()},
        **{name: value for name, value in _flat(record.config).items() if name != "budget"},
    }


TABLE = (
    "run_id",
    "sweep",
    "status",
    "N",
    "D",
    "C",
    "loss",
    "budget",
    "computed_in",
    "shared_steps",
    "seconds",
    "error",
)


def runs(store: str | Path, flops: str = "6nd", params: str = "total") -> pd.DataFrame:
    """Every run of a store, one row each, whatever its status; the columns of TABLE even when it has none."""
    _choice("flops", flops, FLOPS)
    _choice("params", params, PARAMS)
    try:
        rows = [run_row(record, flops, params) for record in Store(store).records()]
    except StoreError as error:
        raise DataError(str(error)) from None
    frame = pd.DataFrame(rows)
    for name in TABLE:
        if name not in frame:
            frame[name] = None
    for name in ("N", "D", "C", "loss", "budget", "shared_steps", "seconds"):
        frame[name] = frame[name].astype(float)
    return frame[[*TABLE, *(c for c in frame.columns if c not in TABLE)]]


def read_table(path: Path) -> pd.DataFrame:
    """A file as a table: cells of text files stay text until a column is used."""
    kind = path.suffix.lower()
    try:
        if kind in (".csv", ".tsv", ".txt"):
            separator = "\t" if kind == ".tsv" else "," if kind == ".csv" else None
            with warnings.catch_warnings(record=True) as said:  # pandas drops cells beyond the header, with a warning
                warnings.simplefilter("always", pd.errors.ParserWarning)
                frame = pd.read_csv(
                    path,
                    sep=separator,
                    engine="python" if separator is None else "c",
                    dtype=str,
                    keep_default_na=False,
                    skip_blank_lines=False,
                    encoding="utf-8-sig",
                    index_col=False,
                )
            if said and separator:
                _no_surplus(path, separator)
            frame.columns = [str(c).strip() for c in frame.columns]
            frame = frame.fillna("")
            return frame[(frame != "").any(axis=1)]
        if kind in (".parquet", ".pq"):
            return pd.read_parquet(path)
        if kind in (".jsonl", ".ndjson"):
            return _read_lines(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8: save the file as UTF-8") from None
    except (OSError, ValueError, pd.errors.ParserError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    raise DataError(f"{path}: a source is {KINDS}")


def _no_surplus(path: Path, separator: str) -> None:
    """DataError where a row has more cells than the header; empty ones, of commas at the end of each line, may be."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=separator)
        width = len(next(rows))
        for row in rows:
            if any(row[width:]):
                raise DataError(f"{path}: line {rows.line_num}: {len(row)} cells where the header has {width} columns")


def _read_lines(path: Path) -> pd.DataFrame:
    found = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}: line {number}: not JSON: {error.msg}") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}: line {number}: must be an object, one a line")
            found.append(row)
    return pd.DataFrame(found)


def numbers(frame: pd.DataFrame, name: str, path: str | Path, positive: bool = True) -> np.ndarray:
    """A column as float64 (n,); DataError names the file, row and column of the first cell that is no such number."""
    column = frame[name]
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = ~np.isfinite(values) | ((values <= 0) if positive else False)
    if column.dtype == bool:
        wrong[:] = True
    if wrong.any():
        at = int(np.argmax(wrong))
        cell = column.iloc[at]
        shown = "nothing" if cell is None or cell == "" or (isinstance(cell, float) and np.isnan(cell)) else repr(cell)
        raise DataError(
            f"{path}: {where_in_file(path, frame.index[at])}, column {name}: {shown}: "
            f"allowed are finite numbers{' greater than 0' if positive else ''}"
            + (f" ({wrong.sum() - 1} more such rows)" if wrong.sum() > 1 else "")
        )
    return values


def where_in_file(path: str | Path, index: Any) -> str:
    """How a person finds the row: its number, and in text files with a header its line too."""
    row = int(index) + 1
    return f"row {row} (line {row + 1})" if Path(path).suffix.lower() in (".csv", ".tsv", ".txt") else f"row {row}"
