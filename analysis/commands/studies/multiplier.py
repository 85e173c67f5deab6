"""python -m analysis multiplier: how many times the compute one architecture is worth of another."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from analysis.commands import options


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    multiplier = commands.add_parser("multiplier", help="compute multipliers of groups of runs, as architectures")
    multiplier.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    multiplier.add_argument("--by", required=True, metavar="FIELD", help="what tells the groups apart, as model.mlp")
    multiplier.add_argument("--reference", metavar="VALUE", help="the group that counts 1 (default: first by name)")
    multiplier.add_argument("--json", metavar="FILE", help="write it as JSON (- for standard output)")
    options.reading(multiplier)


def run(given: argparse.Namespace) -> int:
    options.check(given)
    from analysis.errors import DataError
    from analysis.studies.multiplier import multipliers
    from scaling.store.files import write_json

    chosen = options.chosen(given)
    for option in ("objective", "delta", "undertuned", "weights"):
        if chosen.pop(option, None) is not None:
            raise DataError(f"--{option}: a multiplier is of parabolas by least squares: leave it out")
    found = multipliers(given.source, given.by, reference=given.reference, **chosen)
    said = {"by": given.by, "multipliers": [one.to_json() for one in found]}
    if given.json == "-":
        print(json.dumps(said, indent=1, allow_nan=False))
        return options.GOOD
    for one in found:
        low, high = one.interval
        print(
            f"{given.by} = {one.group} does with C what {one.reference} does with {one.value:.3g} C "
            f"[{low:.3g}, {high:.3g}] ({one.level:.0%}; {one.budgets} budgets of {one.runs} runs)"
        )
        print("\n".join(f"  {line}" for line in one.verdict))
    if given.json:
        write_json(Path(given.json), said)
        print(f"{given.json}: written", file=sys.stderr)
    return options.GOOD
