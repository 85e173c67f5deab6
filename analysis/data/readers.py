"""Files as tables: CSV, TSV, Parquet, JSON and JSON lines, compressed or not. Cells stay as they are until used."""

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

from analysis.data import trackers
from analysis.data.table import COMMA, Table
from analysis.errors import DataError

KINDS = ".csv, .tsv, .txt, .parquet, .json or .jsonl (also .gz, .bz2, .xz), or the folder of a store"
OPEN = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
NUL = "\0"


def read(path: Path) -> Table:
    """A file as a table. Raises DataError: one line that names the file, and the line where there is one."""
    packed = path.suffix.lower() in OPEN
    kind = Path(path.stem).suffix.lower() if packed else path.suffix.lower()
    reader = READERS.get(kind)
    if reader is None:
        raise DataError(f"{path}: a source is {KINDS}")
    try:
        data = OPEN[path.suffix.lower()](path.read_bytes()) if packed else path.read_bytes()
        table = reader(path, data)
    except DataError:
        raise
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8: save the file as UTF-8") from None
    except (EOFError, OSError, ValueError, RecursionError, zlib.error, lzma.LZMAError, csv.Error) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read: {said}") from None
    return trackers.unfold(table)


def from_memory(source: Any) -> Table:
    """A DataFrame, arrays by name, a list of dicts, or whatever has `to_pandas`, as a table."""
    if hasattr(source, "to_pandas") and not isinstance(source, pd.DataFrame):
        source = source.to_pandas()
    if isinstance(source, list | tuple) and not all(isinstance(row, Mapping) for row in source):
        raise DataError("table: rows must be objects such as {'N': 1e6, 'D': 1e9, 'L': 3.1}, one a run")
    try:
        frame = pd.DataFrame(source).reset_index(drop=True)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"table: cannot be read: {' '.join(str(error).split())}") from None
    return _table(frame, "table")


def _table(frame: pd.DataFrame, name: str, **more: Any) -> Table:
    """A table whose columns have one text each for a name."""
    names = [" ".join(str(column).split()) for column in frame.columns]
    frame = frame.copy(deep=False)
    twice = frozenset(n for n, times in Counter(names).items() if times > 1)
    if twice:
        frame = frame.loc[:, [names.index(n) == i for i, n in enumerate(names)]]
        names = list(dict.fromkeys(names))
    frame.columns = pd.Index(names, dtype=object)
    return Table(frame.reset_index(drop=True), name, twice=twice | more.pop("twice", frozenset()), **more)


def _text(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def _delimited(path: Path, data: bytes) -> Table:
    text = _text(data)
    if NUL in text:
        raise DataError(f"{path}: has NUL bytes: not a text file")
    lines = text.splitlines(keepends=True)
    blank = (i for i, line in enumerate(lines) if line.strip() and not line.startswith("#"))
    first = next(blank, None)  # after blank lines and comments
    if first is None:
        raise DataError(f"{path}: is empty: a header and rows are wanted")
    separator = _separator(lines[first], path)
    if separator == " ":
        cells = ((number, line.split()) for number, line in enumerate(lines[first:], 1))
    else:
        rows = csv.reader(lines[first:], delimiter=separator, strict=True)
        cells = ((rows.line_num, row) for row in rows)
    return _rows(path, ((first + line, row) for line, row in cells), separator)


def _separator(header: str, path: Path) -> str:
    """What stands between the cells: as the file's name says unless its first line says otherwise."""
    usual = "\t" if ".tsv" in path.name.lower() else ","
    found = usual if usual in header else max(SEPARATORS, key=header.count)
    return found if found in header else " " if len(header.split()) > 1 else usual


def _rows(path: Path, numbered: Iterator[tuple[int, list[str]]], separator: str) -> Table:
    _, header = next(numbered)
    header = [name.strip() for name in header]
    while header and not header[-1]:  # commas at the end of each line
        header.pop()
    width, rows, lines = len(header), [], []
    for line, row in numbered:
        if any(row[width:]):
            raise DataError(f"{path}: line {line}: {len(row)} cells where the header has {width} columns")
        if any(cell.strip() for cell in row):
            rows.append(row[:width] + [""] * (width - len(row)))
            lines.append(line)
    table = _table(pd.DataFrame(rows, columns=header, dtype=object), str(path), lines=np.array(lines, int))
    usual = "\t" if ".tsv" in path.name.lower() else ","
    if separator != usual and separator in SEPARATORS:
        table = table.say(f"cells are separated by {SEPARATORS[separator]}")
    if separator == ";" and any(COMMA.fullmatch(cell.strip()) for row in rows for cell in row):
        table = replace(table.say("commas are read as decimal points"), comma=True)
    return table


def _parquet(path: Path, data: bytes) -> Table:
    return _table(pd.read_parquet(io.BytesIO(data)), str(path))


def _lines(path: Path, data: bytes) -> Table:
    found = []
    for number, line in enumerate(_text(data).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: line {number}: not JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}: line {number}: must be an object, one a line")
        found.append(trackers.flat(row))
    return _table(pd.DataFrame(found, dtype=object), str(path))


def _json(path: Path, data: bytes) -> Table:
    """A list of objects, a list under one name, {"columns", "data"}, or one list a column."""
    try:
        whole = json.loads(_text(data))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return _lines(path, data)
        raise DataError(f"{path}: line {error.lineno}: not JSON: {error.msg}") from None
    if isinstance(whole, dict) and isinstance(whole.get("columns"), list) and isinstance(whole.get("data"), list):
        return _table(pd.DataFrame(whole["data"], columns=whole["columns"], dtype=object), str(path))
    if isinstance(whole, dict):
        objects = [v for v in whole.values() if isinstance(v, list) and v and all(isinstance(r, dict) for r in v)]
        whole = objects[0] if len(objects) == 1 else whole
    if isinstance(whole, list) and all(isinstance(row, dict) for row in whole):
        return _table(pd.DataFrame([trackers.flat(row) for row in whole], dtype=object), str(path))
    if isinstance(whole, dict) and whole and all(isinstance(v, list) for v in whole.values()):
        return _table(pd.DataFrame(whole, dtype=object), str(path))
    raise DataError(f"{path}: must be a list of objects, one a run, or an object of lists, one a column")


READERS = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), _delimited),
    **dict.fromkeys((".parquet", ".pq"), _parquet),
    **dict.fromkeys((".jsonl", ".ndjson"), _lines),
    ".json": _json,
}
