"""Launching a sweep: what is left of it, on an engine, until it is done or stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scaling.config.run import RunConfig
from scaling.store.record import Store
from sweeps.cost.caps import CAPPED, Caps, Hours, reached, spent, within
from sweeps.definitions import Tasks
from sweeps.engines import engine, local
from sweeps.errors import SweepError
from sweeps.format import duration, short
from sweeps.launching import evaluate
from sweeps.launching.progress import Display, Meter, meter
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import Plan, plan, shared_steps
from sweeps.planning.workers import useful_pack, useful_workers

STOPPED = 75


@dataclass
class Signals:
    """How often we were asked to stop."""

    count: int = 0
    answered: int = 0
    old: dict[int, Any] = field(default_factory=dict)


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Signals]:
    """Counts Ctrl-C and SIGTERM instead of dying of them."""
    signals = Signals()

    def count(*_: object) -> None:
        signals.count += 1

    for number in (signal.SIGINT, signal.SIGTERM):
        signals.old[number] = signal.signal(number, count)
    try:
        yield signals
    finally:
        for caught, handler in signals.old.items():
            signal.signal(caught, handler)


@contextlib.contextmanager
def only_launcher(store: Store, sweep: str) -> Iterator[int]:
    """Holds STORE/sweeps/SWEEP.lock; SweepError where another launcher, or a child it left, holds it.

    Yields the descriptor: a child that inherits it keeps the lock should this process be killed.
    """
    path = store.root / "sweeps" / f"{sweep}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "another process"
            raise SweepError(
                f"sweep {sweep} is being launched in {store.address} by {holder}: wait for it, or stop it first"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def write_sweep(store: Store, sweep: str, of: Plan, separate: bool = False) -> None:
    """Keeps which runs the sweep consists of, as planned; SweepError where the name stands for another corpus."""
    known = store.sweep(sweep) or []
    for run in known:
        data = run["config"]["data"]
        if data["tokens"] != of.corpus.tokens:
            raise SweepError(
                f"sweep {sweep} in {store.address} is on corpus {data['corpus'] or data['tokens'][:12]}: "
                f"give this one on {of.corpus.name} a name of its own with --as NAME"
            )
    planned = {run.run_id for run in of.runs}
    dropped = sum(run["run_id"] not in planned for run in known)
    if dropped:
        print(f"sweep {sweep}: {dropped} runs of an earlier definition are no longer part of it", file=sys.stderr)
    configs = [run.config for run in of.runs]
    starts = [0] * len(configs) if separate else shared_steps(configs)
    figures = [{"N": run.N, "D": run.D, "C": run.C, "from": step} for run, step in zip(of.runs, starts, strict=True)]
    store.write_sweep(sweep, configs, [run.run_id for run in of.runs], figures)


def launch(
    store: Store,
    sweep: str,
    configs: list[RunConfig],
    corpus: Corpus,
    *,
    engine_name: str = "local",
    command: Sequence[str] | None = None,
    engine_options: Mapping[str, str] | None = None,
    separate: bool = False,
    caps: Caps | None = None,
    workers: int | None = None,
    placement: Mapping[str, Any] | None = None,
    tasks: Tasks | None = None,
    pack: int | None = None,
) -> int:
    """Runs what is left of a sweep. Exit status: 0 all done or diverged, 1 some failed, 3 stopped at a cap,
    75 stopped (launch again).

    separate: a process for each run, nothing shared. workers: processes of the local engine at once; by default as many
    as the machine is best used by, where the trainer is ours. placement: what is not as usual of it, for every run.
    tasks: what each run is asked once it is done.
    pack: runs of one shape trained as one program, at most, of the local engine; by default as many as pay; 0: none.
    """
    chosen = engine(engine_name)
    if engine_options and chosen.dry_run is None:
        raise SweepError(f"engine {engine_name} takes no --option")
    if separate and engine_name != "local":
        raise SweepError(f"--separate: engine {engine_name} has none; leave it out, or --engine local")
    if workers is not None and (workers < 1 or engine_name != "local" or separate):
        raise SweepError(f"--workers {workers}: must be 1 or more, of the local engine and without --separate")
    if engine_name != "local" and "://" in store.address:
        raise SweepError(
            f"engine {engine_name}: store {store.address} is none that its machines see as a folder: mount it"
        )
    if pack and (pack < 1 or engine_name != "local" or separate):
        raise SweepError(f"--pack {pack}: must be 1 or more, of the local engine and without --separate")
    topology = (engine_options or {}).get("topology")
    if caps and caps.usd is not None and caps.on and topology not in (None, caps.on.name):
        raise SweepError(f"--slice {caps.on.name}: the runs go to --option topology={topology}: give that one")
    store.check_writable()
    with only_launcher(store, sweep) as lock, asked_to_stop() as signals:
        todo = plan(configs, corpus, store)
        write_sweep(store, sweep, todo, separate)
        store.write_placement(sweep, dict(placement or {}))
        caps = caps or Caps()
        skipped = len(todo.runs) - len(todo.left)
        if skipped:
            print(f"{skipped} of {len(todo.runs)} runs are done: skipped", file=sys.stderr)
        if separate:  # none is spared what another has trained
            todo = dataclasses.replace(todo, runs=[dataclasses.replace(run, from_step=0) for run in todo.runs])
        whole, before, todo = todo, spent(todo, store), within(todo, caps, store)
        of, error, capped = meter(todo), None, False
        hours = Hours(whole, store, before[1], ours=engine_name == "local")
        if todo.left:
            options: dict[str, Any] = {"command": command} if command else {}
            if tasks and not command and engine_name == "local":  # each worker asks the runs it has trained
                options["command"] = (*local.TRAIN, *evaluate.asked(tasks))
            if chosen.dry_run is not None:
                options["options"] = engine_options or {}
            if separate:
                options["separate"] = True
            elif engine_name == "local":
                options["workers"] = workers or (1 if command else useful_workers())
                options["pack"] = (0 if command else useful_pack()[0]) if pack is None else pack
            job = chosen.submit(store, sweep, [run.config for run in todo.left], keep_open=(lock,), **options)
            with Display(sweep, of) as display:
                while not job.over:
                    for event in chosen.poll(job):
                        of.note(event)
                        tell(display, event)
                    took = 0.0 if caps.seconds is None else hours.seconds()  # a look at every record
                    if not capped and caps.over(before[0] + of.done + of.lost, took) and not job.over:
                        capped = True
                        chosen.cancel(job)
                    if signals.count > signals.answered and not job.over:
                        signals.answered += 1
                        chosen.cancel(job)
                        if signals.answered == 1:
                            display.say("stopping: waiting for the run to save (once more to kill it)")
                    display.refresh()
            error = job.error
        capped = (capped or len(todo.runs) < len(whole.runs)) and not signals.count and error is None
        status = summary(store, sweep, whole, of, error, hint=not capped)
        if tasks and not signals.count:
            status = max(status, evaluate.rest(store, [run.run_id for run in whole.runs], tasks))
        if capped:
            print(reached(caps, whole, store), file=sys.stderr)
            return CAPPED
        return status


def dry_run(
    store: Store,
    sweep: str,
    configs: list[RunConfig],
    corpus: Corpus,
    engine_name: str,
    engine_options: Mapping[str, str],
) -> str:
    """What `launch` would write and run for what is left of a sweep; SweepError where the engine cannot say."""
    shown = engine(engine_name).dry_run
    if shown is None:
        raise SweepError(f"--dry-run: engine {engine_name} has none; `plan` shows its runs")
    left = [run.config for run in plan(configs, corpus, store).left]
    return shown(store, sweep, left, options=engine_options)


def tell(display: Display, event: dict[str, Any]) -> None:
    """Says what a person should hear of at once: deaths, failures, divergence."""
    name = str(event.get("run_id"))[:12]
    if event["event"] == "died":
        display.say(f"run {name}: the trainer {event['how']} (attempt {event['attempt']} of {event['attempts']})")
        for line in event["log"]:
            display.say(f"    {line}")
    elif event["event"] in ("waits", "again"):
        display.say(event["why"])
    elif event["event"] == "end" and event["status"] in ("failed", "diverged"):
        display.say(f"run {name} {event['status']}" + (f": {event['error']}" if event.get("error") else ""))


def summary(store: Store, sweep: str, of: Plan, ran: Meter, error: str | None, hint: bool = True) -> int:
    """The last line of a launch, and its exit status."""
    before = {run.run_id: run.status for run in of.runs if run.status in ("done", "diverged")}
    statuses = list(before.values()) + list(ran.ended.values())
    done, diverged, failed = (statuses.count(s) for s in ("done", "diverged", "failed"))
    left = len(of.runs) - done - diverged - failed
    counts = [f"{done} done"]
    counts += [f"{n} {what}" for n, what in ((diverged, "diverged"), (failed, "failed"), (left, "left")) if n]
    spent = f"{duration(ran.seconds)}, {short(ran.done)} FLOPs"
    print(f"sweep {sweep}: {', '.join(counts)} of {len(of.runs)} runs; {spent}", file=sys.stderr)
    if error is not None:
        print(error, file=sys.stderr)
        return 1
    if left:
        if hint:
            print(f"stopped: launch {sweep} again with --store {store.address} to go on", file=sys.stderr)
        return STOPPED
    if failed:
        print(f"why they failed: python -m sweeps status {sweep} --store {store.address}", file=sys.stderr)
    return 1 if failed else 0
