"""`train --pack SIZE`: trains runs of one shape as one program, one pack after the other."""

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


def train_packs(job: TrainJob, train_alone: Callable[[TrainJob], int]) -> int:
    """Trains the runs of a command in packs, then the remaining ones one by one.

    Args:
        job: The runs and options; `pack` is the largest number of runs per pack.
        train_alone: Trains the remaining runs one by one: those without a partner, and those that another process
            was training.

    Returns:
        The highest exit status, or STOPPED as soon as a stop is requested.
    """
    from scaling.training.packs.program import group_into_packs
    from scaling.training.sae.stream import group_by_stream

    if job.pack is None or job.pack < 1:
        raise ConfigError(f"--pack {job.pack}: must be 1 or more")
    if job.placement.profile:
        print(f"profile {job.placement.profile}: runs of a pack are not traced: leave --pack out", file=sys.stderr)
    worst, remaining = DONE, list[RunConfig]()
    models = [config for config in job.configs if config.sae is None]
    groups = group_into_packs(models, job.pack, job.placement) if models else []
    for group in [*groups, *group_by_stream([c for c in job.configs if c.sae is not None], job.pack)]:
        status, not_trained = (DONE, group) if len(group) == 1 else train_group(job, group)
        remaining += not_trained
        if status == STOPPED:
            return STOPPED
        worst = max(worst, status)
    status = train_alone(dataclasses.replace(job, configs=remaining, pack=None)) if remaining else DONE
    if status == STOPPED:
        return STOPPED
    return max(worst, min(status, FAILED) if len(job.configs) > 1 else status)


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
    status = DONE if job.evaluation is None else evaluate.after_training(job.evaluation, job.store, recorded)
    return max(status, FAILED if "failed" in statuses else DONE), held_elsewhere
