"""A pack under way: its runs in their places, and how one leaves it.

Axes: R runs (places of the pack).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from scaling.config.placement import Placement
from scaling.evaluate.config import Asked
from scaling.program.step import State
from scaling.store.lease import Lost
from scaling.store.record import Record, Store
from scaling.training import checkpointing
from scaling.training.packs.program import PackProgram
from scaling.training.run import Run, Say
from scaling.training.tracking import trackers


@dataclass
class Pack:
    """Runs under way, each in its place; a place without one is idle: it computes, and nobody looks."""

    compiled: PackProgram
    numbers: dict[str, jax.Array]  # of the optimiser, (R,)
    store: Store
    placement: Placement
    sweep: str | None
    say: Say
    stop: Callable[[], bool]
    facts: dict[str, Any]  # of every record
    begun: float
    exam: Asked | None = None
    records: dict[str, Record] = field(default_factory=dict)  # of every run asked for, by id, as it ended
    runs: dict[int, Run] = field(default_factory=dict)  # those that have not ended, by place
    at: dict[int, int] = field(default_factory=dict)  # steps that each has dispatched
    locks: dict[int, ExitStack] = field(default_factory=dict)
    state: State = field(default_factory=dict)
    flight: dict[int, int] = field(default_factory=dict)  # step of each run whose figures are still to come
    metrics: dict[str, jax.Array] = field(default_factory=dict)
    stepping: float = field(default_factory=time.monotonic)  # since when
    saved: float = field(default_factory=time.monotonic)


def per_run(compiled: PackProgram, numbers: Any) -> jax.Array:
    """One number a run on the runs' devices; idle places have zeros."""
    filled = np.zeros(compiled.runs, np.float32)
    filled[: len(numbers)] = numbers
    return jax.device_put(filled, compiled.batch_sharding)


def state_of(pack: Pack, place: int) -> State:
    """One run's state, laid out as a checkpoint of it is loaded."""

    def one(leaf_R: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
        [(part, first)] = [
            (part, first)
            for part in leaf_R.addressable_shards
            for first, last, _ in [part.index[0].indices(len(leaf_R))]
            if first <= place < last
        ]
        return jax.device_put(np.array(np.asarray(part.data)[place - first]), like.sharding)

    return jax.tree.map(one, pack.state, pack.compiled.abstract)


def end(pack: Pack, place: int, record: Record) -> None:
    """Takes a run out of the pack with its last record; the others go on. One that is another's now has left."""
    with ours(pack, place):
        if (run := pack.runs.get(place)) is None:
            return
        checkpointing.mine(run)
        pack.store.write(record)
        trackers.end(run.logs, record)
        pack.records[run.id] = record
        pack.runs.pop(place)
        pack.locks.pop(place).close()
        said(pack, record)


@contextmanager
def ours(pack: Pack, place: int) -> Iterator[None]:
    """Around what is written of a run: where another process has taken it over, it leaves the pack."""
    try:
        yield
    except Lost as by:
        run = pack.runs.pop(place)
        assert run.record is not None
        trackers.end(run.logs, run.record)
        pack.locks.pop(place).close()
        pack.say({"event": "waits", "run_id": run.id, "why": f"{by}: left to it"})


def said(pack: Pack, record: Record) -> None:
    """Says how a run ended."""
    loss = {"loss": record.final["loss"]} if "loss" in record.final else {}
    why = {"error": record.about["error"]} if "error" in record.about else {}
    pack.say({"event": "end", "run_id": record.run_id, "status": record.status, **loss, **why})
