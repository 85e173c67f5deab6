"""python -m analysis forecast: the distribution of the loss of a run that has not been trained, and its seal."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from analysis.commands.options import SOURCE, add_source_options, source_options
from analysis.commands.output import add_json_option, print_text, write_result
from analysis.errors import DataError
from analysis.studies.forecast.options import FORECAST_BOOTSTRAP, ForecastOptions
from scaling.config.options import add_options, format_options, read_options


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser("forecast", help="distribution of the loss of a new run, and what it rests on")
    parser.add_argument("source", metavar="SOURCE", help=SOURCE)
    add_options(parser, ForecastOptions)
    parser.add_argument(
        "--seal",
        action="store_true",
        help="append the forecast to the store's chain of sealed forecasts; the run must not have been started",
    )
    add_json_option(parser)
    add_source_options(parser)
    parser.set_defaults(bootstrap=FORECAST_BOOTSTRAP)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = read_options(ForecastOptions, arguments)
    fit_options, reading = source_options(arguments)
    from analysis.data.record_cache import StoreSnapshot  # here, so that --help stays fast
    from analysis.studies.forecast.forecast import forecast_run
    from analysis.studies.forecast.result import describe
    from analysis.studies.forecast.seals import FILE, check_unsealed, seal_forecast
    from analysis.studies.forecast.target import load_config
    from scaling.config.run import run_id
    from scaling.store.open import open_store

    store = arguments.source if isinstance(arguments.source, StoreSnapshot) else None
    if arguments.seal and (store is None or not options.target_run):
        needed = (
            "the config of the run: give --target-run CONFIG.json"
            if store
            else "a store: a table has no runs to wait for"
        )
        raise DataError(f"--seal: needs {needed}")
    if arguments.seal and store is not None:
        check_unsealed(open_store(store.address), run_id(load_config(options.target_run)))
    forecast = forecast_run(arguments.source, options, fit_options, reading)
    data = forecast.to_json()
    if arguments.seal and store is not None:
        named = replace(options, target_run="")  # the config itself is sealed, not the path of its file
        flags = [*format_options(named), *format_options(reading), *format_options(fit_options)]
        seal = seal_forecast(open_store(store.address), forecast, flags)
        data["seal"] = {"index": seal.index, "time": seal.time, "hash": seal.hash}
        print_text(f"{store.address}/{FILE}: sealed as number {seal.index}, hash {seal.hash}", sys.stderr)
    return write_result(data, arguments, lambda: print_text(describe(forecast)))
