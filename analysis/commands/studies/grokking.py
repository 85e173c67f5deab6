"""python -m analysis grokking: steps to learn and to generalise, by training fraction and weight decay."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from analysis.commands.options import STORE, add_level_option
from analysis.commands.output import add_json_option, print_text, write_result

if TYPE_CHECKING:
    from analysis.studies.generalisation.grokking import Cell, Grokking


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    grokking = commands.add_parser(
        "grokking", help="steps to learn and to generalise, by training fraction and weight decay"
    )
    grokking.add_argument("source", metavar="STORE", help=STORE)
    add_level_option(grokking)
    add_json_option(grokking)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from analysis.studies.generalisation.grokking import analyse_grokking  # here, so that --help stays fast

    study = analyse_grokking(arguments.source, arguments.level)
    return write_result(study.to_json(), arguments, lambda: _print_study(study))


def _print_study(study: Grokking) -> None:
    from analysis.studies.generalisation.grokking import GENERALISED, LEARNED

    print_text(f"fraction  decay  steps to train accuracy {LEARNED:g}, to held-out accuracy {GENERALISED:g}")
    print_text("\n".join([*map(_cell_line, study.cells), *study.verdict]))


def _cell_line(cell: Cell) -> str:
    parts = [f"{cell.fraction:8.3g}  {cell.decay:5g} "]
    for split in ("train", "held_out"):
        mean, steps = cell.mean(split), cell.steps_to(split)
        if mean is None:
            parts.append(f"{len(steps)} of {len(cell.runs)} seeds within {cell.steps:,},")
        else:
            parts.append(f"{mean[0]:,.0f}{_interval_text(mean[1])},")
    if cell.ratio is not None:
        parts.append(f"ratio {cell.ratio[0]:.3g}{_interval_text(cell.ratio[1])}:")
    return " ".join([*parts, cell.verdict])


def _interval_text(interval: tuple[float, float] | None) -> str:
    return f" [{interval[0]:,.3g}, {interval[1]:,.3g}]" if interval else ""
