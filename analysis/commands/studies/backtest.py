"""python -m analysis backtest: laws fitted below, held against what lies above."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.commands import options

if TYPE_CHECKING:
    from analysis.studies.backtest.results import Backtest

DRAWS = 200


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    backtest = commands.add_parser(
        "backtest",
        help="fit laws to one part of the points and hold them against another",
        epilog=f"Here --bootstrap is {DRAWS} unless given.",
    )
    backtest.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    backtest.add_argument("--law", dest="laws", required=True, metavar="A,B,..", help="names, or FILE.py:FUNCTION")
    backtest.add_argument("--holdout", required=True, metavar="EXPR", help='rows to foretell, such as "C>1e21"')
    backtest.add_argument("--group", metavar="COLUMN,..", help="fit each group on its own, and average its errors")
    backtest.add_argument("--workers", type=int, metavar="P", help="processes (default: all cores, for many fits)")
    backtest.add_argument("--json", metavar="FILE", help="write scores as JSON (- for standard output)")
    options.reading(backtest)
    backtest.set_defaults(bootstrap=DRAWS)


def run(given: argparse.Namespace) -> int:
    options.check(given)
    from rich.console import Console
    from rich.progress import Progress

    from analysis.errors import DataError
    from analysis.studies.backtest.backtest import backtest
    from scaling.store.files import write_json

    if given.workers is not None and given.workers < 1:
        raise DataError(f"--workers {given.workers}: must be 1 or more")
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as shown:
        bar = shown.add_task("fits", total=None)
        found = backtest(
            given.source,
            [name.strip() for name in given.laws.split(",")],
            given.holdout,
            group=given.group,
            workers=given.workers,
            progress=lambda done, total: shown.update(bar, completed=done, total=total),
            **{**options.chosen(given), "bootstrap": given.bootstrap},
        )
    if given.json == "-":
        print(json.dumps(found.to_json(), indent=1, allow_nan=False))
        return options.GOOD
    _show(found)
    if given.json:
        write_json(Path(given.json), found.to_json())
        print(f"{given.json}: written", file=sys.stderr)
    return options.GOOD


def _show(found: Backtest) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    groups = f" in {len(found.by_group)} groups" if len(found.by_group) > 1 else ""
    said = f"{found.source}: fitted to {found.points} points{groups}, {found.held} held out by {found.holdout}"
    console.print(said, markup=False)
    heads = ("law", "RMSLE", "|error|", "bias", f"{found.level:.0%} covers", "width", "foretold", "weight")
    shown = Table(box=None, pad_edge=False)
    for head in heads:
        shown.add_column(head, justify="left" if head == "law" else "right")
    for one in found.scores:
        name = one.law if one.groups == len(found.by_group) else f"{one.law} ({one.groups} groups)"
        cells = [
            f"{one.rmsle:.5f}",
            f"{one.relative:.2%}",
            f"{one.bias:+.5f}",
            f"{one.coverage:.0%}",
            f"{one.width:.3g}",
        ]
        last = ["", ""] if one.weight is None else [f"{one.foretold:.5f}", f"{one.weight:.2f}"]
        shown.add_row(name, *cells, *last)
    console.print(shown)
    ratio = found.combined.rmsle / found.best.rmsle
    console.print(f"combined: {ratio:.2f} times the error of {found.best.law}, the single law that turned out best")
    for note in found.notes:
        console.print(note, style="dim", markup=False)
