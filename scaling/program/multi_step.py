"""Several steps per dispatch: for small models, the overhead of a dispatch on the host takes as long as some steps.

One program runs any number of steps up to the block size, passed as an argument. Results do not depend on where a block
starts or ends.

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
from scaling.counting.counts import total_step_flops

BLOCK_FLOPS = 1e10  # FLOPs of a block, a third of a second on one core: stops and reports wait for the end of a block
MAX_BLOCK_STEPS = 32  # the overhead per dispatch is then a few per cent of the time of the steps


def steps_per_dispatch(config: RunConfig, placement: Placement, devices: int) -> int:
    """Returns the block size: more than 1 only on a single CPU device; elsewhere dispatches overlap with steps.

    Args:
        config: The run.
        placement: Its `block` overrides the choice.
        devices: Devices of the mesh.

    Raises:
        ConfigError: `block` is set for more than one device.
    """
    if placement.block > 1 and devices > 1:
        raise ConfigError(f"Placement.block = {placement.block}: needs one device, not {devices}: leave it out")
    if placement.block or devices > 1 or jax.default_backend() != "cpu":
        return placement.block or 1
    return int(max(1, min(MAX_BLOCK_STEPS, BLOCK_FLOPS // total_step_flops(config, config.batch))))


def next_block_length(config: RunConfig, step: int, limit: int, boundaries: Iterable[int] = ()) -> int:
    """Returns the number of steps of the next block.

    A block ends at evaluations, at the start of the decay, at changes of the batch size, and at the end of the run.

    Args:
        config: The run.
        step: Steps done.
        limit: Largest number of steps of a block.
        boundaries: Further steps that a block may not cross.
    """
    stops = [config.steps, *boundaries, *(until for _, until in config.schedule.batch_ramp), config.decay_start]
    if config.eval.every:
        stops.append((step // config.eval.every + 1) * config.eval.every)
    return min(limit, min(stop for stop in stops if stop > step) - step) if step < config.steps else 0


def loop_steps(step: Callable[..., Any], block: int) -> Callable[..., Any]:
    """Returns (state, tokens_SBX, lr_S, count) -> (state, metrics), which runs `count` steps in one program.

    Each metric is (S,); entries from `count` on are 0.

    Args:
        step: step(state, tokens_BX, lr) -> (state, metrics).
        block: Largest number of steps, S.
    """

    def run_steps(state: Any, tokens_SBX: jax.Array, lr_S: jax.Array, count: jax.Array) -> Any:
        metric_shapes = jax.eval_shape(step, state, tokens_SBX[0], lr_S[0])[1]

        def body(i: jax.Array, carry: Any) -> Any:
            state, metrics = step(carry[0], tokens_SBX[i], lr_S[i])
            return state, jax.tree.map(lambda all_S, new: all_S.at[i].set(new), carry[1], metrics)

        zeros = jax.tree.map(lambda leaf: jnp.zeros(block, leaf.dtype), metric_shapes)
        return jax.lax.fori_loop(0, count, body, (state, zeros))

    return run_steps
