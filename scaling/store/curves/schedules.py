"""Runs whose learning rate follows another schedule than that of the other runs of a sweep.

The loss shows a wrong schedule late: halfway through a run with a decay too early it has changed by about one per cent.
The learning rate itself is known from the config, so that this comparison has no noise.

Key: R runs, S different schedules, K = BINS shares of the steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from scaling.config.run import RunConfig, learning_rate
from scaling.config.schedule import ScheduleConfig
from scaling.config.validation import ConfigError
from scaling.store.curves.collapse import BINS

# Differences are of learning rates over their peaks.
AGREEMENT = 0.01  # largest difference of schedules that agree
TOLERANCE = 0.05  # difference from which, at two successive shares of the steps, a run has another schedule
MIN_OTHERS = 4  # other runs whose schedules agree
MAJORITY = 0.8  # share of the other runs whose schedules agree
MAX_ALIKE = 1  # other runs with the schedule of the run: with more of them, the sweep compares schedules


@dataclass(frozen=True)
class RateDeviation:
    """The learning rate of a run, and by the schedule of the other runs.

    Attributes:
        step: Steps done at the end of each K-th of the steps (K,).
        share: Share of the tokens that are read by then (K,).
        rate: Learning rate of the update before, over its peak (K,).
        expected: The same by the schedule of the other runs (K,).
    """

    step: np.ndarray
    share: np.ndarray
    rate: np.ndarray
    expected: np.ndarray

    def first_bin(self, done: int) -> int | None:
        """Returns the second of the first two successive shares that differ by more than TOLERANCE, None without any.

        Args:
            done: Steps that the run has done.
        """
        outside = (np.abs(self.rate - self.expected) > TOLERANCE) & (self.step <= done)
        both = np.flatnonzero(outside[1:] & outside[:-1])
        return int(both[0]) + 1 if len(both) else None


def rate_deviations(configs: Mapping[str, RunConfig]) -> dict[str, RateDeviation]:
    """Returns the learning rates of the runs that have another schedule than most, by id.

    Rates are compared at equal shares of the steps. A warm-up of equal tokens or steps is another share of each run, so
    that a run is compared with the schedule of the others after its own warm-up. A schedule that more than MAX_ALIKE
    other runs have is a choice of the sweep, and no run with it is returned.

    Args:
        configs: The runs of a sweep (R), by id.
    """
    rules = {run_id: _without_warmup(config.schedule) for run_id, config in configs.items()}
    counts = Counter(rules.values())
    if len(counts) < 2 or len(configs) <= MIN_OTHERS:
        return {}
    different = list(counts)
    middle = sorted(configs.values(), key=lambda config: config.steps)[len(configs) // 2]
    rates = np.array([relative_rates(replace(middle, schedule=rule)) for rule in different])  # (S, K)
    agree = np.abs(rates[:, None] - rates).max(-1) <= AGREEMENT  # (S, S)
    alike = agree @ np.array([counts[rule] for rule in different])  # runs that agree with each schedule
    most = int(np.argmax(alike))
    if alike[most] < max(MIN_OTHERS, MAJORITY * (len(configs) - 1)):
        return {}
    odd = {rule for i, rule in enumerate(different) if not agree[most, i] and alike[i] <= 1 + MAX_ALIKE}
    chosen = {run_id: configs[run_id] for run_id, rule in rules.items() if rule in odd}
    found = {run_id: _deviation(config, different[most]) for run_id, config in chosen.items()}
    return {run_id: deviation for run_id, deviation in found.items() if deviation is not None}


def relative_rates(config: RunConfig) -> np.ndarray:
    """Returns the learning rate over its peak of the last update in each K-th of the steps of a run (K,).

    Args:
        config: The run.
    """
    return np.array([learning_rate(config, int(step) - 1) for step in _ends(config.steps)]) / config.optimizer.lr


def _ends(steps: int) -> np.ndarray:
    """Steps done at the end of each K-th of the steps (K,)."""
    return -(-np.arange(1, BINS + 1) * steps // BINS)


def _without_warmup(schedule: ScheduleConfig) -> ScheduleConfig:
    return replace(schedule, warmup=0, warmup_tokens=None, batch_ramp=())


def _deviation(config: RunConfig, rule: ScheduleConfig) -> RateDeviation | None:
    """The deviation of a run from a schedule; None if it is too short, or its warm-up reaches into the decay."""
    if config.steps < BINS:
        return None
    own = config.schedule
    schedule = replace(rule, warmup=own.warmup, warmup_tokens=own.warmup_tokens, batch_ramp=own.batch_ramp)
    try:
        expected = relative_rates(replace(config, schedule=schedule))
    except ConfigError:
        return None
    step = _ends(config.steps)
    share = np.array([config.token_share(int(s)) for s in step])
    return RateDeviation(step, share, relative_rates(config), expected)
