"""The child of scaling/aot/check.py: compiles one step for a TPU that is not here. JSON in, JSON out.

A process of its own because libtpu wants an environment of its own before JAX is imported.
"""

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
from scaling.aot.topologies import Topology, topology
from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError, from_dict
from scaling.distributed import sharding
from scaling.program.step import lower_step, shape_of

UNITS = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
SIZE = re.compile(r"([\d.]+)([KMGT]?)")
# either of the compiler's complaints: after placing every buffer, or before, of the temporaries alone
USED = re.compile(
    r"(?:Used|temporaries \()\s*([\d.]+[KMGT]?)\)? (?:of|exceeds available HBM \()\s*([\d.]+[KMGT]?)", re.IGNORECASE
)
LARGE = re.compile(r"^\s*(\d+)\. Size: ([\d.]+[KMGT]?)\n(.*?)(?=\n\s*=====|\Z)", re.MULTILINE | re.DOTALL)


def main() -> None:
    asked = json.loads(sys.stdin.read())
    config, placement = from_dict(RunConfig, asked["config"]), from_dict(Placement, asked["placement"])
    try:
        found = compiled(config, placement, topology(asked["topology"]))
    except ConfigError as error:
        found = {"config_error": str(error)}
    print(json.dumps(found))


def compiled(config: RunConfig, placement: Placement, of: Topology) -> dict[str, Any]:
    """Whether the step fits, its memory and its collectives."""
    described: Any = {name: value for name, value in of.chip.options}
    if of.chips == 1:
        described["chips_per_host_bounds"] = [1, 1, 1]
    devices = topologies.get_topology_desc(platform="tpu", topology_name=of.libtpu, **described).devices
    vars(jax)["default_backend"] = lambda: "tpu"  # which our own code asks for what it compiles for
    axes = sharding.axes(placement, len(devices))
    sharding.check_whole(axes, len(devices), of.name)
    mesh = sharding.lay(list(devices), axes)
    check_batch(mesh, config.batch)
    sharding.check_experts(mesh, config.model.experts)
    began = time.perf_counter()
    facts: dict[str, Any] = {"mesh": dict(mesh.shape), "chips": len(devices)}
    try:
        lowered = lower_step(shape_of(config, placement, axes), mesh)
        facts["lower_seconds"] = round(time.perf_counter() - began, 2)
        step = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        found = short(str(error))
        found["largest"] = found["largest"] or largest(lowered)  # the compiler names none when it gives up early
        return {"fits": False, **facts, **found}
    facts["compile_seconds"] = round(time.perf_counter() - began, 2)
    return {"fits": True, **facts, **measured(step)}


def check_batch(mesh: Any, batch: int) -> None:
    """ConfigError unless a batch divides over the mesh: it names the tensor devices that would make it."""
    try:
        sharding.check_batch(mesh, batch)
    except ConfigError as error:
        rows = math.prod(mesh.shape[axis] for axis in sharding.ROWS)
        tensor = mesh.shape["tensor"] * rows // math.gcd(rows, batch)
        raise ConfigError(f"{error}; --place tensor={tensor} leaves {math.gcd(rows, batch)}") from None


def largest(step: Any) -> list[dict[str, Any]]:
    """The five largest arrays of the state, whole: what fsdp and tensor devices divide."""
    args = jax.tree_util.tree_flatten_with_path(step.args_info)[0]
    sizes = [(int(np.prod(of.shape)) * of.dtype.itemsize, jax.tree_util.keystr(path)) for path, of in args]
    return [{"bytes": size, "what": f"state, whole: {name}"} for size, name in sorted(sizes, reverse=True)[:5]]


def measured(step: Any) -> dict[str, Any]:
    """Bytes a chip, collectives and the compiler's own time of a compiled step."""
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
    found = {"memory": parts, "collectives": collectives(text), "kernels": kernels(text)}
    return found | ({"compiler_seconds": seconds} if seconds > 0 else {})  # it is often negative: then it is none


def short(message: str) -> dict[str, Any]:
    """Bytes needed and there, and the largest buffers, from the compiler's complaint."""
    found: dict[str, Any] = {}
    if used := USED.search(message):
        found["memory"] = {"total": size(used[1]), "usable": size(used[2])}
    found["largest"] = [
        {"bytes": size(item[2]), "what": " ".join(item[3].split())[:300]} for item in LARGE.finditer(message)
    ][:5]
    return found


def size(text: str) -> int:
    """15.75G in bytes."""
    number = SIZE.fullmatch(text)
    return int(float(number[1]) * UNITS[number[2]]) if number else 0


if __name__ == "__main__":
    main()
