"""TPU VMs through SkyPilot: each run a managed job, started again elsewhere when its spot slice is taken.

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

from scaling.config import RunConfig, run_id
from scaling.record import Store, write_atomic
from sweeps.corpus import SweepError
from sweeps.engines import gang
from sweeps.engines.gang import Job, State
from sweeps.engines.gke_manifest import AGAIN, REFUSED
from sweeps.engines.slices import Slice, slice_of

COORDINATOR_PORT = 8482  # JAX's own since 0.8.1
ONE_VM = 8  # chips of the largest v5e or v6e slice that is one TPU VM
BY_HAND = "sky jobs cancel --yes JOB_ID ..."
QUEUE = ("sky", "jobs", "queue", "--all", "--output", "json")
PHASES = {
    "PENDING": "waiting", "SUBMITTED": "waiting", "STARTING": "waiting", "RECOVERING": "waiting",
    "RUNNING": "running", "WINDING_DOWN": "running", "CANCELLING": "running",
    "SUCCEEDED": "succeeded",
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
    restarts: int = gang.RESTARTS


poll = gang.poll
cancel = gang.cancel


def submit(
    store: Store,
    sweep: str,
    configs: Sequence[RunConfig],
    *,
    options: Mapping[str, str],
    keep_open: Sequence[int] = (),
) -> Job:
    """Launches a managed job a run, but for those that are under way."""
    chosen = gang.given(Options, options)
    made = _tasks(store, sweep, configs, chosen)
    left = gang.write_configs(store, configs)
    names = {task["name"]: name for name, task in made.items()}
    known = {name: state for name, (_, state) in _jobs(names).items()}
    for name, task in made.items():
        if name in known and known[name].phase in ("waiting", "running"):
            continue
        path = store.root / "sweeps" / f"{task['name']}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(task, indent=1).encode())  # JSON is YAML
        gang.call(_launch(task["name"], str(path)))
    return Job(
        store=store, sweep=sweep, left=left, attempts=chosen.restarts + 1,
        states=lambda: {name: state for name, (_, state) in _jobs(names).items()},
        delete=lambda: _stop(names), by_hand=BY_HAND,
        log=lambda name: gang.tail(_logs(made[name]["name"])),
    )  # fmt: skip


def dry_run(store: Store, sweep: str, configs: Sequence[RunConfig], *, options: Mapping[str, str]) -> str:
    """The files and commands of `submit`, `poll` and `cancel`, as text; nothing is written or asked."""
    chosen = gang.given(Options, options)
    lines = []
    for made in _tasks(store, sweep, configs, chosen).values():
        job = made["name"]
        lines += [f"# {job}.yaml", json.dumps(made, indent=1), shlex.join(_launch(job, f"{job}.yaml")), ""]
    lines += ["# followed with", shlex.join(QUEUE), "# stopped with", BY_HAND]
    return "\n".join(lines)


def task(
    *, name: str, of: Slice, words: list[str], bucket: str, region: str, workdir: str, setup: str, spot: bool,
    restarts: int,
) -> dict[str, Any]:  # fmt: skip
    """SkyPilot's task of one run; `run` is executed on every host of the slice."""
    return {
        "name": name,
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
        "file_mounts": {gang.MOUNT: {"source": f"gs://{bucket}", "mode": "MOUNT"}},
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


def _tasks(store: Store, sweep: str, configs: Sequence[RunConfig], chosen: Options) -> dict[str, dict[str, Any]]:
    of, bucket = slice_of(chosen.topology, largest=ONE_VM), gang.bucket(chosen.bucket)
    mark = gang.mark(chosen.bucket, sweep)
    return {
        name: task(
            name=gang.job_name(sweep, mark, name), of=of, words=gang.train_words(store, name, sweep), bucket=bucket,
            region=chosen.region, workdir=chosen.workdir, setup=chosen.setup, spot=chosen.spot,
            restarts=chosen.restarts,
        )
        for name in map(run_id, configs)
    }  # fmt: skip


def _launch(name: str, file: str) -> list[str]:
    return ["sky", "jobs", "launch", "--name", name, "--yes", "--async", file]


def _logs(name: str) -> list[str]:
    return ["sky", "jobs", "logs", "--no-follow", "--tail", str(gang.LOG_LINES), "--name", name]


def _stop(names: Mapping[str, str]) -> None:
    ids = [str(number) for number, state in _jobs(names).values() if state.phase in ("waiting", "running")]
    if ids:
        gang.call(["sky", "jobs", "cancel", "--yes", *ids])


def _jobs(names: Mapping[str, str]) -> dict[str, tuple[int, State]]:
    """Each run's newest job, its number and state; SweepError where the answer is none."""
    return newest(gang.call(QUEUE), names)


def newest(said: str, names: Mapping[str, str]) -> dict[str, tuple[int, State]]:
    """The queue's JSON by run; `names`: run_id by job name. A cancelled job is absent."""
    try:
        rows = [(row["job_name"], int(row["job_id"]), str(row["status"])) for row in json.loads(said)]
    except (json.JSONDecodeError, KeyError, TypeError, ValueError):
        raise SweepError(f"sky jobs queue: no JSON list of jobs but {said[:80]!r}") from None
    last: dict[str, tuple[int, str]] = {}
    for job, number, status in rows:
        if job in names and number >= last.get(names[job], (-1, ""))[0]:
            last[names[job]] = (number, status)
    return {name: (number, _state(number, status)) for name, (number, status) in last.items() if status != "CANCELLED"}


def _state(number: int, status: str) -> State:
    phase = PHASES.get(status, "failed")
    return State(phase, f"{status}: see sky jobs logs {number}" if phase == "failed" else "")
