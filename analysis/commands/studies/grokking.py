"""python -m analysis grokking | double-descent: what those sweeps found."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.commands import options

if TYPE_CHECKING:
    from analysis.studies.grokking import Cell


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, help in (
        ("grokking", "steps to learn and to generalise, by share of the data and weight decay"),
        ("double-descent", "peaks of test error over width, data and epochs, and how sure they are"),
    ):
        command = commands.add_parser(name, help=help)
        command.add_argument("source", metavar="STORE", help="a store's folder")
        command.add_argument("--level", type=float, default=0.95, help="of the intervals (default 0.95)")
        command.add_argument("--json", metavar="FILE", help="write it as JSON (- for standard output)")


def grokking(given: argparse.Namespace) -> int:
    """A line a cell, then the verdict."""
    from analysis.studies.grokking import GENERALISED, LEARNED
    from analysis.studies.grokking import grokking as found

    of = found(given.source, given.level)
    lines = [f"fraction  decay  steps to train accuracy {LEARNED:g}, to held-out accuracy {GENERALISED:g}"]
    lines += [_cell(cell) for cell in of.cells]
    return told(given, of, lines)


def descent(given: argparse.Namespace) -> int:
    """A line a profile, then the verdicts."""
    from analysis.studies.double_descent import descent as found

    of = found(given.source, given.level)
    return told(given, of, [profile.line for profile in of.profiles])


def told(given: argparse.Namespace, found: Any, lines: list[str]) -> int:
    """Prints the lines and the verdict, or JSON."""
    from scaling.store.files import write_json

    if given.json == "-":
        print(json.dumps(found.to_json(), indent=1, allow_nan=False))
        return options.GOOD
    print("\n".join([*lines, *found.verdict]))
    if given.json:
        write_json(Path(given.json), found.to_json())
        print(f"{given.json}: written", file=sys.stderr)
    return options.GOOD


def _cell(cell: Cell) -> str:
    parts = [f"{cell.fraction:8.3g}  {cell.decay:5g} "]
    for which in ("train", "held"):
        mean, reached = cell.mean(which), cell.reached(which)
        if mean is None:
            parts.append(f"{len(reached)} of {len(cell.runs)} seeds within {cell.steps:,},")
        else:
            parts.append(f"{mean[0]:,.0f}{_within(mean[1])},")
    if cell.ratio is not None:
        parts.append(f"{cell.ratio[0]:.3g} times{_within(cell.ratio[1])}:")
    return " ".join([*parts, cell.verdict])


def _within(interval: tuple[float, float] | None) -> str:
    return f" [{interval[0]:,.3g}, {interval[1]:,.3g}]" if interval else ""
