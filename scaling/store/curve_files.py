"""Reads and writes the curve of a run in its folder: lines of JSON while it runs, Parquet once it has ended."""

from __future__ import annotations

import json
from pathlib import Path

from scaling.store.files import parse_json, read_parquet, write_atomic, write_parquet


def append_lines(folder: Path, rows: list[dict[str, float]]) -> Path:
    """Appends rows to the curve of a running run.

    Args:
        folder: Folder of the run.
        rows: See `Store.curve`.

    Returns:
        The file.
    """
    path = folder / "curve.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(_lines(rows))
    return path


def write_lines(folder: Path, rows: list[dict[str, float]]) -> None:
    """Replaces the curve of a running run.

    Args:
        folder: Folder of the run.
        rows: See `Store.curve`.
    """
    write_atomic(folder / "curve.jsonl", _lines(rows).encode())


def write_table(folder: Path, rows: list[dict[str, float]]) -> Path:
    """Writes the whole curve of a run that has ended as Parquet and removes the lines of the running run.

    Args:
        folder: Folder of the run.
        rows: See `Store.curve`.

    Returns:
        The file.
    """
    write_parquet(folder / "curve.parquet", rows)
    (folder / "curve.jsonl").unlink(missing_ok=True)
    return folder / "curve.parquet"


def read_curve(folder: Path) -> list[dict[str, float]]:
    """Returns the rows of a curve (see `Store.curve`); an empty list without a curve.

    Args:
        folder: Folder of the run.
    """
    if (folder / "curve.parquet").exists():
        return read_parquet(folder / "curve.parquet")
    path = folder / "curve.jsonl"
    if not path.exists():
        return []
    rows = []
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):  # incomplete line of a process that was killed
            break
        rows.append(parse_json(path, line))
    return rows


def last_row(folder: Path) -> dict[str, float] | None:
    """Returns the newest row of a running run's curve, or None; reads only the end of the file.

    Args:
        folder: Folder of the run.
    """
    path = folder / "curve.jsonl"
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return None
    complete = [line for line in lines if line.startswith(b"{") and line.endswith(b"}\n")]
    return json.loads(complete[-1]) if complete else None


def _lines(rows: list[dict[str, float]]) -> str:
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
