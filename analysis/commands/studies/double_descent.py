"""python -m analysis double-descent: peaks of test error over width, data and epochs, with their intervals."""

from __future__ import annotations

import argparse

from analysis.commands.options import STORE, add_level_option
from analysis.commands.output import add_json_option, print_text, write_result
from analysis.data.options import ReadOptions
from scaling.config.options import add_options, read_options


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    descent = commands.add_parser(
        "double-descent", help="peaks of test error over width, data and epochs, with their intervals"
    )
    descent.add_argument("source", metavar="SOURCE", help=f"{STORE}, or a table of test errors by width, data or step")
    add_options(descent, ReadOptions, only=("columns", "where"))
    add_level_option(descent)
    add_json_option(descent)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from analysis.studies.generalisation.double_descent import analyse_double_descent  # here, so that --help stays fast

    study = analyse_double_descent(arguments.source, arguments.level, read_options(ReadOptions, arguments))

    def show() -> None:
        print_text("\n".join([*(profile.line for profile in study.profiles), *study.verdict]))

    return write_result(study.to_json(), arguments, show)
