"""Flags that several commands share, and the line that a command ends with when it fails."""

from __future__ import annotations

import argparse
import sys

from analysis.data.options import ReadOptions
from analysis.fitting.options import COMMON, FitOptions
from scaling.config.options import add_options, read_options

SOURCE = "a store's folder, or a .csv, .tsv, .parquet, .json or .jsonl file"


def add_source_options(command: argparse.ArgumentParser) -> None:
    """Adds the flags of every command that reads points and fits laws to them."""
    add_options(command, ReadOptions, leave_out=("run_columns",))
    add_options(command, FitOptions, only=COMMON)


def source_options(arguments: argparse.Namespace) -> tuple[FitOptions, ReadOptions]:
    """Returns how laws are fitted and how the source is read, from the flags that a command has of both."""
    return read_options(FitOptions, arguments), read_options(ReadOptions, arguments)


def print_error(error: object, status: int) -> int:
    """Prints an error in one line on standard error.

    Args:
        error: The exception or its message.
        status: Exit status, which is returned.
    """
    print(f"error: {error}", file=sys.stderr)
    return status
