"""Reads and writes the curve of a run in its folder: lines of JSON while it runs, Parquet once it has ended."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from scaling.config.os_errors import name_file, open_file
from scaling.config.validation import shown
from scaling.store.files import DamagedFileError, UnreadableFileError, parse_json, read_bytes, write_atomic
from scaling.store.verification import parquet

CURVE_REMEDY = "restore it from a copy, or remove it and train the run again"
SECONDS = "seconds"  # of the process so far, in the last row of each write of a running run; not part of the curve
TAIL_BYTES = 4096  # at the end of a running run's curve, which have its newest row


def append_lines(folder: Path, rows: list[dict[str, float]], seconds: float | None = None) -> Path:
    """Appends rows to the curve of a running run.

    Args:
        folder: Folder of the run.
        rows: See `Store.curve`.
        seconds: See `Store.append_curve`.

    Returns:
        The file.
    """
    path = folder / "curve.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with name_file(path), path.open("a") as file:
        file.write(_lines(rows, seconds))
    return path


def write_lines(folder: Path, rows: list[dict[str, float]], seconds: float | None = None) -> None:
    """Replaces the curve of a running run.

    Args:
        folder: Folder of the run.
        rows: See `Store.curve`.
        seconds: See `Store.append_curve`.
    """
    write_atomic(folder / "curve.jsonl", _lines(rows, seconds).encode())


def write_table(folder: Path, rows: list[dict[str, float]]) -> Path:
    """Writes the whole curve of a run that has ended as Parquet and removes the lines of the running run.

    Args:
        folder: Folder of the run.
        rows: See `Store.curve`.

    Returns:
        The file.
    """
    parquet.write_rows(folder / "curve.parquet", rows)
    (folder / "curve.jsonl").unlink(missing_ok=True)
    return folder / "curve.parquet"


def read_curve(folder: Path) -> list[dict[str, float]]:
    """Returns the rows of a curve (see `Store.curve`); an empty list without a curve.

    Args:
        folder: Folder of the run.
    """
    path = folder / "curve.parquet"
    try:
        return _checked_rows(path, parquet.read_rows(path, CURVE_REMEDY))
    except FileNotFoundError:
        path = folder / "curve.jsonl"
    try:
        lines = read_bytes(path, CURVE_REMEDY).splitlines(keepends=True)
    except FileNotFoundError:
        return []
    if lines and not lines[-1].endswith(b"\n"):  # incomplete line of a process that was killed
        lines.pop()
    rows = _checked_rows(path, [parse_json(path, line, CURVE_REMEDY) for line in lines])
    return [{name: value for name, value in row.items() if name != SECONDS} for row in rows]


def last_table_row(path: Path) -> dict[str, float]:
    """Returns the last row of a finished run's curve without the other rows.

    Args:
        path: Its curve.parquet.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: It cannot be read, or was altered.
    """
    table = parquet.read_table(path, CURVE_REMEDY)
    rows = table.slice(max(0, table.num_rows - 1)).to_pylist()
    if not rows:
        raise DamagedFileError(path, "has no rows", CURVE_REMEDY)
    return _checked_rows(path, [{name: value for name, value in rows[0].items() if value is not None}])[0]


def last_row(folder: Path) -> dict[str, float] | None:
    """Returns the newest intact row of a running run's curve, or None; reads only the end of the file.

    Args:
        folder: Folder of the run.
    """
    path = folder / "curve.jsonl"
    try:
        with open_file(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnreadableFileError(path, error) from None
    for line in reversed(lines):
        if line.startswith(b"{") and line.endswith(b"}\n"):
            try:
                return _checked_rows(path, [parse_json(path, line)])[0]
            except DamagedFileError:
                continue
    return None


def last_write_time(folder: Path) -> float | None:
    """Returns when a running run's curve last grew, in seconds since 1970; None if it has no curve.

    Args:
        folder: Folder of the run.
    """
    try:
        return (folder / "curve.jsonl").stat().st_mtime
    except OSError:
        return None


def _checked_rows(path: Path, rows: list[Any]) -> list[dict[str, float]]:
    """Returns the rows of a curve; DamagedFileError unless each has a step and only finite numbers."""
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or type(row.get("step")) is not int:
            raise DamagedFileError(path, f"row {number} has no step", CURVE_REMEDY)
        for name, value in row.items():
            if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:  # NaN is not
                raise DamagedFileError(path, f"row {number}: {name} = {shown(value)}: must be a number", CURVE_REMEDY)
    return rows


def _lines(rows: list[dict[str, float]], seconds: float | None) -> str:
    if rows and seconds is not None:
        rows = [*rows[:-1], {**rows[-1], SECONDS: round(seconds, 3)}]
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
