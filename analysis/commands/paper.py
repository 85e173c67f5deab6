"""python -m analysis paper: writes the numbers, tables and figures of a paper as LaTeX, with a sample document."""

from __future__ import annotations

import argparse
from pathlib import Path

from analysis.commands import options
from analysis.commands.output import print_text
from analysis.paper.options import PaperOptions
from scaling.config.exit_status import DONE
from scaling.config.options import add_options, read_options


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    command = commands.add_parser("paper", help="write numbers, tables and figures as LaTeX that rebuilds itself")
    command.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    command.add_argument("--out", required=True, metavar="DIR", help="folder for the files of the paper")
    add_options(command, PaperOptions)
    options.add_source_options(command)


def run(arguments: argparse.Namespace) -> int:
    """Writes the files and prints the path of the sample document; returns the exit status."""
    paper = read_options(PaperOptions, arguments)
    fit_options, reading = options.source_options(arguments)
    from analysis.paper.build import write_paper  # here, so that --help imports no pandas

    print_text(write_paper(arguments.source, Path(arguments.out), paper, fit_options, reading))
    return DONE
