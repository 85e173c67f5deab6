"""python -m analysis conventions: Kaplan's and Chinchilla's exponents from the same runs, counted each way."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.commands import options

if TYPE_CHECKING:
    from analysis.studies.conventions import Counting


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    conventions = commands.add_parser("conventions", help="exponents under each way of counting N and C")
    conventions.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    conventions.add_argument("--law", default="chinchilla-2,chinchilla", help="approaches to compare (both)")
    conventions.add_argument("--nonembedding", metavar="COLUMN", help="of a file: N without embeddings")
    conventions.add_argument("--json", metavar="FILE", help="write it as JSON (- for standard output)")
    options.reading(conventions)


def run(given: argparse.Namespace) -> int:
    laws = tuple(given.law.split(","))
    del given.law  # two laws: checked where they are used
    options.check(given)
    from analysis.errors import DataError
    from analysis.format import plain
    from analysis.studies.conventions import conventions, explained
    from scaling.store.files import write_json

    chosen = options.chosen(given)
    for option in ("flops", "params"):
        if chosen.pop(option, None) is not None:
            raise DataError(f"--{option}: every counting is compared: leave it out")
    found = conventions(given.source, laws, nonembedding=given.nonembedding, **chosen)
    said = plain({"countings": [one.to_json() for one in found], "notes": explained(found)})
    if given.json == "-":
        print(json.dumps(said, indent=1, allow_nan=False))
        return options.GOOD
    _show(given.source, found)
    if given.json:
        write_json(Path(given.json), said)
        print(f"{given.json}: written", file=sys.stderr)
    return options.GOOD


def _show(source: str, found: list[Counting]) -> None:
    from rich.console import Console

    from analysis import format
    from analysis.studies.conventions import explained, rows

    console = Console(soft_wrap=True, highlight=False)
    console.print(
        f"{source}, {len(found[0].points)} points counted {len(found)} way{'s'[: len(found) > 1]}", markup=False
    )
    console.print(format.aligned(rows(found)), markup=False)
    notes = {note: one.name for one in reversed(found) for note in one.notes}
    reasons = {e.why: one.name for one in reversed(found) for e in one.exponents.values() if e.why}
    for note, name in (*notes.items(), *reasons.items()):
        console.print(f"{name}: {note}", style="dim", markup=False)
    for line in explained(found):
        console.print(line, markup=False)
