"""python -m analysis simulate-next: compute that designs of `next` save over an isoFLOP grid, on known laws."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from analysis.commands.output import add_json_option, print_text, progress_bar, write_result
from analysis.errors import DataError
from analysis.studies.options import DesignSavingsOptions
from scaling.config.options import add_options, read_options

if TYPE_CHECKING:
    from analysis.studies.simulations.design_savings import DesignSavings


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    simulate = commands.add_parser(
        "simulate-next", help="compute that designs of `next` save over an isoFLOP grid, on known laws"
    )
    simulate.add_argument("--truth", default="all", help="chinchilla, kaplan, gemstones or all (default)")
    add_options(simulate, DesignSavingsOptions)
    add_json_option(simulate)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = read_options(DesignSavingsOptions, arguments)
    from analysis.format import json_ready  # here, so that --help stays fast
    from analysis.studies.simulations.design_savings import TRUTHS, design_savings

    if arguments.truth not in ("all", *TRUTHS):
        raise DataError(f"--truth {arguments.truth}: must be one of {', '.join(TRUTHS)}, all")
    studies = []
    for truth in TRUTHS if arguments.truth == "all" else (arguments.truth,):
        with progress_bar(truth) as progress:
            studies.append(design_savings(truth, options, progress))
    data = {"studies": json_ready([study.to_json() for study in studies])}
    return write_result(data, arguments, lambda: _print_studies(studies))


def _print_studies(studies: list[DesignSavings]) -> None:
    from analysis import format

    for study in studies:
        print_text(f"{study.truth}: {study.target}, truth {study.true:.4g}; {study.draws} simulated sweeps")
        print_text(format.aligned(_rows(study)))
        print_text(
            f"the design needs {study.sufficient_share:.3g} of the FLOPs of the grid for the same interval width "
            f"(median over sweeps); actual width / expected width in the last round: {study.width_to_expected:.2f}\n"
        )


def _rows(study: DesignSavings) -> list[tuple[str, ...]]:
    from analysis import format

    rows: list[tuple[str, ...]] = [
        ("", "FLOPs", "runs", "interval width, ln", "relative to grid", "RMSE, ln", "relative to grid", "coverage")
    ]
    for name, result in (("grid", study.grid), *(("design", design) for design in study.designs)):
        rows.append(
            (
                f"{name} ({result.failed} sweeps not fitted)" if result.failed else name,
                f"{format.scientific(result.share * study.flops, 2)} ({result.share:.3g})",
                f"{result.runs:g}",
                f"{result.width:.4f}",
                f"×{result.width / study.grid.width:.2f}",
                f"{result.rmse:.4f}",
                f"×{result.rmse / study.grid.rmse:.2f}",
                f"{result.coverage:.0%}",
            )
        )
    return rows
