"""python -m analysis observational: predicts a task's score from benchmark scores of many models."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from analysis.commands.output import add_json_option, text_console, write_result
from analysis.data.options import parse_names
from analysis.studies.options import ObservationalOptions
from scaling.config.options import add_options, read_options

if TYPE_CHECKING:
    from analysis.studies.observational import ObservationalFit


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    observational = commands.add_parser(
        "observational", help="predict a task's score from benchmark scores of many models"
    )
    observational.add_argument(
        "source", metavar="SOURCE", help="a table with one row per model: .csv, .tsv, .parquet or .jsonl"
    )
    observational.add_argument(
        "--scores",
        required=True,
        metavar="COL,COL,..",
        help="columns of benchmark scores from 0 to 1; cells may be empty",
    )
    observational.add_argument("--target", required=True, metavar="COL", help="column of the task to predict")
    add_options(observational, ObservationalOptions)
    add_json_option(observational)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = read_options(ObservationalOptions, arguments)
    scores = parse_names("--scores", arguments.scores)
    from analysis.studies.observational import fit_observational  # here, so that --help stays fast

    result = fit_observational(arguments.source, scores, arguments.target, options)
    return write_result(result.to_json(), arguments, lambda: _print_result(result))


def _print_result(result: ObservationalFit) -> None:
    from rich.table import Table

    fit, console = result.fit, text_console()
    console.print(f"{result.target} of {len(fit.points)} models of {fit.points.source}")
    for note in fit.points.notes:
        console.print(note, style="dim")
    rows = {name: (value, fit.intervals[name]) for name, value in fit.params.items()}
    rows |= {f"weight of {name}": (value, result.intervals[name]) for name, value in result.weights.items()}
    table = Table("parameter", "value", f"{fit.level:.0%} interval", box=None, pad_edge=False)
    for name, (value, (low, high)) in rows.items():
        table.add_row(name, f"{value:.4g}", f"{low:.4g} to {high:.4g}")
    console.print(table)
    shares = ", ".join(f"{share:.1%}" for share in result.components.share)
    console.print(f"shares of the variance of the scores by component: {shares}")
    held_out = [row for row in result.rows if row["held_out"]]
    if held_out:
        columns = ("held out", "predicted", f"{fit.level:.0%} of a new model's score", "of the curve", "measured")
        table = Table(*columns, box=None, pad_edge=False)
        for row in held_out:
            ends = (f"{low:.4g} to {high:.4g}" for low, high in (row["interval"], row["curve_interval"]))
            table.add_row(row["name"], f"{row['predicted']:.4g}", *ends, f"{row['y']:.4g}")
        console.print(table)
        inside, count = result.covered
        console.print(f"{inside} of {count} held-out scores are inside the prediction interval of a new model's score")
    error = "" if result.held_out_error is None else f", held out {result.held_out_error:.6g}"
    console.print(f"mean squared error: fitted {result.train_error:.6g}{error}")
    console.print("verdict: " + "\n         ".join(fit.verdict))
