"""What the engines of clusters have in common: their jobs outlive us, and how a run stands is read from the store.

Jobs are submitted, asked after and deleted by a command (kubectl, sky, squeue, ...). In a cloud the store is a bucket:
mounted at `--store` on the machine that launches, and at MOUNT in the job.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from scaling.config.run import RunConfig, dumps, run_id
from scaling.models.counts import parameters, run_flops
from scaling.store.files import write_atomic
from scaling.store.record import Record, Store
from sweeps.errors import SweepError

MOUNT = "/store"  # where a job sees the store
RESTARTS = 2  # of one job, after it crashed; those after a preemption are not counted
EVERY = 15.0  # seconds between two looks
LATE = 120.0  # seconds that a record may take from the job to a mounted bucket
DEAF = 40  # looks in a row that may fail before we give up
COMMAND_SECONDS = 120.0
LOG_LINES = 5

Event = dict[str, Any]
Options = TypeVar("Options")


class State(NamedTuple):
    """A job as its cluster sees it."""

    phase: str  # "waiting", "running", "succeeded" or "failed"
    why: str = ""  # it failed, or crashed last
    crashes: int = 0  # restarts that count


@dataclass
class Job:
    """Runs under way, in jobs."""

    store: Store
    sweep: str
    left: dict[str, RunConfig]  # runs that have not ended, in order
    states: Callable[[], Mapping[str, State]]  # by run_id; one whose job is gone is absent
    delete: Callable[[], None]
    by_hand: str  # the command that does the same
    log: Callable[[str], list[str]]  # the newest lines of a run's job
    attempts: int
    every: float = EVERY
    late: float = LATE
    next_look: float = 0.0
    failures: int = 0  # looks in a row that failed
    started: set[str] = field(default_factory=set)
    steps: dict[str, float] = field(init=False)  # as last told; before that, where an earlier launch left the run
    crashes: dict[str, int] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)  # when a job was first seen to have succeeded
    cancelled: bool = False
    owed: bool = False  # whether the jobs are still to be deleted
    over: bool = False
    stopped: bool = False
    error: str | None = None
    before: dict[str, Record | None] = field(init=False)  # records of an earlier launch

    def __post_init__(self) -> None:
        self.before = {name: self.store.read(name) for name in self.left}
        rows = {name: self.store.last_row(name) for name in self.left}
        self.steps = {name: row["step"] for name, row in rows.items() if row is not None and "step" in row}


def given(kind: type[Options], options: Mapping[str, str]) -> Options:
    """An engine's options from text; SweepError where one is unknown, missing or no number."""
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = [name for name in options if name not in fields]
    if unknown:
        raise SweepError(f"--option {unknown[0]}=...: known are {', '.join(fields)}")
    missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and not options.get(n)]
    if missing:
        raise SweepError(f"this engine needs {' '.join(f'--option {name}=...' for name in missing)}")
    values: dict[str, Any] = {}
    for name, text in options.items():
        default = fields[name].default
        if isinstance(default, bool):
            if text not in ("yes", "no"):
                raise SweepError(f"--option {name}={text}: must be yes or no")
            values[name] = text == "yes"
        elif isinstance(default, int):
            if not text.isdecimal():
                raise SweepError(f"--option {name}={text}: must be a number, 0 or more")
            values[name] = int(text)
        else:
            values[name] = text
    return kind(**values)


def bucket(name: str) -> str:
    """The bucket's bare name; SweepError where it is no bucket."""
    bare = name.removeprefix("gs://").rstrip("/")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", bare):
        raise SweepError(f"--option bucket={name}: must be a bucket's name, as gs://my-runs, with no folder")
    return bare


def job_name(sweep: str, of: str, name: str) -> str:
    """A job's name, by its first run: letters, digits and dashes, at most 44, unique by run, sweep and bucket."""
    return f"{prefix(sweep, of)}{name[:16]}"


def prefix(sweep: str, of: str) -> str:
    """What the names of a sweep's jobs begin with."""
    return f"{label(sweep)[:20].rstrip('-')}-{of}-"


def mark(given: str, sweep: str) -> str:
    """Tells a sweep's jobs from those of another bucket, or of a sweep whose label is the same."""
    return hashlib.sha256(f"{bucket(given)}/{sweep}".encode()).hexdigest()[:6]


def label(sweep: str) -> str:
    """A sweep's name as a cluster may have it."""
    text = re.sub(r"[^a-z0-9]+", "-", sweep.lower()).strip("-")[:50].rstrip("-")
    return text if text[:1].isalpha() else f"s-{text}".rstrip("-")


def train_words(store: Store, names: Sequence[str], sweep: str) -> list[str]:
    """The command of runs as a job has it. In order: else hosts would go on out of step where a run fails on one of
    them, and a branch before its trunk where that is still held for a process that was killed.
    """
    folders = (store.run_dir(name).relative_to(store.root).as_posix() for name in names)
    configs = [f"{MOUNT}/{folder}/config.json" for folder in folders]
    return ["python", "-m", "scaling", "train", *configs, "--store", MOUNT, "--sweep", sweep, "--in-order"]


def call(words: Sequence[str], text: str | None = None) -> str:
    """Standard output of a command; SweepError in a line where it is not there, fails or is silent."""
    try:
        done = subprocess.run(
            words, input=text, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )  # fmt: skip
    except FileNotFoundError:
        raise SweepError(f"{words[0]}: no such command here; install it, or see --dry-run") from None
    except subprocess.TimeoutExpired:
        raise SweepError(f"{' '.join(words[:3])}: no answer in {COMMAND_SECONDS:g} s") from None
    if done.returncode:
        last = ([line for line in done.stderr.splitlines() if line.strip()] or ["without a word"])[-1]
        raise SweepError(f"{' '.join(words[:3])}: exit status {done.returncode}: {last[:300]}")
    return done.stdout


def tail(words: Sequence[str]) -> list[str]:
    """The last lines that a command prints; none where it cannot (the machines that spoke may be gone)."""
    try:
        return [line for line in call(words).splitlines() if line.strip()][-LOG_LINES:]
    except SweepError:
        return []


def write_configs(store: Store, configs: Sequence[RunConfig]) -> dict[str, RunConfig]:
    """Each run's config in the store, where its job reads it."""
    left = {run_id(config): config for config in configs}
    for name, config in left.items():
        write_atomic(store.run_dir(name) / "config.json", dumps(config).encode())
    return left


def poll(job: Job, timeout: float = 0.2) -> list[Event]:
    """Events since the last call; waits `timeout` seconds where it is not yet time to look."""
    now = time.monotonic()
    if job.over or now < job.next_look:
        time.sleep(0 if job.over else min(timeout, job.next_look - now))
        return []
    job.next_look = now + job.every
    try:
        if job.owed:
            _delete(job)
        states = job.states()
        job.failures = 0
    except SweepError as error:
        job.failures += 1
        if job.failures >= DEAF:
            what = f"stop it with: {job.by_hand}" if job.owed else "launch again to follow it"
            job.over, job.error = True, f"{error} ({DEAF} times); what is under way goes on: {what}"
        return []
    return _look(job, states, now)


def cancel(job: Job) -> None:
    """Deletes the jobs, now or at a later look; their trainers get SIGTERM, save and stop."""
    job.cancelled = job.owed = True
    job.next_look, job.failures = 0.0, 0
    with contextlib.suppress(SweepError):
        _delete(job)


def _delete(job: Job) -> None:
    job.delete()
    job.owed = False


def _look(job: Job, states: Mapping[str, State], now: float) -> list[Event]:
    out: list[Event] = []
    for name in list(job.left):
        out += _progress(job, name)
        record = job.store.read(name)
        state = states.get(name)
        if record is not None and record.status in ("done", "diverged"):
            if "started" in record.about:  # perhaps between two looks
                out += _started(job, name, record, job.left[name].steps)
            out.append(_end(job, name, record))
        elif state is None:
            continue
        elif state.phase == "failed":
            out.append(_fail(job, name, state.why or "its job failed"))
        elif state.phase == "succeeded":
            if told(job, name, record) or now - job.ended.setdefault(name, now) > job.late:
                out.append(_fail(job, name, "its job ended well with no finished record here: is --store the bucket?"))
        elif state.crashes > job.crashes.get(name, 0):
            job.crashes[name] = state.crashes
            how = state.why or "crashed on a host, all were started again"
            out.append({"event": "died", "run_id": name, "how": how, "log": job.log(name),
                        "attempt": state.crashes, "attempts": job.attempts})  # fmt: skip
    if not any(name in states for name in job.left):  # ended, or deleted by us or by another
        job.over, job.stopped = True, bool(job.left)
    return out


def _progress(job: Job, name: str) -> list[Event]:
    """That a run has started, and its newest step, as the store has them; what stood there before us says nothing."""
    row = job.store.last_row(name)
    if row is None or "step" not in row or row["step"] == job.steps.get(name):
        return []
    out = _started(job, name, job.store.read(name), row["step"])
    job.steps[name] = row["step"]
    if "loss" in row:
        out.append({"event": "step", "run_id": name, "step": int(row["step"]), "loss": row["loss"]})
    return out


def _started(job: Job, name: str, record: Record | None, step: float) -> list[Event]:
    """That a run has started, once; it has come to `step` by now."""
    if name in job.started:
        return []
    job.started.add(name)
    begun = int(_first(job, name, record, step))
    return [{"event": "start", "run_id": name, "steps": job.left[name].steps, "from": begun}]


def _first(job: Job, name: str, record: Record | None, step: float) -> float:
    """The step that this launch has the run from: where its process began, or stood when we came to follow it."""
    now, before = (of.about if of is not None else {} for of in (record, job.before[name]))
    stood = min(job.steps.get(name, 0), step)
    if all(now.get(fact) == before.get(fact) for fact in ("started", "pid")):
        return stood
    return now.get("started_from", {}).get("step", stood)


def _end(job: Job, name: str, record: Record) -> Event:
    job.left.pop(name)
    event: Event = {"event": "end", "run_id": name, "status": record.status}
    if "loss" in record.final:
        event["loss"] = record.final["loss"]
    if "error" in record.about:
        event["error"] = record.about["error"]
    return event


def told(job: Job, name: str, record: Record | None) -> bool:
    """Whether the trainer has recorded a failure since we began; one of an earlier launch says nothing of this."""
    return record is not None and record.status == "failed" and record != job.before[name]


def _fail(job: Job, name: str, why: str) -> Event:
    """Records that a run failed for good, in the trainer's own words where it left some."""
    config = job.left.pop(name)
    known = job.store.read(name)
    if known is not None and told(job, name, known) and "error" in known.about:
        why = known.about["error"]
    else:
        log = job.log(name)
        why += "".join(f": {line}" for line in log[-1:] if line not in why)
        known = known or Record(
            run_id=name, config=config, status="failed", sweep=job.sweep,
            params=parameters(config.model), flops=run_flops(config),
        )  # fmt: skip
        about = {**known.about, "error": why, **({"log": log} if log else {})}
        job.store.write(dataclasses.replace(known, status="failed", about=about))
    return {"event": "end", "run_id": name, "status": "failed", "error": why}
