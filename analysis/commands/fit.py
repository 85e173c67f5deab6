"""python -m analysis fit: a law, its doubt and its verdict."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.commands import options

if TYPE_CHECKING:
    from analysis.fitting import Fit


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
    from analysis.fitting import fit
    from scaling.record import write_json

    result = fit(
        given.source,
        given.law,
        columns=options.columns(given.columns),
        where=given.where,
        flops=given.flops,
        params=given.params,
        objective=given.objective,
        delta=given.delta,
        undertuned=given.undertuned,
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


def _checkpoints(given: argparse.Namespace) -> dict[str, list[str]]:
    """Columns that name a run, for the one law that is fitted to checkpoints."""
    from analysis.where import DataError

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
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{fit.law}, {len(fit.points)} points of {fit.points.source}", markup=False)
    for note in (fit.points.convention, *fit.points.notes, *fit.notes):
        console.print(note, style="dim", markup=False)
    shown = Table("parameter", "value", f"{fit.level:.0%} interval", box=None, pad_edge=False)
    rows = {name: (value, fit.intervals[name]) for name, value in fit.params.items()}
    if fit.optimum is not None and fit.law not in ("chinchilla-1", "chinchilla-2"):
        rows["a (N* ∝ C^a)"] = fit.optimum.a, fit.optimum.intervals["a"]
        rows["b (D* ∝ C^b)"] = fit.optimum.b, fit.optimum.intervals["b"]
    for name, (value, (low, high)) in rows.items():
        shown.add_row(name, f"{value:.5g}", f"{low:.4g} to {high:.4g}")
    console.print(shown)
    for times in fit.extrapolate if fit.optimum is not None else ():
        assert fit.optimum is not None
        at = fit.optimum.at(times * fit.optimum.largest)
        parts = [
            f"{name} = {at[name]:.3g} ({at['intervals'][name][0]:.3g} to {at['intervals'][name][1]:.3g})"
            for name in ("N", "D", "L")
            if name in at
        ]
        console.print(f"at {times:g}× the largest budget, C = {at['C']:.3g}: {', '.join(parts)}")
    delta = f", delta {fit.objective['delta']:g}" if "delta" in fit.objective else ""
    tried = f"; {fit.starts['agreed']} of {fit.starts['tried']} starts agree" if fit.starts["tried"] else ""
    console.print(f"objective: {fit.objective['name']}{delta}, value {fit.objective['value']:.7g}{tried}")
    console.print("verdict: " + "\n         ".join(fit.verdict), markup=False)
