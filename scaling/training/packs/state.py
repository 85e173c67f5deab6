"""State of a pack during training, and functions that end one of its runs.

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
from scaling.evaluation.config import EvaluationOptions
from scaling.program.step import State
from scaling.store.cost import remove_timing
from scaling.store.lease import LeaseLostError
from scaling.store.record import Record, Store
from scaling.training import checkpointing
from scaling.training.events import end_event
from scaling.training.packs.program import PackProgram
from scaling.training.run import EventSink, Run
from scaling.training.tracking import trackers


@dataclass
class Pack:
    """State of the runs of a pack. A place whose run has ended is still computed, but its results are not used.

    Attributes:
        program: The compiled program.
        optimizer_numbers: Optimizer settings that differ between runs, (R,) each.
        store: Where records, curves and checkpoints are written.
        placement: How the runs are laid out on the devices.
        sweep: Name of the sweep, noted in the records.
        emit: Receives progress events.
        should_stop: True once the process has been asked to stop.
        shared_facts: Facts for the record of every run.
        started_at: When this process started to work on the pack (time.monotonic).
        evaluation: Tasks to evaluate during training.
        records: Final record of each run, by run id.
        runs: The runs that have not ended, by place.
        steps_dispatched: Steps dispatched so far, by place.
        leases: Context that releases the lease of each run, by place.
        state: Parameters and optimizer states of all places, stacked on a leading axis R.
        in_flight: Step of each run whose metrics are still computed, by place.
        metrics: The metrics in flight, (R,) each.
        saved_at: Time of the last checkpoints (time.monotonic).
    """

    program: PackProgram
    optimizer_numbers: dict[str, jax.Array]
    store: Store
    placement: Placement
    sweep: str | None
    emit: EventSink
    should_stop: Callable[[], bool]
    shared_facts: dict[str, Any]
    started_at: float
    evaluation: EvaluationOptions | None = None
    records: dict[str, Record] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)
    steps_dispatched: dict[int, int] = field(default_factory=dict)
    leases: dict[int, ExitStack] = field(default_factory=dict)
    state: State = field(default_factory=dict)
    in_flight: dict[int, int] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    saved_at: float = field(default_factory=time.monotonic)


def per_run(program: PackProgram, numbers: Any) -> jax.Array:
    """Places one number per run on the runs' devices, float32 (R,); unused places get zeros.

    Args:
        program: The compiled program.
        numbers: Values, one per run.
    """
    filled = np.zeros(program.runs, np.float32)
    filled[: len(numbers)] = numbers
    return jax.device_put(filled, program.batch_sharding)


def run_state(pack: Pack, place: int) -> State:
    """Returns the state of one run, laid out as a checkpoint of that run is restored.

    Args:
        pack: The pack.
        place: Place of the run in the pack.
    """

    def take(leaf_R: jax.Array, abstract: jax.ShapeDtypeStruct) -> jax.Array:
        [(part, first)] = [
            (part, first)
            for part in leaf_R.addressable_shards
            for first, last, _ in [part.index[0].indices(len(leaf_R))]
            if first <= place < last
        ]
        return jax.device_put(np.array(np.asarray(part.data)[place - first]), abstract.sharding)

    return jax.tree.map(take, pack.state, pack.program.abstract)


def end_run(pack: Pack, place: int, record: Record) -> None:
    """Ends a run of the pack with its final record; the other runs continue.

    Args:
        pack: The pack.
        place: Place of the run in the pack.
        record: The run's final record.
    """
    with leave_pack_if_lost(pack, place):
        if (run := pack.runs.get(place)) is None:
            return
        checkpointing.check_lease(run)
        run.telemetry.end()
        pack.store.write(record)
        if record.status in ("done", "diverged"):
            remove_timing(pack.store, record.run_id)
        trackers.end_trackers(run.trackers, record)
        pack.records[run.id] = record
        pack.runs.pop(place)
        pack.leases.pop(place).close()
        pack.emit(end_event(record))


def note_input_wait(pack: Pack, seconds: float) -> None:
    """Notes a wait for the batches of the runs.

    Args:
        pack: The pack.
        seconds: Seconds of the wait.
    """
    is_idle = all(metric.is_ready() for metric in pack.metrics.values())
    for run in pack.runs.values():
        run.telemetry.add_input_wait(seconds, is_idle)


@contextmanager
def pack_phase(pack: Pack, name: str) -> Iterator[None]:
    """Context in which all runs of a pack wait (`Telemetry.phase`).

    Args:
        pack: The pack.
        name: Name of the phase.
    """
    with ExitStack() as stack:
        for run in pack.runs.values():
            stack.enter_context(run.telemetry.phase(name))
        yield


@contextmanager
def leave_pack_if_lost(pack: Pack, place: int) -> Iterator[None]:
    """Context for writing a run's files, left when its checkpoint is written: the runs of a pack are saved in turn.

    The run leaves the pack if another process has taken it over.

    Args:
        pack: The pack.
        place: Place of the run in the pack.
    """
    try:
        yield
        if run := pack.runs.get(place):
            run.writer.wait()
    except LeaseLostError as error:
        run = pack.runs.pop(place)
        run.telemetry.end()
        assert run.record is not None
        trackers.end_trackers(run.trackers, run.record)
        pack.leases.pop(place).close()
        pack.emit({"event": "waits", "run_id": run.id, "why": f"{error}: skipped for now"})
