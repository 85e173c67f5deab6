"""Steps of one run: reading batches, dispatching steps and collecting their metrics.

Axes: S steps of one dispatch, B batch, X columns of a row of the token file.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from scaling.config.run import learning_rate
from scaling.data import examples
from scaling.distributed.sharding import local_rows, place_batch
from scaling.program import multi_step
from scaling.program.build import Program
from scaling.training.reading import read_ahead
from scaling.training.run import Diverged, Run


def program_at(run: Run, step: int) -> Program:
    """Returns the program of the step that follows `step` finished ones; a batch ramp has several.

    Args:
        run: The run.
        step: Number of finished steps.
    """
    return run.ramp_programs.get(run.config.batch_at(step), run.program)


def read_block(run: Run, step: int, boundaries: Sequence[int] = ()) -> tuple[np.ndarray, int]:
    """Reads the batches of the next dispatch.

    Args:
        run: The run.
        step: Number of finished steps.
        boundaries: Further numbers of finished steps at which a dispatch ends.

    Returns:
        The batches, int32 (S, B, X) or (B, X) for a program of one step, and the number of steps. A block that ends
        early is padded with zeros, which the program does not read.
    """
    block = program_at(run, step).block
    count = multi_step.next_block_length(
        run.config, step, block, (*boundaries, *(run.evaluation.steps if run.evaluation is not None else ()))
    )
    if block == 1 or not count:
        return read_batch(run, step, run.program.batch_sharding), count
    size = run.config.batch_at(step)
    rows = run.config.sequences(step) + np.arange(count * size, dtype=np.int64)
    read_SBX = examples.training_rows(run.tokens, run.config, rows).reshape(count, size, -1)
    read_ahead(run, step + count)
    return np.pad(read_SBX, ((0, block - count), (0, 0), (0, 0))), count


def dispatch_steps(run: Run, step: int, count: int, batch: np.ndarray, waiting_since: float) -> dict[str, jax.Array]:
    """Starts the next steps on the devices without waiting for them.

    Args:
        run: The run.
        step: Number of finished steps.
        count: Number of steps to start.
        batch: Their batches, from `read_block`.
        waiting_since: When the loop started to wait for the batch (time.monotonic).

    Returns:
        The metrics of the steps, computed asynchronously.
    """
    compiled, config = program_at(run, step), run.config
    rates = np.zeros(compiled.block, np.float32)
    rates[:count] = [learning_rate(config, step + i) for i in range(count)]
    arguments: tuple[Any, ...] = (batch, rates, np.int32(count))
    if compiled.block == 1:
        arguments = (place_batch(batch, compiled.batch_sharding, config.batch_at(step)), rates[0])
    waited = time.monotonic() - waiting_since
    run.input_wait = (run.input_wait or 0.0) + waited
    run.telemetry.add_input_wait(waited, devices_are_idle(run))
    run.state, metrics = compiled.step(run.state, *arguments)
    return metrics


def devices_are_idle(run: Run) -> bool:
    """Returns whether the steps in flight have ended, without waiting for them."""
    return run.in_flight is None or all(metric.is_ready() for metric in run.in_flight[2].values())


def read_batch(run: Run, step: int, sharding: NamedSharding | None = None) -> np.ndarray:
    """Reads the batch that follows `step` finished steps, int32 (B, X).

    Args:
        run: The run.
        step: Number of finished steps.
        sharding: Sharding of the batch, of which only the rows on this host's devices are read; None: all rows.

    Returns:
        The rows. Within an epoch each sequence is read once.
    """
    config, size = run.config, run.config.batch_at(step)
    local = np.arange(size, dtype=np.int64) if sharding is None else local_rows(sharding, size)
    rows = examples.training_rows(run.tokens, config, config.sequences(step) + local)
    read_ahead(run, step + 1, sharding)
    return rows


def collect_metrics(run: Run) -> None:
    """Appends the metrics of the steps in flight to the curve; raises Diverged where they are not finite."""
    if run.in_flight is None:
        return
    (first, count, metrics), run.in_flight = run.in_flight, None
    figures = {name: np.atleast_1d(values) for name, values in jax.device_get(metrics).items()}
    for i in range(count):
        row = {"step": first + i, **{name: float(values[i]) for name, values in figures.items()}}
        if not all(np.isfinite(value) for value in row.values()):
            raise Diverged(first + i)
        run.rows.append(row)
