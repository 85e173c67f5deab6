"""python -m analysis sae: laws of sparse autoencoders by model, and their exponents by its size."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from analysis.commands.options import STORE
from analysis.commands.output import add_json_option, print_text, write_result
from analysis.data.options import ReadOptions
from analysis.fitting.options import COMMON, FitOptions
from scaling.config.options import add_options, read_options

if TYPE_CHECKING:
    from analysis.studies.saes.exponents import SaeStudy


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    sae = commands.add_parser("sae", help="laws of sparse autoencoders by model, and their exponents by its size")
    sae.add_argument("source", metavar="STORE", help=STORE)
    add_options(sae, ReadOptions, only=("where",))
    add_options(sae, FitOptions, only=COMMON)
    add_json_option(sae)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options, reading = read_options(FitOptions, arguments), read_options(ReadOptions, arguments)
    from analysis.format import json_ready  # here, so that --help stays fast
    from analysis.studies.saes.exponents import study_autoencoders

    study = study_autoencoders(arguments.source, options, reading)
    return write_result(json_ready(study.to_json()), arguments, lambda: _print(study))


def _print(study: SaeStudy) -> None:
    from analysis.format import aligned
    from analysis.studies.saes.text import HEAD, law_rows, optimum_lines, slope_lines, verdict_lines

    print_text(f"sparse autoencoders of {study.source}: L(n, k) by model, {study.level:.0%} intervals")
    print_text(aligned([HEAD, *law_rows(study)]))
    print_text("\n".join([*slope_lines(study), *optimum_lines(study), *verdict_lines(study)]))
