"""Which cases are run, and their outcomes counted."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.damage.case import Bench, Case, open_bench
from tests.damage.commands import COMMANDS, TRAINED_COMMANDS, Command
from tests.damage.damages import DAMAGES, Damage
from tests.damage.files import FILE_KINDS, TRAINED_KINDS, FileKind
from tests.damage.outcome import Outcome
from tests.damage.process import TRAINING, open_server
from tests.damage.store import write_origin
from tests.damage.trained import write_trained_origin

REPEATS = 0.06  # cases of a damage with one variant by a command of one second; at least one
LONGEST = 2.5  # commands that cost more seconds are run on a few damages only
FEW = ("truncated", "altered-record", "other-columns", "copied")
READS_FOLDER = {"runs": "record", "sweeps": "sweep", "token-files": "tokens", "leases": "lease"}  # of a whole folder
FEWEST = ("altered-record", "other-columns")
UNREAD = ("truncated", "directory", "unreadable")  # damages of files that a command does not use
CHEAP = ("table-csv", "plan-json", "status-json")  # commands tried on files that they do not use


@dataclass
class Counts:
    """Outcomes of cases.

    Attributes:
        by_kind: Number of cases by kind of file, damage and outcome.
        faults: The cases that are faults, with their outcomes.
    """

    by_kind: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    faults: list[tuple[Case, Outcome]] = field(default_factory=list)

    def add(self, case: Case, outcome: Outcome) -> None:
        """Counts a case."""
        self.by_kind[case.kind, case.damage, outcome.kind] += 1
        if outcome.is_fault:
            self.faults.append((case, outcome))

    def by_outcome(self) -> Counter[str]:
        """Number of cases by outcome."""
        counts: Counter[str] = Counter()
        for (_, _, outcome), number in self.by_kind.items():
            counts[outcome] += number
        return counts

    def table(self) -> str:
        """The numbers of cases by kind of file, damage and outcome."""
        rows = [
            f"{kind:20} {damage:18} {outcome:16} {n:5}" for (kind, damage, outcome), n in sorted(self.by_kind.items())
        ]
        return "\n".join([*rows, *(f"{outcome:56} {n:5}" for outcome, n in self.by_outcome().most_common())])

    def message(self) -> str:
        """The faults, each with the command that repeats it."""
        lines = [repeat_line(case, outcome) for case, outcome in self.faults]
        return "\n".join([f"{len(lines)} faults in {self.by_outcome().total()} cases", *lines])


def repeat_line(case: Case, outcome: Outcome) -> str:
    """Returns the command that repeats a case, and its outcome."""
    return f"python -m tests.damage '{case}'  # {outcome.kind}: {outcome.detail}"


def all_cases(seed: int, trained: bool = False) -> list[Case]:
    """Returns the cases of a long test in random order: each damage of each kind of file with each command.

    Args:
        seed: Chooses files and variants of damages.
        trained: Whether the cases are those of the trained store.
    """
    cases = []
    for kind in (*FILE_KINDS, *TRAINED_KINDS) if trained else FILE_KINDS:
        for damage in DAMAGES:
            for chosen in TRAINED_COMMANDS if trained else COMMANDS:
                if damage.applies_to(kind.name, kind.format):
                    number = repeats(kind, damage, chosen)
                    cases += [Case(kind.name, damage.name, chosen.name, 1000 * seed + i) for i in range(number)]
    Random(seed).shuffle(cases)
    return cases


def repeats(kind: FileKind, damage: Damage, chosen: Command) -> int:
    """Returns how many variants of a damage are tried with a command: more of many variants, fewer of a slow one."""
    if kind.format == "store":
        return int(READS_FOLDER.get(kind.name, chosen.reads[0] if chosen.reads else "") in chosen.reads)
    if kind.name not in chosen.reads:
        return int(damage.name in UNREAD and chosen.name in CHEAP and not kind.is_input)
    if damage.name == "hostile-code":
        return damage.variants  # few cases, each of another kind
    if chosen.cost > LONGEST and not chosen.writes:
        return int(damage.name in (FEW if chosen.cost < 2 * LONGEST else FEWEST))
    return min(damage.variants, max(1, round(REPEATS * math.sqrt(damage.variants) / max(chosen.cost, 0.2))))


def run_cases(
    benches: Sequence[Bench], cases: Iterable[Case], report: Callable[[Case, Outcome], None] | None = None
) -> Counts:
    """Runs cases and counts their outcomes.

    Args:
        benches: They share the cases, each in a thread that waits for its commands.
        cases: The cases.
        report: Called after each case, by one thread at a time.
    """
    counts, remaining, lock = Counts(), iter(list(cases)), threading.Lock()

    def work(bench: Bench) -> None:
        while (case := next_case()) is not None:
            outcome = bench.run(case)
            with lock:
                counts.add(case, outcome)
                if report is not None:
                    report(case, outcome)

    def next_case() -> Case | None:
        with lock:
            return next(remaining, None)

    with ThreadPoolExecutor(len(benches)) as threads:
        list(threads.map(work, benches))
    return counts


@contextmanager
def benches_in(folder: Path, trained: bool = False, number: int = 1) -> Iterator[list[Bench]]:
    """Context with benches, which share new undamaged files in a folder.

    Args:
        folder: The folder.
        trained: Whether the files are those of the trained store.
        number: Number of benches.
    """
    origin = folder / "origin"
    if trained:
        with open_server(*TRAINING) as server:
            write_trained_origin(origin, server)
    else:
        write_origin(origin)
    with ExitStack() as stack:
        places = [folder / f"work-{i}" / "files" for i in range(number)]
        yield [stack.enter_context(open_bench(origin, place)) for place in places]
