"""python -m analysis optimum: what follows from a law: the best training for a budget or a loss, and what it costs not
to do it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.commands import options

if TYPE_CHECKING:
    from analysis.fitting.result import Fit

TIMES = (1.0, 10.0, 100.0)  # of the largest budget of the points, where no budget is asked for


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    optimum = commands.add_parser("optimum", help="the best N and D for a budget or a loss, and the cost of others")
    optimum.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    optimum.add_argument(
        "--law", default="chinchilla", help="a law of the loss in N and D (chinchilla), or an approach"
    )
    optimum.add_argument("--budget", metavar="1e21,..", help="FLOPs to spend (1, 10 and 100 times the largest)")
    optimum.add_argument("--target-loss", metavar="2.0,..", help="losses to reach as cheaply as can be")
    optimum.add_argument(
        "--inference-tokens",
        type=float,
        default=0.0,
        metavar="T",
        help="tokens served later: their FLOPs count too (0)",
    )
    optimum.add_argument("--off", metavar="0.5,2", help="what models of these multiples of the best size cost (0.5,2)")
    optimum.add_argument("--run", metavar="N=7e9,D=2e12", help="a run: how much of its compute was wasted")
    optimum.add_argument("--at", metavar="U=1e9,..", help="values of a law's inputs beyond N and D")
    optimum.add_argument("--json", metavar="FILE", help="write it as JSON (- for standard output)")
    options.reading(optimum)


def run(given: argparse.Namespace) -> int:
    options.check(given)
    asked = _asked(given)
    from analysis.fitting.fit import fit
    from analysis.format import plain
    from scaling.store.files import write_json

    found = fit(given.source, given.law, **options.chosen(given))
    said = answers(found, **asked)
    if given.json == "-":
        print(json.dumps(plain(said), indent=1, allow_nan=False))
        return options.GOOD
    _show(found, said)
    if given.json:
        write_json(Path(given.json), plain(said))
        print(f"{given.json}: written", file=sys.stderr)
    return options.GOOD


def _asked(given: argparse.Namespace) -> dict[str, Any]:
    from analysis.errors import DataError

    run_of = options.numbers("run", given.run) or {}
    if run_of and set(run_of) != {"N", "D"}:
        raise DataError(f"--run {given.run}: must be N=...,D=...")
    if not 0 <= given.inference_tokens < float("inf"):
        raise DataError(f"--inference-tokens {given.inference_tokens}: must be 0 or more")
    return {
        "budgets": _list("budget", given.budget),
        "targets": _list("target-loss", given.target_loss),
        "inference": given.inference_tokens,
        "factors": _list("off", given.off),
        "run_of": run_of,
        "at": options.numbers("at", given.at),
    }


def _list(option: str, text: str | None) -> list[float]:
    from analysis.errors import DataError

    try:
        found = [float(part) for part in text.split(",")] if text is not None else []
    except ValueError:
        found = [float("nan")]
    if not all(0 < value < float("inf") for value in found):
        such = {"off": "0.5,2", "target-loss": "2.0,2.2"}.get(option, "1e21,1e24")
        raise DataError(f"--{option} {text}: must be numbers greater than 0, such as {such}")
    return found


def answers(
    fit: Fit,
    *,
    budgets: list[float],
    targets: list[float],
    inference: float,
    factors: list[float],
    run_of: dict[str, float],
    at: dict[str, float] | None,
) -> dict[str, Any]:
    """What was asked of a fit, as JSON has it."""
    from analysis.planning import compute_optimal

    said: dict[str, Any] = {"law": fit.law, "level": fit.level, "inference_tokens": inference, "verdict": fit.verdict}
    largest = float(fit.points.C.max())
    budgets = budgets or ([] if targets else [times * largest for times in TIMES])
    how: dict[str, Any] = {"inference_tokens": inference, "at": at}
    if budgets:
        said["budgets"] = compute_optimal.frontier(fit, budgets, **how).to_json()
    if targets:
        said["targets"] = [
            {"target_loss": loss} | one
            for loss, one in zip(targets, compute_optimal.cheapest(fit, targets, **how).to_json(), strict=True)
        ]
    asked = [one["C"] for one in (*said.get("budgets", ()), *said.get("targets", ()))]
    if fit.form is not None or factors:
        costs = compute_optimal.off_optimum(fit, asked, factors or (0.5, 2.0), at=at)
        said["off"] = [{"C": C} | one for off in costs for C, one in zip(asked, off.to_json(), strict=True)]
    if run_of:
        said["run"] = run_of | compute_optimal.waste(fit, run_of["N"], run_of["D"], at=at).to_json()[0]
    return said


def _show(fit: Fit, said: dict[str, Any]) -> None:
    from rich.console import Console

    from analysis import format
    from analysis.report import sentences

    console = Console(soft_wrap=True, highlight=False)

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False)

    say(f"{fit.law}, {len(fit.points)} points of {fit.points.source}; {fit.level:.0%} intervals")
    for note in (fit.points.convention, *fit.points.notes, *fit.notes):
        say(note, "dim")
    answered = [*said.get("budgets", ()), *said.get("targets", ())]
    say(_best(answered, said["inference_tokens"]))
    for one in answered:
        for doubt in one["verdict"]:
            say(f"  {format.scientific(one['total'], 3)} FLOPs: {doubt}", "dim")
    if said.get("off"):
        say("\n" + _off(said["off"]) + "\n")
    if "run" in said:
        say(sentences.wasted(said["run"]))
    say("verdict of the fit: " + "\n                    ".join(fit.verdict))


def _best(entries: list[dict[str, Any]], inference: float) -> str:
    """The optima as a table."""
    from analysis import format

    rows = [("FLOPs", *(("of training",) if inference else ()), "N*", "D*", "tokens a parameter", "loss")]
    for one in entries:
        asked = "target_loss" in one
        total = format.estimate_of(one, "total", format.flops) if asked else format.scientific(one["total"], 3)
        training = (format.estimate_of(one, "C", format.flops),) if inference else ()
        sizes = [format.estimate_of(one, letter, format.count) for letter in ("N", "D")]
        ratio = format.estimate_of(one, "tokens_per_parameter", format.three)
        rows.append(
            (total, *training, *sizes, ratio, f"{one['L']:g}, as asked" if asked else format.estimate_of(one, "L"))
        )
    return format.aligned(rows)


def _off(entries: list[dict[str, Any]]) -> str:
    """What it costs to be off the best size, as a table."""
    from analysis import format

    rows = [("training FLOPs", "size", "N", "more compute for the same loss", "more loss for the same compute")]
    for one in entries:
        costs = format.estimate_of(one, "more_compute", format.share), format.estimate_of(one, "more_loss")
        rows.append((format.flops(one["C"]), f"{one['factor']:g} N*", format.count(one["N"]), *costs))
    return format.aligned(rows)
