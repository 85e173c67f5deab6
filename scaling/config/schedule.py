"""What changes from step to step of a run: its learning rate and its batch. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from scaling.config.validation import Checked, ConfigError, not_negative, one_of, positive, require

if TYPE_CHECKING:
    pass

SCHEDULES = ("wsd", "cosine", "constant", "linear", "inverse-sqrt")
DECAYS = ("linear", "1-sqrt", "cosine")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(Checked):
    """Learning rate over steps: linear warm-up, then wsd (Hägele 2024), cosine, linear, inverse-sqrt or constant."""

    name: str = "wsd"
    warmup: int = 0  # steps
    decay: float = 0.2  # wsd: share of the steps spent decaying
    decay_shape: str = "linear"  # of wsd
    floor: float = 0.0  # final (inverse-sqrt: lowest) learning rate as a share of the peak
    warmup_tokens: int | None = None  # in place of warmup: the rate follows the tokens seen, whatever the batch
    timescale: int | None = None  # inverse-sqrt: steps after the warm-up in which the rate falls by √2; None: as many
    batch_ramp: tuple[tuple[int, int], ...] = ()  # (batch, until step), smallest first; then RunConfig.batch

    def check(self) -> None:
        one_of("ScheduleConfig.name", self.name, SCHEDULES)
        one_of("ScheduleConfig.decay_shape", self.decay_shape, DECAYS)
        not_negative(self, "warmup")
        require(0 <= self.decay <= 1, f"ScheduleConfig.decay = {self.decay}: must be in [0, 1]")
        require(0 <= self.floor <= 1, f"ScheduleConfig.floor = {self.floor}: must be in [0, 1]")
        if self.warmup_tokens is not None:
            positive(self, "warmup_tokens")
            require(
                not self.warmup,
                f"ScheduleConfig.warmup = {self.warmup} and warmup_tokens = {self.warmup_tokens}: give one of them",
            )
        if self.timescale is not None:
            positive(self, "timescale")
            require(
                self.name == "inverse-sqrt",
                f"ScheduleConfig.timescale = {self.timescale}: inverse-sqrt alone has one, not {self.name}",
            )
        rising = all(a < c and b < d for (a, b), (c, d) in pairwise(((0, 0), *self.batch_ramp)))
        require(rising, f"ScheduleConfig.batch_ramp = {_shown(self.batch_ramp)}: batches and steps must both rise")

    def check_run(self, batch: int, steps: int) -> None:
        """ConfigError where a run of so many steps, of that batch in the end, has no room for the ramp."""
        if self.batch_ramp and (self.batch_ramp[-1][0] >= batch or self.batch_ramp[-1][1] >= steps):
            raise ConfigError(
                f"ScheduleConfig.batch_ramp = {_shown(self.batch_ramp)}: must stay below batch = {batch} "
                f"and end before steps = {steps}"
            )


def _shown(ramp: tuple[tuple[int, int], ...]) -> list[list[int]]:
    return [list(stage) for stage in ramp]
