"""Double descent (Nakkiran 2019): a peak of the test error over width, data or epochs.

A profile is the test error along one of these axes, one row per seed. The peak and the minima on either side of it are
chosen for each seed on the mean of the other seeds. The height of the peak above each minimum is then measured on that
seed, so that noise does not cause a bias. Intervals are Student's intervals over seeds, simultaneous over the profiles
of one axis (Bonferroni).

Key: k points, S seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.data.options import ReadOptions
from analysis.data.record_cache import StoreSnapshot
from analysis.data.sources.readers import is_store
from analysis.errors import DataError
from analysis.studies.generalisation import accuracy_curves
from analysis.studies.generalisation.accuracy_curves import ErrorCurve
from scaling.store.record import Record

MIN_POINTS, MIN_SEEDS = 4, 3
MIN_HEIGHT = 0.01  # smallest height of a peak, in test error
INTERPOLATION_ERROR = 0.05  # training error, label noise included, at which the data are fitted (Nakkiran 2019)
AXES = {"width": "width", "data": "training examples", "epochs": "step"}
DOUBLE_DESCENT, NO_DOUBLE_DESCENT, INCONCLUSIVE = "double descent", "no double descent", "inconclusive"


@dataclass(frozen=True)
class Profile:
    """Errors along one axis.

    Attributes:
        axis: A key of AXES.
        fixed: The constant quantity as text, such as "600 examples".
        x: Width, training examples or steps (k,).
        test: Test error of each seed (S, k).
        train: Training error of each seed (S, k).
        level: Coverage of the intervals.
        fixed_value: Width or number of examples that is constant.
    """

    axis: str
    fixed: str
    x: np.ndarray
    test: np.ndarray
    train: np.ndarray
    level: float
    fixed_value: float = 0.0

    @property
    def peaks(self) -> list[tuple[int, int, int]]:
        """Left minimum, peak and right minimum of each seed, from the mean of the others; empty if too few."""
        seeds = len(self.test)
        if seeds < MIN_SEEDS or len(self.x) < MIN_POINTS:
            return []
        return [find_peak(np.delete(self.test, seed, axis=0).mean(axis=0)) for seed in range(seeds)]

    @property
    def heights(self) -> tuple[np.ndarray, np.ndarray]:
        """Height of each seed's peak over its left and over its right minimum, (S,) each."""
        rises = [(row[p] - row[a], row[p] - row[b]) for row, (a, p, b) in zip(self.test, self.peaks, strict=True)]
        left, right = np.array(rises, float).T
        return left, right

    @property
    def height(self) -> tuple[float, tuple[float, float]] | None:
        """Height over the higher of both minima, mean and interval; None if there are too few seeds or points."""
        if not self.peaks:
            return None
        lower = min(self.heights, key=lambda heights: float(heights.mean()))
        interval = accuracy_curves.student_interval(lower, self.level)
        assert interval is not None
        return float(lower.mean()), interval

    @property
    def peak_position(self) -> tuple[float, tuple[float, float]]:
        """Position x of the peak of the mean over seeds, and its range over seeds."""
        positions = [self.x[p] for _, p, _ in self.peaks]
        return float(self.x[find_peak(self.test.mean(axis=0))[1]]), (float(min(positions)), float(max(positions)))

    @property
    def interpolation(self) -> float | None:
        """Smallest x at which the training data are fitted (along data: largest x); None if there is none."""
        fitted = np.flatnonzero(self.train.mean(axis=0) <= INTERPOLATION_ERROR)
        return float(self.x[fitted[-1 if self.axis == "data" else 0]]) if len(fitted) else None

    @property
    def verdict(self) -> str:
        """DOUBLE_DESCENT if both heights exceed their noise, NO_DOUBLE_DESCENT if one is below MIN_HEIGHT."""
        if self.height is None:
            return INCONCLUSIVE
        ends = [accuracy_curves.student_interval(heights, self.level) or (-np.inf, np.inf) for heights in self.heights]
        if all(low > 0 for low, _ in ends) and min(heights.mean() for heights in self.heights) >= MIN_HEIGHT:
            return DOUBLE_DESCENT
        return NO_DOUBLE_DESCENT if any(high < MIN_HEIGHT for _, high in ends) else INCONCLUSIVE

    @property
    def line(self) -> str:
        """The profile in one line of text."""
        text = f"over {AXES[self.axis]} at {self.fixed}, {len(self.test)} seeds: {self.verdict}"
        if self.height is None:
            return f"{text}: fewer than {MIN_SEEDS} seeds or {MIN_POINTS} points"
        (height, (low, high)), (position, (first, last)) = self.height, self.peak_position
        text += f"; peak at {AXES[self.axis]} {position:g} [{first:g}, {last:g}], {100 * height:.1f} points "
        text += f"[{100 * low:.1f}, {100 * high:.1f}] above the higher minimum"
        if self.interpolation is None:
            return text
        return f"{text}; training error {100 * INTERPOLATION_ERROR:g}% at {self.interpolation:g}"

    def to_json(self) -> dict[str, Any]:
        """Returns the profile in types of JSON; unknown values are omitted."""
        data: dict[str, Any] = {
            "axis": self.axis,
            "fixed": self.fixed,
            "x": self.x.tolist(),
            "seeds": len(self.test),
            "test_error": self.test.mean(axis=0).tolist(),
        }
        if np.isfinite(self.train).all():
            data["train_error"] = self.train.mean(axis=0).tolist()
        if self.height is not None:
            position, interval = self.peak_position
            data["peak"] = {"at": position, "at_interval": list(interval)}
            data["height"] = {"value": self.height[0], "interval": list(self.height[1]), "level": self.level}
        if self.interpolation is not None:
            data["interpolation"] = self.interpolation
        return data | {"verdict": self.verdict}


def find_peak(errors: np.ndarray) -> tuple[int, int, int]:
    """Returns the indices of left minimum, peak and right minimum, for the peak highest above both minima."""
    peak = max(
        range(1, len(errors) - 1),
        key=lambda p: min(errors[p] - errors[:p].min(), errors[p] - errors[p + 1 :].min()),
    )
    return int(np.argmin(errors[:peak])), peak, peak + 1 + int(np.argmin(errors[peak + 1 :]))


@dataclass(frozen=True)
class DoubleDescent:
    """All profiles of a sweep.

    Attributes:
        profiles: Profiles in order of axis.
        level: Coverage of the intervals, simultaneous over the profiles of an axis.
    """

    profiles: tuple[Profile, ...]
    level: float

    def along(self, axis: str) -> list[Profile]:
        """Returns the profiles along an axis, a key of AXES."""
        return [profile for profile in self.profiles if profile.axis == axis]

    def axis_verdict(self, axis: str) -> str:
        """Returns DOUBLE_DESCENT if a profile has it, NO_DOUBLE_DESCENT if no profile has it, else INCONCLUSIVE."""
        verdicts = [profile.verdict for profile in self.along(axis)]
        if DOUBLE_DESCENT in verdicts:
            return DOUBLE_DESCENT
        return NO_DOUBLE_DESCENT if verdicts and set(verdicts) == {NO_DOUBLE_DESCENT} else INCONCLUSIVE

    @property
    def verdict(self) -> list[str]:
        """Verdict of each axis, one line each."""
        return [f"{axis}-wise: {self.axis_verdict(axis)}" for axis in AXES]

    def to_json(self) -> dict[str, Any]:
        """Returns what `analysis double-descent --json` writes."""
        verdicts = {axis: self.axis_verdict(axis) for axis in AXES}
        return {"profiles": [p.to_json() for p in self.profiles], "level": self.level, "verdict": verdicts}


def analyse_double_descent(source: Any, level: float = 0.95, reading: ReadOptions = ReadOptions()) -> DoubleDescent:
    """Analyses the double-descent sweep in a store, or a table of errors.

    Args:
        source: Folder of the store, or a table: its file, a DataFrame or columns by name (`read_error_curves`).
        level: Coverage of the intervals, simultaneous over the profiles of an axis.
        reading: Columns and rows of a table.

    Raises:
        DataError: The source has no such runs, or more than one sweep of them.
    """
    if not 0 < level < 1:
        raise DataError(f"level {level}: must be between 0 and 1")
    if is_store(source):
        if reading != ReadOptions():
            raise DataError(f"{source}: is a store: --columns and --where apply only to a table of errors")
        runs = _curves_of_store(source)
    else:
        runs = accuracy_curves.read_error_curves(source, reading)
    groups: dict[tuple[int, int], list[ErrorCurve]] = {}
    for run in runs:
        groups.setdefault((run.width, run.examples), []).append(run)
    profiles = [_final_errors("width", groups, examples) for examples in sorted({n for _, n in groups})]
    profiles += [_final_errors("data", groups, width) for width in sorted({w for w, _ in groups})]
    profiles += [_errors_along(width, examples, curves) for (width, examples), curves in sorted(groups.items())]
    complete = [profile for profile in profiles if profile is not None]
    if not complete:
        raise DataError(f"{source}: no axis (width, examples or steps) has {MIN_POINTS} or more points with one seed")
    return DoubleDescent(tuple(bonferroni_levels(complete, level)), level)


def _curves_of_store(path: str | Path | StoreSnapshot) -> list[ErrorCurve]:
    runs = accuracy_curves.read_accuracy_curves(path, "double-descent")
    accuracy_curves.check_one_sweep(runs, path, _shared_fields, "width, data and seed")
    return [
        ErrorCurve(
            run.record.config.model.width,
            run.examples,
            run.record.config.seed,
            run.steps,
            1 - run.train,
            1 - run.held_out,
        )
        for run in runs
    ]


def _final_errors(axis: str, groups: dict[tuple[int, int], list[ErrorCurve]], fixed: int) -> Profile | None:
    """Final errors over width or data, for seeds that all points have; None if there are too few points."""
    varied, constant = (0, 1) if axis == "width" else (1, 0)
    keys = sorted(key for key in groups if key[constant] == fixed)
    if len(keys) < MIN_POINTS:
        return None
    runs_by_seed = [{run.seed: run for run in groups[key]} for key in keys]
    seeds = sorted(set.intersection(*(set(runs) for runs in runs_by_seed)))
    if not seeds:
        return None
    x = np.array([key[varied] for key in keys], float)
    test, train = (
        np.array([[getattr(runs[seed], split)[-1] for runs in runs_by_seed] for seed in seeds])
        for split in ("test", "train")
    )
    return Profile(axis, _constant(axis, fixed), x, test, train, 0.0, fixed)


def _constant(axis: str, fixed: int) -> str:
    """Text of the quantity that is constant along an axis."""
    if fixed == 0:
        return "one number of examples" if axis == "width" else "one width"
    return f"{fixed:,} examples" if axis == "width" else f"width {fixed}"


def _errors_along(width: int, examples: int, runs: Sequence[ErrorCurve]) -> Profile | None:
    """Errors along runs, at the steps that all of them measured."""
    common: set[int] = set.intersection(*({int(s) for s in run.steps} for run in runs))
    steps = sorted(common)
    if len(steps) < MIN_POINTS:
        return None
    test, train = (
        np.array([getattr(run, split)[np.isin(run.steps, steps)] for run in runs]) for split in ("test", "train")
    )
    name = f"width {width}" + (f", {examples:,} examples" if examples else "")
    return Profile("epochs", name, np.array(steps, float), test, train, 0.0, width)


def bonferroni_levels(profiles: Iterable[Profile], level: float) -> list[Profile]:
    """Sets the level of each profile such that the intervals of an axis have simultaneous coverage (Bonferroni).

    Args:
        profiles: Profiles of all axes.
        level: Simultaneous coverage.
    """
    profiles = list(profiles)
    counts = {axis: max(1, sum(profile.axis == axis for profile in profiles)) for axis in AXES}
    return [dataclasses.replace(profile, level=1 - (1 - level) / counts[profile.axis]) for profile in profiles]


def _shared_fields(record: Record) -> Any:
    """Fields of the config that all runs of one sweep share."""
    config = record.config
    model = dataclasses.replace(config.model, width=2, heads=1, mlp_width=1)
    data = dataclasses.replace(config.data, unique=None)
    return (model, config.optimizer, data, config.batch, config.steps, config.schedule, config.precision)
