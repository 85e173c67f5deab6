"""Model FLOPs utilisation and memory of a run."""

from __future__ import annotations

import functools
import resource
import sys
from typing import Any

import jax

from scaling.counting.peak_flops import device_peak_flops
from scaling.program.matmul_rate import machine_matmul_rate
from scaling.program.step import compute_dtype

PUBLISHED, MEASURED = "published", "measured"


@functools.cache
def peak_flops(precision: str) -> tuple[float, str] | None:
    """Returns the peak FLOP/s of a device, and whether it is published or measured; None if it is not known.

    On a CPU it is the measured rate of a matrix product with all threads of the process, which is shared by all of
    JAX's CPU devices.

    Args:
        precision: `precision` of the run.
    """
    device, dtype = jax.devices()[0], compute_dtype(precision)
    if device.platform == "cpu":
        return machine_matmul_rate(dtype), MEASURED
    rate = device_peak_flops(device.device_kind, dtype)
    return None if rate is None else (rate, PUBLISHED)


def peak_devices(mesh_devices: int, packed_runs: int = 1) -> float:
    """Returns the number of devices whose peak rate a run could reach.

    Args:
        mesh_devices: Devices of the mesh. On a CPU they are one processor per host.
        packed_runs: Runs that share the mesh as a pack.
    """
    devices = jax.process_count() if jax.devices()[0].platform == "cpu" else mesh_devices
    return devices / packed_runs


def memory_peak() -> dict[str, Any]:
    """Returns the peak memory: of the fullest device of this host, or of the process where devices do not report it."""
    peaks = [(device.memory_stats() or {}).get("peak_bytes_in_use") for device in jax.local_devices()]
    known = [peak for peak in peaks if peak is not None]
    if known:
        return {"memory_peak_bytes": int(max(known)), "memory_peak_of": "device"}
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2)
    bytes_ = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"memory_peak_bytes": bytes_, "memory_peak_of": "process"}
