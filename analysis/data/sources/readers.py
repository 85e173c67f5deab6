"""Reads tables from CSV, TSV, Parquet, JSON and JSON lines files, also compressed, without converting cells."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.sources.trackers import flatten, unfold
from analysis.data.table import DECIMAL_COMMA, Table
from analysis.errors import DataError

ACCEPTED = ".csv, .tsv, .txt, .parquet, .json or .jsonl (also .gz, .bz2, .xz), or the folder of a store"
DECOMPRESS = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
NUL = "\0"


def read_table(source: Any) -> Table:
    """Reads a source that is not a store.

    Args:
        source: A file, a DataFrame, arrays by name, a list of rows, or an object with a method `to_pandas`.

    Raises:
        DataError: One line that names the file and, for text files, the line.
    """
    if not isinstance(source, str | Path):
        return _read_memory(source)
    path = Path(source)
    if not path.exists():
        raise DataError(f"{path}: does not exist: must be {ACCEPTED}")
    decompress = DECOMPRESS.get(path.suffix.lower())
    reader = READERS.get(Path(path.stem).suffix.lower() if decompress else path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: must be {ACCEPTED}")
    try:
        data = path.read_bytes()
        return unfold(reader(path, decompress(data) if decompress else data))
    except DataError:
        raise
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8: save the file as UTF-8") from None
    except (EOFError, OSError, ValueError, RecursionError, zlib.error, lzma.LZMAError, csv.Error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read: {reason}") from None


def _read_memory(source: Any) -> Table:
    if hasattr(source, "to_pandas") and not isinstance(source, pd.DataFrame):
        source = source.to_pandas()
    if isinstance(source, list | tuple) and not all(isinstance(row, Mapping) for row in source):
        raise DataError("table: rows must be objects such as {'N': 1e6, 'D': 1e9, 'L': 3.1}, one per run")
    try:
        frame = pd.DataFrame(source).reset_index(drop=True)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"table: cannot be read: {' '.join(str(error).split())}") from None
    return _table(frame, "table")


def _table(frame: pd.DataFrame, name: str, lines: np.ndarray | None = None) -> Table:
    """A table with unique column names; of columns with the same name only the first is kept."""
    names = [" ".join(str(column).split()) for column in frame.columns]
    frame = frame.copy(deep=False)
    duplicates = frozenset(column for column, times in Counter(names).items() if times > 1)
    if duplicates:
        frame = frame.loc[:, [names.index(column) == i for i, column in enumerate(names)]]
        names = list(dict.fromkeys(names))
    frame.columns = pd.Index(names, dtype=object)
    return Table(frame.reset_index(drop=True), name, lines=lines, duplicate_columns=duplicates)


def _decode(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def _read_delimited(path: Path, data: bytes) -> Table:
    text = _decode(data)
    if NUL in text:
        raise DataError(f"{path}: has NUL bytes: not a text file")
    lines = text.splitlines(keepends=True)
    contents = (i for i, line in enumerate(lines) if line.strip() and not line.startswith("#"))
    first = next(contents, None)  # blank lines and comments may come before the header
    if first is None:
        raise DataError(f"{path}: is empty: it must have a header and rows")
    usual = "\t" if ".tsv" in path.name.lower() else ","
    separator = _separator(lines[first], usual)
    if separator == " ":
        cells = ((number, line.split()) for number, line in enumerate(lines[first:], 1))
    else:
        rows = csv.reader(lines[first:], delimiter=separator, strict=True)
        cells = ((rows.line_num, row) for row in rows)
    table = _table_of_rows(path, ((first + line, row) for line, row in cells))
    if separator != usual and separator in SEPARATORS:
        table = table.with_notes(f"cells are separated by {SEPARATORS[separator]}")
    has_commas = separator == ";" and any(
        DECIMAL_COMMA.fullmatch(cell.strip()) for column in table.frame for cell in table.frame[column]
    )
    return replace(table.with_notes("commas are read as decimal points"), decimal_comma=True) if has_commas else table


def _separator(header: str, usual: str) -> str:
    """Separator of cells: the one implied by the file name if the header contains it, else the most frequent one."""
    separator = usual if usual in header else max(SEPARATORS, key=header.count)
    return separator if separator in header else " " if len(header.split()) > 1 else usual


def _table_of_rows(path: Path, numbered: Iterator[tuple[int, list[str]]]) -> Table:
    """A table from a header and rows, each with its line number in the file."""
    _, header = next(numbered)
    header = [name.strip() for name in header]
    while header and not header[-1]:  # spreadsheets end every line with commas
        header.pop()
    width, rows, lines = len(header), [], []
    for line, row in numbered:
        if any(row[width:]):
            raise DataError(f"{path}: line {line}: {len(row)} cells, but the header has {width} columns")
        if any(cell.strip() for cell in row):
            rows.append(row[:width] + [""] * (width - len(row)))
            lines.append(line)
    return _table(pd.DataFrame(rows, columns=header, dtype=object), str(path), np.array(lines, int))


def _read_parquet(path: Path, data: bytes) -> Table:
    return _table(pd.read_parquet(io.BytesIO(data)), str(path))


def _read_json_lines(path: Path, data: bytes) -> Table:
    rows = []
    for number, line in enumerate(_decode(data).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: line {number}: not JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}: line {number}: must be an object, one per line")
        rows.append(flatten(row))
    return _table(pd.DataFrame(rows, dtype=object), str(path))


def _read_json(path: Path, data: bytes) -> Table:
    """Reads a list of objects, an object with one such list, {"columns", "data"}, or one list per column."""
    try:
        content = json.loads(_decode(data))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return _read_json_lines(path, data)
        raise DataError(f"{path}: line {error.lineno}: not JSON: {error.msg}") from None
    if isinstance(content, dict) and isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
        return _table(pd.DataFrame(content["data"], columns=content["columns"], dtype=object), str(path))
    if isinstance(content, dict):
        lists = [v for v in content.values() if isinstance(v, list) and v and all(isinstance(r, dict) for r in v)]
        content = lists[0] if len(lists) == 1 else content
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return _table(pd.DataFrame([flatten(row) for row in content], dtype=object), str(path))
    if isinstance(content, dict) and content and all(isinstance(column, list) for column in content.values()):
        return _table(pd.DataFrame(content, dtype=object), str(path))
    raise DataError(f"{path}: must be a list of objects, one per run, or an object of lists, one per column")


READERS = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), _read_delimited),
    **dict.fromkeys((".parquet", ".pq"), _read_parquet),
    **dict.fromkeys((".jsonl", ".ndjson"), _read_json_lines),
    ".json": _read_json,
}
