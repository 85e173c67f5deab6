"""Training of sparse autoencoders that read one stream of activations.

Each autoencoder is a run with its own record, curve, lease and checkpoints. It is trained by the same compiled program
alone or with others, on the same activations, so its numbers do not depend on the others by a single bit.

Axes: B tokens of a step, D width, S steps of a block.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, learning_rate, run_id
from scaling.inference.sites import Site
from scaling.program.sae.program import build_sae_program
from scaling.store.lease import Lease, LeaseHeldError, LeaseLostError
from scaling.store.record import Record, Store
from scaling.training import checkpointing, validation
from scaling.training.claim import acquire_lease, claim_run, earlier_record, failed_record, store_of_host, write_end
from scaling.training.events import end_event
from scaling.training.loop import EVENT_SECONDS, final_record
from scaling.training.run import Diverged, EventSink, Run, Stopped
from scaling.training.sae.model_run import model_problem
from scaling.training.sae.stream import Stream, open_stream
from scaling.training.steps import collect_metrics
from scaling.training.tracking import trackers


@dataclass
class Claim:
    """A run that this process has claimed.

    Attributes:
        record: Its record, as written.
        earlier: Its record of an earlier process.
        lease: The lease on it.
        context: Releases the lease.
    """

    record: Record
    earlier: Record | None
    lease: Lease | None
    context: ExitStack


@dataclass
class Group:
    """Autoencoders that are trained together.

    Attributes:
        store: Where records, curves and checkpoints are written.
        placement: Placement of the runs.
        sweep: Name of the sweep, noted in the records.
        emit: Receives progress events.
        should_stop: True once the process has been asked to stop.
        size: Number of autoencoders that share the stream and its time.
        started_at: When this process started to work on them (time.monotonic).
        records: Records of the runs that have ended, by run id.
        claims: Claims of the runs that have not ended, by run id.
        runs: These runs, once they are restored.
        saved_at: Time of the last checkpoints (time.monotonic).
    """

    store: Store
    placement: Placement
    sweep: str | None
    emit: EventSink
    should_stop: Callable[[], bool]
    size: int
    started_at: float = field(default_factory=time.monotonic)
    records: dict[str, Record] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    saved_at: float = field(default_factory=time.monotonic)


def train_saes(
    configs: Sequence[RunConfig],
    store: Store,
    placement: Placement,
    *,
    sweep: str | None = None,
    emit: EventSink = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Record]:
    """Trains autoencoders of one `stream_key` to their ends or to a stop.

    Args:
        configs: The runs. One that is done or diverged is not trained again; one that diverges does not stop others.
        store: Where records, curves and checkpoints are written.
        placement: Placement of the runs.
        sweep: Name of the sweep, noted in the records.
        emit: Receives progress events.
        should_stop: True once the process has been asked to stop.

    Returns:
        The records in order, as in the store, without those of runs that another process trains.

    Raises:
        LeaseHeldError: Another process trains the only run, or the model of the runs is not trained yet.
        LeaseLostError: Another process has taken over the only run.
        Exception: The error that stopped the runs, after it is written to each record.
    """
    group = Group(store_of_host(store, placement), placement, sweep, emit, should_stop, len(configs))
    problem = model_problem(configs[0], group.store, sweep)
    try:
        by_id = {run_id(config): config for config in configs}
        for config in by_id.values():
            claim(group, config)
        if group.claims and problem is not None:
            raise problem
        train_claimed(group, [by_id[name] for name in group.claims])
    except LeaseLostError:
        raise
    except Exception as error:
        for name, claimed in list(group.claims.items()):
            end(group, name, failed_record(claimed.record, error))
        raise
    finally:
        for name, claimed in group.claims.items():
            if name in group.runs:
                checkpointing.end_saves(group.runs[name], None)
            claimed.context.close()
    return [group.records[name] for name in map(run_id, configs) if name in group.records]


def train_claimed(group: Group, configs: Sequence[RunConfig]) -> None:
    """Opens the stream of the claimed runs, and trains them.

    Args:
        group: The group.
        configs: The runs; nothing is done without any.
    """
    if configs:
        stream = open_stream(configs, group.store, group.placement)
        for config in configs:
            start(group, config, stream)
        train_blocks(group, stream)


def claim(group: Group, config: RunConfig) -> None:
    """Acquires the lease of a run and writes its record, unless it is done or trained by another process.

    Args:
        group: The group.
        config: The run.
    """
    name, context = run_id(config), ExitStack()
    try:
        lease = acquire_lease(group.store, name, context)
    except LeaseHeldError as error:
        if group.size == 1:
            raise
        group.emit({"event": "waits", "run_id": name, "why": f"{error}: skipped for now"})
        return
    group.store.fetch_record(name)
    earlier = earlier_record(group.store, name)
    if earlier is not None and earlier.status in ("done", "diverged"):
        group.records[name] = earlier
        context.close()
        if group.size > 1:
            group.emit(end_event(earlier))
        return
    record = claim_run(config, group.store, earlier, group.sweep)
    group.claims[name] = Claim(record, earlier, lease, context)


def start(group: Group, config: RunConfig, stream: Stream) -> None:
    """Compiles the program of a run and restores its newest checkpoint, or initialises it from the first activations.

    Args:
        group: The group.
        config: The run.
        stream: The activations.
    """
    claimed = group.claims[run_id(config)]
    program, is_new = build_sae_program(config, group.placement)
    run = Run(
        config, group.store, group.placement, program, stream.tokens, group.emit, group.should_stop, np.zeros((0, 0)),
    )  # fmt: skip
    run.lease, run.started_at, run.device_share = claimed.lease, group.started_at, 1 / group.size
    facts: dict[str, Any] = {
        "compile_seconds": round(program.compile_seconds if is_new else 0.0, 3),
        "hosts": 1,
        "devices": 1,
    }
    facts |= {"mesh": {}, **stream.facts, **checkpointing.restore_checkpoint(run)}
    if group.size > 1:
        facts["pack"] = {"runs": group.size, "places": group.size, "devices": 1}
    about = checkpointing.add_start_facts(claimed.record.about, facts)
    run.record = claimed.record = dataclasses.replace(claimed.record, about=about)
    group.store.write(run.record)
    checkpointing.begin_telemetry(run, claimed.earlier, 1, group.size)
    run.trackers = trackers.open_trackers(group.store, config, group.placement, run.rows, run.record.sweep)
    group.runs[run.id] = run
    group.emit({"event": "start", "run_id": run.id, "steps": config.steps, "from": run.first_step})


def train_blocks(group: Group, stream: Stream) -> None:
    """Trains, evaluates and saves until every run has ended.

    Args:
        group: The group.
        stream: The activations.

    Raises:
        LeaseLostError: Another process has taken over the only run.
    """
    reported_at = 0.0
    for run in group.runs.values():
        run.stepping_since = run.telemetry.wall.stepping_since = time.monotonic()
    while group.runs:
        block = min(run.step for run in group.runs.values()) // next(iter(group.runs.values())).program.block
        waiting_since = time.monotonic()
        x_PSBD = stream.training(block)
        for run in group.runs.values():
            run.telemetry.add_input_wait(time.monotonic() - waiting_since, True)
        for name, run in list(group.runs.items()):
            if run.step // run.program.block == block:
                with leave_if_lost(group, name):
                    train_block(group, name, x_PSBD[site_index(stream, run.config)], stream)
        stops = group.should_stop()
        saves = stops or time.monotonic() - group.saved_at > group.placement.save_seconds
        writes = stops or time.monotonic() - reported_at > EVENT_SECONDS
        for name, run in list(group.runs.items()):
            with leave_if_lost(group, name):
                if writes:
                    checkpointing.write_curve(run)
                if saves:
                    checkpointing.save_own_checkpoint(run)
                if stops:
                    end(group, name, final_record(run, Stopped()))
        group.saved_at = time.monotonic() if saves else group.saved_at
        reported_at = time.monotonic() if writes else reported_at


def site_index(stream: Stream, config: RunConfig) -> int:
    """Returns the position of a run's site in the stream."""
    assert config.sae is not None
    return stream.sites.index(Site(config.sae.layer, config.sae.site))


def train_block(group: Group, name: str, x_SBD: jax.Array, stream: Stream) -> None:
    """Trains one run on a block of activations, evaluates it if that is due, and ends it after its last step.

    Args:
        group: The group.
        name: The run's id.
        x_SBD: Activations of its site.
        stream: The stream, for held-out activations.
    """
    run, config = group.runs[name], group.runs[name].config
    step, block = run.step, run.program.block
    if not run.state:
        run.state = run.program.init(config.seed, x_SBD[0])
    count = min(block, config.steps - step)
    rates = np.zeros(block, np.float32)
    rates[:count] = [learning_rate(config, step + i) for i in range(count)]
    try:
        run.telemetry.begin_steps(step, count)
        run.state, metrics = run.program.step(run.state, x_SBD, rates, np.int32(count))
        run.in_flight = (step + 1, count, metrics)
        collect_metrics(run)
        is_last = run.step == config.steps
        if is_last or (config.eval.every and run.step % config.eval.every == 0):
            evaluate(run, stream.validation[site_index(stream, config)])
        if is_last:
            checkpointing.write_curve(run)
            checkpointing.save_own_checkpoint(run)
            end(group, name, final_record(run, None))
    except Diverged as error:
        end(group, name, final_record(run, error))


def evaluate(run: Run, x_nD: np.ndarray) -> None:
    """Adds the scores of held-out activations to the last row of a run's curve.

    Args:
        run: The run.
        x_nD: Held-out activations of its site.

    Raises:
        Diverged: A score is not finite.
    """
    size = run.config.batch * run.config.data.length

    def scores(start: int, end: int) -> dict[str, jax.Array]:
        part = x_nD[start:end]
        filled = np.concatenate([part, np.repeat(part[:1], size - len(part), 0)])
        result: dict[str, jax.Array] = run.program.evaluate(run.state["params"], filled)
        return result

    with run.telemetry.phase("validation"):
        means = validation.mean_scores("validation", x_nD, size, scores)
    if not all(map(np.isfinite, means.values())):
        raise Diverged(run.step)
    run.rows[-1] |= means


@contextmanager
def leave_if_lost(group: Group, name: str) -> Iterator[None]:
    """Context in which a run's files are written; the run leaves the group if another process has taken it over.

    Args:
        group: The group.
        name: The run's id.

    Raises:
        LeaseLostError: It is the only run.
    """
    try:
        yield
    except LeaseLostError as error:
        if group.size == 1:
            raise
        run = group.runs.pop(name)
        run.telemetry.end()
        trackers.end_trackers(run.trackers, group.claims[name].record)
        group.claims.pop(name).context.close()
        group.emit({"event": "waits", "run_id": name, "why": f"{error}: skipped for now"})


def end(group: Group, name: str, record: Record) -> None:
    """Ends a run with its final record; the others go on.

    Args:
        group: The group.
        name: The run's id.
        record: Its final record.
    """
    run = group.runs.pop(name, None)
    if run is not None:
        checkpointing.wait_for_save(run)
        checkpointing.check_lease(run)
        run.telemetry.end()
        trackers.end_trackers(run.trackers, record)
    write_end(group.store, record)
    group.records[name] = record
    group.claims.pop(name).context.close()
    if group.size > 1:
        group.emit(end_event(record))
