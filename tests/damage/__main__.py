"""`python -m tests.damage CASE ...`: runs cases (KIND:DAMAGE:COMMAND:SEED) and prints what the commands did.

`--all` runs the cases of a long test and prints each fault on standard error, then the numbers of outcomes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.damage.campaign import all_cases, benches_in, repeat_line, run_cases
from tests.damage.case import Bench, Case
from tests.damage.commands import TRAINED_COMMANDS, command
from tests.damage.outcome import Outcome

SHOWN = 2000  # characters of each result
WORKERS = 2


def main(words: list[str]) -> int:
    """Runs cases; returns 1 if one of them is a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.damage", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="KIND:DAMAGE:COMMAND:SEED")
    parser.add_argument("--all", action="store_true", help="run the cases of the long test")
    parser.add_argument("--trained", action="store_true", help="with --all: those of the trained store")
    parser.add_argument("--seed", type=int, default=0, help="with --all: seed of the cases")
    args = parser.parse_args(words)
    cases = all_cases(args.seed, args.trained) if args.all else [Case.parse(text) for text in args.cases]
    if not cases:
        parser.error("name a case, or --all")
    trained = args.trained if args.all else command(cases[0].command) in TRAINED_COMMANDS
    with tempfile.TemporaryDirectory() as folder, benches_in(Path(folder), trained, WORKERS) as benches:
        if not args.all:
            return max(show(benches[0], case) for case in cases)
        counts = run_cases(benches, cases, report)
    print(counts.table(), counts.message(), sep="\n")
    return int(bool(counts.faults))


def report(case: Case, outcome: Outcome) -> None:
    """Prints a fault at once: the run takes minutes."""
    if outcome.is_fault:
        print(repeat_line(case, outcome), file=sys.stderr, flush=True)


def show(bench: Bench, case: Case) -> int:
    """Runs a case and prints what the command did; returns 1 for a fault."""
    outcome = bench.run(case)
    print(f"{case}: {outcome.kind}: {outcome.detail}")
    assert bench.observation
    print(f"exit status {bench.observation.status}", *bench.observation.errors, sep="\n    ")
    for name, result in bench.observation.results.items():
        print(f"-- {name or 'stdout'}", result[-SHOWN:], sep="\n")
    return int(outcome.is_fault)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
