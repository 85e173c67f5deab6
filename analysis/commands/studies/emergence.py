"""python -m analysis emergence and simulate-emergence: was an ability sudden, and how often the verdict is right."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.commands import options

if TYPE_CHECKING:
    from collections import Counter

    from analysis.evals.emergence import Study
    from analysis.evals.tasks import Finding

WIDE = 130  # columns of a table that goes to a file


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("emergence", help="scores over scale: was it sudden, or is it the metric")
    one.add_argument("source", metavar="SOURCE", help="a store whose runs were evaluated, or a table of scores by task")
    one.add_argument("--x", default="C", help="scale: C (default), N, D or L")
    one.add_argument("--target", metavar="C=1e13", help="where to predict the scores; or N=..,D=..")
    one.add_argument("--score", metavar="METRIC", help="that may jump: exact, accuracy, accuracy-token, pass@1, ..")
    one.add_argument("--continuous", metavar="METRIC", help="beside it: logp, choice-logp, brier, edit, ..")
    one.add_argument("--all-runs", action="store_true", help="not only those whose loss none of less beats")
    one.add_argument("--all-steps", action="store_true", help="every evaluation of a run, not its last")
    one.add_argument("--bootstrap", type=int, default=300, metavar="B", help="draws for a prediction's interval (300)")
    one.add_argument("--level", type=float, default=0.95, help="of the intervals (default 0.95)")
    one.add_argument("--seed", type=int, default=0, help="of the draws (default 0)")
    one.add_argument("--json", metavar="FILE", help="write it as JSON (- for standard output)")
    options.counting(one)

    two = commands.add_parser("simulate-emergence", help="the verdict on planted breaks and artefacts")
    two.add_argument("--draws", type=int, default=100, help="of each truth (100)")
    two.add_argument("--seed", type=int, default=0, help="of the draws (default 0)")
    two.add_argument("--json", metavar="FILE", help="write the counts as JSON (- for standard output)")


def run(given: argparse.Namespace) -> int:
    from analysis.evals import emergence

    _check(given, level=(0 < given.level < 1, "between 0 and 1"), bootstrap=(given.bootstrap >= 100, "at least 100"))
    found = emergence.study(
        given.source,
        x=given.x,
        target=options.numbers("target", given.target),
        every=given.all_steps,
        frontier=not given.all_runs,
        level=given.level,
        seed=given.seed,
        bootstrap=given.bootstrap,
        flops=given.flops or "6nd",
        params=given.params,
        score=given.score,
        continuous=given.continuous,
    )
    if _written(given.json, found.to_json()):
        return options.GOOD
    _show(found)
    return options.GOOD


def simulate(given: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from analysis.studies import planted_truths

    _check(given, draws=(given.draws >= 1, "1 or more"))
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("tasks", total=given.draws * len(planted_truths.TRUTHS))
        counts = planted_truths.study(given.draws, given.seed, lambda done: progress.update(task, completed=done))
    data = {name: dict(found) for name, found in counts.items()}
    if _written(given.json, {"draws": given.draws, "seed": given.seed, "verdicts": data}):
        return options.GOOD
    _confusion(counts, given.draws)
    return options.GOOD


def _check(given: argparse.Namespace, **checks: tuple[bool, str]) -> None:
    from analysis.errors import DataError

    for option, (ok, allowed) in {**checks, "seed": (given.seed >= 0, "0 or more")}.items():
        if not ok:
            raise DataError(f"--{option} {getattr(given, option)}: must be {allowed}")


def _written(path: str | None, data: dict[str, Any]) -> bool:
    """Whether all was said as JSON on standard output."""
    from scaling.store.files import write_json

    if path == "-":
        print(json.dumps(data, indent=1, allow_nan=False))
        return True
    if path:
        write_json(Path(path), data)
        print(f"{path}: written", file=sys.stderr)
    return False


def _show(found: Study) -> None:
    from rich.console import Console
    from rich.table import Table

    from analysis.evals.emergence import TITLE

    console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else WIDE)
    console.print(f"{len(found.findings)} tasks of {found.source} over {TITLE[found.axis]}", markup=False)
    shown = Table(box=None, pad_edge=False)
    for column in ("task", "verdict", "score", "change at", f"{found.level:.0%} interval"):
        shown.add_column(column, no_wrap=True)
    for one in found.findings:
        shown.add_row(*_row(one, found.axis))
    console.print(shown)
    for one in found.findings:
        console.print(f"{one.task.name}: {one.verdict.verdict}: {one.verdict.why}", markup=False)
        for note in one.notes:
            console.print(f"  {note}", style="dim", markup=False)
        for line in _predicted(one, found.level):
            console.print(f"  {line}", markup=False)


def _row(one: Finding, axis: str) -> tuple[str, ...]:
    from analysis.evals.emergence import unplaced
    from analysis.evals.verdict import SMOOTH

    verdict, score = one.verdict, one.score
    moved = f"{score.mean[0]:.3g} to {score.mean[-1]:.3g}" if score is not None else "none"
    change = ("", "")
    if verdict.score is not None and verdict.verdict != SMOOTH and "floor" not in verdict.codes:
        low, high = sorted(unplaced(x, axis) for x in verdict.score.interval)
        change = (f"{unplaced(verdict.score.change, axis):.3g}", f"{low:.3g} to {high:.3g}")
    return (one.task.name, verdict.verdict, moved, *change)


def _predicted(one: Finding, level: float) -> list[str]:
    lines = []
    at = ", ".join(f"{k} = {v:.3g}" for k, v in one.told.get("target", {}).items())
    for name, told in one.told.get("predicted", {}).items():
        if "failed" in told:
            lines.append(f"at {at} by {name}: not foretold: {told['failed']}")
            continue
        low, high = told["interval"]
        doubts = [said.split(":")[0] for said in told["verdict"] if said != "converged"]
        said = f"; {', '.join(dict.fromkeys(doubts))}" if doubts else ""
        lines.append(f"at {at} by {name}: {told['value']:.3g} ({low:.3g} to {high:.3g}, {level:.0%}){said}")
    return lines


def _confusion(counts: dict[str, Counter[str]], draws: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from analysis.evals.verdict import VERDICTS
    from analysis.studies.planted_truths import TRUTHS

    shown = Table("planted", *VERDICTS, "right", box=None, pad_edge=False)
    for name, found in counts.items():
        right = found[TRUTHS[name][2]] / draws
        shown.add_row(name, *(str(found[verdict]) for verdict in VERDICTS), f"{right:.0%}")
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"verdicts on {draws} draws of each truth (analysis/studies/planted_truths.py)", markup=False)
    console.print(shown)
