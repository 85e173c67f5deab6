"""Grokking (Power 2022): when training equations are known by heart, and when the others are answered.

A run has learned at the first measured step with a training accuracy of LEARNED, and generalised at the first with a
held-out accuracy of GENERALISED; it came to it after the measurement before. Means over seeds are of logarithms, their
intervals Student's t: from the lower end for the steps before to the upper end for the steps at which it was seen.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import DataError
from analysis.studies import accuracy_curves
from analysis.studies.accuracy_curves import Answered
from scaling.store.record import Record

LEARNED = 0.99
GENERALISED = 0.9
LATE = 3.0  # times the steps to learn, from where on generalising is called late
Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Cell:
    """Runs of one share of the data and one weight decay, which differ in their seed."""

    fraction: float  # of all equations, or of the largest amount where their number is not known
    decay: float
    runs: tuple[Answered, ...]
    level: float = 0.95

    @property
    def steps(self) -> int:
        """That each run was given, at least."""
        return min(run.record.config.steps for run in self.runs)

    def reached(self, which: str) -> list[int]:
        """Steps to learn ("train") or to generalise ("held"), of the runs that did."""
        least = LEARNED if which == "train" else GENERALISED
        return [step for run in self.runs if (step := run.first(which, least)) is not None]

    def mean(self, which: str) -> tuple[float, Interval] | None:
        """Geometric mean of those steps and its interval over seeds; None where a run never came to it."""
        reached = self.reached(which)
        if len(reached) < len(self.runs):
            return None
        middle, within = geometric(reached, self.level)
        before = [run.before(step) for run, step in zip(self.runs, reached, strict=True)]
        earlier = geometric(before, self.level)[1]
        return middle, (earlier[0], within[1]) if within and earlier else None

    @property
    def ratio(self) -> tuple[float, Interval] | None:
        """How many times the steps to learn the steps to generalise are."""
        pairs = [(run.first("train", LEARNED), run.first("held", GENERALISED)) for run in self.runs]
        known = [b / a for a, b in pairs if a is not None and b is not None]
        return geometric(known, self.level) if len(known) == len(pairs) else None

    @property
    def delay(self) -> int | None:
        """Fewest steps, over seeds, from a training accuracy of 1 to generalising; None where a run lacks one."""
        pairs = [(run.first("train", 1.0), run.first("held", GENERALISED)) for run in self.runs]
        known = [b - a for a, b in pairs if a is not None and b is not None]
        return min(known) if len(known) == len(pairs) else None

    @property
    def verdict(self) -> str:
        """grokking, together, not yet (none has generalised), or cannot say."""
        if not self.reached("held"):
            return "not yet" if self.reached("train") else "cannot say"
        within = self.ratio[1] if self.ratio is not None else None
        if within is None:
            return "cannot say"
        return "grokking" if within[0] >= LATE else "together" if within[1] < LATE else "cannot say"

    def to_json(self) -> dict[str, Any]:
        """For a program; what is not known is absent."""

        def said(found: tuple[float, Interval] | None) -> dict[str, Any]:
            if found is None:
                return {}
            return {"steps": found[0]} | ({"interval": list(found[1])} if found[1] else {})

        out: dict[str, Any] = {
            "fraction": self.fraction,
            "weight_decay": self.decay,
            "seeds": [run.record.config.seed for run in self.runs],
            "learned": {"runs": len(self.reached("train")), **said(self.mean("train"))},
            "generalised": {"runs": len(self.reached("held")), **said(self.mean("held"))},
            "steps": self.steps,
            "verdict": self.verdict,
        }
        if self.ratio is not None:
            out["ratio"] = {"value": self.ratio[0]} | ({"interval": list(self.ratio[1])} if self.ratio[1] else {})
        return out | ({"least_delay": self.delay} if self.delay is not None else {})


@dataclass(frozen=True)
class Grokking:
    """The cells of a sweep, by fraction and decay."""

    cells: tuple[Cell, ...]
    level: float

    @property
    def shown(self) -> Cell:
        """The cell that shows it best: of those all of whose runs generalised the one with the longest delay."""
        return max(self.cells, key=lambda cell: (cell.delay is not None, cell.delay or 0, len(cell.reached("held"))))

    @property
    def verdict(self) -> list[str]:
        """One line: whether grokking was seen, and where most."""
        seen = [cell for cell in self.cells if cell.verdict == "grokking"]
        late = [(cell.ratio[0], cell) for cell in self.cells if cell.ratio is not None and cell.ratio[0] >= LATE]
        if late and not seen:
            times, best = max(late, key=lambda pair: pair[0])
            return [
                f"cannot say: at fraction {best.fraction:.3g} and weight decay {best.decay:g} generalising took "
                f"{times:.3g} times the steps of learning, which {len(best.runs)} seeds do not settle: launch more"
            ]
        if not seen:
            return [
                f"grokking not seen: in no cell does generalising take {LATE:g} times the steps of learning or more"
            ]
        best = max(seen, key=lambda cell: cell.delay or 0)
        said = f"grokking seen in {len(seen)} of {len(self.cells)} cells"
        if best.delay is None:
            return [said]
        return [
            f"{said}: at fraction {best.fraction:.3g} and weight decay {best.decay:g} each of {len(best.runs)} seeds "
            f"had training accuracy 1 at least {best.delay:,} steps before its held-out accuracy passed {GENERALISED:g}"
        ]

    def to_json(self) -> dict[str, Any]:
        """What `analysis grokking --json` writes."""
        thresholds = {"learned": LEARNED, "generalised": GENERALISED, "late": LATE}
        cells = [cell.to_json() for cell in self.cells]
        return {"cells": cells, "thresholds": thresholds, "level": self.level, "verdict": self.verdict}


def geometric(values: Sequence[float], level: float) -> tuple[float, Interval]:
    """Geometric mean and its interval."""
    logs = [math.log(value) for value in values]
    within = accuracy_curves.interval(logs, level)
    middle = math.exp(sum(logs) / len(logs))
    return middle, (math.exp(within[0]), math.exp(within[1])) if within else None


def grokking(path: str | Path, level: float = 0.95) -> Grokking:
    """What a store's runs say; DataError where it holds no such runs, or more than one sweep of them."""
    runs = accuracy_curves.read(Path(path), "grokking")
    accuracy_curves.one_sweep(runs, Path(path), _rest, "data, weight decay, length and seed")
    groups: dict[tuple[float, float], list[Answered]] = {}
    most = max(run.examples for run in runs)
    for run in runs:
        whole = run.record.about.get("corpus_facts", {}).get("equations", most)
        key = (run.examples / whole, run.record.config.optimizer.weight_decay)
        groups.setdefault(key, []).append(run)
    cells = tuple(Cell(*key, tuple(_by_seed(of)), level) for key, of in sorted(groups.items()))
    if not 0 < level < 1:
        raise DataError(f"--level {level}: must be a number between 0 and 1")
    return Grokking(cells, level)


def _by_seed(runs: list[Answered]) -> list[Answered]:
    """One run a seed, the longest."""
    longest: dict[int, Answered] = {}
    for run in sorted(runs, key=lambda run: run.record.config.steps):
        longest[run.record.config.seed] = run
    return [longest[seed] for seed in sorted(longest)]


def _rest(record: Record) -> Any:
    """What the runs of one sweep have in common."""
    config = record.config
    optimizer = dataclasses.replace(config.optimizer, weight_decay=0.0)
    data = dataclasses.replace(config.data, unique=None)
    return (config.model, optimizer, data, config.batch, config.schedule, config.precision)
