"""What engines in a cloud have in common: a job is a trunk, its runs in order on a slice, in one process.

A branch starts from what the run before it left. The cluster starts a job again that was preempted or crashed, and the
trainer skips what is done. A job that has failed for good takes the run that was under way with it, not the trunk: what
is left of that becomes a job of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from scaling.config.run import RunConfig, prefix_id, run_id
from sweeps.engines import cluster_jobs
from sweeps.engines.cluster_jobs import Job, State
from sweeps.errors import SweepError
from sweeps.planning.plan import ENDED

WAITING, RUNNING, SUCCEEDED, FAILED = "waiting", "running", "succeeded", "failed"


@dataclass
class Given:
    """A job as it was submitted, and what we have heard of it."""

    name: str
    runs: Sequence[str]  # in order
    crashes: int = 0
    failed: float | None = None  # when it was first seen to have failed


@dataclass
class Trunks:
    """The jobs of a launch: one a trunk at a time."""

    runs: Mapping[str, Sequence[str]]  # by trunk, in order
    jobs: dict[str, Given]  # by trunk; of one that has none, what is left is to be submitted
    give: Callable[[str, Sequence[str]], str]  # submits a trunk's runs; the job's name
    look: Callable[[], Mapping[str, State]]  # by job's name; a job that is gone is absent
    tail: Callable[[Given], list[str]]  # the newest lines of a job
    failed: dict[str, State] = field(default_factory=dict)  # runs that a job took with it
    said: dict[str, list[str]] = field(default_factory=dict)  # the last lines of its job, by run

    def begin(self, job: Job) -> dict[str, State]:
        """Submits what is left of each trunk that has no job."""
        out: dict[str, State] = {}
        for trunk, names in self.runs.items():
            if trunk in self.jobs or job.cancelled:
                continue
            rest = [name for name in self._left(job, names) if not _ended(job, name)]
            if rest:
                self.jobs[trunk] = Given(self.give(trunk, rest), rest)
                out |= {name: State(WAITING) for name in rest}
        return out

    def states(self, job: Job) -> dict[str, State]:
        """How each run stands, for engines/gang.py; what is left of a job that has ended is submitted."""
        known, out = self.look(), dict[str, State]()
        for trunk in list(self.jobs):
            out |= self._stands(job, trunk, known.get(self.jobs[trunk].name))
        try:
            out |= self.begin(job)
        except SweepError:  # as of a quota: once more at the next look, while others go on
            if not out:
                raise
        return out | {name: state for name, state in self.failed.items() if name in job.left}

    def log(self, name: str) -> list[str]:
        """The last lines that the job of a run said."""
        if name in self.said:
            return self.said[name]
        return next((self.tail(given) for given in self.jobs.values() if name in given.runs), [])

    def _left(self, job: Job, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in job.left and name not in self.failed]

    def _stands(self, job: Job, trunk: str, state: State | None) -> dict[str, State]:
        """The runs of a trunk whose job stands so; where it is over, the trunk has none any more."""
        given = self.jobs[trunk]
        left, mine = self._left(job, self.runs[trunk]), self._left(job, given.runs)
        if not left or state is None:
            return {}
        if state.phase == FAILED:
            now = time.monotonic()
            given.failed = given.failed or now
            if now - given.failed < job.late:  # a record on its way here may be of one that ended, or of another
                return {name: State(WAITING) for name in left}
        refused = state.phase == SUCCEEDED and any(_told(job, name) for name in mine)
        if state.phase == FAILED or refused or (state.phase == SUCCEEDED and not mine):
            self._blame(job, given, mine, state)
            del self.jobs[trunk]
            return {}
        out = {name: State(WAITING) for name in left} | {name: State(state.phase) for name in mine}
        if mine and state.crashes > given.crashes:
            given.crashes = state.crashes
            out[_under_way(job, mine)] = state
        return out

    def _blame(self, job: Job, given: Given, mine: Sequence[str], state: State) -> None:
        """Which of a job's runs have failed with it: who said so, else who was under way; all where none ever was."""
        rest = [name for name in mine if not _ended(job, name)]
        guilty = [name for name in rest if _told(job, name)]
        if not guilty and rest:
            begun = len(rest) < len(given.runs) or any(_status(job, name) == RUNNING for name in rest)
            guilty = [_under_way(job, rest)] if begun else rest
        lines = self.tail(given) if guilty else []
        for name in guilty:
            self.failed[name], self.said[name] = State(FAILED, state.why), lines


def grouped(configs: Sequence[RunConfig]) -> dict[str, list[str]]:
    """The runs of each trunk, in this order."""
    out: dict[str, list[str]] = {}
    for config in configs:
        out.setdefault(prefix_id(config, 0)[:32], []).append(run_id(config))
    return out


def _status(job: Job, name: str) -> str | None:
    record = job.store.read(name)
    return None if record is None else record.status


def _ended(job: Job, name: str) -> bool:
    return _status(job, name) in ENDED


def _told(job: Job, name: str) -> bool:
    return cluster_jobs.told(job, name, job.store.read(name))


def _under_way(job: Job, names: Sequence[str]) -> str:
    """The first that its record says is running, else the first that has not ended."""
    running = [name for name in names if _status(job, name) == RUNNING]
    return (running or [name for name in names if not _ended(job, name)] or names)[0]
