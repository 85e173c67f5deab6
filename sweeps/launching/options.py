"""Options of a launch, as the command line and other callers give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scaling.config.options import option
from sweeps.cost.caps import Caps
from sweeps.definitions import Tasks
from sweeps.errors import SweepError

LOCAL = "local"


def _parse_count(flag: str, text: str) -> int:
    if not text.isdecimal():
        raise SweepError(f"{flag} {text}: must be a whole number, 1 or more")
    return int(text)


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """How a sweep is launched.

    Attributes:
        engine: Name of the engine that trains the runs.
        engine_options: Options of an engine other than local, as texts by name (`--option NAME=VALUE`).
        workers: Most processes of the local engine at the same time; None: as many as this machine is best used by.
        pack: Most runs of one shape that the local engine trains as one program; None: as many as pay; 0: no packs.
        separate: A process for each run and nothing shared, on the local engine: the reference for what sharing saves.
        caps: Most FLOPs, hours or dollars of the whole sweep.
        placement: Fields of `Placement` that differ from the defaults, for every run.
        tasks: Tasks that every run is evaluated on once it is done; None: none.
        command: Command that trains, in place of `python -m scaling train`, for tests. The local engine then uses one
            worker and no packs unless told otherwise.
    """

    engine: str = option(LOCAL, "where to train: local (this machine, the default), slurm, ray, gke or skypilot")
    engine_options: Mapping[str, str] = field(default_factory=dict)
    workers: int | None = option(
        None, "processes at the same time, local engine only (default: one per core)", metavar="K", parse=_parse_count
    )
    pack: int | None = None
    separate: bool = option(False, "one process per run and nothing shared, local engine only: for comparison")
    caps: Caps = field(default_factory=Caps)
    placement: Mapping[str, Any] = field(default_factory=dict)
    tasks: Tasks | None = None
    command: Sequence[str] = ()
