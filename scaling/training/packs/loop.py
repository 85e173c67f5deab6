"""Trains the runs of a pack: several runs of one shape as one program.

Runs of a pack may differ in learning rate, schedule, length, seed, token file, weight decay and evaluation. Each has
its own checkpoints, so it can be resumed alone or in another pack. Its results equal those of the run trained alone up
to rounding, and do not change by a single bit if another run of the pack diverges, fails or ends.

Axes: R runs (places of the pack), B batch, L positions.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import jax
import numpy as np

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, learning_rate, run_id
from scaling.data import examples
from scaling.evaluation.config import EvaluationOptions
from scaling.store.files import DamagedFileError
from scaling.store.lease import LeaseHeldError
from scaling.store.record import Record, Store
from scaling.training import checkpointing
from scaling.training import loop as loop_module
from scaling.training.claim import acquire_lease, claim_run, earlier_record, failed_record
from scaling.training.events import end_event
from scaling.training.loop import EVENT_SECONDS, final_record
from scaling.training.packs.evaluation import evaluate_runs
from scaling.training.packs.program import RUN, PackProgram, pack_program
from scaling.training.packs.state import (
    Pack,
    end_run,
    leave_pack_if_lost,
    note_input_wait,
    pack_phase,
    per_run,
    run_state,
)
from scaling.training.reading import open_corpus
from scaling.training.run import Diverged, EventSink, Run, Stopped
from scaling.training.steps import collect_metrics as collect_run_metrics
from scaling.training.steps import read_batch
from scaling.training.tracking import trackers


def train_pack(
    configs: Sequence[RunConfig],
    store: Store,
    placement: Placement,
    *,
    sweep: str | None = None,
    emit: EventSink = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
    evaluation: EvaluationOptions | None = None,
) -> list[Record]:
    """Trains runs of one shape together.

    Args:
        configs: The runs. If one of them cannot start (for example without a token file), only that run fails.
        store: Where records, curves and checkpoints are written.
        placement: How the runs are laid out on the devices.
        sweep: Name of the sweep, noted in the records.
        emit: Receives progress events.
        should_stop: True once the process has been asked to stop.
        evaluation: Tasks to evaluate after given steps.

    Returns:
        The records in order, as in the store, without those of runs that another process trains.

    Raises:
        ConfigError: The runs cannot be trained as one program.
        Exception: An error that stopped all runs, after it is written to each record.
    """
    store.check_writable()
    started_at, by_id = time.monotonic(), {run_id(config): config for config in configs}
    compiled, fresh = pack_program(list(by_id.values()), placement)
    numbers = {name: [getattr(c.optimizer, name) for c in by_id.values()] for name in compiled.numbers}
    on_devices = {name: per_run(compiled, values) for name, values in numbers.items()}
    facts = pack_facts(compiled, len(by_id), fresh, placement)
    pack = Pack(compiled, on_devices, store, placement, sweep, emit, should_stop, facts, started_at, evaluation)
    try:
        for place, config in enumerate(by_id.values()):
            start_run(pack, place, config)
        if pack.runs:
            stack_states(pack, [config.seed for config in by_id.values()])
            run_steps(pack)
    except Exception as error:
        for place, run in list(pack.runs.items()):
            assert run.record is not None
            end_run(pack, place, failed_record(run.record, error))
        raise
    finally:
        for lease in pack.leases.values():
            lease.close()
    return [pack.records[run_id(config)] for config in configs if run_id(config) in pack.records]


def pack_facts(compiled: PackProgram, runs: int, fresh: bool, placement: Placement) -> dict[str, Any]:
    """Returns facts for the record of each run; the compile time is divided by the number of runs.

    Args:
        compiled: The compiled program.
        runs: Number of runs.
        fresh: Whether the program was compiled now.
        placement: How the runs are laid out on the devices.
    """
    return {
        "compile_seconds": round(compiled.compile_seconds / runs if fresh else 0.0, 3),
        "devices": 1,
        "mesh": {axis: size for axis, size in compiled.mesh.shape.items() if axis != RUN},
        "remat": placement.remat,
        "pack": {"runs": runs, "places": compiled.runs, "devices": compiled.mesh.size},
    }


def start_run(pack: Pack, place: int, config: RunConfig) -> None:
    """Claims a run and restores its newest checkpoint; if the run cannot be trained, its record gets the reason.

    Args:
        pack: The pack.
        place: Place of the run in the pack.
        config: The run.
    """
    stack, store = ExitStack(), pack.store
    record = Record(run_id=run_id(config), config=config, status="failed")
    try:
        lease = acquire_lease(store, record.run_id, stack)
        store.fetch_record(record.run_id)
        earlier = earlier_record(store, record.run_id)
        if earlier is not None and earlier.status in ("done", "diverged"):
            pack.records[record.run_id] = earlier
            pack.emit(end_event(earlier))
            return
        record = claim_run(config, store, earlier, pack.sweep)
        tokens, windows, facts = open_corpus(config, store, pack.placement)
        tracked = examples.fixed_training_rows(tokens, config)
        run = Run(config, store, pack.placement, pack.program, tokens, pack.emit, pack.should_stop, windows, tracked)
        run.lease, run.started_at, run.device_share = lease, pack.started_at, pack.program.mesh.size / pack.program.runs
        facts |= {**pack.shared_facts, **checkpointing.restore_checkpoint(run)}
        run.record = dataclasses.replace(record, about=checkpointing.add_start_facts(record.about, facts))
        store.write(run.record)
        checkpointing.begin_telemetry(run, earlier, pack.program.mesh.size, pack.program.runs)
        run.trackers = trackers.open_trackers(store, config, pack.placement, run.rows, record.sweep)
        pack.emit({"event": "start", "run_id": run.id, "steps": config.steps, "from": run.first_step})
    except (LeaseHeldError, DamagedFileError) as error:  # it is trained alone afterwards, or fails with this error
        pack.emit({"event": "waits", "run_id": record.run_id, "why": f"{error}: skipped for now"})
    except Exception as error:
        record = failed_record(record, error)
        store.write(record)
        pack.records[record.run_id] = record
        pack.emit(end_event(record))
    else:
        pack.runs[place], pack.steps_dispatched[place], pack.leases[place] = run, run.first_step, stack.pop_all()
    finally:
        stack.close()


def stack_states(pack: Pack, seeds: list[int]) -> None:
    """Stacks the states of all places on the devices; states that were not restored are initialised from their seed.

    Args:
        pack: The pack.
        seeds: Seed of each place.
    """
    restored = {place: run.state for place, run in pack.runs.items() if run.state}
    compiled = pack.program
    places: Any = np.resize(np.asarray(seeds, np.uint32), compiled.runs)
    pack.state = compiled.init(places)
    if not restored:
        return
    leaves, tree = jax.tree.flatten(pack.state)
    restored_leaves = {place: jax.tree.leaves(state) for place, state in restored.items()}
    for i, leaf in enumerate(leaves):
        whole = np.array(leaf)
        for place, values in restored_leaves.items():
            whole[place] = np.asarray(values[i])
        leaves[i] = jax.device_put(whole, compiled.batch_sharding)
    pack.state = jax.tree.unflatten(tree, leaves)
    for run in pack.runs.values():
        run.state = {}


def run_steps(pack: Pack) -> None:
    """Trains, evaluates and saves until every run has ended; the next batches are read in the background."""
    reported_at = 0.0
    for run in pack.runs.values():
        run.stepping_since = run.telemetry.wall.stepping_since = time.monotonic()
    finish_runs(pack, [place for place, run in pack.runs.items() if run.first_step == run.config.steps])
    if not pack.runs:
        return
    with ThreadPoolExecutor(1) as reader:
        next_batch = reader.submit(read_batches, pack, dict(pack.runs), dict(pack.steps_dispatched))
        while pack.runs:
            save_trunk_checkpoints(pack)
            waiting_since = time.monotonic()
            batch_RBL = next_batch.result()
            note_input_wait(pack, time.monotonic() - waiting_since)
            next_batch = reader.submit(
                read_batches, pack, dict(pack.runs), {place: step + 1 for place, step in pack.steps_dispatched.items()}
            )
            dispatch_step(pack, batch_RBL)
            evaluate_due(pack)
            evaluate_tasks_due(pack)
            if time.monotonic() - reported_at > EVENT_SECONDS:
                reported_at = time.monotonic()
                for place, run in list(pack.runs.items()):
                    with leave_pack_if_lost(pack, place):
                        checkpointing.write_curve(run)
            if pack.runs and pack.should_stop():
                save_own_checkpoints(pack)
                for place, run in list(pack.runs.items()):
                    with leave_pack_if_lost(pack, place):
                        checkpointing.write_curve(run)
                    end_run(pack, place, final_record(run, Stopped()))
            elif pack.runs and time.monotonic() - pack.saved_at > pack.placement.save_seconds:
                save_own_checkpoints(pack)


def read_batches(pack: Pack, runs: dict[int, Run], steps: dict[int, int]) -> np.ndarray:
    """Reads the next batch of each run, int32 (R, B, X); zeros in unused places.

    Args:
        pack: The pack.
        runs: The runs by place.
        steps: Finished steps of each run, by place.
    """
    first = next(iter(runs.values()))
    out_RBL = np.zeros((pack.program.runs, first.config.batch, first.config.data.layout.columns), np.int32)
    for place, run in runs.items():
        out_RBL[place] = read_batch(run, steps[place])
    return out_RBL


def dispatch_step(pack: Pack, batch_RBL: np.ndarray) -> None:
    """Starts the next step of every run, then collects the metrics of the previous one.

    Args:
        pack: The pack.
        batch_RBL: The batches, int32 (R, B, L).
    """
    compiled, rates = pack.program, np.zeros(pack.program.runs)
    for place, run in pack.runs.items():
        rates[place] = learning_rate(run.config, pack.steps_dispatched[place])
    placed = jax.device_put(batch_RBL, compiled.batch_sharding)
    pack.state, metrics = compiled.step(pack.state, placed, per_run(compiled, rates), pack.optimizer_numbers)
    collect_metrics(pack)
    for place, run in [*pack.runs.items()][:1]:  # the steps of all runs take the same time
        run.telemetry.begin_steps(pack.steps_dispatched[place], 1)
    for place in pack.runs:
        pack.steps_dispatched[place] += 1
    pack.in_flight, pack.metrics = {place: pack.steps_dispatched[place] for place in pack.runs}, metrics


def collect_metrics(pack: Pack) -> None:
    """Appends the metrics in flight to the curves; a run whose metrics are not finite ends as diverged."""
    steps, pack.in_flight = pack.in_flight, {}
    figures = jax.device_get(pack.metrics) if steps else {}
    for place, step in steps.items():
        if (run := pack.runs.get(place)) is None:  # taken over by another process
            continue
        run.in_flight = (step, 1, {name: values_R[place] for name, values_R in figures.items()})
        try:
            collect_run_metrics(run)
        except Diverged as error:
            end_run(pack, place, loop_module.final_record(run, error))


def evaluate_due(pack: Pack) -> None:
    """Evaluates the runs that are due, and ends those that have finished their last step."""
    last = [place for place, run in pack.runs.items() if pack.steps_dispatched[place] == run.config.steps]
    periodic = [
        place
        for place, run in pack.runs.items()
        if run.config.eval.every and pack.steps_dispatched[place] % run.config.eval.every == 0
    ]
    if due := {*last, *periodic}:
        collect_metrics(pack)
        with pack_phase(pack, "validation"):
            evaluate_runs(pack, sorted(due & set(pack.runs)))
        finish_runs(pack, last)


def evaluate_tasks_due(pack: Pack) -> None:
    """Evaluates the models of the runs that have reached one of the evaluation steps."""
    if pack.evaluation is None:
        return
    due = [place for place in pack.runs if pack.steps_dispatched[place] in pack.evaluation.steps]
    if due:
        collect_metrics(pack)
    for place in due:
        if run := pack.runs.get(place):
            run.evaluation, run.state = pack.evaluation, run_state(pack, place)
            with pack_phase(pack, "evaluation"), leave_pack_if_lost(pack, place):
                loop_module.evaluate_tasks(run)
            run.state = {}


def finish_runs(pack: Pack, places: list[int]) -> None:
    """Saves and ends runs that have finished their last step.

    Args:
        pack: The pack.
        places: Places of these runs.
    """
    evaluate_runs(pack, [p for p in places if p in pack.runs and "val_loss" not in pack.runs[p].rows[-1]])
    for place in places:
        run = pack.runs.get(place)
        if run is None:  # diverged
            continue
        run.state = run_state(pack, place)
        with pack_phase(pack, "checkpoint"), leave_pack_if_lost(pack, place):
            if run.step == run.config.decay_start and pack.placement.keep_branch:
                checkpointing.save_trunk_checkpoint(run)
            checkpointing.write_curve(run)
            checkpointing.save_own_checkpoint(run)
        end_run(pack, place, loop_module.final_record(run, None))


def save_trunk_checkpoints(pack: Pack) -> None:
    """Saves the shared checkpoints of runs that are at the start of their decay, for longer runs to branch from."""
    starts = {p: run.config.decay_start for p, run in pack.runs.items()} if pack.placement.keep_branch else {}
    due = [place for place, start in starts.items() if 0 < pack.steps_dispatched[place] == start]
    if due:
        collect_metrics(pack)
    for place in due:
        if run := pack.runs.get(place):
            run.state = run_state(pack, place)
            with pack_phase(pack, "checkpoint"), leave_pack_if_lost(pack, place):
                checkpointing.save_checkpoint(run, pack.store.checkpoints, run.step)
            run.state = {}


def save_own_checkpoints(pack: Pack) -> None:
    """Saves each run's own checkpoint."""
    collect_metrics(pack)
    for place, run in list(pack.runs.items()):
        run.state = run_state(pack, place)
        with pack_phase(pack, "checkpoint"), leave_pack_if_lost(pack, place):
            checkpointing.save_own_checkpoint(run)
        run.state = {}
    pack.saved_at = time.monotonic()
