"""python -m analysis simulate: how far a law's intervals can be trusted, on sweeps whose truth is known."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.commands import options

if TYPE_CHECKING:
    from analysis.studies.coverage import Study


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("simulate", help="fit sweeps of a known law: bias, spread and coverage of the intervals")
    one.add_argument("--law", default="chinchilla", help="a name (chinchilla), chinchilla-2 or FILE.py:FUNCTION")
    one.add_argument("--truth", metavar="E=1.69,..", help="the law's parameters (Hoffmann 2022 for chinchilla)")
    one.add_argument("--design", default="isoflop", help="isoflop (default) or grid")
    one.add_argument("--over", metavar="C=1e18:1e21,..", help="range of C, or of the grid's inputs")
    one.add_argument("--runs", type=int, default=20, help="of each sweep (20)")
    one.add_argument("--noise", type=float, default=0.003, help="of the losses, relative (0.003)")
    one.add_argument("--bend", type=float, default=0.0, help="change of the exponent above the middle (0)")
    one.add_argument("--draws", type=int, default=300, help="sweeps (300)")
    one.add_argument("--bootstrap", type=int, default=300, metavar="B", help="draws for the intervals of each (300)")
    one.add_argument("--objective", help="the law's own unless given")
    one.add_argument("--delta", type=float, help="where Huber's loss turns linear")
    one.add_argument("--kind", default="auto", help="of bootstrap")
    one.add_argument("--intervals", default="bootstrap", help="bootstrap (default) or profile")
    one.add_argument("--weighting", default="noise", help="of chinchilla-2's minima: noise (default) or equal")
    one.add_argument("--minimum", default="parabola", help="of a budget in chinchilla-2: parabola (default) or akima")
    one.add_argument("--level", type=float, default=0.95, help="of the intervals (0.95)")
    one.add_argument("--seed", type=int, default=0, help="of the noise (0)")
    one.add_argument("--json", metavar="FILE", help="write the table as JSON (- for standard output)")


def run(given: argparse.Namespace) -> int:
    options.check(given)
    _check(given)
    from rich.console import Console
    from rich.progress import Progress

    from analysis.format import plain
    from analysis.studies.coverage import study
    from scaling.store.files import write_json

    named = ("design", "runs", "noise", "bend", "seed", "level", "bootstrap", "objective", "delta", "kind")
    chosen = {name: vars(given)[name] for name in (*named, "intervals", "weighting", "minimum")}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("sweeps", total=given.draws)
        found = study(
            given.law,
            truth=options.numbers("truth", given.truth),
            over=_ranges(given.over),
            sweeps=given.draws,
            said=lambda done: progress.update(task, completed=done),
            **chosen,
        )
    if given.json == "-":
        print(json.dumps(plain(found.to_json()), indent=1, allow_nan=False))
        return options.GOOD
    _show(found)
    if given.json:
        write_json(Path(given.json), plain(found.to_json()))
        print(f"{given.json}: written", file=sys.stderr)
    return options.GOOD


def _check(given: argparse.Namespace) -> None:
    from analysis.errors import DataError
    from analysis.studies.coverage import DESIGNS

    if given.design not in DESIGNS:
        raise DataError(f"--design {given.design}: known are {', '.join(DESIGNS)}")
    for option, ok, allowed in (
        ("runs", given.runs >= 8, "8 or more"),
        ("draws", given.draws >= 10, "10 or more"),
        ("noise", 0 <= given.noise < 1, "0 or more, and less than 1"),
    ):
        if not ok:
            raise DataError(f"--{option} {getattr(given, option)}: must be {allowed}")


def _ranges(text: str | None) -> dict[str, tuple[float, float]] | None:
    """`C=1e18:1e21,..` as a mapping; DataError for what is not a range."""
    from analysis.errors import DataError

    pairs = options.columns(text, "over", "C=1e18:1e21")
    try:
        out = None if pairs is None else {k: (float(v.split(":")[0]), float(v.split(":")[1])) for k, v in pairs.items()}
    except (ValueError, IndexError):
        raise DataError(f"--over {text}: must be ranges such as C=1e18:1e21") from None
    for low, high in (out or {}).values():
        if not 0 < low < high < float("inf"):
            raise DataError(f"--over {text}: a range goes from a number above 0 to a larger one")
    return out


def _show(found: Study) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    told = ", ".join(f"{k} {v:g}" for k, v in found.told["truth"].items())
    console.print(f"{found.law}: {found.sweeps} sweeps of {found.told['runs']} runs, {told}", markup=False)
    shown = Table(box=None, pad_edge=False)
    for column in ("quantity", "true", "mean", "bias", "spread", "width", "coverage"):
        shown.add_column(column, no_wrap=True)
    for row in found.rows:
        numbers = (f"{row.true:.4g}", f"{row.mean:.4g}", *(f"{x:.2g}" for x in (row.bias, row.spread, row.width)))
        shown.add_row(row.name, *numbers, f"{row.coverage:.1%} ± {row.within:.1%}")
    console.print(shown)
    console.print(f"nominal coverage {found.level:.0%}, ± two standard errors; width: the mean interval's")
    verdicts = ", ".join(f"{code} {share:.1%}" for code, share in sorted(found.verdicts.items(), key=lambda x: -x[1]))
    console.print(f"verdicts: {verdicts}" + (f"; {found.failed} sweeps had no fit" if found.failed else ""))
