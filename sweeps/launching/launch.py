"""Launching a sweep: trains its remaining runs on an engine until they are done, stopped, or a cap is reached."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from dataclasses import dataclass
from typing import Any

from scaling.config import exit_status
from scaling.config.run import RunConfig
from scaling.config.text import printable_lines
from scaling.config.user_code import UserCodeError
from scaling.data.anonymize import Changes, rewrite_logs
from scaling.store.damaged import print_damaged, read_or_set_aside, set_aside
from scaling.store.files import DamagedFileError
from scaling.store.lease import LeaseHeldError
from scaling.store.origin.anonymous import PrivateNames, is_anonymous
from scaling.store.record import Store
from scaling.store.sweep_files import check_planned
from sweeps.cost.caps import Caps, MachineTime, cap_message, plan_spending, runs_within_caps
from sweeps.engines import Engine, get_engine
from sweeps.engines.events import Event
from sweeps.engines.submission import Submission, write_code
from sweeps.errors import SweepError
from sweeps.format import duration, short_count
from sweeps.launching.engine import check_options, train_command, used_code
from sweeps.launching.evaluate import evaluate_missing
from sweeps.launching.lock import StopSignals, count_stop_signals, launcher_lock
from sweeps.launching.options import LOCAL, LaunchOptions
from sweeps.launching.progress import ProgressDisplay, SweepProgress, plan_progress
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import DAMAGED, Plan, plan_sweep


@dataclass
class Training:
    """State of the training of a launch."""

    progress: SweepProgress
    error: str | None = None  # why the remaining runs cannot continue
    capped: bool = False  # whether a cap was reached


@dataclass
class CapMonitor:
    """Checks whether a sweep has reached its caps, including the cost of earlier launches."""

    caps: Caps
    flops: float  # spent before this launch
    hours: MachineTime

    def reached(self, progress: SweepProgress) -> bool:
        """Returns whether the launch must stop."""
        seconds = 0.0 if self.caps.seconds is None else self.hours.seconds()  # reads every record
        return self.caps.is_exceeded(self.flops + progress.done + progress.lost, seconds)


def launch(
    store: Store, sweep: str, configs: list[RunConfig], corpus: Corpus, options: LaunchOptions = LaunchOptions(),
    signals: StopSignals | None = None,
) -> int:  # fmt: skip
    """Trains the remaining runs of a sweep up to the caps, evaluates them, and prints a summary on standard error.

    Args:
        store: The store with the runs.
        sweep: Name of the sweep in the store.
        configs: Its runs.
        corpus: Their corpus.
        options: The launch options.
        signals: Where stop signals are counted; None: a new counter.

    Returns:
        The exit status (scaling/config/exit_status.py): DONE if all runs are done or diverged; FAILED if some failed;
        CAPPED if a cap was reached; STOPPED if another launch continues.

    Raises:
        SweepError: The options are not allowed, or another process is launching the sweep.
    """
    engine_options = check_options(store, options)
    store.check_writable()
    with launcher_lock(store, sweep) as lock, count_stop_signals(signals) as signals:
        sweep_plan = _plan_sweep(store, sweep, plan_sweep(configs, corpus, store), options)
        set_damaged_aside(store, sweep_plan)
        flops, seconds = plan_spending(sweep_plan, store)
        capped_plan = runs_within_caps(sweep_plan, options.caps, store)
        machine_time = MachineTime(sweep_plan, store, seconds, one_machine=options.engine == LOCAL)
        monitor = CapMonitor(options.caps, flops, machine_time)
        runs = capped_plan.remaining
        submission = Submission(
            store=store, sweep=sweep, configs=[run.config for run in runs], starts=[run.shared_step for run in runs],
            command=train_command(options), code=write_code(store, used_code(configs, options)), keep_open=(lock,),
        )  # fmt: skip
        training = Training(plan_progress(capped_plan))
        if submission.configs:
            _train(training, submission, get_engine(options.engine), engine_options, monitor, signals)
        training.capped |= len(capped_plan.runs) < len(sweep_plan.runs)
        training.capped &= not signals.count and training.error is None
        status = report_summary(store, sweep, sweep_plan, training)
        if is_anonymous(store.root):
            rewrite_logs(store, PrivateNames(store.root), Changes())
        if options.tasks and not signals.count:
            run_ids = [run.run_id for run in sweep_plan.runs]
            status = max(status, evaluate_missing(store, run_ids, options.tasks, submission.code))
        if training.capped:
            print(cap_message(options.caps, sweep_plan, store), file=sys.stderr)
            return exit_status.CAPPED
        return status


def _plan_sweep(store: Store, sweep: str, sweep_plan: Plan, options: LaunchOptions) -> Plan:
    """Writes the plan to the store and returns the plan to train."""
    write_sweep(store, sweep, sweep_plan, options.separate)
    store.write_placement(sweep, dict(options.placement))
    skipped = len(sweep_plan.runs) - len(sweep_plan.remaining)
    if skipped:
        print(f"skipping {skipped} of {len(sweep_plan.runs)} runs, which are done", file=sys.stderr)
    if options.separate:  # no run starts from the checkpoint of another
        runs = [dataclasses.replace(run, from_step=0) for run in sweep_plan.runs]
        return dataclasses.replace(sweep_plan, runs=runs)
    return sweep_plan


def set_damaged_aside(store: Store, sweep_plan: Plan) -> None:
    """Sets the damaged records of a sweep aside, so that their runs are trained again, and prints other damaged files.

    Args:
        store: The store with the runs.
        sweep_plan: The sweep.
    """
    for run in sweep_plan.runs:
        if run.status == DAMAGED:
            with contextlib.suppress(LeaseHeldError, DamagedFileError), store.lease(run.run_id):
                read_or_set_aside(store, run.run_id)
    print_damaged(store)


def write_sweep(store: Store, sweep: str, sweep_plan: Plan, separate: bool = False) -> None:
    """Writes the runs of a sweep, as planned, to the store.

    Args:
        store: The store with the runs.
        sweep: Name of the sweep in the store.
        sweep_plan: Its runs.
        separate: Whether each run is trained from scratch.

    Raises:
        SweepError: The store has a sweep with this name on another corpus.
        DamagedFileError: The file of the sweep cannot be read but may be intact, such as one of a newer version.
    """
    corpus, runs = sweep_plan.corpus, sweep_plan.runs
    try:
        entries = store.sweep(sweep) or []
        check_planned(store.root / "sweeps" / f"{sweep}.json", entries, {run.run_id: run.config for run in runs})
    except DamagedFileError as error:
        set_aside(store, error)
        entries = []
    for entry in entries:
        data = entry["config"]["data"]
        if data["tokens"] != corpus.tokens:
            raise SweepError(
                f"sweep {sweep} in {store.address} is on corpus {data.get('corpus') or data['tokens'][:12]}: "
                f"choose another name for the sweep on {corpus.name} with --as NAME"
            )
    run_ids = [run.run_id for run in runs]
    planned = set(run_ids)
    dropped = sum(entry["run_id"] not in planned for entry in entries)
    if dropped:
        print(f"sweep {sweep}: {dropped} runs of an earlier definition were removed from it", file=sys.stderr)
    starts = [0] * len(runs) if separate else sweep_plan.starts
    figures = [{"N": run.N, "D": run.D, "C": run.C, "from": step} for run, step in zip(runs, starts, strict=True)]
    store.write_sweep(sweep, [run.config for run in runs], run_ids, figures)


def _train(
    training: Training,
    submission: Submission,
    engine: Engine,
    engine_options: Any,
    monitor: CapMonitor,
    signals: StopSignals,
) -> None:
    """Submits the runs and follows them until the job is finished."""
    job = engine.submit(submission, engine_options)
    with ProgressDisplay(submission.sweep, training.progress) as display:
        while not job.finished:
            for event in poll_or_cancel(engine, job):
                training.progress.note(event)
                report_event(display, event)
            if not training.capped and monitor.reached(training.progress) and not job.finished:
                training.capped = True
                engine.cancel(job)
            if signals.pending and not job.finished:
                first = signals.answer() == 1
                engine.cancel(job)
                if first:
                    display.print_line("stopping: waiting for the runs to save (interrupt again to kill them)")
            display.refresh()
    training.error = job.error


def poll_or_cancel(engine: Engine, job: Any) -> list[Event]:
    """Returns the events of a job since the last call; stops its runs if the engine's own code raises an error.

    Args:
        engine: The engine.
        job: The job.
    """
    try:
        return engine.poll(job)
    except UserCodeError:
        with contextlib.suppress(UserCodeError):
            engine.cancel(job)
        raise


def report_event(display: ProgressDisplay, event: Event) -> None:
    """Prints a line for a crash, a failure, a divergence or a restart.

    Args:
        display: The display to print above.
        event: An event of the engine.
    """
    name = str(event.get("run_id"))[:12]
    if event["event"] == "died":
        attempt = f"attempt {event['attempt']} of {event['attempts']}"
        display.print_line(f"run {name}: the trainer {event['how']} ({attempt})")
        for line in event["log"]:
            display.print_line(f"    {line}")
    elif event["event"] in ("waits", "again"):
        display.print_line(event["why"])
    elif event["event"] == "slow":
        display.print_line(f"run {name}: {event['why']}; stacks in {event['file']}")
    elif event["event"] == "end" and event["status"] in ("failed", "diverged"):
        error = f": {event['error']}" if event.get("error") else ""
        display.print_line(f"run {name} {event['status']}{error}")


def report_summary(store: Store, sweep: str, sweep_plan: Plan, training: Training) -> int:
    """Prints the last line of a launch and returns its exit status.

    Args:
        store: The store with the runs.
        sweep: Name of the sweep in the store.
        sweep_plan: The plan of the whole sweep.
        training: Final state of the training.
    """
    progress = training.progress
    earlier = [run.status for run in sweep_plan.runs if run.status in ("done", "diverged")]
    statuses = [*earlier, *progress.statuses.values()]
    done, diverged, failed = (statuses.count(status) for status in ("done", "diverged", "failed"))
    remaining = len(sweep_plan.runs) - done - diverged - failed
    counts = [f"{done} done"]
    counts += [f"{n} {name}" for n, name in ((diverged, "diverged"), (failed, "failed"), (remaining, "remaining")) if n]
    cost = f"{duration(progress.seconds)}, {short_count(progress.done)} FLOPs"
    print(f"sweep {sweep}: {', '.join(counts)} of {len(sweep_plan.runs)} runs; {cost}", file=sys.stderr)
    if training.error is not None:
        print(printable_lines(training.error), file=sys.stderr)
        return exit_status.FAILED
    if remaining:
        if not training.capped:
            print(f"stopped: to continue, launch {sweep} again with --store {store.address}", file=sys.stderr)
        return exit_status.STOPPED
    if failed:
        print(f"for the errors: python -m sweeps status {sweep} --store {store.address}", file=sys.stderr)
    return exit_status.FAILED if failed else exit_status.DONE
