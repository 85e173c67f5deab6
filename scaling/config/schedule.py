"""Configuration of what changes from step to step: learning rate and batch size. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scaling.config.validation import (
    ConfigError,
    ValidatedConfig,
    require,
    require_choice,
    require_non_negative,
    require_positive,
)

SCHEDULES = ("wsd", "cosine", "constant", "linear", "inverse-sqrt")
DECAY_SHAPES = ("linear", "1-sqrt", "cosine")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(ValidatedConfig):
    """Learning rate over steps: a linear warmup, then wsd (Hägele 2024), cosine, linear, inverse-sqrt or constant."""

    name: str = "wsd"  # shape of the learning rate after warmup
    warmup: int = 0  # steps in which the learning rate rises linearly to its peak
    decay: float = 0.2  # wsd: share of the steps spent in the decay
    decay_shape: str = "linear"  # wsd: shape of the decay
    floor: float = 0.0  # final (inverse-sqrt: lowest) learning rate as a share of the peak
    warmup_tokens: int | None = None  # instead of warmup: the rate rises with the tokens read, at any batch size
    timescale: int | None = None  # inverse-sqrt: steps after warmup in which the rate falls by √2; None: the warmup's
    batch_ramp: tuple[tuple[int, int], ...] = ()  # (batch, end step), rising; then RunConfig.batch

    __hash__ = ValidatedConfig.__hash__  # cached

    def check(self) -> None:
        """Raises ConfigError if the fields are out of range or contradict each other."""
        require_choice("ScheduleConfig.name", self.name, SCHEDULES)
        require_choice("ScheduleConfig.decay_shape", self.decay_shape, DECAY_SHAPES)
        require_non_negative(self, "warmup")
        require(0 <= self.decay <= 1, f"ScheduleConfig.decay = {self.decay}: must be in [0, 1]")
        require(0 <= self.floor <= 1, f"ScheduleConfig.floor = {self.floor}: must be in [0, 1]")
        if self.warmup_tokens is not None:
            require_positive(self, "warmup_tokens")
            require(
                not self.warmup,
                f"ScheduleConfig.warmup = {self.warmup} and warmup_tokens = {self.warmup_tokens}: give one of them",
            )
        if self.timescale is not None:
            require_positive(self, "timescale")
            require(
                self.name == "inverse-sqrt",
                f"ScheduleConfig.timescale = {self.timescale}: must be null with name = {self.name!r}",
            )
        rising = all(a < c and b < d for (a, b), (c, d) in pairwise(((0, 0), *self.batch_ramp)))
        require(rising, f"ScheduleConfig.batch_ramp = {self._ramp_text()}: batches and steps must both rise")

    def check_run(self, batch: int, steps: int) -> None:
        """Raises ConfigError if the batch ramp does not fit into a run.

        Args:
            batch: Batch size of the run after the ramp.
            steps: Steps of the run.
        """
        if self.batch_ramp and (self.batch_ramp[-1][0] >= batch or self.batch_ramp[-1][1] >= steps):
            raise ConfigError(
                f"ScheduleConfig.batch_ramp = {self._ramp_text()}: must stay below batch = {batch} "
                f"and end before steps = {steps}"
            )

    def decayed(self, done: float) -> float:
        """Learning rate over its peak after a share `done` of the decay, from 0 to 1."""
        shape = self.decay_shape if self.name == "wsd" else self.name
        if shape == "cosine":
            left = 0.5 * (1 + math.cos(math.pi * done))
        else:
            left = 1 - done if shape == "linear" else 1 - math.sqrt(done)
        return self.floor + (1 - self.floor) * left

    def _ramp_text(self) -> str:
        return str([list(stage) for stage in self.batch_ramp])


def batch_stages(batch: int, batch_ramp: Iterable[Sequence[int]], steps: int) -> list[tuple[int, int, int]]:
    """Lists the stages of constant batch size of a run as (sequences per step, first step, end step).

    Args:
        batch: Sequences per step after the ramp.
        batch_ramp: Pairs of sequences per step and the step at which that stage ends, in order.
        steps: Steps of the whole run.
    """
    ramp = [(int(size), int(end)) for size, end in batch_ramp]
    ends = [0, *(end for _, end in ramp), steps]
    sizes = [*(size for size, _ in ramp), batch]
    return [(size, *between) for size, between in zip(sizes, pairwise(ends), strict=True)]


def sequences_read(batch: int, batch_ramp: Collection[Sequence[int]], steps: int, step: int) -> int:
    """Counts the sequences that the first `step` steps of a run read.

    Args:
        batch: Sequences per step after the ramp.
        batch_ramp: As for `batch_stages`.
        steps: Steps of the whole run; later steps are not counted.
        step: Steps done.
    """
    if not len(batch_ramp):
        return batch * min(step, steps)
    stages = batch_stages(batch, batch_ramp, steps)
    return sum(size * (min(end, step) - first) for size, first, end in stages if first < step)


def token_share(batch: int, batch_ramp: Collection[Sequence[int]], steps: int, step: int) -> float:
    """Returns the share of a run's training tokens that its first `step` steps read, from 0 to 1.

    It equals `step / steps` only for a constant batch size. `RunConfig.token_share` and `Record.token_share` call this
    function; use it directly for a row of a table.

    Args:
        batch: Sequences per step after the ramp.
        batch_ramp: As for `batch_stages`.
        steps: Steps of the whole run.
        step: Steps done.
    """
    if not steps:  # an imported model
        return 1.0
    return sequences_read(batch, batch_ramp, steps, step) / sequences_read(batch, batch_ramp, steps, steps)
