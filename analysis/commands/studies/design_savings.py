"""python -m analysis simulate-next: how much compute `next` needs for the interval of an isoFLOP grid, truth known."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.commands import options

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from analysis.studies.design_savings import Fewer


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("simulate-next", help="compute that `next` needs for the interval of an isoFLOP grid")
    one.add_argument("--truth", default="all", help="chinchilla, kaplan, gemstones or all (default)")
    one.add_argument("--of", default="L", help="at 100 times the grid's largest budget: L (default), N or D")
    one.add_argument("--draws", type=int, default=50, help="of the noise (50)")
    one.add_argument("--noise", type=float, default=0.003, help="of the losses, relative (0.003)")
    one.add_argument("--runs", type=int, default=20, help="of the grid (20)")
    one.add_argument("--most", type=float, default=2.0, help="runs of a design at most, to the grid's (2)")
    one.add_argument("--largest", type=float, default=1.0, help="FLOPs of one run at most, to the grid's largest (1)")
    one.add_argument(
        "--bootstrap", type=int, default=300, metavar="B", help="draws for the intervals of each fit (300)"
    )
    one.add_argument("--seed", type=int, default=0, help="of the noise (0)")
    one.add_argument("--json", metavar="FILE", help="write the tables as JSON (- for standard output)")


def run(given: argparse.Namespace) -> int:
    _check(given)
    from rich.console import Console
    from rich.progress import Progress

    from analysis.format import plain
    from analysis.studies.design_savings import TRUTHS, study
    from scaling.store.files import write_json

    names = tuple(TRUTHS) if given.truth == "all" else (given.truth,)
    chosen = {
        name: vars(given)[name] for name in ("of", "draws", "noise", "runs", "most", "largest", "bootstrap", "seed")
    }
    found = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("draws", total=given.draws * len(names))
        for at, name in enumerate(names):
            found.append(study(name, **chosen, said=partial(_told, progress, task, at * given.draws)))
    said = plain([one.to_json() for one in found])
    if given.json == "-":
        print(json.dumps(said, indent=1, allow_nan=False))
        return options.GOOD
    for one in found:
        _show(one)
    if given.json:
        write_json(Path(given.json), {"studies": said})
        print(f"{given.json}: written", file=sys.stderr)
    return options.GOOD


def _told(progress: Progress, task: TaskID, before: int, done: int) -> None:
    progress.update(task, completed=before + done)


def _check(given: argparse.Namespace) -> None:
    from analysis.errors import DataError
    from analysis.planning.next_runs import WHAT
    from analysis.studies.design_savings import TRUTHS

    for option, ok, allowed in (
        ("truth", given.truth in ("all", *TRUTHS), f"{', '.join(TRUTHS)} or all"),
        ("of", given.of in WHAT, ", ".join(WHAT)),
        ("draws", given.draws >= 3, "3 or more"),
        ("noise", 0 < given.noise < 1, "above 0 and less than 1"),
        ("runs", given.runs >= 16, "16 or more"),
        ("most", given.most >= 1, "1 or more"),
        ("largest", given.largest > 0, "a number above 0"),
        ("bootstrap", given.bootstrap >= 100, "at least 100 draws"),
        ("seed", given.seed >= 0, "0 or more"),
    ):
        if not ok:
            raise DataError(f"--{option} {getattr(given, option)}: must be {allowed}")


def _show(found: Fewer) -> None:
    from analysis import format

    print(f"{found.truth}: {found.target}, truth {found.true:.4g}; {found.draws} draws")
    rows = [
        ("", "FLOPs", "runs", "interval's width, ln", "to the grid's", "off the truth, ln", "to the grid's", "covered")
    ]
    for way in (found.grid, *found.designs):
        name = "grid" if way is found.grid else "design"
        rows.append(
            (
                f"{name}{f', {way.failed} without a fit' if way.failed else ''}",
                f"{format.scientific(way.share * found.flops, 2)} ({way.share:.3g})",
                f"{way.runs:g}",
                f"{way.width:.4f}",
                f"×{way.width / found.grid.width:.2f}",
                f"{way.off:.4f}",
                f"×{way.off / found.grid.off:.2f}",
                f"{way.coverage:.0%}",
            )
        )
    print(format.aligned(rows))
    print(
        f"the grid's interval takes {found.enough:.3g} of the grid's FLOPs (median of the draws); the interval of "
        f"the last round came to ×{found.promised:.2f} of what was promised before it\n"
    )
