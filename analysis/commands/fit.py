"""python -m analysis fit: a law, its doubt and its verdict."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.commands import options

if TYPE_CHECKING:
    from analysis.fitting.result import Fit


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    fit = commands.add_parser("fit", help="fit a law and say how sure it is")
    fit.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    fit.add_argument("--law", default="chinchilla", help="a name (chinchilla) or your own FILE.py:FUNCTION")
    options.reading(fit)
    fit.add_argument(
        "--kind",
        default="auto",
        help="of bootstrap: residuals, cases, groups, sizes, parametric, or auto (default): by the runs there are",
    )
    fit.add_argument("--intervals", default="bootstrap", help="bootstrap (default) or profile")
    fit.add_argument("--weighting", default="noise", help="of chinchilla-2's minima: noise (default) or equal")
    fit.add_argument("--minimum", default="parabola", help="of a budget in chinchilla-2: parabola (default) or akima")
    fit.add_argument(
        "--beyond", type=float, default=1.0, metavar="K", help="times the largest input called extrapolation (1)"
    )
    fit.add_argument("--fix", metavar="E=1.69,..", help="hold parameters at values")
    fit.add_argument("--tie", metavar="beta=alpha", help="hold parameters equal to others")
    fit.add_argument("--start", metavar="alpha=0.3,..", help="values to search from instead of the law's own")
    fit.add_argument(
        "--runs", metavar="COL,COL", help="two-step: rows are checkpoints, of runs that these columns name"
    )
    fit.add_argument("--at", metavar="N=..,D=..", help="predict the law's output there, with its interval")
    fit.add_argument("--json", metavar="FILE", help="write the fit as JSON (- for standard output)")


def run(given: argparse.Namespace) -> int:
    options.check(given)
    from analysis.fitting.fit import fit
    from scaling.store.files import write_json

    result = fit(
        given.source,
        given.law,
        columns=options.columns(given.columns),
        units=options.columns(given.units, "units", "N=billions,L=bits"),
        drop_bad=given.drop_bad,
        where=given.where,
        flops=given.flops,
        params=given.params,
        objective=given.objective,
        delta=given.delta,
        undertuned=given.undertuned,
        weights=given.weights,
        bootstrap=given.bootstrap,
        seed=given.seed,
        level=given.level,
        kind=given.kind,
        intervals=given.intervals,
        weighting=given.weighting,
        minimum=given.minimum,
        beyond=given.beyond,
        fix=options.numbers("fix", given.fix),
        tie=options.columns(given.tie, "tie", "beta=alpha"),
        start=options.numbers("start", given.start),
        **_checkpoints(given),
    )
    at = options.numbers("at", given.at)
    predicted = result.at(**at) if at else None
    written = result.to_json() | ({"at": predicted} if predicted else {})
    if given.json == "-":
        print(json.dumps(written, indent=1, allow_nan=False))
        return options.GOOD
    _show_fit(result)
    if predicted:
        _show_at(predicted)
    if given.json:
        write_json(Path(given.json), written)
        print(f"{given.json}: written", file=sys.stderr)
    return options.GOOD


def _checkpoints(given: argparse.Namespace) -> dict[str, Any]:
    """Columns that name a run, for the one law that is fitted to checkpoints."""
    from analysis.errors import DataError

    if given.runs is None:
        return {}
    if given.law != "two-step":
        raise DataError(f"--runs {given.runs}: {given.law} is fitted to a row a run; two-step takes checkpoints")
    return {"runs": [name.strip() for name in given.runs.split(",")]}


def _show_at(at: dict[str, Any]) -> None:
    inputs = ", ".join(f"{name} = {value:g}" for name, value in at["inputs"].items())
    low, high = at["interval"]
    print(f"at {inputs}: {at['output']} = {at['value']:.5g} ({low:.5g} to {high:.5g})")
    for said in at["verdict"]:
        print(f"         {said}")


def _show_fit(fit: Fit) -> None:
    from rich.console import Console

    from analysis import format
    from analysis.fitting.result import footing, heading, table_rows

    console = Console(soft_wrap=True, highlight=False)

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False)

    say(heading(fit))
    for note in (fit.points.convention, *fit.points.notes, *fit.notes):
        say(note, "dim")
    say(format.aligned([("parameter", "value", f"{fit.level:.0%} interval", ""), *table_rows(fit)]))
    for line in footing(fit):
        say(line)
