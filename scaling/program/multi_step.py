"""Blocks: several steps of a small run in one dispatch, for what the host does for one takes as long as some steps do.

The program loops over as many steps as it is told when it is called: one program does blocks of every length, and no
number depends on where a block begins or ends.

Axes: S steps of a block, B sequences, X columns of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError
from scaling.models.counts import step_total

FLOPS = 1e10  # of a block: a third of a second of a core, which a stop or a report waits for
MOST = 32  # steps: what the host does is a few hundredths of them by then


def block_of(config: RunConfig, placement: Placement, devices: int) -> int:
    """Steps of a dispatch: as many as pay where one CPU device computes, else one, because dispatches overlap there."""
    if placement.block > 1 and devices > 1:
        raise ConfigError(f"Placement.block = {placement.block}: is of one device, not of {devices}: leave it out")
    if placement.block or devices > 1 or jax.default_backend() != "cpu":
        return placement.block or 1
    return int(max(1, min(MOST, FLOPS // step_total(config, config.batch))))


def span(config: RunConfig, step: int, most: int, also: Iterable[int] = ()) -> int:
    """Steps of the block that follows `step` finished ones: none crosses an evaluation, the start of the decay, another
    batch size, the end, or a step of `also`."""
    stops = [config.steps, *also, *(until for _, until in config.schedule.batch_ramp), config.decay_start]
    if config.eval.every:
        stops.append((step // config.eval.every + 1) * config.eval.every)
    return min(most, min(stop for stop in stops if stop > step) - step) if step < config.steps else 0


def looped(step: Callable[..., Any], block: int) -> Callable[..., Any]:
    """(state, tokens_SBX, lr_S, count) -> (state, metrics, each (S,)) of `count` steps, at most `block`."""

    def run(state: Any, tokens_SBX: jax.Array, lr_S: jax.Array, count: jax.Array) -> Any:
        shapes = jax.eval_shape(step, state, tokens_SBX[0], lr_S[0])[1]

        def one(i: jax.Array, carry: Any) -> Any:
            state, metrics = step(carry[0], tokens_SBX[i], lr_S[i])
            return state, jax.tree.map(lambda all_S, new: all_S.at[i].set(new), carry[1], metrics)

        empty = jax.tree.map(lambda leaf: jnp.zeros(block, leaf.dtype), shapes)
        return jax.lax.fori_loop(0, count, one, (state, empty))

    return run
