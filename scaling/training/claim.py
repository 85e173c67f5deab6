"""Taking a run in hand: its lease, its record, and where its numbers come from."""

from __future__ import annotations

import dataclasses
import os
import platform
import socket
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import jax

from scaling.config.run import RunConfig, dumps, run_id
from scaling.distributed import collectives
from scaling.models import counts
from scaling.program.step import compute_dtype
from scaling.store.files import write_atomic
from scaling.store.lease import Held, Lease
from scaling.store.record import Record, Store
from scaling.training import commit, startup


def taken(config: RunConfig, store: Store, earlier: Record | None, sweep: str | None) -> Record:
    """The record of a run that this process has taken in hand, written."""
    record = Record(
        run_id=run_id(config), config=config, status="running",
        sweep=sweep or (earlier.sweep if earlier else None),
        params=counts.parameters(config.model), flops=counts.run_flops(config),
        evals=earlier.evals if earlier else {}, about=about(config, store, earlier),
    )  # fmt: skip
    store.write(record)
    if store.writes:
        write_atomic(store.run_dir(record.run_id) / "config.json", dumps(config).encode())
    return record


def failed(record: Record, error: Exception) -> Record:
    """The record of a run that died of `error`; one that lost a host is to go on."""
    line = " ".join(str(error).split()) or type(error).__name__
    status = "stopped" if isinstance(error, collectives.HostLost) else "failed"
    return dataclasses.replace(record, status=status, about={**record.about, "error": line})


def leased(store: Store, run: str, held: ExitStack) -> Lease | None:
    """Host 0's lease on the run, kept as long as `held` is; on every host Held where another process has it."""
    found: list[Lease] = []

    def take() -> str:
        try:
            found.append(held.enter_context(store.lease(run)))
        except Held as holder:
            return str(holder)
        return ""

    if holder := collectives.agree(take):
        raise Held(f"run {run[:12]} is being trained by {holder}")
    return found[0] if found else None


def about(config: RunConfig, store: Store, earlier: Record | None) -> dict[str, Any]:
    """Where the numbers come from: machine, versions, commit, token file."""
    device = jax.devices()[0]
    kept: dict[str, Any] = {}
    if earlier is not None:
        kept |= store.spent(earlier)  # by earlier processes: what is spent adds up
        kept |= {name: earlier.about[name] for name in ("shared_steps",) if name in earlier.about}
        kept["spent_before"] = dict(kept)  # what this process adds to as it goes
        made = ("commit", "device", "host", "jax", "precision", "started")
        part = {name: earlier.about[name] for name in made if name in earlier.about}
        kept["before"] = [*earlier.about.get("before", []), part]  # what trained the steps before a stop
    return {
        "commit": commit.commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": device.device_kind if device.platform != "cpu" else platform.machine() + " CPU",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine_share": float(os.environ.get("SCALING_MACHINE_SHARE", 1)),  # of its cores: others train beside
        "precision": compute_dtype(config.precision),
        "jax": jax.__version__,
        "python": platform.python_version(),
        **startup.once(),
        **kept,
    }
