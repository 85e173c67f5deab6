"""Learning-rate schedules. Standard library only, so that the rate of a run is known without JAX."""

from __future__ import annotations

import math

from scaling.config.run import RunConfig


def learning_rate(config: RunConfig, step: int) -> float:
    """Returns the learning rate of the update that follows `step` finished steps, in float64.

    wsd: linear warm-up, constant, then a decay over the last share of the steps (Hägele 2024); cosine and linear:
    from the peak after the warm-up to floor·peak at the end (Hoffmann 2022, appendix B; Bergsma 2025);
    inverse-sqrt: √(T / (T + steps after the warm-up)) (Vaswani 2017, equation 3, where T is the warm-up; Zhai 2022,
    section 3.5).

    Args:
        config: The run.
        step: Number of finished steps.
    """
    schedule, peak, warm = config.schedule, config.optimizer.lr, config.warmup_steps
    if step < warm:
        if config.has_even_warmup:
            return peak * (step + 1) / warm
        tokens_seen = config.sequences(step + 1) * config.data.length
        return peak * min(1.0, tokens_seen / (schedule.warmup_tokens or tokens_seen))
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
