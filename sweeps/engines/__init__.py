"""Engines: the systems that train the runs of a sweep.

`ENGINES` maps the names that `launch --engine` accepts to the functions of an engine; `get_engine` returns an entry.
The local engine trains in child processes of this machine. The others submit one job per trunk: `slurm` and `ray` to
a cluster whose nodes mount the store, `gke` and `skypilot` to TPU slices in a cloud, where the store is a bucket.
A launch passes a `Submission` to an engine; events.py describes the events that an engine reports. `launch --engine`
also accepts an engine in a user's own file (engine.py).
"""

from __future__ import annotations

from sweeps.engines import gke, gke_manifest, local, ray, skypilot, slurm
from sweeps.engines.engine import Engine, NoOptions, load_engine
from sweeps.engines.events import Event, parse_event
from sweeps.engines.submission import DryRun, JobFile, Submission, train_command, write_configs
from sweeps.errors import SweepError

ENGINES: dict[str, Engine] = {
    "local": Engine(local.submit, local.poll, local.cancel, local.LocalOptions, local.dry_run),
    "slurm": Engine(slurm.submit, slurm.poll, slurm.cancel, slurm.SlurmOptions, slurm.dry_run),
    "ray": Engine(ray.submit, ray.poll, ray.cancel, ray.RayOptions, ray.dry_run),
    "gke": Engine(gke.submit, gke.poll, gke.cancel, gke_manifest.GkeOptions, gke.dry_run),
    "skypilot": Engine(skypilot.submit, skypilot.poll, skypilot.cancel, skypilot.SkyPilotOptions, skypilot.dry_run),
}


def get_engine(name: str) -> Engine:
    """Returns an engine.

    Args:
        name: A known engine, or one in a user's file or module (`load_engine`), which is run.

    Raises:
        SweepError: The name is unknown.
        ConfigError: The user's file raises an error.
    """
    if name in ENGINES:
        return ENGINES[name]
    if ":" in name or name.endswith(".py") or "." in name:
        return load_engine(name)
    raise SweepError(f"engine {name!r}: must be one of {', '.join(ENGINES)}, or FILE.py:NAME")


__all__ = [
    "ENGINES",
    "DryRun",
    "Engine",
    "Event",
    "JobFile",
    "NoOptions",
    "Submission",
    "get_engine",
    "parse_event",
    "train_command",
    "write_configs",
]
