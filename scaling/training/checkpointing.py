"""Writing a run's checkpoints, curve and cost during training, and restoring the run from a checkpoint."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from scaling.distributed import collectives
from scaling.program import checkpoint
from scaling.program.checkpoint_files import LocalCheckpoint, open_checkpoint
from scaling.program.checkpoint_writer import Checkpoint
from scaling.store.cost import machine_facts
from scaling.store.lease import LeaseLostError
from scaling.store.record import Record
from scaling.training import validation
from scaling.training.run import Rows, Run
from scaling.training.telemetry.telemetry import ProcessStart
from scaling.training.telemetry.utilisation import peak_devices

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

COST_FACTS = ("steps_computed", "seconds", "tokens_per_second", "input_wait")  # of a record, saved with checkpoints


KEPT_SECONDS = "step_seconds"  # in the cost of a checkpoint: time of the steps that led to it


def checkpoint_phase(
    save: Callable[Concatenate[Run, Arguments], Result],
) -> Callable[Concatenate[Run, Arguments], Result]:
    """Returns a function that saves a checkpoint, the time of which counts as that of checkpoints.

    Args:
        save: The function.
    """

    @functools.wraps(save)
    def timed_save(run: Run, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with run.telemetry.phase("checkpoint"):
            return save(run, *args, **kwargs)

    return timed_save


def check_lease(run: Run) -> None:
    """Raises LeaseLostError on every host if another process has taken the run over; called before each write."""

    def reason() -> str:
        try:
            if run.lease is not None:
                run.lease.check()
        except LeaseLostError as error:
            return str(error)
        return ""

    if message := collectives.call_on_main_host(reason):
        raise LeaseLostError(message)


def restore_checkpoint(run: Run) -> dict[str, Any]:
    """Restores state and curve from the newest checkpoint that loads; leaves the run at step 0 if there is none.

    A checkpoint that does not load is renamed, reported on standard error, and the next older one is tried.

    Args:
        run: The run; `state`, `rows` and `first_step` are set.

    Returns:
        Facts for the record: `started_from`; `shared_steps` if the checkpoint came from another run, else the cost up
        to the run's own checkpoint.
    """
    facts: dict[str, Any] = {}
    for step, name in collectives.call_on_main_host(lambda: restore_candidates(run)):
        path = run.store.root / name
        try:
            if not run.store.fetch_checkpoint(path):
                continue
            files = open_checkpoint(run.store, path)
            run.state, run.rows = checkpoint.restore_checkpoint(files, run.program.abstract)
        except checkpoint.CheckpointError as error:
            if collectives.is_main_host():
                print(f"{error}; trying an older one", file=sys.stderr)
                files.set_aside()
                if isinstance(files, LocalCheckpoint):
                    run.store.discard(path)
            continue
        is_shared = path.parent == run.store.checkpoints
        if is_shared:
            facts["shared_steps"] = step
        else:
            cost = checkpoint.saved_cost(files)
            run.telemetry.wall.kept_seconds = cost.pop(KEPT_SECONDS, None)
            facts |= cost
        facts["started_from"] = {"step": step, "shared": is_shared}
        break
    else:
        facts["shared_steps"] = 0
    run.store.reset_curve(run.id, run.rows, process_seconds(run))
    run.rows_written = len(run.rows)
    run.first_step = run.step
    return facts


def add_start_facts(about: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Adds the facts of `restore_checkpoint` to a record's `about`.

    The run's own checkpoint has the cost of its steps, even if the process that computed them was killed before it
    wrote their cost to the record.

    Args:
        about: The record's `about`.
        facts: Facts of the start.

    Returns:
        The new `about`.
    """
    merged, start = {**about, **facts}, facts.get("started_from", {"shared": True})
    if not start["shared"]:
        steps = max(about.get("steps_computed", 0), facts.get("steps_computed", 0))
        spent = {"steps_computed": max(steps, start["step"] - merged.get("shared_steps", 0))}
        if seconds := max(about.get("seconds", 0.0), facts.get("seconds", 0.0)):
            spent["seconds"] = seconds
        merged |= {**spent, "spent_before": {**merged.get("spent_before", {}), **spent}}
    return merged


def restore_candidates(run: Run) -> list[tuple[int, str]]:
    """Lists the checkpoints that a run may start from; removes incomplete ones.

    Args:
        run: The run.

    Returns:
        Steps done, and path relative to the store's folder, which each host has elsewhere; newest first.
    """
    shared = run.store.checkpoints
    for folder in (run.own_checkpoints, shared):
        checkpoint.remove_abandoned_checkpoints(folder)
    if run.lease is not None:  # no other process writes this run's checkpoints
        run.store.remove_incomplete_checkpoints(run.own_checkpoints)
    folders = [run.own_checkpoints, shared] if run.placement.share else [run.own_checkpoints]
    return [
        (step, path.relative_to(run.store.root).as_posix())
        for step, path in checkpoint.compatible_checkpoints(folders, run.config, run.store.checkpoint_folders)
    ]


def begin_telemetry(run: Run, earlier: Record | None, mesh_devices: int, packed_runs: int = 1) -> None:
    """Starts to note what a run tells about its machine.

    Args:
        run: The run, with its record as written at its start.
        earlier: Its record of an earlier process.
        mesh_devices: Devices of the mesh.
        packed_runs: Runs that share the mesh as a pack, and the time of compiling.
    """
    assert run.record is not None
    about = run.record.about
    run.telemetry.wall.began_at = run.started_at
    start = ProcessStart(
        run.store, run.config, run.record.flops["total"], run.emit, run.first_step,
        peak_devices(mesh_devices, packed_runs), about["compile_seconds"] * packed_runs, "start_seconds" in about,
        len(about.get("before", ())) + 1, None if earlier is None else machine_facts(run.store, run.id, earlier.about),
    )  # fmt: skip
    run.telemetry.begin(start)


def record_with_cost(run: Run) -> Record:
    """Returns the record with the speed, and the steps and seconds so far, including those of earlier processes."""
    assert run.record is not None
    about, steps = run.record.about, run.step - run.first_step
    facts = {
        "steps_computed": about.get("steps_computed", 0) + steps,
        "seconds": round(about.get("seconds", 0.0) + process_seconds(run) * run.device_share, 3),
    }
    elapsed = time.monotonic() - run.stepping_since - run.evaluation_seconds
    if steps:
        facts["tokens_per_second"] = round((tokens_seen(run, run.step) - tokens_seen(run, run.first_step)) / elapsed, 1)
    if steps and run.input_wait is not None:  # share of the time; the devices may compute meanwhile
        facts["input_wait"] = round(run.input_wait / elapsed, 6)
    facts |= run.telemetry.facts(run.step)
    return dataclasses.replace(run.record, about={**about, **facts})


def process_seconds(run: Run) -> float:
    """Returns the seconds that this process has spent on a run, without the evaluation of tasks."""
    return time.monotonic() - run.started_at - run.evaluation_seconds


def write_curve(run: Run) -> None:
    """Writes the new rows of the curve to the store and emits a progress event."""
    if run.rows_written < len(run.rows):
        if (
            not collectives.is_multi_host()
        ):  # with several hosts, which write at different times, `save_or_stop` detects a lost lease
            check_lease(run)
        run.store.append_curve(run.id, take_new_rows(run), process_seconds(run))
        run.emit({"event": "step", "run_id": run.id, "step": run.step, "loss": run.rows[-1]["loss"]})
        run.telemetry.note(run.step)


def take_new_rows(run: Run) -> Rows:
    """Returns the rows of the curve since the last call, and passes them to the run's trackers."""
    new, run.rows_written = run.rows[run.rows_written :], len(run.rows)
    if new:
        figures = run.telemetry.figures(run.step) if run.trackers else {}
        for tracker in run.trackers:
            tracker.add(new, figures)
    return new


@checkpoint_phase
def save_checkpoint(run: Run, folder: Path, step: int, complete: Callable[[], None] = lambda: None) -> Path:
    """Starts to write a checkpoint; returns once the state is in the memory of the host.

    Args:
        run: The run.
        folder: The store's shared checkpoints, or the run's own.
        step: Number of finished steps.
        complete: Called on host 0, in another thread, when the checkpoint is complete.

    Returns:
        The checkpoint's path.
    """
    check_lease(run)
    run.saved_at = time.monotonic()
    about = record_with_cost(run).about if folder == run.own_checkpoints else {}
    cost = {name: about[name] for name in COST_FACTS if name in about}
    if folder == run.own_checkpoints and (kept := run.telemetry.kept_step_seconds()) is not None:
        cost[KEPT_SECONDS] = kept
    path = checkpoint.checkpoint_path(folder, run.config, step)
    start_save(run, path, run.rows, cost, complete)
    return path


@checkpoint_phase
def save_trunk_checkpoint(run: Run) -> None:
    """Saves the last state of a run without decay as a shared checkpoint, equal to that of a longer run."""
    check_lease(run)
    every, last = run.config.eval.every, run.rows[-1]
    planned = every and run.step % every == 0
    unmeasured = {name: value for name, value in last.items() if name not in validation.CURVE_COLUMNS.values()}
    rows = [*run.rows[:-1], last if planned else unmeasured]
    path = checkpoint.checkpoint_path(run.store.checkpoints, run.config, run.step)
    start_save(run, path, rows, {}, lambda: None)


@checkpoint_phase
def save_own_checkpoint(run: Run) -> None:
    """Starts to write a checkpoint of this run alone; then its older ones are removed, and its cost is recorded."""
    step, record = run.step, record_with_cost(run)

    def complete() -> None:
        remove_older_checkpoints(run, step)
        run.store.write(record)

    save_checkpoint(run, run.own_checkpoints, step, complete)


def start_save(run: Run, path: Path, rows: Rows, cost: dict[str, float], complete: Callable[[], None]) -> None:
    """Starts to write a checkpoint, once the one before is written.

    Args:
        run: The run.
        path: Path of the checkpoint.
        rows: Rows of the curve up to it.
        cost: Cost of the run up to it.
        complete: Called on host 0, in another thread, when the checkpoint is complete.

    Raises:
        CheckpointError: The checkpoint before could not be written.
    """
    began_at = time.monotonic()

    def note_and_complete() -> None:
        run.telemetry.add_checkpoint(time.monotonic() - began_at)
        complete()

    def upload_and_complete() -> None:
        run.store.upload(path)
        note_and_complete()

    def check() -> None:
        if run.lease is not None:
            run.lease.check()

    files = open_checkpoint(run.store, path)
    run.writer.save(
        Checkpoint(
            files,
            int(path.name.partition("-")[0]),
            [*rows[:-1], *(dict(row) for row in rows[-1:])],  # scores are added to the last row
            cost,
            check,
            upload_and_complete if isinstance(files, LocalCheckpoint) else note_and_complete,
        ),
        run.state,
    )


def remove_older_checkpoints(run: Run, step: int) -> None:
    """Removes a run's own checkpoints of fewer steps.

    Args:
        run: The run.
        step: Steps done at its newest complete checkpoint.
    """
    older = checkpoint.compatible_checkpoints([run.own_checkpoints], run.config, run.store.checkpoint_folders)
    for older_step, path in older:
        if older_step < step:
            shutil.rmtree(path, ignore_errors=True)
            run.store.discard(path)


def wait_for_save(run: Run) -> None:
    """Waits until the last checkpoint is written; CheckpointError if it could not be."""
    with run.telemetry.phase("checkpoint"):
        run.writer.wait()


def end_saves(run: Run, error: BaseException | None) -> None:
    """Waits for the checkpoint that is being written when a run ends by an error, unless a host was lost.

    Args:
        run: The run.
        error: The error; None if the run has ended otherwise.
    """
    if not isinstance(error, collectives.HostLostError) and (reason := run.writer.close()):
        print(reason, file=sys.stderr)


def tokens_seen(run: Run, step: int) -> int:
    """Returns the number of training tokens in the first `step` steps.

    Args:
        run: The run.
        step: Number of finished steps.
    """
    return run.config.sequences(step) * run.config.data.length
