"""Jobs of the cloud engines: a job trains the runs of one trunk in order, on one slice, in one process.

A branch starts from the checkpoint of the previous run. The cluster restarts a job that was preempted or crashed, and
the trainer skips the runs that are done. After the last restart of a job, the current run is marked as failed, and the
remaining runs are submitted as a new job.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from scaling.config.run import RunConfig
from sweeps.engines import cluster_jobs
from sweeps.engines.cluster_jobs import FAILED, RUNNING, SUCCEEDED, WAITING, Job, JobState
from sweeps.engines.job_names import bucket_name, job_name, sweep_hash, sweep_label
from sweeps.engines.submission import Submission, code_flags, write_configs
from sweeps.errors import SweepError
from sweeps.planning.plan import FINISHED_STATUSES
from sweeps.planning.streams import worker_groups

STORE_MOUNT = "/store"  # folder in which a job mounts the bucket
TRUNK_ID_LENGTH = 32  # characters of a prefix_id that label a trunk


@dataclass(frozen=True, kw_only=True)
class TrunkSpec:
    """Specification of a job, which trains runs of one trunk.

    Attributes:
        name: Name of the job.
        trunk: Label of the trunk.
        run_ids: Its runs, in order.
        sweep: Label of the sweep.
        digest: `sweep_hash` of the bucket and the sweep.
        bucket: Name of the bucket that is the store.
        command: Command of the job, where the bucket is mounted at STORE_MOUNT.
    """

    name: str
    trunk: str
    run_ids: Sequence[str]
    sweep: str
    digest: str
    bucket: str
    command: Sequence[str]


@dataclass
class TrunkJob:
    """A submitted job and its known state."""

    name: str
    run_ids: Sequence[str]  # in order
    crashes: int = 0
    failed_at: float | None = None  # when a query first showed that it failed (time.monotonic)


class TrunkCluster(Protocol):
    """The jobs of a sweep in a cluster."""

    def active_jobs(self) -> dict[str, TrunkJob]:
        """Returns the waiting and running jobs of an earlier launch, by trunk."""

    def submit(self, trunk: str, run_ids: Sequence[str]) -> str:
        """Submits a job that trains runs of a trunk and returns its name.

        Args:
            trunk: Label of the trunk.
            run_ids: Its runs, in order.
        """

    def job_states(self) -> Mapping[str, JobState]:
        """Returns the state of each job by name; a job that no longer exists is absent."""

    def log_tail(self, job: TrunkJob) -> list[str]:
        """Returns the last log lines of a job."""

    def delete(self) -> None:
        """Deletes all jobs of the sweep."""


@dataclass
class TrunkJobs:
    """The jobs of a launch: at most one per trunk at a time."""

    runs: Mapping[str, Sequence[str]]  # run_ids by trunk, in order
    jobs: dict[str, TrunkJob]  # by trunk; the remaining runs of a trunk without a job have to be submitted
    cluster: TrunkCluster
    failed: dict[str, JobState] = field(default_factory=dict)  # runs that failed with their job
    failed_logs: dict[str, list[str]] = field(default_factory=dict)  # last log lines of that job, by run

    def submit_remaining(self, job: Job) -> dict[str, JobState]:
        """Submits the remaining runs of each trunk without a job; returns the states of these runs."""
        states: dict[str, JobState] = {}
        for trunk, names in self.runs.items():
            if trunk in self.jobs or job.cancelled:
                continue
            unfinished = [name for name in self._remaining(job, names) if not _ended(job, name)]
            if unfinished:
                self.jobs[trunk] = TrunkJob(self.cluster.submit(trunk, unfinished), unfinished)
                states |= {name: JobState(WAITING) for name in unfinished}
        return states

    def run_states(self, job: Job) -> dict[str, JobState]:
        """Returns the state of each run (for `cluster_jobs.Job`); submits the remaining runs of ended jobs."""
        job_states, states = self.cluster.job_states(), dict[str, JobState]()
        for trunk in list(self.jobs):
            states |= self._trunk_states(job, trunk, job_states.get(self.jobs[trunk].name))
        try:
            states |= self.submit_remaining(job)
        except SweepError:  # for example a quota: retried at the next poll, while other jobs continue
            if not states:
                raise
        return states | {name: state for name, state in self.failed.items() if name in job.remaining}

    def log_lines(self, name: str) -> list[str]:
        """Returns the last log lines of a run's job."""
        if name in self.failed_logs:
            return self.failed_logs[name]
        return next((self.cluster.log_tail(job) for job in self.jobs.values() if name in job.run_ids), [])

    def _remaining(self, job: Job, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in job.remaining and name not in self.failed]

    def _trunk_states(self, job: Job, trunk: str, state: JobState | None) -> dict[str, JobState]:
        """Returns the states of a trunk's runs from the state of its job; removes a job that has ended."""
        trunk_job = self.jobs[trunk]
        trunk_runs, job_runs = self._remaining(job, self.runs[trunk]), self._remaining(job, trunk_job.run_ids)
        if not trunk_runs or state is None:
            return {}
        if state.phase == FAILED:
            clock = time.monotonic()
            trunk_job.failed_at = trunk_job.failed_at or clock
            if clock - trunk_job.failed_at < job.record_delay:  # a delayed record may show which run failed
                return {name: JobState(WAITING) for name in trunk_runs}
        refused = state.phase == SUCCEEDED and any(_failed(job, name) for name in job_runs)
        if state.phase == FAILED or refused or (state.phase == SUCCEEDED and not job_runs):
            self._fail_runs(job, trunk_job, job_runs, state)
            del self.jobs[trunk]
            return {}
        states = {name: JobState(WAITING) for name in trunk_runs} | {name: JobState(state.phase) for name in job_runs}
        if job_runs and state.crashes > trunk_job.crashes:
            trunk_job.crashes = state.crashes
            states[_current_run(job, job_runs)] = state
        return states

    def _fail_runs(self, job: Job, trunk_job: TrunkJob, names: Sequence[str], state: JobState) -> None:
        """Marks the runs that failed with their job: those with a recorded error, else the current run.

        If no run had started, all of them fail.
        """
        unfinished = [name for name in names if not _ended(job, name)]
        failed = [name for name in unfinished if _failed(job, name)]
        if not failed and unfinished:
            running = any(_status(job, name) == RUNNING for name in unfinished)
            started = len(unfinished) < len(trunk_job.run_ids) or running
            failed = [_current_run(job, unfinished)] if started else unfinished
        lines = self.cluster.log_tail(trunk_job) if failed else []
        for name in failed:
            self.failed[name], self.failed_logs[name] = JobState(FAILED, state.reason), lines


def submit_trunks(submission: Submission, cluster: TrunkCluster, *, restarts: int, delete_command: str) -> Job:
    """Submits a job for each trunk without an active job.

    Args:
        submission: The runs.
        cluster: The cluster.
        restarts: Largest number of restarts of a job after a crash.
        delete_command: Shell command that deletes the jobs, for messages.
    """
    remaining = write_configs(submission)
    trunks = TrunkJobs(runs_by_trunk(submission.configs), cluster.active_jobs(), cluster)
    job = Job(
        store=submission.store, sweep=submission.sweep, remaining=remaining, max_attempts=restarts + 1,
        run_states=lambda: trunks.run_states(job), delete_jobs=cluster.delete, delete_command=delete_command,
        log_lines=trunks.log_lines,
    )  # fmt: skip
    trunks.submit_remaining(job)
    return job


def job_command(submission: Submission, names: Sequence[str]) -> list[str]:
    """Returns the command that trains runs in a job, strictly in order.

    Otherwise hosts could train different runs after a failure on one host, and a branch could be trained before its
    trunk while a killed process still has the trunk's lease.

    Args:
        submission: The runs of the launch.
        names: run_id of each run of the job.
    """
    store = submission.store
    folders = (store.run_dir(name).relative_to(store.root).as_posix() for name in names)
    configs = [f"{STORE_MOUNT}/{folder}/config.json" for folder in folders]
    return ["python", "-m", "scaling", "train", *configs, "--store", STORE_MOUNT, "--sweep", submission.sweep,
            "--in-order", *code_flags(submission.code, STORE_MOUNT)]  # fmt: skip


def trunk_spec(submission: Submission, bucket: str, trunk: str, run_ids: Sequence[str]) -> TrunkSpec:
    """Returns the specification of a job.

    Args:
        submission: The runs of the launch.
        bucket: The bucket that is the store, with or without gs://.
        trunk: Label of the trunk.
        run_ids: Its runs, in order.
    """
    sweep = submission.sweep
    digest = sweep_hash(bucket, sweep)
    return TrunkSpec(
        name=job_name(sweep, digest, run_ids[0]), trunk=trunk, run_ids=run_ids, sweep=sweep_label(sweep),
        digest=digest, bucket=bucket_name(bucket), command=job_command(submission, run_ids),
    )  # fmt: skip


def runs_by_trunk(configs: Sequence[RunConfig]) -> dict[str, list[str]]:
    """Returns the run_ids of each trunk, with the autoencoders of its models, in the order of the configs."""
    trunks: dict[str, list[str]] = {}
    for name, group in worker_groups(configs).items():
        trunks.setdefault(group[:TRUNK_ID_LENGTH], []).append(name)
    return trunks


def _status(job: Job, name: str) -> str | None:
    record = job.store.read_intact(name)
    return None if record is None else record.status


def _ended(job: Job, name: str) -> bool:
    return _status(job, name) in FINISHED_STATUSES


def _failed(job: Job, name: str) -> bool:
    return cluster_jobs.failed_since_launch(job, name, job.store.read_intact(name))


def _current_run(job: Job, names: Sequence[str]) -> str:
    """Returns the first run whose record has status "running", else the first run that has not ended."""
    running = [name for name in names if _status(job, name) == RUNNING]
    return (running or [name for name in names if not _ended(job, name)] or names)[0]
