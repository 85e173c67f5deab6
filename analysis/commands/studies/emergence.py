"""python -m analysis emergence: scores by scale, and for each task whether its score rises suddenly."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from analysis.commands.output import add_json_option, text_console, write_result
from analysis.data.options import ReadOptions
from analysis.evals.options import READING, EmergenceOptions
from scaling.config.options import add_options, read_options

if TYPE_CHECKING:
    from analysis.evals.emergence import EmergenceStudy
    from analysis.evals.tasks import Finding


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    emergence = commands.add_parser("emergence", help="scores by scale: sudden rises and metric artefacts")
    emergence.add_argument(
        "source",
        metavar="SOURCE",
        help="store whose runs were evaluated, a table of scores, or results of lm-evaluation-harness",
    )
    add_options(emergence, EmergenceOptions)
    add_options(emergence, ReadOptions, only=READING)
    add_json_option(emergence)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options, reading = read_options(EmergenceOptions, arguments), read_options(ReadOptions, arguments)
    from analysis.evals.emergence import emergence_study  # here, so that --help stays fast

    study = emergence_study(arguments.source, options, reading)
    return write_result(study.to_json(), arguments, lambda: _print_study(study))


def _print_study(study: EmergenceStudy) -> None:
    from rich.table import Table

    from analysis.evals.emergence import AXIS_TITLES
    from analysis.format import plural

    console = text_console()
    unit = f" ({study.loss_unit})" if study.axis == "L" else ""
    console.print(f"{plural(len(study.findings), 'task')} of {study.source} over {AXIS_TITLES[study.axis]}{unit}")
    for note in study.notes:
        console.print(note, style="dim")
    table = Table(box=None, pad_edge=False)
    for column in ("task", "verdict", "score", "changepoint", f"{study.level:.0%} interval"):
        table.add_column(column, no_wrap=True)
    for finding in study.findings:
        table.add_row(*_row(finding, study.axis))
    console.print(table)
    for finding in study.findings:
        console.print(f"{finding.task.name}: {finding.verdict.verdict}: {finding.verdict.reason}")
        for note in finding.notes:
            console.print(f"  {note}", style="dim")
        for line in _prediction_lines(finding, study.level):
            console.print(f"  {line}")


def _row(finding: Finding, axis: str) -> tuple[str, ...]:
    from analysis.evals.emergence import scale_value
    from analysis.evals.verdict import SMOOTH

    verdict, score = finding.verdict, finding.score
    ends = f"{score.mean[0]:.3g} to {score.mean[-1]:.3g}" if score is not None else "none"
    changepoint = ("", "")
    if verdict.score is not None and verdict.verdict != SMOOTH and "floor" not in verdict.codes:
        low, high = sorted(scale_value(x, axis) for x in verdict.score.interval)
        changepoint = (f"{scale_value(verdict.score.changepoint, axis):.3g}", f"{low:.3g} to {high:.3g}")
    return (finding.task.name, verdict.verdict, ends, *changepoint)


def _prediction_lines(finding: Finding, level: float) -> list[str]:
    lines = []
    target = ", ".join(f"{name} = {value:.3g}" for name, value in finding.target.items())
    for method, prediction in finding.predictions.items():
        if "failed" in prediction:
            lines.append(f"at {target} by {method}: no prediction: {prediction['failed']}")
            continue
        (low, high), (curve_low, curve_high) = prediction["interval"], prediction["curve_interval"]
        codes = [line.split(":")[0] for line in prediction["verdict"] if line != "converged"]
        warnings = f"; {', '.join(dict.fromkeys(codes))}" if codes else ""
        new_score = f"a new run's score on {prediction['items']:.0f} items {low:.3g} to {high:.3g}"
        curve = f"the curve {curve_low:.3g} to {curve_high:.3g}"
        lines.append(f"at {target} by {method}: {prediction['value']:.3g}; {level:.0%}: {new_score}, {curve}{warnings}")
    return lines
