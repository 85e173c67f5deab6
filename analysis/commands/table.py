"""python -m analysis table: the runs of a store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.commands import options

if TYPE_CHECKING:
    import pandas as pd

ROWS = 100


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    table = commands.add_parser("table", help="the runs of a store as a table")
    table.add_argument("source", metavar="STORE", help="a store's folder")
    table.add_argument("--csv", metavar="FILE", help="write every column as CSV (- for standard output)")
    table.add_argument("--where", metavar="EXPR", help="runs to list, such as \"C<1e21 and status=='done'\"")
    table.add_argument("--sort", metavar="COLUMN", help="list in order of a column (C, then N)")
    table.add_argument("--rows", type=int, default=ROWS, metavar="R", help=f"at most so many ({ROWS}; 0: all)")
    options.counting(table)


def run(given: argparse.Namespace) -> int:
    from analysis.data import from_store, runs
    from analysis.data.table import listed
    from analysis.errors import DataError
    from scaling.store.files import write_atomic

    path = Path(given.source)
    if not path.is_dir():
        raise DataError(f"{path}: not a store: give the folder that runs were trained into")
    if given.rows < 0:
        raise DataError(f"--rows {given.rows}: must be 0 (all) or more")
    frame = runs.runs(path, given.flops or "6nd", given.params)
    for note in frame.attrs["notes"]:
        print(note, file=sys.stderr)
    frame = from_store.only(frame, path, given.where)
    if given.sort is not None:
        if given.sort not in frame:
            raise DataError(f"--sort {given.sort}: no such column: there are {listed(frame.columns, 100)}")
        frame = frame.sort_values(given.sort, kind="stable")
    if given.csv == "-":
        frame.to_csv(sys.stdout, index=False)
        return options.GOOD
    if given.csv:
        write_atomic(Path(given.csv), frame.to_csv(index=False).encode())
        print(f"{given.csv}: {len(frame)} runs", file=sys.stderr)
        return options.GOOD
    _show_runs(frame if given.sort else frame.sort_values(["C", "N"]), given.rows or len(frame))
    return options.GOOD


def _show_runs(frame: pd.DataFrame, most: int) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=f"{len(frame)} runs", title_justify="left")
    numbers = ("N", "D", "C", "loss")
    for name in ("run", "sweep", "status", *numbers):
        shown.add_column(name, justify="right" if name in numbers else "left", no_wrap=True)
    for row in frame.head(most).to_dict("records"):
        cells = ["" if row[name] != row[name] else f"{row[name]:.4g}" for name in numbers]
        sweep = row["sweep"] if isinstance(row["sweep"], str) else ""
        shown.add_row(row["run_id"][:12], sweep, row["status"], *cells)
    Console().print(shown)
    if len(frame) > most:
        print(f"and {len(frame) - most} more: --rows 0 lists all, --csv FILE writes them")
