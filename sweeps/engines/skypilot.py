"""TPU VMs through SkyPilot: each trunk of a sweep a managed job, started again elsewhere when its slice is taken.

    python -m sweeps launch NAME --store DIR --engine skypilot --option topology=v5e-16
        --option bucket=gs://BUCKET [--dry-run]

DIR is the bucket, mounted here; `sky` must be able to reach the account. A job that is there already goes on.
Source: SkyPilot's documentation (task YAML, managed jobs, TPUs, distributed jobs' environment).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaling.config.run import RunConfig
from scaling.store.files import write_atomic
from scaling.store.record import Store
from sweeps.engines import cluster_jobs
from sweeps.engines.cluster_jobs import Job, State
from sweeps.engines.gke_manifest import AGAIN, REFUSED
from sweeps.engines.trunks import FAILED, RUNNING, SUCCEEDED, WAITING, Given, Trunks, grouped
from sweeps.errors import SweepError
from sweeps.planning.tpu_slices import Slice, slice_of

COORDINATOR_PORT = 8482  # JAX's own since 0.8.1
ONE_VM = 8  # chips of the largest v5e or v6e slice that is one TPU VM
BY_HAND = "sky jobs cancel --yes JOB_ID ..."
QUEUE = ("sky", "jobs", "queue", "--all", "--output", "json")
PHASES = {
    "PENDING": WAITING, "SUBMITTED": WAITING, "STARTING": WAITING, "RECOVERING": WAITING,
    "RUNNING": RUNNING, "WINDING_DOWN": RUNNING, "CANCELLING": RUNNING, "SUCCEEDED": SUCCEEDED,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options:
    """What SkyPilot must be told."""

    topology: str
    bucket: str
    region: str = ""  # any, where empty
    workdir: str = "."  # copied to the machines
    setup: str = "pip install -e '.[tpu]'"
    spot: bool = True
    restarts: int = cluster_jobs.RESTARTS


poll = cluster_jobs.poll
cancel = cluster_jobs.cancel


def submit(
    store: Store,
    sweep: str,
    configs: Sequence[RunConfig],
    *,
    options: Mapping[str, str],
    keep_open: Sequence[int] = (),
) -> Job:
    """Launches a managed job a trunk, but for those that are under way."""
    cloud = Cloud(store, sweep, cluster_jobs.given(Options, options))
    left = cluster_jobs.write_configs(store, configs)
    of = Trunks(grouped(configs), cloud.under_way(), cloud.give, cloud.look, cloud.tail)
    job = Job(
        store=store, sweep=sweep, left=left, attempts=cloud.chosen.restarts + 1, states=lambda: of.states(job),
        delete=cloud.delete, by_hand=BY_HAND, log=of.log,
    )  # fmt: skip
    of.begin(job)
    return job


def dry_run(store: Store, sweep: str, configs: Sequence[RunConfig], *, options: Mapping[str, str]) -> str:
    """The files and commands of `submit`, `poll` and `cancel`, as text; nothing is written or asked."""
    cloud = Cloud(store, sweep, cluster_jobs.given(Options, options))
    lines = []
    for trunk, runs in grouped(configs).items():
        made = cloud.task(trunk, runs)
        name = made["name"]
        lines += [f"# {name}.yaml", json.dumps(made, indent=1), shlex.join(_launch(name, f"{name}.yaml")), ""]
    lines += ["# followed with", shlex.join(QUEUE), "# stopped with", BY_HAND]
    return "\n".join(lines)


class Cloud:
    """The managed jobs of a sweep. What each trains is in the file it was launched with."""

    def __init__(self, store: Store, sweep: str, chosen: Options) -> None:
        self.store, self.sweep, self.chosen = store, sweep, chosen
        self.slice, self.bucket = slice_of(chosen.topology, largest=ONE_VM), cluster_jobs.bucket(chosen.bucket)
        self.mark = cluster_jobs.mark(chosen.bucket, sweep)
        self.newest: dict[str, int] = {}  # number of the newest job of a name when we last asked
        self.past: dict[str, int] = {}  # number of the newest one before ours
        self.unseen: dict[str, int] = {}  # looks at which a job of ours was not in the queue yet

    def task(self, trunk: str, runs: Sequence[str]) -> dict[str, Any]:
        """The task of a trunk's runs."""
        chosen = self.chosen
        return task(
            name=cluster_jobs.job_name(self.sweep, self.mark, runs[0]), trunk=trunk, runs=runs, of=self.slice,
            words=cluster_jobs.train_words(self.store, runs, self.sweep), bucket=self.bucket, region=chosen.region,
            workdir=chosen.workdir, setup=chosen.setup, spot=chosen.spot, restarts=chosen.restarts,
        )  # fmt: skip

    def under_way(self) -> dict[str, Given]:
        """By trunk, the jobs of an earlier launch that wait or run."""
        out = {}
        for name, (number, status) in self._ask().items():
            if _state(number, status).phase in (WAITING, RUNNING):
                told = self._file(name)
                out[told["SCALING_TRUNK"]] = Given(name, told["SCALING_RUNS"].split())
        return out

    def look(self) -> dict[str, State]:
        """How each job stands; one that was launched a moment ago waits, whether or not the queue has it."""
        jobs = {name: of for name, of in self._ask().items() if of[0] > self.past.get(name, -1)}
        self.unseen = {name: looks + 1 for name, looks in self.unseen.items() if name not in jobs}
        out = {name: State(WAITING) for name, looks in self.unseen.items() if looks < cluster_jobs.DEAF}
        return out | {name: _state(*of) for name, of in jobs.items() if of[1] != "CANCELLED"}

    def give(self, trunk: str, runs: Sequence[str]) -> str:
        """Launches a job of these runs."""
        made = self.task(trunk, runs)
        name: str = made["name"]
        path = self.store.root / "sweeps" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(made, indent=1).encode())  # JSON is YAML
        cluster_jobs.call(_launch(name, str(path)))
        self.unseen[name] = 0
        self.past |= {name: self.newest[name]} if name in self.newest else {}
        return name

    def delete(self) -> None:
        """Cancels them; SweepError where one cannot be yet."""
        jobs = self._ask()
        ids = [str(number) for number, status in jobs.values() if _state(number, status).phase in (WAITING, RUNNING)]
        if ids:
            cluster_jobs.call(["sky", "jobs", "cancel", "--yes", *ids])
        late = [name for name in self.unseen if jobs.get(name, (-1, ""))[0] <= self.past.get(name, -1)]
        if late:
            raise SweepError(f"sky jobs queue: {late[0]} is not there yet")

    def tail(self, given: Given) -> list[str]:
        """The newest lines of a job."""
        return cluster_jobs.tail(_logs(given.name))

    def _ask(self) -> dict[str, tuple[int, str]]:
        """Number and status of the newest job of each name of ours."""
        jobs = newest(cluster_jobs.call(QUEUE), cluster_jobs.prefix(self.sweep, self.mark))
        self.newest = {name: number for name, (number, _) in jobs.items()}
        return jobs

    def _file(self, name: str) -> dict[str, str]:
        path = self.store.root / "sweeps" / f"{name}.yaml"
        try:
            told: dict[str, str] = json.loads(path.read_bytes())["envs"]
        except (OSError, ValueError, KeyError):
            raise SweepError(f"sky job {name} is under way, and {path} does not say of what: cancel it first") from None
        return told


def task(
    *, name: str, trunk: str, runs: Sequence[str], of: Slice, words: list[str], bucket: str, region: str, workdir: str,
    setup: str, spot: bool, restarts: int,
) -> dict[str, Any]:  # fmt: skip
    """SkyPilot's task of a trunk's runs; `run` is executed on every host of the slice."""
    return {
        "name": name,
        "envs": {"SCALING_TRUNK": trunk, "SCALING_RUNS": " ".join(runs)},  # for the launch that follows it
        "workdir": workdir,
        "num_nodes": 1,  # of one slice, however many hosts it has
        "resources": {
            "infra": f"gcp/{region}" if region else "gcp",
            "accelerators": f"tpu-{of.order}:1",
            "use_spot": spot,
            "job_recovery": {
                "strategy": "EAGER_NEXT_REGION",
                "max_restarts_on_errors": restarts,
                "recover_on_exit_codes": [AGAIN],
            },
        },
        "file_mounts": {cluster_jobs.MOUNT: {"source": f"gs://{bucket}", "mode": "MOUNT"}},
        "setup": setup,
        "run": script(of, words),
    }


def script(of: Slice, words: list[str]) -> str:
    """What each host does. Exit 2 (refused input) becomes 0, for SkyPilot would try again: no record comes of it."""
    command = shlex.join(words)
    lines = []
    if of.hosts > 1:
        lines.append("addresses=($SKYPILOT_NODE_IPS)")
        where = f'"${{addresses[0]}}:{COORDINATOR_PORT}"'
        command += f' --hosts {of.hosts} --host "$SKYPILOT_NODE_RANK" --coordinator {where}'
    lines += ["status=0", f"{command} || status=$?"]
    lines.append(f'if [ "$status" -eq {REFUSED} ]; then echo "refused its input: not run again"; exit 0; fi')
    lines.append('exit "$status"')
    return "\n".join(lines) + "\n"


def _launch(name: str, file: str) -> list[str]:
    return ["sky", "jobs", "launch", "--name", name, "--yes", "--async", file]


def _logs(name: str) -> list[str]:
    return ["sky", "jobs", "logs", "--no-follow", "--tail", str(cluster_jobs.LOG_LINES), "--name", name]


def newest(said: str, begin: str) -> dict[str, tuple[int, str]]:
    """Number and status of the newest job of each name that begins so; SweepError where the queue is no JSON list."""
    try:
        rows = [(str(row["job_name"]), int(row["job_id"]), str(row["status"])) for row in json.loads(said)]
    except (json.JSONDecodeError, KeyError, TypeError, ValueError):
        raise SweepError(f"sky jobs queue: no JSON list of jobs but {said[:80]!r}") from None
    out: dict[str, tuple[int, str]] = {}
    for name, number, status in rows:
        if name.startswith(begin) and number >= out.get(name, (-1, ""))[0]:
            out[name] = (number, status)
    return out


def _state(number: int, status: str) -> State:
    phase = PHASES.get(status, FAILED)
    return State(phase, f"{status}: see sky jobs logs {number}" if phase == FAILED else "")
