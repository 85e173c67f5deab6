"""python -m analysis table | fit | optimum | backtest | observational | figure | report: what the runs say."""

from __future__ import annotations

import argparse
import sys

from analysis.commands import figure, fit, laws, optimum, options, table
from analysis.commands.studies import (
    backtest,
    bench,
    calibration,
    conventions,
    coverage,
    design_savings,
    emergence,
    grokking,
    multiplier,
    next_runs,
    observational,
)


def parser() -> argparse.ArgumentParser:
    """The command line; nothing heavy is imported for --help."""
    top = argparse.ArgumentParser(prog="python -m analysis", description="Runs to laws, figures and reports.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fits = (fit, optimum, conventions, backtest, coverage, observational)
    for one in (
        table,
        laws,
        *fits,
        multiplier,
        next_runs,
        design_savings,
        emergence,
        grokking,
        calibration,
        bench,
        figure,
    ):
        one.add(commands)
    return top


COMMANDS = {
    "table": table.run,
    "laws": laws.run,
    "fit": fit.run,
    "optimum": optimum.run,
    "conventions": conventions.run,
    "backtest": backtest.run,
    "simulate": coverage.run,
    "next": next_runs.run,
    "simulate-next": design_savings.run,
    "observational": observational.run,
    "multiplier": multiplier.run,
    "emergence": emergence.run,
    "simulate-emergence": emergence.simulate,
    "grokking": grokking.grokking,
    "double-descent": grokking.descent,
    "calibration": calibration.run,
    "bench": bench.run,
    "figure": figure.figure,
    "report": figure.report,
}


def fetch(given: argparse.Namespace) -> None:
    """A store at an address (s3://, gs://, ...) is read from its folder on this machine, its records fetched."""
    source = vars(given).get("source")
    if source and "://" in source:
        from scaling.store.open import open_store

        store = open_store(source)
        store.fetch_results()
        given.source = str(store.root)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; exit status 0 done, 1 could not fit, 2 bad input."""
    given = parser().parse_args(arguments)
    from analysis.errors import DataError
    from scaling.store.files import StoreError

    try:
        fetch(given)
        return COMMANDS[given.command](given)
    except (DataError, StoreError) as error:
        return options.say(error, options.BAD)
    except OSError as error:
        return options.say(f"{error.filename or 'output'}: {error.strerror}", options.BAD)
    except RuntimeError as error:
        from analysis.errors import FitError

        if not isinstance(error, FitError):
            raise
        return options.say(error, options.FAILED)


if __name__ == "__main__":
    sys.exit(main())
