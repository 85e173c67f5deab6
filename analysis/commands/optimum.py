"""python -m analysis optimum: compute-optimal training for a budget or a loss, and the cost of other model sizes."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.commands import options
from analysis.commands.output import add_json_option, print_text, text_console, write_result
from analysis.data.options import parse_numbers, parse_positive
from analysis.errors import check_values
from analysis.fitting.options import FitOptions
from scaling.config.options import add_options, option, read_options
from scaling.config.text import printable
from scaling.store.origin.paths import public_path

if TYPE_CHECKING:
    from analysis.fitting.result import Fit

BUDGET_MULTIPLES = (1.0, 10.0, 100.0)  # of the largest budget of the points, where no budget is given
FACTORS = (0.5, 2.0)


@dataclass(frozen=True)
class OptimumOptions:
    """What `optimum` computes from a fit. Raises DataError for a value that is not allowed.

    Attributes:
        budgets: Compute budgets in FLOPs. Without budgets and target losses, BUDGET_MULTIPLES of the largest budget.
        target_losses: Losses to reach with the fewest FLOPs.
        inference_tokens: Tokens processed at inference, whose FLOPs are part of the budget.
        factors: Model sizes relative to the optimal one whose cost is computed.
        run: N and D of a run whose wasted compute is computed.
        inputs: Values of the law's inputs other than N and D.
    """

    budgets: tuple[float, ...] = option(
        (),
        "compute budgets in FLOPs (default: 1, 10 and 100 times the largest)",
        metavar="1e21,..",
        parse=parse_positive("1e21,1e24"),
        flag="--budget",
    )
    target_losses: tuple[float, ...] = option(
        (),
        "losses to reach with the fewest FLOPs",
        metavar="2.0,..",
        parse=parse_positive("2.0,2.2"),
        flag="--target-loss",
    )
    inference_tokens: float = option(
        0.0, "tokens processed at inference, whose FLOPs are part of the budget (0)", metavar="T"
    )
    factors: tuple[float, ...] = option(
        (),
        "model sizes whose cost is computed, relative to the optimal size (0.5,2)",
        metavar="0.5,2",
        parse=parse_positive("0.5,2"),
    )
    run: Mapping[str, float] = option(
        {}, "run whose wasted compute is computed", metavar="N=7e9,D=2e12", parse=parse_numbers("N=7e9,D=2e12")
    )
    inputs: Mapping[str, float] = option(
        {},
        "values of the inputs of the law other than N and D",
        metavar="U=1e9,..",
        parse=parse_numbers("U=1e9"),
        flag="--at",
    )

    def __post_init__(self) -> None:
        check_values(
            self,
            run=(set(self.run) in (set(), {"N", "D"}), "N=...,D=..."),
            inference_tokens=(0 <= self.inference_tokens < math.inf, "0 or more"),
        )


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "optimum", help="compute-optimal N and D for a budget or a loss, and the cost of other sizes"
    )
    parser.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    parser.add_argument(
        "--law",
        default="chinchilla",
        help="name of a law of the loss in N and D (chinchilla), or an approach (chinchilla-1, chinchilla-2)",
    )
    add_options(parser, OptimumOptions)
    add_options(parser, FitOptions, only=("intervals", "frontier", "weighting", "minimum"))
    add_json_option(parser)
    options.add_source_options(parser)
    options.add_group_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    optimum_options = read_options(OptimumOptions, arguments)
    if arguments.by:
        return _run_by_group(arguments, optimum_options)
    from analysis.fitting.fit import fit  # here, so that --help stays fast
    from analysis.format import json_ready

    result = fit(arguments.source, arguments.law, *options.source_options(arguments))
    data = optima(result, optimum_options)
    return write_result(json_ready(data), arguments, lambda: _print_optima(result, data))


def _run_by_group(arguments: argparse.Namespace, optimum_options: OptimumOptions) -> int:
    from analysis.fitting.by_group import fit_by  # here, so that --help stays fast
    from analysis.format import json_ready

    result = fit_by(arguments.source, arguments.by, arguments.law, *options.source_options(arguments))
    data = {name: optima(fit, optimum_options) for name, fit in result.fits.items()}

    def show() -> None:
        for name, fit in result.fits.items():
            print_text(f"{result.column} {printable(name)}:")
            _print_optima(fit, data[name])
            print_text("")
        for name, message in result.errors.items():
            print_text(f"{result.column} {printable(name)}: {message}")

    return write_result(json_ready(result.combine(data)), arguments, show)


def optima(fit: Fit, options: OptimumOptions) -> dict[str, Any]:
    """Computes the optima of a fit, in the format of the JSON of the command.

    Args:
        fit: A law of the loss in N and D, or approach 1 or 2.
        options: What to compute.
    """
    from analysis.fitting.result import interval_method
    from analysis.planning import compute_optimal

    served, inputs, method = options.inference_tokens, options.inputs, interval_method(fit.resampling)
    data: dict[str, Any] = {"law": fit.law, "level": fit.level, "inference_tokens": served, "verdict": fit.verdict}
    data["loss_unit"] = fit.points.loss_unit
    budgets = options.budgets
    if not budgets and not options.target_losses:
        budgets = tuple(multiple * float(fit.points.C.max()) for multiple in BUDGET_MULTIPLES)
    if budgets:
        training = compute_optimal.optimal_training(fit, budgets, inference_tokens=served, inputs=inputs)
        data["budgets"] = training.to_json()
    if options.target_losses:
        training = compute_optimal.cheapest_training(fit, options.target_losses, inference_tokens=served, inputs=inputs)
        targets = zip(options.target_losses, training.to_json(), strict=True)
        data["targets"] = [{"target_loss": loss} | entry for loss, entry in targets]
    C = [entry["C"] for entry in (*data.get("budgets", ()), *data.get("targets", ()))]
    if fit.form is not None or options.factors:
        costs = compute_optimal.off_optimum(fit, C, options.factors or FACTORS, inputs=inputs)
        data["off"] = [{"C": budget} | entry for cost in costs for budget, entry in zip(C, cost.to_json(), strict=True)]
        data["off"] = [entry | {"interval_of": "law", "interval_method": method} for entry in data["off"]]
    if options.run:
        N, D = options.run["N"], options.run["D"]
        data["run"] = {**options.run} | compute_optimal.wasted_compute(fit, N, D, inputs=inputs).to_json()[0]
        data["run"] |= {"interval_of": "law", "interval_method": method}
    return data


def _print_optima(fit: Fit, data: dict[str, Any]) -> None:
    from analysis import format
    from analysis.report import sentences

    console = text_console()
    console.print(f"{fit.law}, {len(fit.points)} points of {public_path(fit.points.source)}; {fit.level:.0%} intervals")
    for note in (fit.points.convention, *fit.points.notes, *fit.notes):
        console.print(note, style="dim")
    entries = [*data.get("budgets", ()), *data.get("targets", ())]
    console.print(_optima_table(entries, data["inference_tokens"], fit.points.loss_unit))
    for name, parts in (("budgets", "budgets"), ("targets", "target losses")):
        if data.get(name):
            method = data[name][0]["interval_method"]
            console.print(f"intervals at {parts} are of the law, by {method}", style="dim")
    for entry in entries:
        for line in entry["verdict"]:
            console.print(f"  {format.scientific(entry['total'], 3)} FLOPs: {line}", style="dim")
    if data.get("off"):
        console.print(f"\n{_cost_table(data['off'], fit.points.loss_unit)}")
        method = data["off"][0]["interval_method"]
        console.print(f"intervals of other sizes are of the law, by {method}\n", style="dim")
    if "run" in data:
        console.print(sentences.excess_compute(data["run"], fit.points.loss_unit))
    console.print("verdict of the fit: " + "\n                    ".join(fit.verdict))


def _optima_table(entries: list[dict[str, Any]], inference_tokens: float, loss_unit: str) -> str:
    from analysis import format

    unit = format.short_loss_unit(loss_unit)
    training_title = ("training FLOPs",) if inference_tokens else ()
    rows: list[tuple[str, ...]] = [
        ("FLOPs", *training_title, "N*", "D*", "tokens per parameter", f"loss ({unit})", "loss of a new run")
    ]
    for entry in entries:
        if "target_loss" in entry:
            total, loss = format.entry_estimate(entry, "total", format.flops), f"{entry['L']:g}, the target"
        else:
            total, loss = format.scientific(entry["total"], 3), format.entry_estimate(entry, "L")
        training = (format.entry_estimate(entry, "C", format.flops),) if inference_tokens else ()
        sizes = [format.entry_estimate(entry, letter, format.count) for letter in ("N", "D")]
        ratio = format.entry_estimate(entry, "tokens_per_parameter", format.three_digits)
        new_run = entry.get("new_run_intervals", {}).get("L")
        rows.append(
            (total, *training, *sizes, ratio, loss, format.interval_text(new_run) if new_run else format.MISSING)
        )
    return format.aligned(rows)


def _cost_table(entries: list[dict[str, Any]], loss_unit: str) -> str:
    from analysis import format

    unit = format.short_loss_unit(loss_unit)
    rows: list[tuple[str, ...]] = [
        ("training FLOPs", "size", "N", "more compute for the same loss", f"more loss for the same compute ({unit})")
    ]
    for entry in entries:
        compute = format.entry_estimate(entry, "more_compute", format.percent)
        loss = format.entry_estimate(entry, "more_loss")
        size = f"{entry['factor']:g} N*"
        rows.append((format.flops(entry["C"]), size, format.count(entry["N"]), compute, loss))
    return format.aligned(rows)
