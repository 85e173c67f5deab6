"""python -m analysis fit: fits a law and prints its parameters, intervals and verdict."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from analysis.commands import options
from analysis.commands.output import add_json_option, print_text, text_console, write_result
from analysis.data.options import ReadOptions, parse_numbers
from analysis.errors import DataError
from analysis.fitting.options import COMMON, FitOptions
from scaling.config.options import add_options
from scaling.config.text import printable
from scaling.store.origin.paths import public_path

if TYPE_CHECKING:
    from analysis.fitting.by_group import GroupFits
    from analysis.fitting.result import Fit
    from analysis.studies.simulations.power import Power


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    fit = commands.add_parser("fit", help="fit a law, with intervals and a verdict")
    fit.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    fit.add_argument(
        "--law",
        default="chinchilla",
        help="name of a law (chinchilla), or your own FILE.py:FUNCTION or package.module:FUNCTION",
    )
    options.add_source_options(fit)
    add_options(fit, FitOptions, leave_out=COMMON)
    fit.add_argument(
        "--at", metavar="N=..,D=..", help="predict the output of the law at these inputs, with an interval"
    )
    fit.add_argument(
        "--power",
        action="store_true",
        help="simulate which other laws these runs could tell from chinchilla's, and which runs would (seconds)",
    )
    options.add_group_option(fit)
    add_json_option(fit)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    fit_options, reading = options.source_options(arguments)
    inputs = parse_numbers("N=7e9,D=1.4e12")("--at", arguments.at) if arguments.at else {}
    if arguments.by and arguments.power:
        raise DataError("--power with --by: give one group with --where")
    if arguments.by:
        return _run_by_group(arguments, fit_options, reading, inputs)
    from analysis.fitting.fit import fit  # here, so that --help stays fast
    from analysis.format import json_ready

    result = fit(arguments.source, arguments.law, fit_options, reading)
    data = result.to_json()
    if inputs:
        data["at"] = result.at(**inputs)
    power = _power_statement(result) if arguments.power else None
    if power is not None:
        data["power"] = json_ready(power.to_json())

    def show() -> None:
        _print_fit(result)
        if inputs:
            _print_prediction(data["at"])
        for line in () if power is None else power.sentences:
            print_text(line)

    return write_result(data, arguments, show)


def _run_by_group(
    arguments: argparse.Namespace, fit_options: FitOptions, reading: ReadOptions, inputs: dict[str, float]
) -> int:
    from analysis.fitting.by_group import fit_by  # here, so that --help stays fast

    result = fit_by(arguments.source, arguments.by, arguments.law, fit_options, reading)
    data = result.to_json()
    for name, fit in result.fits.items() if inputs else ():
        data["groups"][name]["at"] = fit.at(**inputs)

    def show() -> None:
        console = text_console()
        first = next(iter(result.fits.values()))
        for line in (heading_by_group(result), first.points.convention, *first.points.notes):
            console.print(line)
        console.print(f"{result}")
        for name in result.fits if inputs else ():
            _print_prediction(data["groups"][name]["at"], f"{result.column} {printable(name)}, ")

    return write_result(data, arguments, show)


def heading_by_group(result: GroupFits) -> str:
    """Returns a line with the law, the source and the number of groups.

    Args:
        result: Fits of the groups.
    """
    first = next(iter(result.fits.values()))
    return f"{first.law}, {len(result.fits)} groups of {public_path(first.points.source)} by {result.column}"


def _power_statement(fit: Fit) -> Power:
    from analysis.studies.simulations.power import power_statement  # here, so that --help stays fast

    return power_statement(fit, seed=0)


def _print_prediction(prediction: dict[str, Any], prefix: str = "") -> None:
    inputs = ", ".join(f"{name} = {value:g}" for name, value in prediction["inputs"].items())
    low, high = prediction["interval"]
    value = f"{prediction['value']:.5g} ({low:.5g} to {high:.5g}) {prediction['unit']}".rstrip()
    print_text(f"{prefix}at {inputs}: {prediction['output']} = {value}")
    print_text(f"         interval of the law, {prediction['interval_method']}{_new_run_text(prediction)}")
    for line in prediction["verdict"]:
        print_text(f"         {line}")


def _new_run_text(prediction: dict[str, Any]) -> str:
    if prediction["new_run_interval"] is None:
        return ""
    low, high = prediction["new_run_interval"]
    return f"; with the scatter of single runs, a new run is within {low:.5g} to {high:.5g}"


def _print_fit(fit: Fit) -> None:
    from analysis import format
    from analysis.fitting.result import footing, heading, interval_title, table_rows

    console = text_console()
    for line in heading(fit):
        console.print(line)
    for note in (fit.points.convention, *fit.points.notes, *fit.notes):
        console.print(note, style="dim")
    rows = [("parameter", "value", interval_title(fit), ""), *table_rows(fit)]
    console.print(format.aligned(rows))
    for line in footing(fit):
        console.print(line)
