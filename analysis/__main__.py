"""Command line of `python -m analysis`: tables, fits, studies, figures and reports of a store or a file of runs."""

from __future__ import annotations

import argparse
import sys

from analysis.commands import figure, fit, laws, optimum, options, report, table
from analysis.commands.studies import (
    backtest,
    bench,
    calibration,
    conventions,
    coverage,
    design_savings,
    double_descent,
    emergence,
    grokking,
    multiplier,
    next_runs,
    observational,
    simulate_emergence,
)
from analysis.errors import DataError, FitError
from scaling.config.exit_status import BAD_INPUT, FAILED

COMMANDS = {  # name: module with `add` and `run`, in the order of --help
    "table": table,
    "laws": laws,
    "fit": fit,
    "optimum": optimum,
    "conventions": conventions,
    "backtest": backtest,
    "simulate": coverage,
    "observational": observational,
    "multiplier": multiplier,
    "next": next_runs,
    "simulate-next": design_savings,
    "emergence": emergence,
    "simulate-emergence": simulate_emergence,
    "grokking": grokking,
    "double-descent": double_descent,
    "calibration": calibration,
    "bench": bench,
    "figure": figure,
    "report": report,
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


def fetch_store(arguments: argparse.Namespace) -> None:
    """Downloads the records of a remote store (s3://, gs://, ...) and replaces its address by the local folder."""
    source = vars(arguments).get("source")
    if source and "://" in source:
        from scaling.store.open import open_store  # here, so that --help does not import it

        store = open_store(source)
        store.fetch_results()
        arguments.source = str(store.root)


def main(command_line: list[str] | None = None) -> int:
    """Runs a command and returns the exit status: 0 done, 1 could not fit, 2 bad input."""
    arguments = parser().parse_args(command_line)
    from scaling.store.files import StoreError  # here, so that --help does not import it

    try:
        fetch_store(arguments)
        return COMMANDS[arguments.command].run(arguments)
    except (DataError, StoreError) as error:
        return options.print_error(error, BAD_INPUT)
    except OSError as error:
        return options.print_error(f"{error.filename or 'output'}: {error.strerror}", BAD_INPUT)
    except FitError as error:
        return options.print_error(error, FAILED)


if __name__ == "__main__":
    sys.exit(main())
