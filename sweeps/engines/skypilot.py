"""Engine for TPU VMs, with SkyPilot: each trunk of a sweep is a managed job, which is recovered after a preemption.

    python -m sweeps launch NAME --store DIR --engine skypilot --option topology=v5e-16
        --option bucket=gs://BUCKET [--dry-run]

DIR is the mounted bucket; `sky` must have access to the account. Active jobs of an earlier launch are not launched
again. Source: SkyPilot's documentation (task YAML, managed jobs, TPUs, environment of distributed jobs).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scaling.config import exit_status
from scaling.counting.tpu import TpuSlice, tpu_slice
from scaling.store.files import write_atomic
from sweeps.engines import cluster_jobs
from sweeps.engines.cluster_jobs import FAILED, RUNNING, SUCCEEDED, WAITING, Job, JobState
from sweeps.engines.events import LOG_LINES
from sweeps.engines.job_names import bucket_name, job_name_prefix, sweep_hash
from sweeps.engines.submission import RESTARTS, DryRun, JobFile, Submission
from sweeps.engines.trunks import STORE_MOUNT, TrunkJob, TrunkSpec, runs_by_trunk, submit_trunks, trunk_spec
from sweeps.errors import SweepError

COORDINATOR_PORT = 8482  # JAX's default since 0.8.1
ONE_VM_CHIPS = 8  # chips of the largest v5e or v6e slice that is one TPU VM
CANCEL_COMMAND = "sky jobs cancel --yes JOB_ID ..."
QUEUE_COMMAND = ("sky", "jobs", "queue", "--all", "--output", "json")
VARIABLES = ("SCALING_TRUNK", "SCALING_RUNS")  # of a job: its trunk and its runs
PHASES = {  # by SkyPilot state; any other state is a failure
    "PENDING": WAITING, "SUBMITTED": WAITING, "STARTING": WAITING, "RECOVERING": WAITING,
    "RUNNING": RUNNING, "WINDING_DOWN": RUNNING, "CANCELLING": RUNNING, "SUCCEEDED": SUCCEEDED,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SkyPilotOptions:
    """Options of the skypilot engine."""

    topology: str  # TPU slice of each job, such as v5e-16
    bucket: str  # bucket of the store, such as gs://my-runs
    region: str = ""  # region of Google Cloud; empty: any
    workdir: str = "."  # folder that is copied to the machines
    setup: str = "pip install -e '.[tpu]'"  # shell commands that prepare a machine
    spot: bool = True  # spot machines, which can be taken away
    restarts: int = RESTARTS  # largest number of restarts of a job after a crash

    def __post_init__(self) -> None:
        tpu_slice(self.topology, largest_host=ONE_VM_CHIPS)
        bucket_name(self.bucket)

    @property
    def slice(self) -> TpuSlice:
        """The TPU slice of each job."""
        return tpu_slice(self.topology, largest_host=ONE_VM_CHIPS)


poll = cluster_jobs.poll
cancel = cluster_jobs.cancel


def submit(submission: Submission, options: SkyPilotOptions) -> Job:
    """Launches a managed job for each trunk without an active job.

    Args:
        submission: The runs.
        options: The engine's options.
    """
    return submit_trunks(
        submission, Cloud(submission, options), restarts=options.restarts, delete_command=CANCEL_COMMAND
    )


def dry_run(submission: Submission, options: SkyPilotOptions) -> DryRun:
    """Returns the files and commands of `submit`, `poll` and `cancel`; nothing is written or queried.

    Args:
        submission: The runs.
        options: The engine's options.
    """
    cloud = Cloud(submission, options)
    files = []
    for trunk, runs in runs_by_trunk(submission.configs).items():
        task = cloud.task(trunk, runs)
        file = f"{task['name']}.yaml"
        command = shlex.join(_launch_command(task["name"], file))
        files.append(JobFile(file, json.dumps(task, indent=1), [command], runs=[runs]))
    return DryRun(files, ["# queried by", shlex.join(QUEUE_COMMAND), "# stopped by", CANCEL_COMMAND])


class Cloud:
    """The managed jobs of a sweep. The task file of a job names its runs."""

    def __init__(self, submission: Submission, options: SkyPilotOptions) -> None:
        self.submission, self.options = submission, options
        self.store, self.sweep = submission.store, submission.sweep
        self.newest: dict[str, int] = {}  # number of the newest job of a name at the last query
        self.earlier: dict[str, int] = {}  # number of the newest job of that name before this launch
        self.unseen: dict[str, int] = {}  # number of queries in which a job of this launch was not in the queue yet

    def task(self, trunk: str, run_ids: Sequence[str]) -> dict[str, Any]:
        """Returns the SkyPilot task that trains runs of a trunk.

        Args:
            trunk: Label of the trunk.
            run_ids: Its runs, in order.
        """
        return task(trunk_spec(self.submission, self.options.bucket, trunk, run_ids), self.options)

    def active_jobs(self) -> dict[str, TrunkJob]:
        """Returns the waiting and running jobs of an earlier launch, by trunk."""
        jobs = {}
        for name, (number, status) in self._query().items():
            if _job_state(number, status).phase in (WAITING, RUNNING):
                environment = self._environment(name)
                trunk, run_ids = (environment[variable] for variable in VARIABLES)
                jobs[trunk] = TrunkJob(name, run_ids.split())
        return jobs

    def job_states(self) -> dict[str, JobState]:
        """Returns the state of each job by name; a new job is WAITING until it appears in the queue."""
        jobs = {name: job for name, job in self._query().items() if job[0] > self.earlier.get(name, -1)}
        self.unseen = {name: queries + 1 for name, queries in self.unseen.items() if name not in jobs}
        states = {
            name: JobState(WAITING) for name, queries in self.unseen.items() if queries < cluster_jobs.MAX_FAILED_POLLS
        }
        return states | {name: _job_state(*job) for name, job in jobs.items() if job[1] != "CANCELLED"}

    def submit(self, trunk: str, run_ids: Sequence[str]) -> str:
        """Launches a job and returns its name.

        Args:
            trunk: Label of the trunk.
            run_ids: Its runs, in order.
        """
        task = self.task(trunk, run_ids)
        name: str = task["name"]
        path = self.store.root / "sweeps" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(task, indent=1).encode())  # JSON is YAML
        cluster_jobs.run_command(_launch_command(name, str(path)))
        self.unseen[name] = 0
        self.earlier |= {name: self.newest[name]} if name in self.newest else {}
        return name

    def delete(self) -> None:
        """Cancels the sweep's jobs; raises SweepError if a job is not in the queue yet."""
        jobs = self._query()
        numbers = [
            str(number) for number, status in jobs.values() if _job_state(number, status).phase in (WAITING, RUNNING)
        ]
        if numbers:
            cluster_jobs.run_command(["sky", "jobs", "cancel", "--yes", *numbers])
        missing = [name for name in self.unseen if jobs.get(name, (-1, ""))[0] <= self.earlier.get(name, -1)]
        if missing:
            raise SweepError(f"sky jobs queue: {missing[0]} is not in the queue yet")

    def log_tail(self, job: TrunkJob) -> list[str]:
        """Returns the last log lines of a job."""
        return cluster_jobs.output_tail(_logs_command(job.name))

    def _query(self) -> dict[str, tuple[int, str]]:
        """Returns number and status of the newest job of each name of this sweep."""
        prefix = job_name_prefix(self.sweep, sweep_hash(self.options.bucket, self.sweep))
        jobs = newest_jobs(cluster_jobs.run_command(QUEUE_COMMAND), prefix)
        self.newest = {name: number for name, (number, _) in jobs.items()}
        return jobs

    def _environment(self, name: str) -> dict[str, str]:
        """Returns the environment variables in a job's task file, which name its trunk and runs."""
        path = self.store.root / "sweeps" / f"{name}.yaml"
        try:
            environment: dict[str, str] = json.loads(path.read_bytes())["envs"]
            if not all(isinstance(environment[variable], str) for variable in VARIABLES):
                raise TypeError
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            problem = f"is active, but {path} does not name its runs: cancel the job first"
            raise SweepError(f"sky job {name} {problem}") from None
        return environment


def task(spec: TrunkSpec, options: SkyPilotOptions) -> dict[str, Any]:
    """Returns the SkyPilot task of a trunk; its `run` is executed on every host of the slice.

    Args:
        spec: The runs and their command.
        options: The engine's options.
    """
    return {
        "name": spec.name,
        "envs": dict(zip(VARIABLES, (spec.trunk, " ".join(spec.run_ids)), strict=True)),  # read by a later launch
        "workdir": options.workdir,
        "num_nodes": 1,  # one slice, regardless of its number of hosts
        "resources": {
            "infra": f"gcp/{options.region}" if options.region else "gcp",
            "accelerators": f"tpu-{options.slice.cloud_name}:1",
            "use_spot": options.spot,
            "job_recovery": {
                "strategy": "EAGER_NEXT_REGION",
                "max_restarts_on_errors": options.restarts,
                "recover_on_exit_codes": [exit_status.STOPPED],
            },
        },
        "file_mounts": {STORE_MOUNT: {"source": f"gs://{spec.bucket}", "mode": "MOUNT"}},
        "setup": options.setup,
        "run": host_script(options.slice, spec.command),
    }


def host_script(tpu: TpuSlice, command: Sequence[str]) -> str:
    """Returns the shell script of each host.

    Exit status 2 (rejected input) becomes 0, because SkyPilot would restart the job; such a run writes no record.

    Args:
        tpu: The slice.
        command: Command that trains.
    """
    train = shlex.join(command)
    lines = []
    if tpu.hosts > 1:
        lines.append("addresses=($SKYPILOT_NODE_IPS)")
        coordinator = f'"${{addresses[0]}}:{COORDINATOR_PORT}"'
        train += f' --hosts {tpu.hosts} --host "$SKYPILOT_NODE_RANK" --coordinator {coordinator}'
    refused = 'echo "refused its input: not run again"; exit 0'
    lines += ["status=0", f"{train} || status=$?"]
    lines += [f'if [ "$status" -eq {exit_status.BAD_INPUT} ]; then {refused}; fi', 'exit "$status"']
    return "\n".join(lines) + "\n"


def _launch_command(name: str, file: str) -> list[str]:
    return ["sky", "jobs", "launch", "--name", name, "--yes", "--async", file]


def _logs_command(name: str) -> list[str]:
    return ["sky", "jobs", "logs", "--no-follow", "--tail", str(LOG_LINES), "--name", name]


def newest_jobs(output: str, prefix: str) -> dict[str, tuple[int, str]]:
    """Returns number and status of the newest job of each name.

    Args:
        output: Output of `sky jobs queue`.
        prefix: Prefix of the names to include.

    Raises:
        SweepError: The output is not a JSON list of jobs.
    """
    try:
        rows = [(str(row["job_name"]), int(row["job_id"]), str(row["status"])) for row in json.loads(output)]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SweepError(f"sky jobs queue: expected a JSON list of jobs, got {output[:80]!r}") from None
    newest: dict[str, tuple[int, str]] = {}
    for name, number, status in rows:
        if name.startswith(prefix) and number >= newest.get(name, (-1, ""))[0]:
            newest[name] = (number, status)
    return newest


def _job_state(number: int, status: str) -> JobState:
    phase = PHASES.get(status, FAILED)
    return JobState(phase, f"{status}: see sky jobs logs {number}" if phase == FAILED else "")
