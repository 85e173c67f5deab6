"""python -m analysis simulate: bias, spread and coverage of the intervals on simulated sweeps of a known law."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from analysis.commands.output import add_json_option, progress_bar, text_console, write_result
from analysis.fitting.options import FitOptions
from analysis.studies.options import COVERAGE_BOOTSTRAP, CoverageOptions
from scaling.config.options import add_options, read_options

if TYPE_CHECKING:
    from analysis.studies.simulations.coverage import CoverageStudy

FIT_FLAGS = ("bootstrap", "objective", "delta", "resampling", "intervals", "weighting", "minimum", "level")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    simulate = commands.add_parser(
        "simulate",
        help="bias, spread and coverage of the intervals on simulated sweeps of a known law",
    )
    add_options(simulate, CoverageOptions)
    add_options(simulate, FitOptions, only=FIT_FLAGS)
    add_json_option(simulate)
    simulate.set_defaults(bootstrap=COVERAGE_BOOTSTRAP)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options, fit_options = read_options(CoverageOptions, arguments), read_options(FitOptions, arguments)
    from analysis.format import json_ready  # here, so that --help stays fast
    from analysis.studies.simulations.coverage import coverage_study

    with progress_bar("sweeps") as progress:
        study = coverage_study(options, fit_options, progress)
    return write_result(json_ready(study.to_json()), arguments, lambda: _print_study(study))


def _print_study(study: CoverageStudy) -> None:
    from rich.table import Table

    console = text_console()
    truth = ", ".join(f"{name} {value:g}" for name, value in study.settings["truth"].items())
    console.print(f"{study.law}: {study.sweeps} sweeps of {study.settings['runs']} runs, {truth}")
    table = Table(box=None, pad_edge=False)
    for column in ("quantity", "true", "mean", "bias", "standard deviation", "mean interval width", "coverage"):
        table.add_column(column, no_wrap=True)
    for row in study.rows:
        numbers = (row.bias, row.std, row.mean_interval_width)
        table.add_row(
            row.name,
            f"{row.true:.4g}",
            f"{row.mean:.4g}",
            *(f"{number:.2g}" for number in numbers),
            f"{row.coverage:.1%} ± {row.coverage_error:.1%}",
        )
    console.print(table)
    console.print(f"nominal coverage {study.level:.0%}, ± two standard errors")
    verdicts = ", ".join(f"{code} {share:.1%}" for code, share in sorted(study.verdicts.items(), key=lambda x: -x[1]))
    failed = f"; {study.failed} sweeps could not be fitted" if study.failed else ""
    console.print(f"verdicts: {verdicts}{failed}")
