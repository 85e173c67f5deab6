"""python -m analysis next: the runs that would narrow what a law foretells most for their FLOPs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.commands import options

if TYPE_CHECKING:
    from analysis.fitting.result import Fit
    from analysis.planning.next_runs import Advice, Target


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("next", help="which runs to add so that a prediction gets most certain for the FLOPs")
    one.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    one.add_argument("--target", required=True, metavar="C=1e24", help="what to foretell: C=.., or N=..,D=..")
    one.add_argument("--of", default="L", help="at that C: L (default), the best size N, or the best tokens D")
    one.add_argument("--budget", required=True, metavar="1e20", help="FLOPs to spend at most, of all runs")
    one.add_argument(
        "--law", default="chinchilla", help="a law of the loss in N and D (chinchilla), or FILE.py:FUNCTION"
    )
    one.add_argument("--runs", type=int, default=20, help="at most so many (20)")
    one.add_argument("--largest", type=float, metavar="C", help="FLOPs of one run at most (the budget)")
    one.add_argument("--sizes", metavar="N,..", help="numbers of parameters that can be trained (any)")
    one.add_argument("--ratio", metavar="LO:HI", help="tokens a parameter (those of the runs, three times as far)")
    one.add_argument("--worth", type=float, default=0.05, help="narrowing that a doubling must bring (0.05)")
    one.add_argument("--json", metavar="FILE", help="write it as JSON (- for standard output)")
    one.add_argument("--figure", metavar="FILE", help="draw the runs over those there are (.pdf, .png or .svg)")
    options.reading(one)


def run(given: argparse.Namespace) -> int:
    options.check(given)
    target, asked = _asked(given)
    from analysis.fitting.fit import fit
    from analysis.format import plain
    from analysis.planning.next_runs import advise
    from scaling.store.files import write_json

    found = fit(given.source, given.law, **options.chosen(given))
    advice = advise(found, target, **asked)
    said = plain(_said(found, advice))
    if given.figure:
        from analysis.figures.fits.next_runs import save

        save(found, advice, Path(given.figure))
        print(f"{given.figure}: written", file=sys.stderr)
    if given.json == "-":
        print(json.dumps(said, indent=1, allow_nan=False))
        return options.GOOD
    _show(found, advice)
    if given.json:
        write_json(Path(given.json), said)
        print(f"{given.json}: written", file=sys.stderr)
    return options.GOOD


def _asked(given: argparse.Namespace) -> tuple[Target, dict[str, Any]]:
    """The target, and what `advise` takes; DataError for what cannot be."""
    from analysis.errors import DataError
    from analysis.planning.next_runs import Target

    at = options.numbers("target", given.target) or {}
    if not set(at) <= {"C", "N", "D"}:
        raise DataError(f"--target {given.target}: must be C=1e24, or N=7e10,D=1.4e12")
    budget = _list("budget", given.budget)
    if len(budget) != 1:
        raise DataError(f"--budget {given.budget}: must be one number of FLOPs")
    if given.largest is not None and not 0 < given.largest < float("inf"):
        raise DataError(f"--largest {given.largest}: must be a number of FLOPs above 0")
    asked: dict[str, Any] = {"budget": budget[0], "largest": given.largest, "most": given.runs, "worth": given.worth}
    asked["sizes"] = _list("sizes", given.sizes) if given.sizes else None
    asked["ratios"] = _list("ratio", given.ratio, ":") if given.ratio else None
    if asked["ratios"] and len(asked["ratios"]) != 2:
        raise DataError(f"--ratio {given.ratio}: must be a range such as 5:640")
    return Target(**at, what=given.of), asked


def _list(option: str, text: str, between: str = ",") -> tuple[float, ...]:
    from analysis.errors import DataError

    try:
        found = tuple(float(part) for part in text.split(between))
    except ValueError:
        found = (float("nan"),)
    if not all(0 < value < float("inf") for value in found):
        raise DataError(f"--{option} {text}: must be numbers greater than 0")
    return found


def _said(fit: Fit, advice: Advice) -> dict[str, Any]:
    from analysis.planning.next_runs import per_token

    about = {"law": fit.law, "points": len(fit.points), "flops_per_parameter_and_token": per_token(fit)}
    about |= {"verdict": fit.verdict, "convention": fit.points.convention, "source": fit.points.source}
    return {**advice.to_json(), "fit": about}


def _show(fit: Fit, advice: Advice) -> None:
    from rich.console import Console

    from analysis import format

    console = Console(soft_wrap=True, highlight=False)

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False)

    say(f"{fit.law}, {len(fit.points)} points of {fit.points.source}; {fit.points.convention}")
    say(f"{advice.target}: {_of(advice, 1.0)} now, {fit.level:.0%} interval")
    rows = [("N", "D", "FLOPs", "tokens a parameter", "then, expected", "width")]
    for one in advice.runs:
        numbers = (format.count(one["N"]), format.count(one["D"]), format.scientific(one["C"], 3))
        then = _bounds(advice, one["ratio"])
        rows.append((*numbers, format.three(one["tokens_per_parameter"]), then, f"×{one['ratio']:.2f}"))
    if advice.runs:
        spent = sum(one["C"] for one in advice.runs)
        say(f"\n{format.aligned(rows)}\n\n{len(advice.runs)} runs, {format.scientific(spent, 3)} FLOPs")
    say(advice.why)
    spends = ", ".join(f"×{ratio:.2f} for {format.scientific(C, 2)}" for C, ratio in advice.curve)
    say(f"expected width by FLOPs spent: {spends}", "dim")
    if advice.ratio < 0.5:
        say("the law at its present estimate says so: after the first half of the runs, fit and ask again", "dim")
    say("verdict of the fit: " + "\n                    ".join(fit.verdict))


def _of(advice: Advice, ratio: float) -> str:
    return f"{_number(advice, advice.value)} {_bounds(advice, ratio)}"


def _bounds(advice: Advice, ratio: float) -> str:
    low, high = (_number(advice, x) for x in advice.expected(ratio))
    return f"[{low}, {high}]"


def _number(advice: Advice, value: float) -> str:
    from analysis import format

    return f"{value:.4f}" if advice.target.what == "L" else format.count(value)
