"""python -m analysis calibration: does a run know what it knows, and what has it by heart."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.commands import options

if TYPE_CHECKING:
    from analysis.evals.calibration import Calibration
    from analysis.evals.extraction import Extraction

WIDE = 130  # columns of a table that goes to a file


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("calibration", help="calibration, abstention and verbatim extraction of evaluated runs")
    one.add_argument("source", metavar="STORE", help="whose runs were evaluated")
    one.add_argument("--per", default="raw", help="a choice's log-probability: raw (default), by token, byte or prior")
    one.add_argument("--bootstrap", type=int, default=1000, metavar="B", help="draws for intervals (default 1000)")
    one.add_argument("--level", type=float, default=0.95, help="of the intervals (default 0.95)")
    one.add_argument("--seed", type=int, default=0, help="of the draws (default 0)")
    one.add_argument("--json", metavar="FILE", help="write it as JSON (- for standard output)")


def run(given: argparse.Namespace) -> int:
    """Prints a line a run and task; 2 where the store holds neither choices nor extraction."""
    from analysis.errors import DataError
    from analysis.evals import calibration, extraction

    if not 0 < given.level < 1:
        raise DataError(f"--level {given.level}: must be between 0 and 1")
    if given.bootstrap < 100:
        raise DataError(f"--bootstrap {given.bootstrap}: must be at least 100")
    heart = extraction.load(given.source)
    try:
        known = calibration.load(given.source, given.per)
    except DataError:
        if not heart:
            raise
        known = []
    found = [calibration.study(one, draws=given.bootstrap, level=given.level, seed=given.seed) for one in known]
    data = {
        "level": given.level, "per": given.per, "calibration": [one.to_json() for one in found],
        "extraction": [one.to_json(given.level) for one in heart],
    }  # fmt: skip
    if given.json == "-":
        print(json.dumps(data))
        return options.GOOD
    if given.json:
        from scaling.store.files import write_atomic

        write_atomic(Path(given.json), (json.dumps(data, indent=1) + "\n").encode())
    show(found, heart, given.level)
    return options.GOOD


def show(found: list[Calibration], heart: list[Extraction], level: float) -> None:
    """Tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console = console if console.is_terminal else Console(width=WIDE)

    def printed(title: str, names: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        table = Table(*names, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        console.print(table)

    if found:
        head: tuple[str, ...] = (
            "run",
            "task",
            "items",
            "accuracy",
            "calibration error",
            "if sound",
            "error at half",
            "area",
        )
        printed(f"calibration ({level:.0%} intervals)", head, [row_of(one) for one in found])
    for one in heart:
        rows: list[tuple[str, ...]] = [
            (f"{t:,}", f"{k} of {n}", within(rate, (low, high)), f"{nats:.3f}")
            for t, k, n, nats, (rate, low, high) in zip(
                one.times, one.hits, one.documents, one.nats, one.rates(level), strict=True
            )
        ]
        names = ("times in the corpus", "given back", "rate", "nats a token")
        printed(f"extraction, run {one.run[:12]}, step {one.step:,}", names, rows)


def row_of(one: Calibration) -> tuple[str, ...]:
    half = len(one.risk) // 2 - 1  # coverage of a half
    return (
        one.of.run[:8], one.of.task, f"{one.of.items:,}", within(one.accuracy, one.accuracy_interval),
        within(one.ece, one.ece_interval), f"{one.ece_sound:.3f}", within(one.risk[half], one.risk_interval[half]),
        within(one.aurc, one.aurc_interval),
    )  # fmt: skip


def within(value: float, interval: Any) -> str:
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
