"""Grokking (Power 2022): steps to learn the training equations and to generalise to held-out ones.

A run has learned at the first measured step with a training accuracy of LEARNED, and generalised at the first with a
held-out accuracy of GENERALISED; the true step lies between this and the previous measurement. Means over seeds are
geometric, with Student's intervals of logarithms: from the lower end for the previous measurements to the upper end for
the measured steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError
from analysis.studies.generalisation import accuracy_curves
from analysis.studies.generalisation.accuracy_curves import AccuracyCurve
from scaling.store.record import Record

LEARNED = 0.99  # training accuracy
GENERALISED = 0.9  # held-out accuracy
DELAY_RATIO = 3.0  # smallest ratio of steps to generalise to steps to learn that counts as delayed
GROKKING, SIMULTANEOUS, NOT_GENERALISED, INCONCLUSIVE = "grokking", "simultaneous", "not generalised", "inconclusive"

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Cell:
    """Runs of one share of the data and one weight decay, which differ in their seed.

    Attributes:
        fraction: Share of all equations in the training set; if their number is unknown, relative to the largest set.
        decay: Weight decay.
        runs: One run per seed.
        level: Coverage of the intervals.
    """

    fraction: float
    decay: float
    runs: tuple[AccuracyCurve, ...]
    level: float = 0.95

    @property
    def steps(self) -> int:
        """Smallest number of training steps of a run."""
        return min(run.record.config.steps for run in self.runs)

    def steps_to(self, split: str) -> list[int]:
        """Returns the steps to learn ("train") or to generalise ("held_out") of the runs that reached them."""
        accuracy = LEARNED if split == "train" else GENERALISED
        return [step for run in self.runs if (step := run.first_step(split, accuracy)) is not None]

    def mean(self, split: str) -> tuple[float, Interval] | None:
        """Returns the geometric mean of `steps_to` with its interval over seeds; None if some run did not reach it."""
        steps = self.steps_to(split)
        if len(steps) < len(self.runs):
            return None
        middle, interval = geometric_mean(steps, self.level)
        previous = [run.previous_step(step) for run, step in zip(self.runs, steps, strict=True)]
        earlier = geometric_mean(previous, self.level)[1]
        return middle, (earlier[0], interval[1]) if interval and earlier else None

    @property
    def ratio(self) -> tuple[float, Interval] | None:
        """Ratio of steps to generalise to steps to learn, with its interval; None if some run lacks one of them."""
        pairs = [(run.first_step("train", LEARNED), run.first_step("held_out", GENERALISED)) for run in self.runs]
        ratios = [b / a for a, b in pairs if a is not None and b is not None]
        return geometric_mean(ratios, self.level) if len(ratios) == len(pairs) else None

    @property
    def delay(self) -> int | None:
        """Smallest number of steps from a training accuracy of 1 to generalisation; None if some run lacks one."""
        pairs = [(run.first_step("train", 1.0), run.first_step("held_out", GENERALISED)) for run in self.runs]
        delays = [b - a for a, b in pairs if a is not None and b is not None]
        return min(delays) if len(delays) == len(pairs) else None

    @property
    def verdict(self) -> str:
        """GROKKING, SIMULTANEOUS, NOT_GENERALISED (in no run) or INCONCLUSIVE."""
        if not self.steps_to("held_out"):
            return NOT_GENERALISED if self.steps_to("train") else INCONCLUSIVE
        interval = self.ratio[1] if self.ratio is not None else None
        if interval is None:
            return INCONCLUSIVE
        low, high = interval
        return GROKKING if low >= DELAY_RATIO else SIMULTANEOUS if high < DELAY_RATIO else INCONCLUSIVE

    def to_json(self) -> dict[str, Any]:
        """Returns the cell in types of JSON; unknown values are omitted."""
        data: dict[str, Any] = {
            "fraction": self.fraction,
            "weight_decay": self.decay,
            "seeds": [run.record.config.seed for run in self.runs],
            "learned": {"runs": len(self.steps_to("train")), **_mean_json("steps", self.mean("train"))},
            "generalised": {"runs": len(self.steps_to("held_out")), **_mean_json("steps", self.mean("held_out"))},
            "steps": self.steps,
            "verdict": self.verdict,
        }
        if self.ratio is not None:
            data["ratio"] = _mean_json("value", self.ratio)
        if self.delay is not None:
            data["shortest_delay"] = self.delay
        return data


def _mean_json(name: str, mean: tuple[float, Interval] | None) -> dict[str, Any]:
    if mean is None:
        return {}
    return {name: mean[0]} | ({"interval": list(mean[1])} if mean[1] else {})


@dataclass(frozen=True)
class Grokking:
    """The cells of a sweep.

    Attributes:
        cells: Cells in order of share of the data and weight decay.
        level: Coverage of the intervals.
    """

    cells: tuple[Cell, ...]
    level: float

    @property
    def longest_delay(self) -> Cell:
        """Cell with the longest delay among cells in which all runs generalised."""
        return max(
            self.cells, key=lambda cell: (cell.delay is not None, cell.delay or 0, len(cell.steps_to("held_out")))
        )

    @property
    def verdict(self) -> list[str]:
        """Verdict on the sweep, with the cell of the longest delay, in one line."""
        grokking = [cell for cell in self.cells if cell.verdict == GROKKING]
        if not grokking:
            return [self._verdict_without_grokking()]
        strongest = max(grokking, key=lambda cell: cell.delay or 0)
        line = f"{GROKKING} in {len(grokking)} of {len(self.cells)} cells"
        if strongest.delay is None:
            return [line]
        return [
            f"{line}: at fraction {strongest.fraction:.3g} and weight decay {strongest.decay:g} each of "
            f"{len(strongest.runs)} seeds had a training accuracy of 1 at least {strongest.delay:,} steps before its "
            f"held-out accuracy exceeded {GENERALISED:g}"
        ]

    def _verdict_without_grokking(self) -> str:
        delayed = [(c.ratio[0], c) for c in self.cells if c.ratio is not None and c.ratio[0] >= DELAY_RATIO]
        if not delayed:
            return (
                f"no grokking: the ratio of steps to generalise to steps to learn is below {DELAY_RATIO:g} in all cells"
            )
        ratio, cell = max(delayed, key=lambda pair: pair[0])
        return (
            f"{INCONCLUSIVE}: at fraction {cell.fraction:.3g} and weight decay {cell.decay:g} generalising took "
            f"{ratio:.3g} times as many steps as learning, but {len(cell.runs)} seeds are too few: train more seeds"
        )

    def to_json(self) -> dict[str, Any]:
        """Returns what `analysis grokking --json` writes."""
        thresholds = {"learned": LEARNED, "generalised": GENERALISED, "delay_ratio": DELAY_RATIO}
        cells = [cell.to_json() for cell in self.cells]
        return {"cells": cells, "thresholds": thresholds, "level": self.level, "verdict": self.verdict}


def geometric_mean(values: Sequence[float], level: float) -> tuple[float, Interval]:
    """Returns the geometric mean and its interval.

    Args:
        values: Positive numbers.
        level: Coverage.
    """
    logs = [math.log(value) for value in values]
    interval = accuracy_curves.student_interval(logs, level)
    middle = math.exp(sum(logs) / len(logs))
    return middle, (math.exp(interval[0]), math.exp(interval[1])) if interval else None


def analyse_grokking(path: str | Path | StoreSnapshot, level: float = 0.95) -> Grokking:
    """Analyses the grokking sweep in a store.

    Args:
        path: The store, or its folder.
        level: Coverage of the intervals.

    Raises:
        DataError: The store has no such runs, or more than one sweep of them.
    """
    if not 0 < level < 1:
        raise DataError(f"level {level}: must be between 0 and 1")
    runs = accuracy_curves.read_accuracy_curves(path, "grokking")
    accuracy_curves.check_one_sweep(runs, path, _shared_fields, "data, weight decay, length and seed")
    groups: dict[tuple[float, float], list[AccuracyCurve]] = {}
    largest = max(run.examples for run in runs)
    for run in runs:
        equations = run.record.about.get("corpus_facts", {}).get("equations", largest)
        key = (run.examples / equations, run.record.config.optimizer.weight_decay)
        groups.setdefault(key, []).append(run)
    cells = (Cell(*key, tuple(_longest_by_seed(cell_runs)), level) for key, cell_runs in sorted(groups.items()))
    return Grokking(tuple(cells), level)


def _longest_by_seed(runs: list[AccuracyCurve]) -> list[AccuracyCurve]:
    """The longest run of each seed."""
    longest: dict[int, AccuracyCurve] = {}
    for run in sorted(runs, key=lambda run: run.record.config.steps):
        longest[run.record.config.seed] = run
    return [longest[seed] for seed in sorted(longest)]


def _shared_fields(record: Record) -> Any:
    """Fields of the config that all runs of one sweep share."""
    config = record.config
    optimizer = dataclasses.replace(config.optimizer, weight_decay=0.0)
    data = dataclasses.replace(config.data, unique=None)
    return (config.model, optimizer, data, config.batch, config.schedule, config.precision)
