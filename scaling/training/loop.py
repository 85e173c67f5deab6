"""Training of one run, from the newest checkpoint that it can start from to its final record."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import jax
import numpy as np

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, run_id
from scaling.config.schedule import ScheduleConfig
from scaling.config.user_code import user_errors
from scaling.data import examples
from scaling.distributed import collectives
from scaling.evaluation.config import EvaluationOptions
from scaling.program.build import build_program
from scaling.store.lease import Lease, LeaseLostError
from scaling.store.record import Record, Store
from scaling.training import checkpointing, initial, validation
from scaling.training.checkpointing import (
    add_start_facts,
    begin_telemetry,
    check_lease,
    record_with_cost,
    restore_checkpoint,
    save_checkpoint,
    save_own_checkpoint,
    save_trunk_checkpoint,
    take_new_rows,
    tokens_seen,
    write_curve,
)
from scaling.training.claim import (
    acquire_lease,
    claim_run,
    earlier_record,
    failed_record,
    store_of_host,
    write_end,
)
from scaling.training.reading import open_corpus
from scaling.training.run import Diverged, EventSink, Run, Stopped
from scaling.training.steps import collect_metrics, dispatch_steps, read_block
from scaling.training.telemetry.profile import StepProfile, step_profile
from scaling.training.tracking import trackers

EVENT_SECONDS = 1.0  # between two progress events


def train(
    config: RunConfig,
    store: Store,
    placement: Placement,
    *,
    sweep: str | None,
    emit: EventSink,
    should_stop: Callable[[], bool],
    evaluation: EvaluationOptions | None = None,
) -> Record:
    """Trains one run to its end or to a stop; returns its record, which is in the store as well.

    Args:
        config: The run's configuration. A run that is done or diverged is not trained again.
        store: Where record, curve and checkpoints are written.
        placement: How the run is laid out on the devices.
        sweep: Name of the sweep, noted in the record.
        emit: Receives progress events.
        should_stop: True once the process has been asked to stop.
        evaluation: Tasks to evaluate after given steps; training does not depend on it.

    Raises:
        LeaseHeldError, LeaseLostError: Another process trains the run.
        Exception: The error that made the run fail; the record then has status "failed" and the message.
    """
    store = store_of_host(store, placement)
    with ExitStack() as stack:
        lease = acquire_lease(store, run_id(config), stack)
        store.fetch_record(run_id(config))
        earlier = earlier_record(store, run_id(config))
        if (finished := finished_record(earlier)) is not None:
            return finished
        started_at = time.monotonic()
        record = claim_run(config, store, earlier, sweep)
        try:
            run, facts = start_run(config, store, placement, emit, should_stop)
            stack.push(lambda _, reason, __: checkpointing.end_saves(run, reason))
            run.started_at, run.lease, run.evaluation = started_at, lease, evaluation
            record = write_start(run, record, facts, earlier)
            stack.callback(lambda: trackers.end_trackers(run.trackers, record))
            initial.save_start(run)
            record = train_to_end(run)
            check_lease(run)
        except LeaseLostError:  # the record belongs to the process that has the lease now
            raise
        except Exception as error:
            record, reason = write_failure(store, lease, record, error)
            raise reason from error
        write_end(store, record)
        return record


def finished_record(earlier: Record | None) -> Record | None:
    """Returns the record if the run is done or diverged, as read by the main host; else None."""
    finished = earlier is not None and earlier.status in ("done", "diverged")
    return earlier if collectives.gather(finished)[0] else None


def write_start(run: Run, record: Record, facts: dict[str, Any], earlier: Record | None) -> Record:
    """Writes the record of a run at its start, and opens its telemetry and its trackers.

    Args:
        run: The run.
        record: Its record.
        facts: Facts of `start_run`.
        earlier: The record of an earlier process.

    Returns:
        The record with the facts.
    """
    run.record = record = dataclasses.replace(record, about=add_start_facts(record.about, facts))
    run.store.write(record)
    begin_telemetry(run, earlier, run.program.mesh.size)
    run.trackers = trackers.open_trackers(run.store, run.config, run.placement, run.rows, record.sweep)
    return record


def write_failure(store: Store, lease: Lease | None, record: Record, error: Exception) -> tuple[Record, Exception]:
    """Writes the record of a run that failed.

    Args:
        store: The store.
        lease: The lease on the run; LeaseLostError if another process has it.
        record: Its record.
        error: The error.

    Returns:
        The record with the message, and the error, or a HostLostError if the loss of a host caused it.
    """
    reason = collectives.as_host_lost(error)
    if lease is not None:
        lease.check()
    record = failed_record(record, reason)
    store.write(record)
    return record, reason


@user_errors()
def start_run(
    config: RunConfig, store: Store, placement: Placement, emit: EventSink, should_stop: Callable[[], bool]
) -> tuple[Run, dict[str, Any]]:
    """Compiles the programs and restores the newest checkpoint that loads, or initialises at step 0.

    Args:
        config: The run's configuration.
        store: Where tokens and checkpoints are.
        placement: How the run is laid out on the devices.
        emit: Receives progress events.
        should_stop: True once the process has been asked to stop.

    Returns:
        The run, and facts for its record (token file, compile time, mesh, checkpoint).
    """
    token_file, windows, facts = open_corpus(config, store, placement)
    compiled, fresh = build_program(config, placement, in_blocks=True)
    smaller = {
        size: build_program(
            dataclasses.replace(config, batch=size, schedule=ScheduleConfig()), placement, in_blocks=True
        )
        for size, _ in config.schedule.batch_ramp
    }
    ramp = {size: ramp_program for size, (ramp_program, _) in smaller.items()}
    tracked = examples.fixed_training_rows(token_file, config)
    run = Run(config, store, placement, compiled, token_file, emit, should_stop, windows, tracked, ramp)
    compiling = sum(
        compiled_program.compile_seconds
        for compiled_program, is_new in ((compiled, fresh), *smaller.values())
        if is_new
    )
    facts |= {"compile_seconds": round(compiling, 3)}
    facts |= {"hosts": jax.process_count(), "devices": compiled.mesh.size, "mesh": dict(compiled.mesh.shape)}
    facts |= {"remat": placement.remat}
    collectives.gather("compiled")  # compilation may take longer than the timeout of a collective
    facts |= restore_checkpoint(run)
    if not run.state:
        run.state = compiled.init(config.seed)
        facts |= initial.load_parameters(run)
    return run, facts


@user_errors()
def train_to_end(run: Run) -> Record:
    """Trains until the last step, a divergence or a stop, and returns the record with the run's figures."""
    run.stepping_since = time.monotonic()
    error: Diverged | Stopped | None = None
    run.emit({"event": "start", "run_id": run.id, "steps": run.config.steps, "from": run.first_step})
    try:
        tracing = step_profile(run.placement, run.store.run_dir(run.id), run.first_step, run.config.steps)
        with run.telemetry.stepping(), tracing as profile, ThreadPoolExecutor(1) as reader:
            train_steps(run, reader, profile)
        if run.step == run.config.decay_start and run.placement.keep_branch:
            save_trunk_checkpoint(run)
        if "val_loss" not in run.rows[-1]:  # restored at its last step from a longer run that was not evaluated there
            run.rows[-1] |= evaluate_validation(run)
        write_curve(run)
        save_own_checkpoint(run)
    except (Diverged, Stopped) as reason:
        error = reason
    checkpointing.wait_for_save(run)
    check_lease(run)
    return final_record(run, error)


def final_record(run: Run, error: Diverged | Stopped | None) -> Record:
    """Returns the record of a run that has ended or stopped.

    Args:
        run: The run.
        error: Why the run ended before its last step; None otherwise.

    Returns:
        The record with status, final figures, cost and speed.
    """
    record = record_with_cost(run)
    facts: dict[str, Any] = {}
    if isinstance(error, Stopped):
        return dataclasses.replace(record, status="stopped")
    final: dict[str, float] = {}
    if run.rows:
        last = run.rows[-1]
        final = {"step": last["step"], "tokens": tokens_seen(run, run.step)}
        final["train_loss"] = last["loss"]
        final |= validation.final_scores(last)
    take_new_rows(run)
    run.store.finish_curve(run.id, run.rows)
    if error is not None:
        facts |= {"error": str(error), "diverged_at": error.step}
    status = "diverged" if error is not None else "done"
    return dataclasses.replace(record, status=status, final=final, about={**record.about, **facts})


def train_steps(run: Run, reader: ThreadPoolExecutor, profile: StepProfile) -> None:
    """Trains the remaining steps; the next batches are read while the devices compute.

    Args:
        run: The run.
        reader: One thread, which reads batches.
        profile: The trace of some steps.

    Raises:
        Diverged: The loss is not finite.
        Stopped: A stop was requested.
        LeaseLostError: Another process has taken the run over.
    """
    config, reported_at, step = run.config, 0.0, run.step
    next_block = reader.submit(read_block, run, step, profile.boundaries)
    while step < config.steps:
        if profile.changes_at(step):
            collect_metrics(run)
            profile.change(step)
        if 0 < step == config.decay_start and run.placement.keep_branch:
            collect_metrics(run)
            save_checkpoint(run, run.store.checkpoints, step)
        waiting_since = time.monotonic()
        batch, count = next_block.result()
        next_block = reader.submit(read_block, run, step + count, profile.boundaries)
        with profile.step(step + 1):
            metrics = dispatch_steps(run, step, count, batch, waiting_since)
        collect_metrics(run)
        run.telemetry.begin_steps(step, count)
        run.in_flight = (step + 1, count, metrics)
        step += count
        is_last = step == config.steps
        if is_last or (config.eval.every and step % config.eval.every == 0):
            collect_metrics(run)
            run.rows[-1] |= evaluate_validation(run)
        if run.evaluation is not None and step in run.evaluation.steps:
            collect_metrics(run)
            evaluate_tasks(run)
        if run.rows_written < len(run.rows) and time.monotonic() - reported_at > EVENT_SECONDS:
            reported_at = time.monotonic()
            write_curve(run)
        save_or_stop(run, is_last)


def save_or_stop(run: Run, is_last: bool) -> None:
    """Saves a checkpoint if one is due and stops if requested, on every host at the same step.

    Args:
        run: The run.
        is_last: Whether the last step has been dispatched; then nothing is saved here.

    Raises:
        Stopped: A stop was requested on some host.
        LeaseLostError: Another process has taken the run over.
    """
    is_due = time.monotonic() - run.saved_at > run.placement.save_seconds or run.writer.failed
    is_lost = run.lease is not None and run.lease.lost
    signal = collectives.RUN_LOST if is_lost else collectives.STOP if run.should_stop() else collectives.SAVE * is_due
    signal = run.signals.exchange(signal)
    if signal == collectives.RUN_LOST:
        raise LeaseLostError(f"run {run.id[:12]}: another process has taken it over")
    if is_last or not signal:
        return
    collect_metrics(run)
    if signal == collectives.STOP:
        write_curve(run)
    save_own_checkpoint(run)
    if signal == collectives.STOP:
        checkpointing.wait_for_save(run)
        raise Stopped


def evaluate_validation(run: Run) -> dict[str, float]:
    """Returns the validation scores of the current state; raises Diverged where they are not finite."""
    with run.telemetry.phase("validation"):
        scores = validation.evaluate_row_sets(run)
    if not all(map(np.isfinite, scores.values())):
        raise Diverged(run.step)
    return scores


def evaluate_tasks(run: Run) -> None:
    """Evaluates the current model on the run's tasks; an error in a task stops neither other tasks nor training."""
    from scaling.evaluation.run import (  # local import: most runs evaluate no task
        evaluate_run,
        print_warnings,
        with_scores,
    )
    from scaling.inference.load import model_in_training

    assert run.evaluation is not None and run.record is not None
    started_at = time.monotonic()
    write_curve(run)
    with run.telemetry.phase("evaluation"):
        model = model_in_training(run.store, run.record, run.step, run.state["params"])
        result = evaluate_run(model, run.store, run.evaluation)
    print_warnings([*result.notes, *result.errors])
    run.record = with_scores(run.record, run.step, result.facts)
    run.evaluation_seconds += time.monotonic() - started_at
