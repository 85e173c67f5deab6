"""Where runs are computed: each engine is three functions.

submit(store, sweep, configs, ...) -> job    starts computing the runs in this order
poll(job, timeout) -> list of events         what happened since; job.over once nothing is left to happen
cancel(job)                                  asks the runs to save and stop; poll on until job.over

Events are the trainer's own, one dict each:
    {"event": "start", "run_id", "steps", "from"}         from > 0: resumed or branched
    {"event": "step", "run_id", "step", "loss"}
    {"event": "end", "run_id", "status", "loss"?, "error"?}
and one of the engine's:
    {"event": "died", "run_id", "how", "log", "attempt", "attempts"}   its process ended without a word
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sweeps.engines import gke, local, ray, skypilot, slurm
from sweeps.errors import SweepError


class Engine(NamedTuple):
    """The three functions of an engine; and one that says what they would do, where it takes options.

    dry_run(store, sweep, configs, options=...) -> text     the exact files and commands; nothing is touched
    """

    submit: Callable[..., Any]
    poll: Callable[..., list[dict[str, Any]]]
    cancel: Callable[[Any], None]
    dry_run: Callable[..., str] | None = None


ENGINES: dict[str, Engine] = {
    "local": Engine(local.submit, local.poll, local.cancel),
    "slurm": Engine(slurm.submit, slurm.poll, slurm.cancel, slurm.dry_run),
    "ray": Engine(ray.submit, ray.poll, ray.cancel, ray.dry_run),
    "gke": Engine(gke.submit, gke.poll, gke.cancel, gke.dry_run),
    "skypilot": Engine(skypilot.submit, skypilot.poll, skypilot.cancel, skypilot.dry_run),
}


def engine(name: str) -> Engine:
    """The engine of a name; SweepError lists the known ones."""
    if name not in ENGINES:
        raise SweepError(f"engine {name!r}: known are {', '.join(ENGINES)}")
    return ENGINES[name]
