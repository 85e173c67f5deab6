"""Double descent (Nakkiran 2019): does test error fall, rise to a peak and fall again, over width, data or epochs?

A profile is test errors along one of them, a row a seed. Its peak, and the lowest points before and behind it (its
shoulders), are chosen for each seed on the means of the other seeds; how far the peak stands over each shoulder is
then measured on that seed. What noise puts up in one place does not stand there in a seed that had no say, so the
heights are not those of the highest noise. Intervals are Student's t over seeds; of many profiles of one kind each
has its share of the doubt (Bonferroni), so that a kind is called wrongly in 1 - level of the sweeps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import DataError
from analysis.studies import accuracy_curves
from analysis.studies.accuracy_curves import Answered
from scaling.store.record import Record

LEAST_POINTS, LEAST_SEEDS = 4, 3
SMALL = 0.01  # of test error: a peak that is lower is none
FITTED = 0.05  # training error up to which the data, wrong labels and all, count as fitted: Nakkiran 2019, definition 1
KINDS = {"width": "width", "data": "training examples", "epochs": "step"}
SEEN, NOT_SEEN, CANNOT_SAY = "double descent seen", "not seen", "cannot say"


@dataclass(frozen=True)
class Profile:
    """Errors along a kind's axis: x (k,), test and train (S, k), a row a seed."""

    kind: str
    of: str  # what it is held at, as "600 examples"
    x: np.ndarray
    test: np.ndarray
    train: np.ndarray
    level: float  # of its intervals, its share of the doubt taken off
    held: float = 0.0  # the width or examples that it is of

    @property
    def places(self) -> list[tuple[int, int, int]]:
        """Left shoulder, peak and right shoulder of each seed, by the others; empty where there are too few."""
        seeds = len(self.test)
        if seeds < LEAST_SEEDS or len(self.x) < LEAST_POINTS:
            return []
        return [peak(np.delete(self.test, seed, axis=0).mean(axis=0)) for seed in range(seeds)]

    @property
    def heights(self) -> tuple[np.ndarray, np.ndarray]:
        """How far each seed's error at the peak is over that at the left and at the right shoulder, (S,)."""
        rises = [(row[p] - row[a], row[p] - row[b]) for row, (a, p, b) in zip(self.test, self.places, strict=True)]
        left, right = np.array(rises, float).T
        return left, right

    @property
    def height(self) -> tuple[float, tuple[float, float]] | None:
        """Over the nearer in height of both shoulders, mean and interval; None where there are too few seeds."""
        if not self.places:
            return None
        lower = min(self.heights, key=lambda over: float(over.mean()))
        within = accuracy_curves.interval(lower, self.level)
        assert within is not None
        return float(lower.mean()), within

    @property
    def at(self) -> tuple[float, tuple[float, float]]:
        """Where the mean over seeds peaks, and from where to where the seeds' peaks reach."""
        chosen = [self.x[p] for _, p, _ in self.places]
        return float(self.x[peak(self.test.mean(axis=0))[1]]), (float(min(chosen)), float(max(chosen)))

    @property
    def fitted(self) -> float | None:
        """Where along x the training data are first fitted (last, of an axis of data); None: nowhere."""
        there = np.flatnonzero(self.train.mean(axis=0) <= FITTED)
        return float(self.x[there[-1 if self.kind == "data" else 0]]) if len(there) else None

    @property
    def verdict(self) -> str:
        """seen: over both shoulders beyond the seeds' noise; not seen: at least one of them is not so much as SMALL."""
        if self.height is None:
            return CANNOT_SAY
        within = [accuracy_curves.interval(over, self.level) or (-np.inf, np.inf) for over in self.heights]
        if all(low > 0 for low, _ in within) and min(over.mean() for over in self.heights) >= SMALL:
            return SEEN
        return NOT_SEEN if any(high < SMALL for _, high in within) else CANNOT_SAY

    @property
    def line(self) -> str:
        """For a person."""
        said = f"over {KINDS[self.kind]} at {self.of}, {len(self.test)} seeds: {self.verdict}"
        if self.height is None:
            return f"{said}: fewer than {LEAST_SEEDS} seeds or {LEAST_POINTS} points"
        (height, (low, high)), (at, (first, last)) = self.height, self.at
        said += f"; peak at {KINDS[self.kind]} {at:g} [{first:g}, {last:g}], {100 * height:.1f} points "
        said += f"[{100 * low:.1f}, {100 * high:.1f}] over its nearer shoulder"
        return said + (f"; training error {100 * FITTED:g}% at {self.fitted:g}" if self.fitted is not None else "")

    def to_json(self) -> dict[str, Any]:
        """For a program; what is not known is absent."""
        out: dict[str, Any] = {"kind": self.kind, "of": self.of, "x": self.x.tolist(), "seeds": len(self.test)}
        out |= {"test_error": self.test.mean(axis=0).tolist(), "train_error": self.train.mean(axis=0).tolist()}
        if self.height is not None:
            out["peak"] = {"at": self.at[0], "at_interval": list(self.at[1])}
            out["height"] = {"value": self.height[0], "interval": list(self.height[1]), "level": self.level}
        return out | ({"fitted": self.fitted} if self.fitted is not None else {}) | {"verdict": self.verdict}


def peak(errors: np.ndarray) -> tuple[int, int, int]:
    """The inner place that stands highest over the lower ends of both sides, between the lowest places there."""
    best = max(
        range(1, len(errors) - 1),
        key=lambda p: min(errors[p] - errors[:p].min(), errors[p] - errors[p + 1 :].min()),
    )
    return int(np.argmin(errors[:best])), best, best + 1 + int(np.argmin(errors[best + 1 :]))


@dataclass(frozen=True)
class Descent:
    """All profiles of a sweep."""

    profiles: tuple[Profile, ...]
    level: float

    def of(self, kind: str) -> list[Profile]:
        return [profile for profile in self.profiles if profile.kind == kind]

    def kind_verdict(self, kind: str) -> str:
        """Seen where one of its profiles has it, not seen where none of them has."""
        found = [profile.verdict for profile in self.of(kind)]
        return SEEN if SEEN in found else NOT_SEEN if found and set(found) == {NOT_SEEN} else CANNOT_SAY

    @property
    def verdict(self) -> list[str]:
        """A line a kind."""
        return [f"{kind}-wise: {self.kind_verdict(kind)}" for kind in KINDS]

    def to_json(self) -> dict[str, Any]:
        """What `analysis double-descent --json` writes."""
        verdicts = {kind: self.kind_verdict(kind) for kind in KINDS}
        return {"profiles": [p.to_json() for p in self.profiles], "level": self.level, "verdict": verdicts}


def descent(path: str | Path, level: float = 0.95) -> Descent:
    """What a store's runs say; DataError where it holds no such runs, or more than one sweep of them."""
    if not 0 < level < 1:
        raise DataError(f"--level {level}: must be a number between 0 and 1")
    runs = accuracy_curves.read(Path(path), "double-descent")
    accuracy_curves.one_sweep(runs, Path(path), _rest, "width, data and seed")
    groups: dict[tuple[int, int], list[Answered]] = {}
    for run in runs:
        groups.setdefault((run.record.config.model.width, run.examples), []).append(run)
    widths, amounts = ({key[place] for key in groups} for place in (0, 1))
    profiles = [
        _ends("width", groups, [(w, n) for w in sorted(widths) if (w, n) in groups], n) for n in sorted(amounts)
    ]
    profiles += [
        _ends("data", groups, [(w, n) for n in sorted(amounts) if (w, n) in groups], w) for w in sorted(widths)
    ]
    profiles += [_along(width, examples, of) for (width, examples), of in sorted(groups.items())]
    return Descent(tuple(doubted([p for p in profiles if p is not None], level)), level)


def _ends(
    kind: str, groups: dict[tuple[int, int], list[Answered]], keys: list[tuple[int, int]], held: int
) -> Profile | None:
    """Errors at the end of runs, over width or data; None of too few points. Seeds that all of them have."""
    if len(keys) < LEAST_POINTS:
        return None
    by_seed = [{run.record.config.seed: run for run in groups[key]} for key in keys]
    seeds = sorted(set.intersection(*(set(one) for one in by_seed)))
    if not seeds:
        return None
    x = np.array([width if kind == "width" else examples for width, examples in keys], float)
    test, train = (
        np.array([[1 - getattr(one[s], n)[-1] for one in by_seed] for s in seeds]) for n in ("held", "train")
    )
    return Profile(kind, f"{held:,} examples" if kind == "width" else f"width {held}", x, test, train, 0.0, held)


def _along(width: int, examples: int, runs: Sequence[Answered]) -> Profile | None:
    """Errors along runs, at the steps that all were measured at."""
    common: set[int] = set.intersection(*({int(s) for s in run.steps} for run in runs))
    steps = sorted(common)
    if len(steps) < LEAST_POINTS:
        return None
    test, train = (
        np.array([1 - getattr(run, n)[np.isin(run.steps, steps)] for run in runs]) for n in ("held", "train")
    )
    return Profile("epochs", f"width {width}, {examples:,} examples", np.array(steps, float), test, train, 0.0, width)


def doubted(profiles: Iterable[Profile], level: float) -> list[Profile]:
    """The profiles, each with its share of the doubt of its kind."""
    found = list(profiles)
    many = {kind: max(1, sum(profile.kind == kind for profile in found)) for kind in KINDS}
    return [dataclasses.replace(profile, level=1 - (1 - level) / many[profile.kind]) for profile in found]


def _rest(record: Record) -> Any:
    """What the runs of one sweep have in common."""
    config = record.config
    model = dataclasses.replace(config.model, width=2, heads=1, mlp_width=1)
    data = dataclasses.replace(config.data, unique=None)
    return (model, config.optimizer, data, config.batch, config.steps, config.schedule, config.precision)
