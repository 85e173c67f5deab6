"""python -m analysis report: every fit and figure in one HTML file."""

from __future__ import annotations

import argparse
from pathlib import Path

from analysis.commands import options
from analysis.commands.output import print_text
from scaling.config.exit_status import DONE


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    command = commands.add_parser("report", help="every fit and figure in one HTML file")
    command.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    command.add_argument("--out", required=True, metavar="DIR", help="folder to write report.html and the figures to")
    options.add_source_options(command)


def run(arguments: argparse.Namespace) -> int:
    """Writes the report and prints its path; returns the exit status."""
    from analysis.report.build import write_report  # here, so that --help imports no pandas

    print_text(write_report(arguments.source, Path(arguments.out), *options.source_options(arguments)))
    return DONE
