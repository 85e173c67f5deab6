"""Options of a launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scaling.config.options import option
from scaling.store.origin.options import ANONYMOUS_HELP
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
        engine_options: Options of an engine other than local, by name (`--option NAME=VALUE`).
        workers: Largest number of concurrent processes of the local engine; None: chosen for this machine.
        pack: Largest number of runs of one shape that the local engine trains as one program; 0: no packs; None:
            chosen for this machine.
        separate: Whether the local engine trains each run from scratch in its own process, to measure what sharing
            saves.
        anonymous: Whether the store is made anonymous, from now on: no names of machines and users, no absolute paths.
        caps: Limits on FLOPs, hours or dollars of the whole sweep.
        placement: Fields of `Placement` that differ from the defaults, for every run.
        tasks: Tasks on which every run is evaluated once it is done; None: none.
        code: Files or modules of the user, whose blocks the runs use (`scaling train --code`).
        command: Command that trains instead of `python -m scaling train`, for tests. The local engine then uses one
            worker and no packs, unless `workers` and `pack` are set.
    """

    engine: str = option(
        LOCAL,
        "engine that trains: local (this machine, default), slurm, ray, gke, skypilot, or FILE.py:NAME of your own",
    )
    engine_options: Mapping[str, str] = field(default_factory=dict)
    workers: int | None = option(
        None, "largest number of concurrent processes, local engine only (default: one per core)", metavar="K",
        parse=_parse_count,
    )  # fmt: skip
    pack: int | None = None
    separate: bool = option(
        False, "train each run from scratch in its own process, local engine only (to measure what sharing saves)"
    )
    anonymous: bool = option(False, ANONYMOUS_HELP)
    caps: Caps = field(default_factory=Caps)
    placement: Mapping[str, Any] = field(default_factory=dict)
    tasks: Tasks | None = None
    code: Sequence[str] = ()
    command: Sequence[str] = ()
