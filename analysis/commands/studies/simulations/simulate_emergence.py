"""python -m analysis simulate-emergence: how often the verdict of `emergence` is right on simulated tasks."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from analysis.commands.output import add_json_option, progress_bar, text_console, write_result
from analysis.studies.options import SimulatedTaskOptions
from scaling.config.options import add_options, read_options

if TYPE_CHECKING:
    from collections import Counter


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    simulate = commands.add_parser(
        "simulate-emergence", help="how often the verdict of `emergence` is right on simulated tasks"
    )
    add_options(simulate, SimulatedTaskOptions)
    add_json_option(simulate)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = read_options(SimulatedTaskOptions, arguments)
    from analysis.studies.simulations.simulated_tasks import verdict_counts  # here, so that --help stays fast

    with progress_bar("tasks") as progress:
        counts = verdict_counts(options, progress)
    data = {
        "draws": options.draws,
        "seed": options.seed,
        "verdicts": {name: dict(verdicts) for name, verdicts in counts.items()},
    }
    return write_result(data, arguments, lambda: _print_confusion_matrix(counts, options.draws))


def _print_confusion_matrix(counts: dict[str, Counter[str]], draws: int) -> None:
    from rich.table import Table

    from analysis.evals.verdict import VERDICTS
    from analysis.studies.simulations.simulated_tasks import TRUTHS

    table = Table("truth", *VERDICTS, "correct", box=None, pad_edge=False)
    for name, verdicts in counts.items():
        correct = verdicts[TRUTHS[name].verdict] / draws
        table.add_row(name, *(str(verdicts[verdict]) for verdict in VERDICTS), f"{correct:.0%}")
    console = text_console()
    console.print(
        f"verdicts on {draws} simulated tasks of each truth (analysis/studies/simulations/simulated_tasks.py)"
    )
    console.print(table)
