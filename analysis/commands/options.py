"""Flags that several commands share, and the output of errors."""

from __future__ import annotations

import argparse
import sys

from analysis.data.options import ReadOptions
from analysis.fitting.options import COMMON, FitOptions
from scaling.config.options import add_options, read_options
from scaling.config.text import printable

SOURCE = "folder of a store or of TensorBoard runs, or a .csv, .tsv, .parquet, .json or .jsonl file"
STORE = "folder of a store"


def add_source_options(command: argparse.ArgumentParser, leave_out: tuple[str, ...] = ()) -> None:
    """Adds the flags of every command that reads points and fits laws to them.

    Args:
        command: The command's parser.
        leave_out: Fields of ReadOptions without a flag.
    """
    add_options(command, ReadOptions, leave_out=leave_out)
    add_options(command, FitOptions, only=COMMON)


def add_group_option(command: argparse.ArgumentParser) -> None:
    """Adds --by."""
    command.add_argument(
        "--by", metavar="COLUMN", help="fit each group of runs with a value of this column, and show them side by side"
    )


def source_options(arguments: argparse.Namespace) -> tuple[FitOptions, ReadOptions]:
    """Returns the options of the fits and of reading the source; flags that a command lacks have their default."""
    return read_options(FitOptions, arguments), read_options(ReadOptions, arguments)


def add_level_option(command: argparse.ArgumentParser) -> None:
    """Adds --level, for commands that have no other option of BootstrapOptions."""
    command.add_argument("--level", type=float, default=0.95, help="coverage of the intervals (%(default)s)")


def print_error(error: object, status: int) -> int:
    """Prints an error in one line on standard error.

    Args:
        error: The exception or its message.
        status: Exit status, which is returned.
    """
    print(f"error: {printable(str(error))}", file=sys.stderr)
    return status
