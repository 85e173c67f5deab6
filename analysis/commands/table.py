"""python -m analysis table: prints the runs of a store, or writes them as CSV."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.commands.options import STORE
from analysis.commands.output import print_text
from analysis.data.options import ReadOptions
from analysis.errors import DataError
from scaling.config.exit_status import DONE
from scaling.config.options import add_options, read_options

if TYPE_CHECKING:
    import pandas as pd

CORPUS = "data.corpus"  # column with the name of the corpus, which may have a path
ROWS = 100  # default number of rows printed


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    table = commands.add_parser("table", help="the runs of a store as a table")
    table.add_argument("source", metavar="STORE", help=STORE)
    table.add_argument("--csv", metavar="FILE", help="write every column as CSV (- for standard output)")
    table.add_argument("--sort", metavar="COLUMN", help="sort by a column (default: by C, then by N)")
    table.add_argument(
        "--rows", type=int, default=ROWS, metavar="R", help=f"number of rows to print ({ROWS}); 0 prints all"
    )
    add_options(table, ReadOptions, only=("where", "flops", "params"))


def run(arguments: argparse.Namespace) -> int:
    """Prints the runs of a store, or writes them as CSV; returns the exit status."""
    from analysis.data.from_store import table  # here, so that --help stays fast
    from analysis.format import join_names
    from scaling.store.files import write_atomic
    from scaling.store.origin.paths import public_corpus

    if arguments.rows < 0:
        raise DataError(f"--rows {arguments.rows}: must be 0 (all) or more")
    frame = table(arguments.source, read_options(ReadOptions, arguments))
    for note in frame.attrs["notes"]:
        print_text(note, sys.stderr)
    if arguments.sort is not None and arguments.sort not in frame:
        columns = join_names(frame.columns, 100)
        raise DataError(f"--sort {arguments.sort}: no such column: the store has {columns}")
    if arguments.sort is not None:
        frame = frame.sort_values(arguments.sort, kind="stable")
    if CORPUS in frame:
        frame[CORPUS] = [public_corpus(name) if isinstance(name, str) else name for name in frame[CORPUS]]
    if arguments.csv == "-":
        frame.to_csv(sys.stdout, index=False)
    elif arguments.csv:
        write_atomic(Path(arguments.csv), frame.to_csv(index=False).encode())
        print_text(f"{arguments.csv}: {len(frame)} runs", sys.stderr)
    else:
        _print_runs(frame, arguments.rows or len(frame))
    return DONE


def _print_runs(frame: pd.DataFrame, limit: int) -> None:
    from analysis.format import aligned

    numbers = ("N", "D", "C", "loss")
    rows: list[tuple[str, ...]] = [("run", "sweep", "status", *numbers)]
    for row in frame.head(limit).to_dict("records"):
        cells = ["" if row[name] != row[name] else f"{row[name]:.4g}" for name in numbers]
        sweep = row["sweep"] if isinstance(row["sweep"], str) else ""
        rows.append((row["run_id"][:12], sweep, row["status"], *cells))
    print_text(f"{len(frame)} runs")
    print_text(aligned(rows))
    if len(frame) > limit:
        print_text(f"and {len(frame) - limit} more: --rows 0 prints all, --csv FILE writes them")
