"""python -m analysis multiplier: compute multipliers of groups of runs, such as architectures."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from analysis.commands.options import SOURCE
from analysis.commands.output import add_json_option, print_text, write_result
from analysis.data.options import ReadOptions
from analysis.studies.options import MultiplierOptions
from scaling.config.options import add_options, read_options

if TYPE_CHECKING:
    from analysis.studies.multiplier import Multiplier


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    multiplier = commands.add_parser("multiplier", help="compute multipliers of groups of runs, such as architectures")
    multiplier.add_argument("source", metavar="SOURCE", help=SOURCE)
    multiplier.add_argument(
        "--by", required=True, metavar="FIELD", help="column of the group of a run, such as model.mlp"
    )
    add_options(multiplier, MultiplierOptions)
    add_options(multiplier, ReadOptions)
    add_json_option(multiplier)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = read_options(MultiplierOptions, arguments)
    reading = read_options(ReadOptions, arguments)
    from analysis.studies.multiplier import compute_multipliers  # here, so that --help stays fast

    multipliers = compute_multipliers(arguments.source, arguments.by, options, reading)
    data = {"by": arguments.by, "multipliers": [multiplier.to_json() for multiplier in multipliers]}
    return write_result(data, arguments, lambda: _print_multipliers(arguments.by, multipliers))


def _print_multipliers(by: str, multipliers: list[Multiplier]) -> None:
    for m in multipliers:
        low, high = m.interval
        print_text(
            f"{by} = {m.group}: {m.value:.3g} times the compute efficiency of {m.reference} "
            f"[{low:.3g}, {high:.3g}] ({m.level:.0%}; {m.budgets} budgets, {m.runs} runs)"
        )
        print_text("\n".join(f"  {line}" for line in m.verdict))
