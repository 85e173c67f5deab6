"""The devices and CPUs that each engine gives a run, for dry runs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Any

from scaling.counting.tpu import TpuSlice
from sweeps.cost.memory import Devices
from sweeps.engines.gke_manifest import GkeOptions
from sweeps.engines.local import LocalOptions
from sweeps.engines.ray import RayOptions, task_resources
from sweeps.engines.skypilot import SkyPilotOptions
from sweeps.engines.slurm import SlurmOptions
from sweeps.launching.check_topology import available_memory
from sweeps.planning.workers import divide_cores, has_accelerator

# Bytes of GPUs by the names that clusters use in gres, from NVIDIA's data sheets; the smaller one of two variants.
GPU_MEMORY = {
    name: gigabytes * 10**9
    for name, gigabytes in {
        "h200": 141, "h100": 80, "a100": 40, "a100_80gb": 80, "l40s": 48, "a40": 48, "l4": 24, "a10": 24, "v100": 16,
        "t4": 16,
    }.items()
}  # fmt: skip
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Resources:
    """What serves one run.

    Attributes:
        devices: Its devices.
        text: Devices and CPUs in words.
        warnings: What is probably not intended.
    """

    devices: Devices
    text: str
    warnings: tuple[str, ...] = ()


def run_resources(options: Any, workers: int) -> Resources:
    """Returns what an engine gives each run.

    Args:
        options: The engine's options.
        workers: Processes of the local engine.
    """
    if isinstance(options, GkeOptions):
        return _slice_resources(options.slice, options.spot, _image_warnings(options.image))
    if isinstance(options, SkyPilotOptions):
        return _slice_resources(options.slice, options.spot, ())
    if isinstance(options, SlurmOptions):
        return _slurm_resources(options)
    if isinstance(options, RayOptions):
        return _ray_resources(options)
    if isinstance(options, LocalOptions):
        return _local_resources(workers)
    return Resources(Devices(1, has_accelerator(), None), "as the engine gives it (counted as one device here)")


def _slice_resources(tpu: TpuSlice, spot: bool, warnings: tuple[str, ...]) -> Resources:
    hosts = f"{tpu.hosts} hosts of {tpu.chips_per_host} chips" if tpu.hosts > 1 else "1 host"
    kind = "spot" if spot else "on demand"
    text = f"{tpu.chips} TPU chips ({tpu.name}, {kind}) on {hosts}, with all CPUs of each host"
    return Resources(Devices(tpu.chips, True, tpu.generation.hbm), text, warnings)


def _image_warnings(image: str) -> tuple[str, ...]:
    tag = image.rpartition("/")[2].partition(":")[2]
    if "@" in image or tag not in ("", "latest"):
        return ()
    return (f"image {image} names no version: restarted pods may run other code; give it a tag",)


def _slurm_resources(options: SlurmOptions) -> Resources:
    kind, in_gres = _gres_gpus(options.gres)
    gpus = options.gpus or in_gres
    nodes = f"{options.nodes} nodes, each with " if options.nodes > 1 else ""
    cpus = _count(options.cpus, "CPU") if options.cpus else "the cluster's default number of CPUs"
    memory = f", {options.mem} of memory" if options.mem else ""
    text = f"{nodes}{_gpu_text(gpus)} and {cpus}{memory}; time limit {options.time}, then requeued"
    warnings = _gpu_warnings(gpus, "--option gpus=1 or gres=...")
    if not options.cpus:
        warnings += ("cpus is not set: clusters often give 1 CPU by default; see --option cpus=N",)
    return Resources(Devices(options.nodes * max(gpus, 1), gpus > 0, GPU_MEMORY.get(kind)), text, warnings)


def _gres_gpus(gres: str) -> tuple[str, int]:
    """Returns the kind ("" if not named) and number of a node's GPUs in text such as gpu:2 or gpu:a100:4,disk:1."""
    for part in gres.split(","):
        name, *fields = part.partition("=")[0].split(":")
        if name == "gpu":
            count = int(fields.pop()) if fields and fields[-1].isdecimal() else 1
            return (fields[0].lower() if fields else ""), count
    return "", 0


def _ray_resources(options: RayOptions) -> Resources:
    named = task_resources(options).get("resources", {})
    chips = int(named.get("TPU", 0))
    count = options.gpus or chips
    kind = f"{chips} TPU chips" if chips and not options.gpus else _gpu_text(options.gpus)
    others = ", ".join(f"{name} {number:g}" for name, number in named.items() if name != "TPU")
    text = f"{kind} and {_count(options.cpus, 'CPU')}" + (f" ({others})" if others else "")
    warnings = () if count else _gpu_warnings(0, "--option gpus=1")
    return Resources(Devices(max(count, 1), count > 0, None), text, warnings)


def _gpu_memory() -> list[int]:
    """Returns the bytes of each GPU of this machine by nvidia-smi; empty without it."""
    try:
        output = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [int(line) * MEBIBYTE for line in output.splitlines() if line.strip().isdecimal()]


def _gpu_text(gpus: int) -> str:
    return _count(gpus, "GPU") if gpus else "no GPU"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'s' * (number != 1)}"


def _gpu_warnings(gpus: int, flag: str) -> tuple[str, ...]:
    return () if gpus else (f"no GPU is requested, so that runs train on CPUs: see {flag}",)


def _local_resources(workers: int) -> Resources:
    if has_accelerator():
        memory = _gpu_memory()
        if memory:
            return Resources(Devices(len(memory), True, min(memory)), f"{_gpu_text(len(memory))} of this machine")
        return Resources(Devices(1, True, None), "the accelerators of this machine (counted as one here)")
    cores = divide_cores(workers)[0]
    share = _count(len(cores), "CPU core") if cores else "all CPU cores"
    text = f"{share} of this machine, no accelerator; {workers} process{'es' * (workers > 1)} at a time"
    return Resources(Devices(1, False, available_memory() // workers), text)
