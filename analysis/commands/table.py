"""python -m analysis table: the runs of a store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from analysis.commands import options


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    table = commands.add_parser("table", help="the runs of a store as a table")
    table.add_argument("source", metavar="STORE", help="a store's folder")
    table.add_argument("--csv", metavar="FILE", help="write every column as CSV (- for standard output)")
    options.counting(table)


def run(given: argparse.Namespace) -> int:
    from analysis import sources
    from analysis.where import DataError
    from scaling.record import write_atomic

    path = Path(given.source)
    if not path.is_dir():
        raise DataError(f"{path}: not a store: give the folder that runs were trained into")
    frame = sources.runs(path, given.flops or "6nd", given.params)
    if given.csv == "-":
        frame.to_csv(sys.stdout, index=False)
        return options.GOOD
    if given.csv:
        write_atomic(Path(given.csv), frame.to_csv(index=False).encode())
        print(f"{given.csv}: {len(frame)} runs", file=sys.stderr)
        return options.GOOD
    _show_runs(frame)
    return options.GOOD


def _show_runs(frame: object) -> None:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    assert isinstance(frame, pd.DataFrame)
    shown = Table(title=f"{len(frame)} runs", title_justify="left")
    numbers = ("N", "D", "C", "loss")
    for name in ("run", "sweep", "status", *numbers):
        shown.add_column(name, justify="right" if name in numbers else "left", no_wrap=True)
    for _, row in frame.sort_values(["C", "N"]).iterrows():
        cells = ["" if pd.isna(row[name]) else f"{row[name]:.4g}" for name in numbers]
        shown.add_row(row["run_id"][:12], row["sweep"] or "", row["status"], *cells)
    Console().print(shown)
