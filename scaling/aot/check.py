"""Checks whether a training step fits a TPU slice, by compiling it with libtpu on a machine without a TPU.

The step is compiled in a child process (scaling/aot/worker.py). Results are cached by shape, placement, slice, versions
and source code of the step.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.placement import Placement
from scaling.config.run import RunConfig, load
from scaling.config.schedule import ScheduleConfig
from scaling.config.user_code.blocks import code_sources
from scaling.config.validation import ConfigError, canonical, require, to_dict
from scaling.counting.peak_flops import ACCELERATORS
from scaling.counting.tpu import TpuSlice, tpu_slice
from scaling.store.files import DamagedFileError, read_json, user_cache_folder, write_json

# libtpu must not query the metadata server or take its lock; effort -1 compiles faster, with the same memory
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "TPU_ACCELERATOR_TYPE": "",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1", "JAX_EXEC_TIME_OPTIMIZATION_EFFORT": "-1.0", "XLA_FLAGS": "",
}  # fmt: skip


class PlacementRefused(ConfigError):
    """A run cannot be laid out over the slice; the message is one line."""


class CompilerError(RuntimeError):
    """libtpu failed for another reason than lack of memory; the message is one line."""


def requested_config(model: str, topology: TpuSlice, batch: int | None, length: int | None) -> RunConfig:
    """Returns the run to compile.

    Args:
        model: A config file (*.json) or the name of a preset.
        topology: The slice; a preset gets one sequence per chip.
        batch: Sequences per step, instead of the config's.
        length: Context length in tokens, instead of the config's.

    Raises:
        ConfigError: The config is invalid or the preset unknown.
    """
    if model.endswith(".json"):
        config = load(model)
        data = dataclasses.replace(config.data, length=length or config.data.length)
        return dataclasses.replace(config, data=data, batch=batch or config.batch)
    from scaling.config.presets import preset

    preset_model = preset(model)
    length = length or min(2048, preset_model.position_length or 2048)
    return RunConfig(
        model=preset_model,
        data=DataConfig(tokens="0" * 64, length=length),
        optimizer=OptimizerConfig(lr=1e-3),
        schedule=ScheduleConfig(name="constant"),
        batch=batch or topology.chips,
        steps=1,
    )


def check_fit(
    config: RunConfig,
    placement: Placement,
    name: str,
    *,
    advice: bool = True,
    fresh: bool = False,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Checks whether the training step of a run fits a TPU slice.

    Args:
        config: The run.
        placement: How it is laid out over the slice.
        name: The slice, such as v5e-16.
        advice: Whether to try placements that need less memory if the step does not fit.
        fresh: Whether to compile even if a result is cached.
        folder: Folder of cached results; None: the user's cache.

    Returns:
        A JSON object: `fits`; `topology`, `chips`, `mesh`, `batch`, `length`; `memory`, bytes per chip (arguments,
        outputs, aliased, temporaries, code, total, hbm); `collectives`, count and bytes per chip by kind; `kernels`,
        names of Pallas kernels; `flops` of one step and `seconds_at_peak`. Where the run cannot be laid out, `refused`
        says why. Where it does not fit, `largest` lists buffers, and `tried` and `would_fit` the other placements.

    Raises:
        CompilerError: libtpu failed.
        ConfigError: libtpu is not installed, or the slice is unknown.
    """
    try:
        result = compile_step(config, placement, name, fresh, folder)
    except PlacementRefused as error:
        head = {"topology": name, "batch": config.batch, "length": config.data.length}
        return {"fits": False, **head, "refused": str(error)}
    if result["fits"] or not advice:
        return result
    attempts: list[str] = []
    for changes in smaller_placements(config, placement, result["chips"]):
        fields = ", ".join(f"{field}={value}" for field, value in changes.items())
        print(f"does not fit; trying {fields}", file=sys.stderr)
        attempts.append(fields)
        try:
            smaller = compile_step(config, dataclasses.replace(placement, **changes), name, fresh, folder)
        except PlacementRefused:
            continue
        if smaller["fits"]:
            total = smaller["memory"]["total"]
            result.setdefault("would_fit", []).append({"place": changes, "total": total})
            break
    return {**result, "tried": attempts}


def smaller_placements(config: RunConfig, placement: Placement, chips: int) -> list[dict[str, Any]]:
    """Returns changes of placement that need less memory, the least costly first.

    Args:
        config: The run.
        placement: The placement that does not fit.
        chips: Chips of the slice.
    """
    model_axes = placement.tensor * placement.expert
    remat = {} if placement.remat == "full" else {"remat": "full"}
    spread = {"data": 1, "fsdp": chips // model_axes}
    fsdp = {} if placement.fsdp == chips // model_axes or config.batch % (chips // model_axes) else spread
    partial_remat = [{**fsdp, "remat": "dots"}] if fsdp and placement.remat == "none" else []
    tries: list[dict[str, Any]] = [remat, fsdp, *partial_remat, {**fsdp, **remat}]
    tensor = 2 * placement.tensor
    if chips % (tensor * placement.expert) == 0:
        tries.append({"data": 1, "fsdp": chips // (tensor * placement.expert), "tensor": tensor, **remat})
    return [dict(pair) for pair in dict.fromkeys(tuple(changes.items()) for changes in tries if changes)]


def compile_step(
    config: RunConfig, placement: Placement, name: str, fresh: bool, folder: Path | None = None
) -> dict[str, Any]:
    """Compiles one placement, or returns the cached result; see `check_fit` for arguments and errors.

    Args:
        config: The run.
        placement: How it is laid out on the devices.
        name: Name of the slice.
        fresh: Whether to compile even if a result is cached.
        folder: Folder of cached results.
    """
    topology = tpu_slice(name)
    require(
        importlib.util.find_spec("libtpu") is not None,
        "libtpu is not installed; it compiles for TPUs on any machine: pip install 'scaling[tpu]' (about 700 MB)",
    )
    request = {
        "config": to_dict(config), "placement": to_dict(placement), "topology": name, "code": code_sources()
    }  # fmt: skip
    path = (folder or cache_folder()) / cache_file(config, placement, name)
    if not fresh and (cached := cached_result(path)) is not None:
        return {**cached, "kept": True}
    env = {**os.environ, **ENVIRONMENT}
    env["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    child = subprocess.run(
        [sys.executable, "-m", "scaling.aot.worker"], input=json.dumps(request), capture_output=True, text=True,
        env=env, cwd=Path(__file__).parents[2], check=False,
    )  # fmt: skip
    if child.returncode:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise CompilerError(f"the compiler for {name} failed ({child.returncode}): {last[:500]}")
    result = json.loads(child.stdout.strip().splitlines()[-1])
    if "config_error" in result:
        raise PlacementRefused(result["config_error"])
    result = describe_result(result, config, topology)
    write_json(path, {"result": result, "sha256": _result_hash(result)})
    return {**result, "kept": False}


def cached_result(path: Path) -> dict[str, Any] | None:
    """Returns a cached result; None without one, or if its file is damaged: the step is then compiled again."""
    try:
        cached = read_json(path)
    except (FileNotFoundError, DamagedFileError):
        return None
    if not isinstance(cached, dict) or cached.get("sha256") != _result_hash(cached.get("result")):
        return None
    return dict(cached["result"])


def _result_hash(result: Any) -> str:
    return hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest()


def describe_result(result: dict[str, Any], config: RunConfig, topology: TpuSlice) -> dict[str, Any]:
    """Adds run, slice, memory limit and FLOPs to the worker's result.

    Args:
        result: Result of scaling/aot/worker.py.
        config: The run.
        topology: The slice.
    """
    from scaling.counting import counts

    flops = counts.run_flops(dataclasses.replace(config, steps=1, schedule=ScheduleConfig(name="constant")))["total"]
    head = {"fits": result.pop("fits"), "topology": topology.name, "batch": config.batch, "length": config.data.length}
    memory = result.setdefault("memory", {})
    memory["hbm"] = topology.generation.hbm
    head["fits"] = head["fits"] and memory.get("total", 0) <= memory["hbm"]  # the compiler may accept more
    peak = ACCELERATORS[topology.name.partition("-")[0]].rates["bfloat16"]
    work = {"flops": flops, "seconds_at_peak": flops / (topology.chips * peak)}
    if result.get("compiler_seconds", 0.0) < work["seconds_at_peak"]:  # it counts the body of a loop once
        result.pop("compiler_seconds", None)
    return {**head, **result, **work, "libtpu": metadata.version("libtpu")}


def cache_folder() -> Path:
    """Returns the default folder of cached results."""
    return user_cache_folder() / "aot"


def cache_file(config: RunConfig, placement: Placement, name: str) -> str:
    """Returns the file name of a cached result, a hash of everything that it depends on.

    Args:
        config: The run.
        placement: How it is laid out on the devices.
        name: Name of the slice.
    """
    shape = canonical(config)
    for field in ("steps", "seed", "schedule", "eval"):
        shape.pop(field, None)
    shape["data"].pop("tokens")
    shape["optimizer"].pop("lr")
    dependencies = [shape, to_dict(placement), name, metadata.version("libtpu"), metadata.version("jax"), source_hash()]
    key = hashlib.sha256(json.dumps(dependencies, sort_keys=True).encode()).hexdigest()[:32]
    return f"{key}.json"


@functools.cache
def source_hash() -> str:
    """Returns a hash of the source code of a training step."""
    code = Path(__file__).parents[1]
    files = [
        file for part in ("aot", "models", "program", "distributed") for file in sorted((code / part).rglob("*.py"))
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def as_text(result: dict[str, Any]) -> str:
    """Formats a result of `check_fit` for a terminal."""
    if "refused" in result:
        return f"{result['topology']}, batch {result['batch']} × {result['length']}: {result['refused']}"
    mesh = " × ".join(f"{axis} {size}" for axis, size in result["mesh"].items() if size > 1) or "one chip"
    total, hbm = result["memory"].get("total"), result["memory"]["hbm"]
    needs = f"{total / 1e9:.2f} of {hbm / 1e9:.1f} GB per chip" if total else f"more than {hbm / 1e9:.1f} GB per chip"
    verb = "fits" if result["fits"] else "does NOT fit"
    lines = [f"{result['topology']} ({mesh}), batch {result['batch']} × {result['length']}: {verb}, {needs}"]
    for part, size in result["memory"].items():
        lines += [f"  {part:12} {size / 1e9:10.3f} GB"]
    for kind, totals in result.get("collectives", {}).items():
        lines += [f"  {kind:20} {totals['count']:6} per step  {totals['bytes'] / 1e9:10.3f} GB per chip"]
    lines += [f"  kernels: {', '.join(result['kernels'])}"] if result.get("kernels") else []
    for buffer in result.get("largest", []):
        lines += [f"  largest: {buffer['bytes'] / 1e9:.3f} GB  {buffer['what'][:100]}"]
    for fitting in result.get("would_fit", []):
        flags = " ".join(f"--place {field}={value}" for field, value in fitting["place"].items())
        lines += [f"  would fit with {flags}: {fitting['total'] / 1e9:.2f} GB per chip"]
    if not result["fits"] and result.get("tried") and not result.get("would_fit"):
        lines += [f"  none of these fits: {'; '.join(result['tried'])}; use more chips or a smaller batch"]
    lines += [
        f"  {result['flops']:.3e} FLOPs per step, {result['seconds_at_peak']:.4f} s at the peak rate of the chips"
    ]
    return "\n".join(lines)
