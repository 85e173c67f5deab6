"""python -m analysis next: recommends runs that narrow the interval of a prediction most for their FLOPs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.commands import options
from analysis.commands.output import add_json_option, print_text, text_console, write_result
from analysis.data.options import parse_numbers, parse_positive
from analysis.errors import DataError
from analysis.planning.options import DesignOptions
from scaling.config.options import add_options, read_options
from scaling.store.origin.paths import public_path

if TYPE_CHECKING:
    from analysis.fitting.result import Fit
    from analysis.planning.next_runs import Advice, Target


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "next", help="recommend runs that narrow the interval of a prediction most for their FLOPs"
    )
    parser.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    parser.add_argument("--target", required=True, metavar="C=1e24", help="where to predict: C=.., or N=..,D=..")
    parser.add_argument(
        "--quantity", default="L", help="what to predict at C: the loss L (default), the optimal N, or the optimal D"
    )
    parser.add_argument("--budget", required=True, metavar="1e20", help="FLOPs of all recommended runs together")
    parser.add_argument(
        "--law",
        default="chinchilla",
        help="name of a law of the loss in N and D (chinchilla), or your own FILE.py:FUNCTION or module:FUNCTION",
    )
    add_options(parser, DesignOptions)
    add_json_option(parser)
    parser.add_argument("--figure", metavar="FILE", help="draw recommended and existing runs (.pdf, .png or .svg)")
    options.add_source_options(parser, leave_out=("run_columns",))  # --runs is the number of runs here


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    target, design = _target(arguments), read_options(DesignOptions, arguments)
    budget = parse_positive("1e20")("--budget", arguments.budget)
    if len(budget) != 1:
        raise DataError(f"--budget {arguments.budget}: must be one number of FLOPs")
    from analysis.fitting.fit import fit  # here, so that --help stays fast
    from analysis.format import json_ready
    from analysis.planning.next_runs import advise

    result = fit(arguments.source, arguments.law, *options.source_options(arguments))
    advice = advise(result, target, budget[0], design)
    if arguments.figure:
        from analysis.figures.fits.next_runs import save

        save(result, advice, Path(arguments.figure))
        print_text(f"{arguments.figure}: written", sys.stderr)
    data = json_ready({**advice.to_json(), "fit": _describe_fit(result)})
    return write_result(data, arguments, lambda: _print_advice(result, advice))


def _target(arguments: argparse.Namespace) -> Target:
    from analysis.planning.next_runs import Target

    inputs = parse_numbers("C=1e24")("--target", arguments.target)
    if not set(inputs) <= {"C", "N", "D"}:
        raise DataError(f"--target {arguments.target}: must be C=1e24, or N=7e10,D=1.4e12")
    return Target(**inputs, quantity=arguments.quantity)


def _describe_fit(fit: Fit) -> dict[str, Any]:
    cost = fit.points.compute_cost
    return {
        "law": fit.law,
        "points": len(fit.points),
        "flops_per_parameter_and_token": cost.k,
        **({} if cost.s == 1 else {"flops_exponent_of_N": cost.s}),
        "verdict": fit.verdict,
        "convention": fit.points.convention,
        "loss_unit": fit.points.loss_unit,
        "source": public_path(fit.points.source),
    }


def _print_advice(fit: Fit, advice: Advice) -> None:
    from analysis import format

    console = text_console()

    def print_line(text: str, style: str | None = None) -> None:
        console.print(text, style=style)

    print_line(f"{fit.law}, {len(fit.points)} points of {fit.points.source}; {fit.points.convention}")
    estimate = f"{_format(advice, advice.value)} {_interval(advice, 1.0)}"
    unit = f" {fit.points.loss_unit}" if advice.target.quantity == "L" else ""
    print_line(f"{advice.target}: {estimate}{unit} currently, {fit.level:.0%} interval")
    if advice.runs:
        spent = format.scientific(sum(run["C"] for run in advice.runs), 3)
        print_line(f"\n{format.aligned(_rows(advice))}\n\n{len(advice.runs)} runs, {spent} FLOPs")
    print_line(advice.reason)
    if advice.restriction:
        print_line(advice.restriction)
    widths = ", ".join(f"×{ratio:.2f} for {format.scientific(C, 2)}" for C, ratio in advice.curve)
    print_line(f"expected interval width by FLOPs: {widths}", "dim")
    if advice.ratio < 0.5:
        print_line("these widths assume the current estimate: fit again after the first half of the runs", "dim")
    print_line("verdict of the fit: " + "\n                    ".join(fit.verdict))


def _rows(advice: Advice) -> list[tuple[str, ...]]:
    from analysis import format

    rows: list[tuple[str, ...]] = [("N", "D", "FLOPs", "tokens per parameter", "expected interval", "width")]
    for run in advice.runs:
        sizes = (format.count(run["N"]), format.count(run["D"]), format.scientific(run["C"], 3))
        tokens = format.three_digits(run["tokens_per_parameter"])
        rows.append((*sizes, tokens, _interval(advice, run["ratio"]), f"×{run['ratio']:.2f}"))
    return rows


def _interval(advice: Advice, ratio: float) -> str:
    low, high = (_format(advice, end) for end in advice.expected(ratio))
    return f"[{low}, {high}]"


def _format(advice: Advice, value: float) -> str:
    from analysis import format

    return f"{value:.4f}" if advice.target.quantity == "L" else format.count(value)
