"""python -m analysis forecasts: the sealed forecasts of a store, their runs and scores."""

from __future__ import annotations

import argparse

from analysis.commands.options import STORE
from analysis.commands.output import add_json_option, print_text, write_result
from analysis.errors import DataError


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser("forecasts", help="sealed forecasts of a store, compared with their runs")
    parser.add_argument("source", metavar="STORE", help=STORE)
    parser.add_argument(
        "--verify", action="store_true", help="only check that no sealed forecast was changed, removed or moved"
    )
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from analysis.data.record_cache import StoreSnapshot  # here, so that --help stays fast
    from analysis.format import json_ready
    from analysis.studies.forecast.scores import describe_outcomes, score_seals, summarise
    from analysis.studies.forecast.seals import FILE, read_seals

    store = arguments.source
    if not isinstance(store, StoreSnapshot):
        raise DataError(f"{store}: not a store: give the folder that runs were trained into")
    seals = read_seals(store)
    if not seals:
        raise DataError(
            f"{store}: no sealed forecasts: make one with `analysis forecast {store} --target-run .. --seal`"
        )
    last = seals[-1]
    if arguments.verify:
        text = f"{store.root / FILE}: {len(seals)} sealed, none changed; the last hash is {last.hash} of {last.time}"
        return write_result(
            {"sealed": len(seals), "hash": last.hash, "time": last.time}, arguments, lambda: print_text(text)
        )
    outcomes = score_seals(store, seals)
    data = {"forecasts": [outcome.to_json() for outcome in outcomes], "summary": summarise(outcomes)}
    return write_result(json_ready(data), arguments, lambda: print_text(describe_outcomes(outcomes)))
