"""python -m analysis conventions: Kaplan's and Chinchilla's exponents under each convention of counting N and C."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from analysis.commands.options import SOURCE
from analysis.commands.output import add_json_option, text_console, write_result
from analysis.data.options import ReadOptions
from analysis.fitting.options import COMMON, FitOptions
from analysis.studies.options import ConventionsOptions
from scaling.config.options import add_options, read_options

if TYPE_CHECKING:
    from analysis.studies.conventions import Convention


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    conventions = commands.add_parser(
        "conventions", help="compare scaling exponents under each convention of counting N and C"
    )
    conventions.add_argument("source", metavar="SOURCE", help=SOURCE)
    add_options(conventions, ConventionsOptions)
    add_options(conventions, ReadOptions, leave_out=("run_columns", "checkpoints", "flops", "params"))
    add_options(conventions, FitOptions, only=COMMON)
    add_json_option(conventions)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = read_options(ConventionsOptions, arguments)
    fit_options, reading = read_options(FitOptions, arguments), read_options(ReadOptions, arguments)
    from analysis.format import json_ready  # here, so that --help stays fast
    from analysis.studies.conventions import compare_conventions, explanations

    conventions = compare_conventions(arguments.source, options, fit_options, reading)
    data = {"conventions": [c.to_json() for c in conventions], "notes": explanations(conventions)}
    return write_result(json_ready(data), arguments, lambda: _print_conventions(arguments.source, conventions))


def _print_conventions(source: str, conventions: list[Convention]) -> None:
    from analysis import format
    from analysis.studies.conventions import explanations, table_rows

    console = text_console()
    number = format.plural(len(conventions), "convention")
    console.print(f"{source}, {len(conventions[0].points)} points under {number}")
    console.print(format.aligned(table_rows(conventions)))
    notes = {note: c.name for c in reversed(conventions) for note in c.notes}
    reasons = {e.reason: c.name for c in reversed(conventions) for e in c.exponents.values() if e.reason}
    for note, name in (*notes.items(), *reasons.items()):
        console.print(f"{name}: {note}", style="dim")
    for line in explanations(conventions):
        console.print(line)
