"""`python -m scaling train CONFIG.json ...`: trains runs; the same command resumes them after an interruption."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from scaling.commands.train_job import TrainJob
from scaling.config.exit_status import BAD_INPUT, DONE, FAILED, STOPPED

if TYPE_CHECKING:
    from scaling.config.run import RunConfig
    from scaling.training.events import EventSink


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    from scaling.commands import evaluate
    from scaling.config.user_code.blocks import add_code_argument
    from scaling.distributed import hosts
    from scaling.store.origin.options import add_anonymous_argument

    parser.add_argument(
        "configs", nargs="+", metavar="CONFIG.json", help="configs of the runs, trained one after the other"
    )
    parser.add_argument("--store", required=True, metavar="DIR", help="folder or address (s3://, gs://) of the store")
    parser.add_argument("--set", action="append", default=[], metavar="path.to.field=value", help="change the configs")
    parser.add_argument(
        "--place",
        action="append",
        default=[],
        metavar="field=value",
        help="placement: data, fsdp, tensor, expert, scan, remat, attention, save_seconds, share, ...",
    )
    add_code_argument(parser)
    add_anonymous_argument(parser)
    parser.add_argument("--sweep", metavar="NAME", help="name of the sweep, noted in the records")
    parser.add_argument(
        "--init", metavar="RUN", help="start from the last parameters of this run, trained or imported (fine-tuning)"
    )
    parser.add_argument(
        "--wandb", nargs="?", const="online", metavar="offline", help="write curves to Weights & Biases as well"
    )
    parser.add_argument(
        "--retries", type=int, default=0, metavar="N", help="further attempts for a run that crashes (default 0)"
    )
    parser.add_argument(
        "--in-order", action="store_true", help="train the configs in the given order; stop at the first failure"
    )
    parser.add_argument("--events", action="store_true", help="print JSON events on standard output")
    parser.add_argument(
        "--pack",
        type=int,
        metavar="SIZE",
        help="train up to SIZE runs of one shape as one program (default: each alone), or autoencoders of one model",
    )
    evaluate.add_training(parser)
    hosts.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Trains each config; a failure is recorded and does not stop the others, unless --in-order is given."""
    from scaling.commands import evaluate
    from scaling.config.placement import Placement
    from scaling.config.run import load_configs, override
    from scaling.config.user_code.process_exit import END_PROCESS
    from scaling.config.validation import ConfigError, from_dict
    from scaling.data.anonymize import make_anonymous
    from scaling.distributed import collectives, hosts
    from scaling.store.open import open_store
    from scaling.store.remote.store import BUCKETS
    from scaling.training import process
    from scaling.training.tracking import wandb

    tracking = [f"wandb={args.wandb}"] if args.wandb else []
    if args.anonymous:
        make_anonymous(open_store(args.store))
    sweep_placement = from_dict(Placement, open_store(args.store).placement(args.sweep) if args.sweep else {})
    placement = override(sweep_placement, [*tracking, *args.place], "--place")
    wandb.check_wandb(placement)
    configs = load_configs(args.configs, args.set, args.code)
    host = hosts.parse_hosts(args)
    if host is not None and "://" in args.store and args.store.partition("://")[0] not in BUCKETS:
        raise ConfigError(
            f"--store {args.store}: several hosts write one checkpoint in a bucket at gs:// or s3://, or in a folder "
            "that they share: copy the store to one, or mount it and give its folder"
        )
    evaluation = evaluate.training_evaluation(args, one_host=host is None)
    if host is not None and not hosts.is_supervised():
        return hosts.supervise(host, sys.argv[1:])
    with process.stop_signals(
        signal.SIGTERM, signal.SIGINT, at_second=lambda number, _: END_PROCESS(128 + number)
    ) as received:
        if host is not None:
            hosts.join_hosts(host)
        if args.init is not None:
            from scaling.training.initial import with_initial_parameters  # here: after hosts have joined

            configs = with_initial_parameters(configs, open_store(args.store), args.init)
        job = TrainJob(
            configs, open_store(args.store), placement, received, args.sweep, evaluation, args.pack, args.retries,
            args.in_order, args.events,
        )  # fmt: skip
        status = train_job(job)
    if host is not None:
        collectives.shut_down()
    return status


def train_job(job: TrainJob) -> int:
    """Trains the runs of a command and returns its exit status.

    Raises:
        ConfigError: Autoencoders on several hosts, or options that do not fit the runs.
    """
    from scaling.commands import pack
    from scaling.config.validation import ConfigError
    from scaling.distributed import collectives
    from scaling.training import process
    from scaling.training.telemetry import startup

    process.prepare_process()
    threading.excepthook = lambda _: None  # of Orbax's threads; the same errors are raised in this thread
    startup.note_start()
    has_autoencoders = any(config.sae is not None for config in job.configs)
    if has_autoencoders and collectives.is_multi_host():
        raise ConfigError("--hosts: sparse autoencoders are trained on one host: leave it out")
    has_streams = has_autoencoders and len(job.configs) > 1
    if job.pack is not None or has_streams:
        return pack.train_packs(job, train_one_by_one)
    return train_one_by_one(job)


def train_one_by_one(job: TrainJob) -> int:
    """Trains each run by itself and returns the exit status; with `in_order`, stops at the first failure."""
    from scaling.commands import schedule_runs
    from scaling.distributed import collectives

    emit = event_sink(job, job.configs[0])
    share_trunks = job.placement.share and len(job.configs) > 1 and not collectives.is_multi_host()
    retries = 0 if collectives.is_multi_host() else job.retries
    schedule = schedule_runs.Schedule(job.store, emit, job.stop_signals, lock_trunks=share_trunks, retries=retries)
    for configs in [[config] for config in job.configs] if job.in_order else [list(job.configs)]:
        status = schedule_runs.train_in_turn(configs, lambda config, retry: train_run(job, config, retry), schedule)
        if status:
            return status
    return DONE


def event_sink(job: TrainJob, config: RunConfig) -> EventSink:
    """Returns the function that prints a run's events; hosts other than the first print nothing.

    Args:
        job: The command's runs and options.
        config: The run.
    """
    from scaling.distributed import collectives
    from scaling.training.events import event_reporter

    emit = event_reporter(config, events=job.events, on_broken_pipe=job.on_broken_pipe)
    return emit if collectives.is_main_host() else lambda event: None


def train_run(job: TrainJob, config: RunConfig, retry: str) -> int:
    """Trains one run to its end.

    Args:
        job: The command's runs and options.
        config: The run.
        retry: "attempt 1 of 3" if a crash is followed by another attempt, else "".

    Returns:
        The exit status, or `schedule_runs.CRASHED` where another attempt follows.

    Raises:
        LeaseHeldError: Another process trains the run.
        LeaseLostError: Another process has taken the run over.
    """
    from scaling.commands import evaluate, schedule_runs
    from scaling.config.os_errors import describe_error
    from scaling.config.run import run_id
    from scaling.distributed import collectives
    from scaling.store import lease
    from scaling.training.events import end_event
    from scaling.training.loop import train
    from scaling.training.sae.loop import train_saes

    emit = event_sink(job, config)
    options: dict[str, Any] = {"sweep": job.sweep, "emit": emit, "should_stop": job.should_stop}
    try:
        if config.sae is None:
            record = train(config, job.store, job.placement, **options, evaluation=job.evaluation)
        else:
            [record] = train_saes([config], job.store, job.placement, **options)
    except collectives.HostLostError as error:
        collectives.exit_after_host_loss(error)
    except (lease.LeaseHeldError, lease.LeaseLostError):
        raise
    except Exception as error:  # the other runs are still trained; the record has the reason
        line, name = describe_error(error), run_id(config)
        if retry and error_status(error) == FAILED:
            emit({"event": "again", "run_id": name, "why": f"run {name[:12]}: {line} ({retry})"})
            return schedule_runs.CRASHED
        emit({"event": "end", "run_id": name, "status": "failed", "error": line})
        if job.events:  # without --events, `emit` has printed the error on standard error
            print(f"scaling train: run {name[:12]} failed: {line}", file=sys.stderr)
        if os.environ.get("SCALING_TRACEBACK"):
            raise
        return FAILED if len(job.configs) > 1 and not job.in_order else error_status(error)
    emit(end_event(record))
    if record.status == "stopped" or job.evaluation is None or config.sae is not None:  # tasks are for models
        return STOPPED if record.status == "stopped" else DONE
    return evaluate.after_training(job.evaluation, job.store, [record.run_id])


def error_status(error: Exception) -> int:
    """Returns the exit status for an error: BAD_INPUT where the input was wrong, else FAILED."""
    from scaling.config.validation import ConfigError
    from scaling.data.tokens import CorpusError
    from scaling.store.files import StoreError

    return BAD_INPUT if isinstance(error, ConfigError | CorpusError | StoreError) else FAILED
