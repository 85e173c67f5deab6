"""Claiming a run: acquiring its lease, and writing a record with status "running" and its provenance."""

from __future__ import annotations

import copy
import dataclasses
import os
import platform
import socket
from contextlib import ExitStack
from typing import Any

import jax

from scaling.config.os_errors import describe_error
from scaling.config.placement import Placement
from scaling.config.run import RunConfig, dumps, run_id
from scaling.counting import counts
from scaling.distributed import collectives
from scaling.program.step import compute_dtype
from scaling.store.cost import TIMING_FACTS, cost_so_far, remove_timing
from scaling.store.damaged import read_or_set_aside
from scaling.store.files import write_atomic
from scaling.store.lease import Lease, LeaseHeldError
from scaling.store.origin.anonymous import public_configs
from scaling.store.origin.clock import current_date
from scaling.store.origin.commit import code_commit
from scaling.store.record import Record, Store
from scaling.training.telemetry import startup
from scaling.training.telemetry.profile import check_profile

SPEED_FACTS = (  # of the last process that did a step
    "tokens_per_second", "input_wait", "mfu", "peak_flops_per_second", "peak_source",
)  # fmt: skip
PROCESS_FACTS = ("commit", "device", "host", "jax", "precision", "started")  # recorded for each process of a run


def store_of_host(store: Store, placement: Placement) -> Store:
    """Returns the store as this host uses it: host 0 alone writes records and curves.

    Args:
        store: The store.
        placement: How the run is laid out on the devices.

    Raises:
        StoreError: It cannot be written.
        ConfigError: The placement is not allowed in it.
    """
    store.check_writable()
    check_profile(store, placement)
    store = copy.copy(store)
    store.writes = collectives.is_main_host()
    return store


def write_end(store: Store, record: Record) -> None:
    """Writes the record of a run that has ended or stopped.

    Args:
        store: The store.
        record: The record. If the run is finished, what it noted about its machine is in the record alone.
    """
    store.write(record)
    if record.status in ("done", "diverged"):
        remove_timing(store, record.run_id)


def earlier_record(store: Store, run: str) -> Record | None:
    """Returns the record of an earlier attempt, None without one; a damaged one is set aside.

    Args:
        store: The store; the caller holds the run's lease.
        run: The run id.

    Raises:
        DamagedFileError: The record cannot be read but may be intact (`read_or_set_aside`).
    """
    return read_or_set_aside(store, run) if store.writes else store.read_intact(run)


def claim_run(config: RunConfig, store: Store, earlier: Record | None, sweep: str | None) -> Record:
    """Writes the record of a run that this process starts to train.

    Args:
        config: The run's configuration.
        store: The store to write to; the caller holds the run's lease.
        earlier: The record of an earlier, unfinished attempt.
        sweep: Name of the sweep, as noted in the record.

    Returns:
        The record, with status "running".
    """
    record = Record(
        run_id=run_id(config),
        config=config,
        status="running",
        sweep=sweep or (earlier.sweep if earlier else None),
        params=counts.run_parameters(config),
        flops=counts.run_flops(config),
        evals=earlier.evals if earlier else {},
        about=provenance(config, store, earlier),
    )
    store.write(record)
    if store.writes:
        [public] = public_configs(store.root, [config])
        write_atomic(store.run_dir(record.run_id) / "config.json", dumps(public).encode())
    return record


def failed_record(record: Record, error: Exception) -> Record:
    """Returns the record with the error; its status is "stopped" if a host was lost, so that the run is resumed.

    Args:
        record: The run's record.
        error: The error that ended the run.
    """
    status = "stopped" if isinstance(error, collectives.HostLostError) else "failed"
    return dataclasses.replace(record, status=status, about={**record.about, "error": describe_error(error)})


def acquire_lease(store: Store, run: str, stack: ExitStack) -> Lease | None:
    """Acquires the lease on a run for all hosts of this process group.

    Args:
        store: The store with the lease.
        run: The run id.
        stack: Releases the lease when it is closed.

    Returns:
        The lease on host 0, None on the other hosts.

    Raises:
        LeaseHeldError: Another process trains the run (on every host).
    """
    leases: list[Lease] = []

    def acquire() -> str:
        try:
            leases.append(stack.enter_context(store.lease(run)))
        except LeaseHeldError as holder:
            return str(holder)
        return ""

    if holder := collectives.call_on_main_host(acquire):
        raise LeaseHeldError(f"run {run[:12]} is being trained by {holder}")
    return leases[0] if leases else None


def provenance(config: RunConfig, store: Store, earlier: Record | None) -> dict[str, Any]:
    """Returns the record's `about`: machine, versions, commit, and what earlier processes spent on the run.

    Args:
        config: The run.
        store: The store.
        earlier: Record of an earlier, unfinished attempt.
    """
    device = jax.devices()[0]
    carried: dict[str, Any] = {}
    if earlier is None:  # the wall time begins
        carried |= {"timing": {"wall": 0.0}, "timed_until": current_date("milliseconds")}
    else:
        carried |= cost_so_far(store, earlier)  # costs of all processes add up
        carried |= {name: earlier.about[name] for name in ("shared_steps",) if name in earlier.about}
        carried["spent_before"] = dict(carried)
        carried |= {name: earlier.about[name] for name in ("parent",) if name in earlier.about}
        kept = (*SPEED_FACTS, *TIMING_FACTS)
        carried |= {name: earlier.about[name] for name in kept if name in earlier.about}
        process = {name: earlier.about[name] for name in PROCESS_FACTS if name in earlier.about}
        carried["before"] = [*earlier.about.get("before", []), process]
    return {
        "commit": code_commit() or "unknown",
        "started": current_date(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": device.device_kind if device.platform != "cpu" else platform.machine() + " CPU",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine_share": float(os.environ.get("SCALING_MACHINE_SHARE", 1)),  # other processes use the remaining cores
        "precision": compute_dtype(config.precision),
        "jax": jax.__version__,
        "python": platform.python_version(),
        **startup.start_seconds(),
        **carried,
    }
