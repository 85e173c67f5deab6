"""Command line of `python -m analysis`: tables, fits, studies, figures and reports of a store or a file of runs."""

from __future__ import annotations

import argparse
import sys

from analysis.commands import audit, figure, fit, forecast, forecasts, laws, optimum, options, paper, report, table
from analysis.commands.studies import (
    autoencoders,
    backtest,
    bench,
    calibration,
    conventions,
    double_descent,
    emergence,
    grokking,
    multiplier,
    next_runs,
    observational,
    problems,
)
from analysis.commands.studies.simulations import coverage, design_savings, simulate_emergence
from analysis.errors import DataError, FitError
from scaling.config.exit_status import BAD_INPUT, DONE, FAILED, INTERRUPTED
from scaling.config.os_errors import describe_os_error, discard_unwritable_output

COMMANDS = {  # name: module with `add` and `run`, in the order of --help
    "table": table,
    "audit": audit,
    "laws": laws,
    "fit": fit,
    "optimum": optimum,
    "conventions": conventions,
    "backtest": backtest,
    "simulate": coverage,
    "observational": observational,
    "multiplier": multiplier,
    "next": next_runs,
    "forecast": forecast,
    "forecasts": forecasts,
    "simulate-next": design_savings,
    "emergence": emergence,
    "simulate-emergence": simulate_emergence,
    "sae": autoencoders,
    "grokking": grokking,
    "double-descent": double_descent,
    "calibration": calibration,
    "problems": problems,
    "bench": bench,
    "figure": figure,
    "report": report,
    "paper": paper,
}


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line, without slow imports."""
    program = argparse.ArgumentParser(
        prog="python -m analysis",
        description="Fit scaling laws, draw figures and write reports from a store or a file of runs.",
    )
    commands = program.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS.values():
        module.add(commands)
    return program


def open_store(arguments: argparse.Namespace) -> None:
    """Replaces a source that is a store by a snapshot of it, so that every part of a command notes its damaged files.

    The records of a remote store (s3://, gs://, ...) are downloaded first.
    """
    source = vars(arguments).get("source")
    if not source:
        return
    from analysis.data.record_cache import StoreSnapshot  # here, so that --help does not import pandas
    from analysis.data.sources.readers import is_store

    if "://" in source:
        from scaling.store.open import open_store as open_remote  # here: most stores are folders

        store = open_remote(source)
        store.fetch_results()
        arguments.source = StoreSnapshot(store.root, source) if is_store(store.root) else str(store.root)
    else:
        arguments.source = StoreSnapshot(source) if is_store(source) else source


def print_left_out(arguments: argparse.Namespace) -> None:
    """Names the damaged files of the store that a command left out, once each, on standard error."""
    from analysis.data.record_cache import StoreSnapshot  # here, so that --help does not import pandas
    from scaling.store.damaged import print_damaged

    if isinstance(source := vars(arguments).get("source"), StoreSnapshot):
        print_damaged(source)


def run_command(arguments: argparse.Namespace) -> int:
    """Runs a command on its source, and names the files that it left out; returns the exit status."""
    open_store(arguments)
    try:
        status = COMMANDS[arguments.command].run(arguments)
        sys.stdout.flush()
        return status
    finally:
        print_left_out(arguments)


def main(command_line: list[str] | None = None) -> int:
    """Runs a command and returns the exit status: 0 done, 1 could not fit, 2 bad input."""
    arguments = parser().parse_args(command_line)
    from scaling.store.files import StoreError  # here, so that --help does not import it

    try:
        return run_command(arguments)
    except (DataError, StoreError) as error:
        return options.print_error(error, BAD_INPUT)
    except FitError as error:
        return options.print_error(error, FAILED)
    except BrokenPipeError:  # the reader of the output has closed the pipe
        discard_unwritable_output()
        return DONE
    except OSError as error:
        discard_unwritable_output()
        return options.print_error(describe_os_error(error), BAD_INPUT)
    except KeyboardInterrupt:
        return options.print_error("interrupted", INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
