"""Engines: the systems that train the runs of a sweep.

`ENGINES` maps the names that `launch --engine` accepts to the functions of an engine; `get_engine` returns an entry.
The local engine trains in child processes of this machine. The others submit one job per trunk: `slurm` and `ray` to
a cluster whose nodes mount the store, `gke` and `skypilot` to TPU slices in a cloud, where the store is a bucket.
A launch passes a `Submission` to an engine; events.py describes the events that an engine reports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sweeps.engines import gke, gke_manifest, local, ray, skypilot, slurm
from sweeps.engines.events import Event
from sweeps.engines.submission import DryRun
from sweeps.errors import SweepError


class Engine(NamedTuple):
    """The functions of an engine and the dataclass of its options.

    Attributes:
        submit: `submit(submission, options) -> job` starts to train the runs in the given order.
        poll: `poll(job, timeout) -> events` returns the events since the last call, waiting at most `timeout` seconds.
            Once `job.finished` is True there are no further events; `job.error` then says why runs remain.
        cancel: `cancel(job)` asks the runs to save and stop; poll until `job.finished`.
        options: Dataclass of the engine's options.
        dry_run: `dry_run(submission, options) -> DryRun` returns the exact files and commands of `submit`, `poll` and
            `cancel` without running them.
    """

    submit: Callable[..., Any]
    poll: Callable[..., list[Event]]
    cancel: Callable[[Any], None]
    options: type[Any]
    dry_run: Callable[..., DryRun]


ENGINES: dict[str, Engine] = {
    "local": Engine(local.submit, local.poll, local.cancel, local.LocalOptions, local.dry_run),
    "slurm": Engine(slurm.submit, slurm.poll, slurm.cancel, slurm.SlurmOptions, slurm.dry_run),
    "ray": Engine(ray.submit, ray.poll, ray.cancel, ray.RayOptions, ray.dry_run),
    "gke": Engine(gke.submit, gke.poll, gke.cancel, gke_manifest.GkeOptions, gke.dry_run),
    "skypilot": Engine(skypilot.submit, skypilot.poll, skypilot.cancel, skypilot.SkyPilotOptions, skypilot.dry_run),
}


def get_engine(name: str) -> Engine:
    """Returns the engine with a name; raises SweepError for an unknown name."""
    if name not in ENGINES:
        raise SweepError(f"engine {name!r}: must be one of {', '.join(ENGINES)}")
    return ENGINES[name]
