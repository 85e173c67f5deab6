"""Reads tables from files, folders of files and memory, without converting cells."""

from __future__ import annotations

import csv
import lzma
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.data.options import ReadOptions
from analysis.data.record_cache import StoreSnapshot
from analysis.data.sources import harness, tensorboard
from analysis.data.sources.delimited import read_delimited
from analysis.data.sources.files import (
    MAX_JSON,
    MAX_TEXT,
    MAX_UNPACKED,
    OPEN,
    read_bytes,
    require_regular,
)
from analysis.data.sources.json_tables import read_json, read_json_lines, table_of_json
from analysis.data.sources.name_forms import add_name_values
from analysis.data.sources.parquet import read_parquet
from analysis.data.sources.trackers import unfold
from analysis.data.sources.wide import unfold_wide
from analysis.data.table import Table, table_of_frame
from analysis.errors import DataError

ACCEPTED = (
    ".csv, .tsv, .txt, .parquet, .json or .jsonl (also .gz, .bz2, .xz), a TensorBoard event file, or a folder: a "
    "store, TensorBoard runs, or results of lm-evaluation-harness"
)


def is_store(source: Any) -> bool:
    """Returns whether a source is a store: a folder, except one that contains only TensorBoard or harness files."""
    if isinstance(source, StoreSnapshot):
        return True
    if not isinstance(source, str | Path) or not (path := Path(source)).is_dir():
        return False
    return (path / "runs").is_dir() or not (tensorboard.has_events(path) or harness.has_results(path))


def read_table(source: Any, options: ReadOptions = ReadOptions(), output: str = "loss") -> Table:
    """Reads a source that is not a store.

    Args:
        source: A file, a folder, a DataFrame, arrays by name, a list of rows, or an object with a method `to_pandas`.
        options: Its fields `wide` and `run_names` change the form of the table.
        output: Name of the cells of a wide table, if neither the option nor the table states it.

    Raises:
        DataError: One line that names the file and, for text files, the line.
    """
    is_path = isinstance(source, str | Path | StoreSnapshot)
    table = _read_path(Path(source)) if is_path else _read_memory(source)
    if options.wide:
        table = unfold_wide(table, options.wide, output)
    if options.run_names:
        table = add_name_values(table, options.run_names, options.columns.get("name"))
    return table


def _read_path(path: Path) -> Table:
    if not path.exists():
        raise DataError(f"{path}: does not exist: must be {ACCEPTED}")
    if path.is_dir():
        return tensorboard.read_event_files(path) if tensorboard.has_events(path) else harness.read_folder(path)
    if path.match(tensorboard.EVENT_FILES):
        return tensorboard.read_event_files(path)
    require_regular(path)
    name = Path(path.stem) if path.suffix.lower() in OPEN else path
    reader, limit = READERS.get(name.suffix.lower(), (None, 0))
    if reader is None:
        raise DataError(f"{path}: must be {ACCEPTED}")
    try:
        return unfold(reader(path, read_bytes(path, limit)))
    except DataError:
        raise
    except (EOFError, OSError, ValueError, RecursionError, zlib.error, lzma.LZMAError, csv.Error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read: {reason}") from None


def _read_memory(source: Any) -> Table:
    if hasattr(source, "to_pandas") and not isinstance(source, pd.DataFrame):
        source = source.to_pandas()
    if isinstance(source, list | tuple) and not all(isinstance(row, Mapping) for row in source):
        raise DataError("table: rows must be objects such as {'N': 1e6, 'D': 1e9, 'L': 3.1}, one per run")
    try:
        if isinstance(source, Mapping) and source and all(isinstance(member, Mapping) for member in source.values()):
            return table_of_json({str(key): dict(member) for key, member in source.items()}, "table")
        cells = [cell for row in source for cell in row.values()] if isinstance(source, list | tuple) else []
        if any(isinstance(cell, Mapping | list) for cell in cells):
            return table_of_json([dict(row) for row in source], "table")
        return unfold(table_of_frame(pd.DataFrame(source).reset_index(drop=True), "table"))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise DataError(f"table: cannot be read: {' '.join(str(error).split())}") from None


READERS = {  # reader and largest number of bytes, by the end of a file's name
    **dict.fromkeys((".csv", ".tsv", ".txt"), (read_delimited, MAX_TEXT)),
    **dict.fromkeys((".parquet", ".pq"), (read_parquet, MAX_UNPACKED)),
    **dict.fromkeys((".jsonl", ".ndjson"), (read_json_lines, MAX_JSON)),
    ".json": (read_json, MAX_JSON),
}
