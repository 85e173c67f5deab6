"""Child process of scaling/aot/check.py: compiles one training step for a TPU slice; JSON in, JSON out."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies

from scaling.aot.hlo import collectives, kernels
from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.config.user_code import user_errors
from scaling.config.user_code.blocks import use_code
from scaling.config.validation import ConfigError, from_dict
from scaling.counting.tpu import TpuSlice, tpu_slice
from scaling.distributed import sharding
from scaling.program.build import lower_step
from scaling.program.step import program_shape

UNITS = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
SIZE = re.compile(r"([\d.]+)([KMGT]?)")
# two forms of the compiler's message: after it has placed every buffer, and before, about temporaries alone
USED = re.compile(
    r"(?:Used|temporaries \()\s*([\d.]+[KMGT]?)\)? (?:of|exceeds available HBM \()\s*([\d.]+[KMGT]?)", re.IGNORECASE
)
LARGE = re.compile(r"^\s*(\d+)\. Size: ([\d.]+[KMGT]?)\n(.*?)(?=\n\s*=====|\Z)", re.MULTILINE | re.DOTALL)


def main() -> None:
    """Reads a request from standard input and prints the result."""
    request = json.loads(sys.stdin.read())
    config, placement = from_dict(RunConfig, request["config"]), from_dict(Placement, request["placement"])
    use_code(request["code"])
    try:
        with user_errors():
            result = compile_for_slice(config, placement, tpu_slice(request["topology"]))
    except ConfigError as error:
        result = {"config_error": str(error)}
    print(json.dumps(result))


def compile_for_slice(config: RunConfig, placement: Placement, topology: TpuSlice) -> dict[str, Any]:
    """Compiles the step and returns whether it fits, its memory and its collectives.

    Args:
        config: The run.
        placement: How it is laid out over the slice.
        topology: The slice.

    Raises:
        ConfigError: The run cannot be laid out over the slice.
    """
    options: Any = dict(topology.generation.libtpu_options)
    if topology.chips == 1:
        options["chips_per_host_bounds"] = [1, 1, 1]
    devices = topologies.get_topology_desc(platform="tpu", topology_name=topology.libtpu_name, **options).devices
    vars(jax)["default_backend"] = lambda: "tpu"  # the models choose kernels by the backend
    axes = sharding.mesh_shape(placement, len(devices))
    sharding.check_all_devices_used(axes, len(devices), topology.name)
    mesh = sharding.arrange_devices(list(devices), axes)
    check_batch(mesh, config.batch)
    sharding.check_experts(mesh, config.model.experts)
    started = time.perf_counter()
    facts: dict[str, Any] = {"mesh": dict(mesh.shape), "chips": len(devices)}
    try:
        lowered = lower_step(program_shape(config, placement, axes), mesh)
        facts["lower_seconds"] = round(time.perf_counter() - started, 2)
        step = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        result = parse_memory_error(str(error))
        result["largest"] = result["largest"] or largest_arrays(lowered)  # the compiler may name none
        return {"fits": False, **facts, **result}
    facts["compile_seconds"] = round(time.perf_counter() - started, 2)
    return {"fits": True, **facts, **step_facts(step)}


def check_batch(mesh: Any, batch: int) -> None:
    """Raises ConfigError unless the devices divide the batch; the message suggests a tensor axis with which they do.

    Args:
        mesh: The device mesh.
        batch: Sequences per step.
    """
    try:
        sharding.check_batch(mesh, batch)
    except ConfigError as error:
        rows = math.prod(mesh.shape[axis] for axis in sharding.BATCH_AXES)
        tensor = mesh.shape["tensor"] * rows // math.gcd(rows, batch)
        raise ConfigError(f"{error}; --place tensor={tensor} leaves {math.gcd(rows, batch)}") from None


def largest_arrays(step: Any) -> list[dict[str, Any]]:
    """Returns the five largest arrays of the unsharded state, which the fsdp and tensor axes divide."""
    args = jax.tree_util.tree_flatten_with_path(step.args_info)[0]
    sizes = [(int(np.prod(leaf.shape)) * leaf.dtype.itemsize, jax.tree_util.keystr(path)) for path, leaf in args]
    return [{"bytes": size, "what": f"state, whole: {name}"} for size, name in sorted(sizes, reverse=True)[:5]]


def step_facts(step: Any) -> dict[str, Any]:
    """Returns bytes per chip, collectives, kernels and the compiler's own time estimate of a compiled step."""
    memory = step.memory_analysis()
    parts = {
        "arguments": memory.argument_size_in_bytes,
        "outputs": memory.output_size_in_bytes,
        "aliased": memory.alias_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
    }
    parts["total"] = sum(parts.values()) - 2 * parts["aliased"]
    costs = step.cost_analysis() or {}
    seconds = (costs[0] if isinstance(costs, list) else costs).get("optimal_seconds", -1.0)
    text = step.as_text()
    facts = {"memory": parts, "collectives": collectives(text), "kernels": kernels(text)}
    return facts | ({"compiler_seconds": seconds} if seconds > 0 else {})  # often negative, which is meaningless


def parse_memory_error(message: str) -> dict[str, Any]:
    """Parses the required and available bytes and the largest buffers from the compiler's message."""
    facts: dict[str, Any] = {}
    if used := USED.search(message):
        facts["memory"] = {"total": parse_bytes(used[1]), "usable": parse_bytes(used[2])}
    facts["largest"] = [
        {"bytes": parse_bytes(item[2]), "what": " ".join(item[3].split())[:300]} for item in LARGE.finditer(message)
    ][:5]
    return facts


def parse_bytes(text: str) -> int:
    """Returns the bytes of a size such as 15.75G."""
    number = SIZE.fullmatch(text)
    return int(float(number[1]) * UNITS[number[2]]) if number else 0


if __name__ == "__main__":
    main()
