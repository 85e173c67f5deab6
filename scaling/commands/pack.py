"""Trains runs of one shape as one program (`train --pack SIZE`), and autoencoders that read one stream together.

Packs are trained one after the other.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from scaling.commands import evaluate
from scaling.config.exit_status import DONE, FAILED, STOPPED
from scaling.config.os_errors import describe_error
from scaling.config.run import RunConfig, run_id
from scaling.config.validation import ConfigError

if TYPE_CHECKING:
    from scaling.commands.train_job import TrainJob

STREAM_SIZE = 32  # autoencoders that are trained together by default; each holds its state in memory


def train_packs(job: TrainJob, train_alone: Callable[[TrainJob], int]) -> int:
    """Trains the runs of a command: models alone or in packs, then the autoencoders of each stream together.

    Args:
        job: The runs and options; `pack` is the largest number of runs per pack; None: models are trained one by one,
            and up to STREAM_SIZE autoencoders together.
        train_alone: Trains runs one by one.

    Returns:
        The highest exit status, or STOPPED as soon as a stop is requested.
    """
    from scaling.store.sae_runs import group_by_stream

    if job.pack is not None and job.pack < 1:
        raise ConfigError(f"--pack {job.pack}: must be 1 or more")
    models = [config for config in job.configs if config.sae is None]
    saes = [config for config in job.configs if config.sae is not None]
    status = train_models(dataclasses.replace(job, configs=models), train_alone) if models else DONE
    if status == STOPPED or not saes or (status != DONE and job.in_order):
        return status
    of_saes = train_streams(job, group_by_stream(saes, job.pack or STREAM_SIZE), train_alone)
    return of_saes if of_saes == STOPPED or len(job.configs) == 1 else min(max(status, of_saes), FAILED)


def train_models(job: TrainJob, train_alone: Callable[[TrainJob], int]) -> int:
    """Trains the runs of models, in packs if that is requested.

    Args:
        job: The runs and options.
        train_alone: Trains the remaining runs one by one: those without a partner, and those that another process
            was training.
    """
    from scaling.training.packs.program import group_into_packs

    if job.pack is None:
        return train_alone(job)
    if job.placement.profile:
        print(f"profile {job.placement.profile}: runs of a pack are not traced: leave --pack out", file=sys.stderr)
    worst, remaining = DONE, list[RunConfig]()
    for group in group_into_packs(job.configs, job.pack, job.placement):
        status, not_trained = (DONE, group) if len(group) == 1 else train_group(job, group)
        remaining += not_trained
        if status == STOPPED:
            return STOPPED
        worst = max(worst, status)
    status = train_alone(dataclasses.replace(job, configs=remaining, pack=None)) if remaining else DONE
    if status == STOPPED:
        return STOPPED
    return max(worst, min(status, FAILED) if len(job.configs) > 1 else status)


def train_streams(job: TrainJob, groups: Sequence[list[RunConfig]], train_alone: Callable[[TrainJob], int]) -> int:
    """Trains autoencoders, those of one stream together, each stream once its model is trained.

    Args:
        job: Options of the command.
        groups: Autoencoders of one stream each.
        train_alone: Trains the remaining runs one by one, as in `train_models`; it waits for models as well.
    """
    from scaling.commands import schedule_runs
    from scaling.store.lease import silence_seconds

    worst, pending, waited_for = DONE, list(groups), set[str]()
    remaining = [config for group in pending if len(group) == 1 for config in group]
    pending = [group for group in pending if len(group) > 1]
    while pending:
        unfinished = []
        for group in pending:
            if job.should_stop():
                return STOPPED
            if waits_for_model(job, group, first_time=run_id(group[0]) not in waited_for):
                unfinished.append(group)
                waited_for.add(run_id(group[0]))
                continue
            status, not_trained = train_group(job, group)
            remaining += not_trained
            if status == STOPPED or (status != DONE and job.in_order):
                return status
            worst = max(worst, status)
        pause = silence_seconds() / schedule_runs.CHECKS_PER_SILENCE
        if len(unfinished) == len(pending) and schedule_runs.stopped_while_waiting(job.stop_signals, pause):
            return STOPPED
        pending = unfinished
    status = train_alone(dataclasses.replace(job, configs=remaining, pack=None)) if remaining else DONE
    return STOPPED if status == STOPPED else max(worst, status)


def waits_for_model(job: TrainJob, group: Sequence[RunConfig], *, first_time: bool) -> bool:
    """Returns whether the model of some autoencoders is still to be trained, and reports that.

    Args:
        job: Options of the command.
        group: Autoencoders of one stream.
        first_time: Whether the reason is reported; else only that the process waits.
    """
    from scaling.store.lease import LeaseHeldError
    from scaling.training.events import event_reporter
    from scaling.training.sae.model_run import model_problem

    try:
        model_problem(group[0], job.store, job.sweep)
    except LeaseHeldError as error:
        report = event_reporter(group[0], events=job.events, on_broken_pipe=job.on_broken_pipe)
        reason = {"event": "waits", "why": f"{error}: skipped for now"} if first_time else {"event": "waiting"}
        report({**reason, "run_id": run_id(group[0])})
        return True
    return False


def train_group(job: TrainJob, group: Sequence[RunConfig]) -> tuple[int, list[RunConfig]]:
    """Trains one pack.

    Args:
        job: Options of the command.
        group: The runs of the pack.

    Returns:
        The exit status (STOPPED, or FAILED if a run failed), and the runs that another process trains.
    """
    from scaling.training.events import event_reporter
    from scaling.training.packs.loop import train_pack
    from scaling.training.sae.loop import train_saes

    report = event_reporter(*group, events=job.events, on_broken_pipe=job.on_broken_pipe)
    unfinished = {run_id(config) for config in group}

    def emit(event: dict[str, Any]) -> None:
        if event["event"] == "end":
            unfinished.discard(event["run_id"])
            if event["status"] == "failed" and job.events:  # without --events, `report` prints it on standard error
                print(f"scaling train: run {event['run_id'][:12]} failed: {event['error']}", file=sys.stderr)
        report(event)

    try:
        options: dict[str, Any] = {"sweep": job.sweep, "emit": emit, "should_stop": job.should_stop}
        if group[0].sae is not None:
            records = train_saes(group, job.store, job.placement, **options)
        else:
            records = train_pack(group, job.store, job.placement, **options, evaluation=job.evaluation)
    except ConfigError:
        raise
    except Exception as error:  # the next pack is trained; the records have the reason
        line = describe_error(error)
        line += ": try a smaller --pack" if "RESOURCE_EXHAUSTED" in line else ""
        for name in sorted(unfinished):
            emit({"event": "end", "run_id": name, "status": "failed", "error": line})
        if os.environ.get("SCALING_TRACEBACK"):
            raise
        return FAILED, []
    statuses, recorded = {record.status for record in records}, {record.run_id for record in records}
    held_elsewhere = [config for config in group if run_id(config) not in recorded]
    if "stopped" in statuses:
        return STOPPED, held_elsewhere
    evaluation = job.evaluation if group[0].sae is None else None  # tasks are for models
    status = DONE if evaluation is None else evaluate.after_training(evaluation, job.store, recorded)
    return max(status, FAILED if "failed" in statuses else DONE), held_elsewhere
