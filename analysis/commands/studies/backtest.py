"""python -m analysis backtest: fits laws to one part of the points and compares their predictions with the rest."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from analysis.commands.options import SOURCE, add_source_options, source_options
from analysis.commands.output import add_json_option, progress_bar, text_console, write_result
from analysis.data.options import parse_names
from analysis.studies.options import BACKTEST_BOOTSTRAP, BacktestOptions
from scaling.config.options import add_options, read_options

if TYPE_CHECKING:
    from analysis.studies.backtest.result import Backtest, Score


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    backtest = commands.add_parser(
        "backtest",
        help="fit laws to one part of the points and compare their predictions with the rest",
    )
    backtest.add_argument("source", metavar="SOURCE", help=SOURCE)
    backtest.add_argument(
        "--law",
        required=True,
        metavar="A,B,..",
        help="names of laws, or your own FILE.py:FUNCTION or package.module:FUNCTION",
    )
    backtest.add_argument("--holdout", required=True, metavar="EXPR", help='rows to predict, such as "C>1e21"')
    add_options(backtest, BacktestOptions)
    add_json_option(backtest)
    add_source_options(backtest)
    backtest.set_defaults(bootstrap=BACKTEST_BOOTSTRAP)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = read_options(BacktestOptions, arguments)
    fit_options, reading = source_options(arguments)
    names = parse_names("--law", arguments.law)
    from analysis.studies.backtest.backtest import backtest  # here, so that --help stays fast

    with progress_bar("fits") as progress:
        result = backtest(arguments.source, names, arguments.holdout, options, fit_options, reading, progress)
    return write_result(result.to_json(), arguments, lambda: _print_result(result))


def _print_result(result: Backtest) -> None:
    from rich.table import Table

    console = text_console()
    groups = f" in {len(result.by_group)} groups" if len(result.by_group) > 1 else ""
    console.print(
        f"{result.source}: fitted to {result.points} points{groups}, {result.held_out} held out by {result.holdout}",
    )
    table = Table(box=None, pad_edge=False)
    for title in (
        "law",
        "RMSLE",
        "|error|",
        "bias",
        f"{result.level:.0%} coverage",
        "mean interval width",
        "validation error",
        "ensemble weight",
    ):
        table.add_column(title, justify="left" if title == "law" else "right")
    for score in result.scores:
        table.add_row(*table_row(score, len(result.by_group)))
    console.print(table)
    ratio = result.combined.rmsle / result.best.rmsle
    console.print(f"combined: {ratio:.2f} times the error of {result.best.law}, the best single law in hindsight")
    for note in result.notes:
        console.print(note, style="dim")


def table_row(score: Score, groups: int) -> tuple[str, ...]:
    """Returns the cells of a law in the printed table.

    Args:
        score: Its errors.
        groups: Number of groups of the backtest.
    """
    from analysis.format import signed
    from analysis.studies.backtest.ensemble import FAILED_ERROR

    validation = "none" if score.validation_error >= FAILED_ERROR else f"{score.validation_error:.5f}"
    return (
        score.law if score.groups == groups else f"{score.law} ({score.groups} groups)",
        f"{score.rmsle:.5f}",
        f"{score.relative:.2%}",
        signed(score.bias, ".5f"),
        f"{score.coverage:.0%}",
        f"{score.mean_interval_width:.3g}",
        "" if score.ensemble_weight is None else validation,
        "" if score.ensemble_weight is None else f"{score.ensemble_weight:.2f}",
    )
