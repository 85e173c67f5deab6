"""python -m analysis observational: a task's score from benchmark scores of many models."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.commands import options

if TYPE_CHECKING:
    from analysis.studies.observational import Observed


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("observational", help="a task's score from benchmark scores of many models")
    one.add_argument("source", metavar="SOURCE", help="a table of models, a row each: .csv, .tsv, .parquet or .jsonl")
    one.add_argument("--scores", required=True, metavar="COL,COL,..", help="benchmarks, from 0 to 1; may have gaps")
    one.add_argument("--target", required=True, metavar="COL", help="the task to predict")
    one.add_argument("--full", type=float, default=1.0, help="full marks of the task (default 1)")
    one.add_argument("--holdout", metavar="EXPR", help='models to predict, not to fit, such as "score>0.6"')
    one.add_argument("--components", type=int, default=3, help="that the task is fitted to (default 3)")
    one.add_argument("--filled", type=int, default=1, help="components that gaps are filled in with (default 1)")
    one.add_argument("--name", metavar="COL", help="column that names a model")
    one.add_argument("--bootstrap", type=int, default=1000, metavar="B", help="draws for the intervals (1000)")
    one.add_argument("--level", type=float, default=0.95, help="of the intervals (default 0.95)")
    one.add_argument("--seed", type=int, default=0, help="of the draws (default 0)")
    one.add_argument("--json", metavar="FILE", help="write it as JSON (- for standard output)")


def run(given: argparse.Namespace) -> int:
    from analysis.errors import DataError
    from analysis.studies import observational
    from scaling.store.files import write_json

    for option, ok, allowed in (
        ("full", 0 < given.full < float("inf"), "greater than 0"),
        ("level", 0 < given.level < 1, "between 0 and 1"),
        ("bootstrap", given.bootstrap >= 100, "at least 100 draws"),
        ("seed", given.seed >= 0, "0 or more"),
    ):
        if not ok:
            raise DataError(f"--{option} {getattr(given, option)}: must be {allowed}")
    found = observational.fit(
        given.source,
        scores=[name.strip() for name in given.scores.split(",")],
        target=given.target,
        holdout=given.holdout,
        full=given.full,
        components=given.components,
        filled=given.filled,
        name=given.name,
        bootstrap=given.bootstrap,
        seed=given.seed,
        level=given.level,
    )
    if given.json == "-":
        print(json.dumps(found.to_json(), indent=1, allow_nan=False))
        return options.GOOD
    _show(found)
    if given.json:
        write_json(Path(given.json), found.to_json())
        print(f"{given.json}: written", file=sys.stderr)
    return options.GOOD


def _show(found: Observed) -> None:
    from rich.console import Console
    from rich.table import Table

    one, console = found.fit, Console(soft_wrap=True, highlight=False)
    console.print(f"{found.target} of {len(one.points)} models of {one.points.source}", markup=False)
    for note in one.points.notes:
        console.print(note, style="dim", markup=False)
    rows = {name: (value, one.intervals[name]) for name, value in one.params.items()}
    rows |= {f"weight of {name}": (value, found.intervals[name]) for name, value in found.weights.items()}
    shown = Table("parameter", "value", f"{one.level:.0%} interval", box=None, pad_edge=False)
    for name, (value, (low, high)) in rows.items():
        shown.add_row(name, f"{value:.4g}", f"{low:.4g} to {high:.4g}")
    console.print(shown)
    shares = ", ".join(f"{share:.1%}" for share in found.components.share)
    console.print(f"components hold {shares} of the variance of the scores", markup=False)
    for row in found.rows:
        if row["held_out"]:
            low, high = row["interval"]
            console.print(
                f"held out: {row['name']}: {row['predicted']:.4g} ({low:.4g} to {high:.4g}), is {row['y']:.4g}",
                markup=False,
            )
    held = "" if found.held is None else f", held out {found.held:.6g}"
    console.print(f"mean squared error: fitted {found.train:.6g}{held}")
    console.print("verdict: " + "\n         ".join(one.verdict), markup=False)
