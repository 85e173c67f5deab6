"""What changes from step to step of a run: its learning rate and its batch. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from scaling.checked import Checked, ConfigError, not_negative, one_of, positive, require

if TYPE_CHECKING:
    from scaling.config import RunConfig

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


def stages(config: RunConfig) -> list[tuple[int, int, int]]:
    """Batch, first step and end of each stage: the ramp's, then the run's own."""
    ends = (0, *(until for _, until in config.schedule.batch_ramp), config.steps)
    sizes = (*(size for size, _ in config.schedule.batch_ramp), config.batch)
    return [(size, *between) for size, between in zip(sizes, pairwise(ends), strict=True)]


def sequences(config: RunConfig, steps: int) -> int:
    """Sequences that the first `steps` steps read."""
    return sum(size * (min(end, steps) - first) for size, first, end in stages(config) if first < steps)


def warmup_steps(config: RunConfig) -> int:
    """Steps until the learning rate has reached its peak."""
    tokens = config.schedule.warmup_tokens
    if tokens is None:
        return config.schedule.warmup
    wanted, steps = -(-tokens // config.data.length), 0
    for size, first, end in stages(config):
        steps = first + -(-wanted // size)
        if steps <= end:
            return steps
        wanted -= size * (end - first)
    return steps


def _even_warmup(config: RunConfig) -> bool:
    """Whether the warm-up is one of equal steps that ends with a step."""
    tokens = config.schedule.warmup_tokens
    return tokens is None or not (config.schedule.batch_ramp or tokens % (config.batch * config.data.length))


def learning_rate(config: RunConfig, step: int) -> float:
    """Learning rate of the update that follows `step` finished steps, in float64.

    wsd: linear warm-up, constant, then a decay over the last share of the steps (Hägele 2024); cosine and linear:
    from the peak after the warm-up to floor·peak at the end (Hoffmann 2022, appendix B; Bergsma 2025);
    inverse-sqrt: √(T / (T + steps after the warm-up)) (Vaswani 2017, equation 3, where T is the warm-up; Zhai 2022,
    section 3.5).
    """
    schedule, peak, warm = config.schedule, config.optimizer.lr, config.warmup_steps
    if step < warm:
        if _even_warmup(config):
            return peak * (step + 1) / warm
        seen = config.sequences(step + 1) * config.data.length
        return peak * min(1.0, seen / (schedule.warmup_tokens or seen))
    if schedule.name == "inverse-sqrt":
        return peak * max(schedule.floor, math.sqrt(config.timescale / (config.timescale + step - warm)))
    start = config.decay_start
    if schedule.name == "constant" or step < start:
        return peak
    done = (step - start) / (config.steps - start)
    shape = schedule.decay_shape if schedule.name == "wsd" else schedule.name
    if shape == "cosine":
        left = 0.5 * (1 + math.cos(math.pi * done))
    else:
        left = 1 - done if shape == "linear" else 1 - math.sqrt(done)
    return peak * (schedule.floor + (1 - schedule.floor) * left)


def shaping(config: RunConfig, step: int) -> dict[str, Any]:
    """What of the schedule has shaped the trajectory up to `step`, none of which lies in the decay."""
    even = _even_warmup(config)
    out: dict[str, Any] = {"warmup": config.warmup_steps} if even else {"warmup_tokens": config.schedule.warmup_tokens}
    if config.schedule.name == "inverse-sqrt" and step > config.warmup_steps:
        out["timescale"] = config.timescale
        out |= {"floor": config.schedule.floor} if config.schedule.floor else {}
    ramp = [[size, min(end, step)] for size, first, end in stages(config)[:-1] if first < step]
    return out | ({"batch_ramp": ramp} if ramp else {})
