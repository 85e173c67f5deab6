"""python -m analysis figure: draws one figure and writes its data."""

from __future__ import annotations

import argparse
from pathlib import Path

from analysis.commands import options
from analysis.commands.output import print_text
from analysis.evals.options import EmergenceOptions
from analysis.figures.options import SCORES, FigureOptions
from analysis.figures.registry import FIGURES
from scaling.config.exit_status import DONE
from scaling.config.options import add_options, read_options


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    command = commands.add_parser("figure", help="draw one figure")
    command.add_argument(
        "name", metavar="NAME", help=f"{', '.join(FIGURES)}, or your own FILE.py:FUNCTION or package.module:FUNCTION"
    )
    command.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    command.add_argument("--out", required=True, metavar="FILE", help="file to write: .pdf, .png or .svg")
    add_options(command, FigureOptions)
    options.add_source_options(command)
    add_options(command, EmergenceOptions, only=SCORES)


def run(arguments: argparse.Namespace) -> int:
    """Draws the figure and prints its path; returns the exit status."""
    from analysis.figures.save import save_figure  # here, so that --help imports no pandas

    figure_options = read_options(FigureOptions, arguments)
    fit_options, reading = options.source_options(arguments)
    scores = read_options(EmergenceOptions, arguments, only=SCORES)
    print_text(
        save_figure(arguments.source, arguments.name, Path(arguments.out), figure_options, fit_options, reading, scores)
    )
    return DONE
