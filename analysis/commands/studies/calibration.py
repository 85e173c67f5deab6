"""python -m analysis calibration: calibration, abstention and verbatim extraction of evaluated runs."""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from analysis.commands.options import STORE
from analysis.commands.output import add_json_option, text_console, write_result
from analysis.errors import DataError
from analysis.evals.options import CalibrationOptions
from scaling.config.options import add_options, read_options

if TYPE_CHECKING:
    from analysis.evals.calibration import Calibration
    from analysis.evals.extraction import Extraction

CALIBRATION_COLUMNS = ("run", "task", "items", "accuracy", "ECE", "ECE if calibrated", "risk at 50%", "AURC")
EXTRACTION_COLUMNS = ("times in the corpus", "reproduced", "rate", "nats per token")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    calibration = commands.add_parser(
        "calibration", help="calibration, abstention and verbatim extraction of evaluated runs"
    )
    calibration.add_argument("source", metavar="STORE", help=f"{STORE} whose runs were evaluated")
    add_options(calibration, CalibrationOptions)
    add_json_option(calibration)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = read_options(CalibrationOptions, arguments)
    from analysis.evals.calibration import load_answers, measure_calibration  # here, so that --help stays fast
    from analysis.evals.extraction import TASK, load_extractions

    shown = not options.tasks or any(fnmatchcase(TASK, pattern) for pattern in options.tasks)
    extractions = load_extractions(arguments.source) if shown else []
    try:
        answers = load_answers(arguments.source, options)
    except DataError:
        if not extractions:
            raise
        answers = []
    calibrations = [measure_calibration(run_answers, options) for run_answers in answers]
    data = {
        "level": options.level,
        "per": options.per,
        "calibration": [calibration.to_json() for calibration in calibrations],
        "extraction": [extraction.to_json(options.level) for extraction in extractions],
    }
    return write_result(data, arguments, lambda: _print_tables(calibrations, extractions, options.level))


def _print_tables(calibrations: list[Calibration], extractions: list[Extraction], level: float) -> None:
    if calibrations:
        rows = [_calibration_row(calibration) for calibration in calibrations]
        title = f"calibration ({level:.0%} intervals): expected calibration error (ECE), error rate at 50% coverage, "
        _print_table(title + "area under the risk-coverage curve (AURC)", CALIBRATION_COLUMNS, rows)
    for extraction in extractions:
        title = f"extraction, run {extraction.run[:12]}, step {extraction.step:,}"
        _print_table(title, EXTRACTION_COLUMNS, _extraction_rows(extraction, level))


def _print_table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    text_console().print(table)


def _calibration_row(calibration: Calibration) -> tuple[str, ...]:
    half = len(calibration.risk) // 2 - 1  # index of a coverage of one half
    answers = calibration.answers
    return (
        answers.run[:8],
        answers.task,
        f"{answers.items:,}",
        _with_interval(calibration.accuracy, calibration.accuracy_interval),
        _with_interval(calibration.ece, calibration.ece_interval),
        f"{calibration.ece_calibrated:.3f}",
        _with_interval(calibration.risk[half], calibration.risk_interval[half]),
        _with_interval(calibration.aurc, calibration.aurc_interval),
    )


def _extraction_rows(extraction: Extraction, level: float) -> list[tuple[str, ...]]:
    columns = zip(
        extraction.times, extraction.hits, extraction.documents, extraction.nats, extraction.rates(level), strict=True
    )
    return [
        (f"{times:,}", f"{hits} of {documents}", _with_interval(rate, (low, high)), f"{nats:.3f}")
        for times, hits, documents, nats, (rate, low, high) in columns
    ]


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
