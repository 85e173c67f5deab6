"""python -m analysis bench: seconds of the search and the bootstrap, beside plain scipy's."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from analysis.commands import options


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    bench = commands.add_parser("bench", help="time the Chinchilla fit beside plain scipy")
    bench.add_argument("source", metavar="SOURCE", nargs="?", help=f"{options.SOURCE} (240 synthetic runs)")
    bench.add_argument("--columns", metavar="N=..,D=..", help="columns of a source: N, D, C, L")
    bench.add_argument("--where", metavar="EXPR", help='rows to keep, such as "C<1e21 and N>=1e6"')
    bench.add_argument("--starts", type=int, default=40, metavar="S", help="of scipy's 4,500 that are timed (40)")
    bench.add_argument("--draws", type=int, default=40, metavar="B", help="of scipy's 4,000 that are timed (40)")
    bench.add_argument("--seed", type=int, default=0, help="of the sample and the draws (default 0)")
    bench.add_argument("--json", metavar="FILE", help="write the figures as JSON (- for standard output)")


def run(given: argparse.Namespace) -> int:
    from analysis.errors import DataError

    for name in ("starts", "draws"):
        if getattr(given, name) < 1:
            raise DataError(f"--{name} {getattr(given, name)}: must be 1 or more")
    from rich.console import Console

    from analysis.data.load import load
    from analysis.studies import bench
    from scaling.store.files import write_json

    columns = options.columns(given.columns)
    points = load(given.source, columns=columns, where=given.where) if given.source else bench.synthetic(given.seed)
    with Console(stderr=True).status("") as status:
        found = bench.measure(points, given.starts, given.draws, given.seed, status.update)
    if given.json == "-":
        print(json.dumps(found, indent=1, allow_nan=False))
        return options.GOOD
    _show(found)
    if given.json:
        write_json(Path(given.json), found)
        print(f"{given.json}: written", file=sys.stderr)
    return options.GOOD


def _show(found: dict[str, Any]) -> None:
    ours, scipy, whole = found["ours"], found["scipy"], found["seconds"]
    print(f"{found['points']} points of {found['source']}; Chinchilla, Huber 1e-3 on ln L; {found['cores']} cores")
    print(
        f"here:  search {_seconds(ours['search'])}, {ours['draws']} bootstraps {_seconds(ours['bootstrap'])}, "
        f"together {_seconds(whole['ours'])}; objective {ours['objective']:.9g}"
    )
    print(f"       a whole fit with its intervals and verdict: {_seconds(ours['fit'])}")
    print(
        f"scipy: L-BFGS-B from {scipy['starts']} starts {_seconds(scipy['search'])}, {scipy['draws']} BFGS bootstraps "
        f"{_seconds(scipy['bootstrap'])}, together {_seconds(whole['scipy'])}; objective {scipy['objective']:.9g}"
    )
    if scipy["extrapolated"]:
        print(
            f"       extrapolated from {scipy['starts_timed']} starts and {scipy['draws_timed']} bootstraps that were "
            "run, by their mean"
        )
    ratio = found["ratio"]
    print(
        f"ratio: {ratio['wall_s']:.0f} times as fast by the clock, {ratio['cpu_s']:.0f} by the processor; "
        f"objective {'not above' if found['lowest'] else 'ABOVE'} scipy's"
    )


def _seconds(timed: dict[str, float]) -> str:
    digits = 3 if timed["wall_s"] < 10 else 1
    return f"{timed['wall_s']:.{digits}f} s (processor {timed['cpu_s']:.{digits}f} s)"
