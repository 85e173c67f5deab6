"""`python -m tests.damage CASE ...`: runs cases (KIND:DAMAGE:COMMAND:SEED) and prints what the commands did."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.damage.campaign import benches_in
from tests.damage.case import Case
from tests.damage.commands import TRAINED_COMMANDS, command

SHOWN = 2000  # characters of each result


def main(texts: list[str]) -> int:
    """Runs cases; returns 1 if one of them is a fault."""
    faults, cases = 0, [Case.parse(text) for text in texts]
    trained = command(cases[0].command) in TRAINED_COMMANDS
    with tempfile.TemporaryDirectory() as folder, benches_in(Path(folder), trained) as [bench]:
        for text, case in zip(texts, cases, strict=True):
            outcome = bench.run(case)
            faults += outcome.is_fault
            print(f"{text}: {outcome.kind}: {outcome.detail}")
            assert bench.seen
            print(f"exit status {bench.seen.status}", *bench.seen.errors, sep="\n    ")
            for name, result in bench.seen.results.items():
                print(f"-- {name or 'stdout'}", result[-SHOWN:], sep="\n")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
