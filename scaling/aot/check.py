"""`python -m scaling aot CONFIG|PRESET --topology v5e-16`: does the real step fit, and what does it send?

The step is compiled by libtpu, on a machine without a TPU, in a child (scaling/aot/worker.py). A verdict is
kept by what it depends on: shape, placement, slice, versions, and the source of the program.
"""

from __future__ import annotations

import argparse
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

from scaling.aot.topologies import Topology, topology
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.placement import Placement
from scaling.config.run import RunConfig, load, override
from scaling.config.schedule import ScheduleConfig
from scaling.config.validation import ConfigError, canonical, require, to_dict

# libtpu must neither look for a TPU's metadata server nor for its lock; effort -1: the same memory, sooner
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "TPU_ACCELERATOR_TYPE": "",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1", "JAX_EXEC_TIME_OPTIMIZATION_EFFORT": "-1.0", "XLA_FLAGS": "",
}  # fmt: skip


class Refused(ConfigError):
    """A run that cannot be laid out over the slice: one line."""


class CompilerError(RuntimeError):
    """libtpu failed otherwise than for want of memory: one line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `aot`."""
    parser.add_argument("model", metavar="PRESET|CONFIG.json")
    parser.add_argument("--topology", required=True, metavar="T", help="a TPU slice, as v5e-16")
    parser.add_argument("--place", action="append", default=[], metavar="field=value", help="as of train")
    parser.add_argument("--set", action="append", default=[], metavar="path.to.field=value", help="change the config")
    parser.add_argument("--batch", type=int, metavar="B", help="sequences a step (of a preset: one a chip)")
    parser.add_argument("--length", type=int, metavar="L", help="context in tokens (of a preset: 2048, or its longest)")
    parser.add_argument("--no-advice", action="store_true", help="do not try what would make it fit")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where verdicts are kept (the user's cache folder)")
    parser.add_argument("--fresh", action="store_true", help="compile even where a verdict is kept")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Exit status 0 where the step fits, 1 where it does not."""
    slice_, placement = topology(args.topology), override(Placement(), args.place)
    config = override(asked(args, slice_), args.set)
    found = verdict(config, placement, slice_.name, advice=not args.no_advice, fresh=args.fresh, folder=args.cache)
    print(json.dumps(found) if args.json else said(found))
    return 0 if found["fits"] else 1


def asked(args: argparse.Namespace, of: Topology) -> RunConfig:
    """The run of a config, or one of a preset's model."""
    if args.model.endswith(".json"):
        config = load(args.model)
        data = dataclasses.replace(config.data, length=args.length or config.data.length)
        return dataclasses.replace(config, data=data, batch=args.batch or config.batch)
    from scaling.config.presets import preset

    model = preset(args.model)
    length = args.length or min(2048, model.position_length or 2048)
    return RunConfig(
        model=model, data=DataConfig(tokens="0" * 64, length=length),
        optimizer=OptimizerConfig(lr=1e-3), schedule=ScheduleConfig(name="constant"), batch=args.batch or of.chips,
        steps=1,
    )  # fmt: skip


def verdict(
    config: RunConfig,
    placement: Placement,
    name: str,
    *,
    advice: bool = True,
    fresh: bool = False,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Whether the step of a run fits a slice: bytes a chip, collectives of one step, seconds; JSON.

    fits; topology, chips, mesh, batch, length; memory: arguments, outputs, aliased, temporaries, code, total and hbm,
    bytes a chip; collectives: count and bytes a chip by kind; kernels: those of Pallas; flops of one
    step, and seconds at the chips' peak; where it cannot be laid out, refused: why;
    where it does not fit also largest (buffers) and would_fit (changes of placement that were compiled and do).
    """
    try:
        found = compiled(config, placement, name, fresh, folder)
    except Refused as error:
        head = {"topology": name, "batch": config.batch, "length": config.data.length}
        return {"fits": False, **head, "refused": str(error)}
    if found["fits"] or not advice:
        return found
    tried: list[str] = []
    for changes in remedies(config, placement, found["chips"]):
        words = ", ".join(f"{field}={value}" for field, value in changes.items())
        print(f"does not fit; trying {words}", file=sys.stderr)
        tried.append(words)
        try:
            other = compiled(config, dataclasses.replace(placement, **changes), name, fresh, folder)
        except Refused:
            continue
        if other["fits"]:
            total = other["memory"]["total"]
            found.setdefault("would_fit", []).append({"place": changes, "total": total})
            break
    return {**found, "tried": tried}


def remedies(config: RunConfig, placement: Placement, chips: int) -> list[dict[str, Any]]:
    """Changes of placement that need less memory, the cheapest first."""
    rest = placement.tensor * placement.expert
    remat = {} if placement.remat == "full" else {"remat": "full"}
    spread = {"data": 1, "fsdp": chips // rest}
    fsdp = {} if placement.fsdp == chips // rest or config.batch % (chips // rest) else spread
    more = [{**fsdp, "remat": "dots"}] if fsdp and placement.remat == "none" else []
    tries: list[dict[str, Any]] = [remat, fsdp, *more, {**fsdp, **remat}]
    tensor = 2 * placement.tensor
    if chips % (tensor * placement.expert) == 0:
        tries.append({"data": 1, "fsdp": chips // (tensor * placement.expert), "tensor": tensor, **remat})
    return [dict(pair) for pair in dict.fromkeys(tuple(one.items()) for one in tries if one)]


def compiled(
    config: RunConfig, placement: Placement, name: str, fresh: bool, folder: Path | None = None
) -> dict[str, Any]:
    """One compilation, or what is kept of it."""
    of = topology(name)
    require(
        importlib.util.find_spec("libtpu") is not None,
        "libtpu is not installed: it compiles for TPUs without one: pip install 'scaling[tpu]' (some 700 MB)",
    )
    request = {"config": to_dict(config), "placement": to_dict(placement), "topology": name}
    path = (folder or room()) / kept(config, placement, name)
    if path.exists() and not fresh:
        return {**json.loads(path.read_text()), "kept": True}
    env = {**os.environ, **ENVIRONMENT}
    env["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    child = subprocess.run(
        [sys.executable, "-m", "scaling.aot.worker"], input=json.dumps(request), capture_output=True, text=True,
        env=env, cwd=Path(__file__).parents[2], check=False,
    )  # fmt: skip
    if child.returncode:
        last = (child.stderr.strip().splitlines() or ["without a word"])[-1]
        raise CompilerError(f"the compiler for {name} failed ({child.returncode}): {last[:500]}")
    found = json.loads(child.stdout.strip().splitlines()[-1])
    if "config_error" in found:
        raise Refused(found["config_error"])
    found = described(found, config, of)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(found))
    os.replace(part, path)
    return {**found, "kept": False}


def described(found: dict[str, Any], config: RunConfig, of: Topology) -> dict[str, Any]:
    """The compiler's findings with what they are of."""
    from scaling.models import counts

    flops = counts.run_flops(dataclasses.replace(config, steps=1, schedule=ScheduleConfig(name="constant")))["total"]
    head = {"fits": found.pop("fits"), "topology": of.name, "batch": config.batch, "length": config.data.length}
    memory = found.setdefault("memory", {})
    memory["hbm"] = of.chip.hbm
    head["fits"] = head["fits"] and memory.get("total", 0) <= memory["hbm"]  # it may pass what its sum denies
    work = {"flops": flops, "seconds_at_peak": flops / (of.chips * of.chip.flops)}
    if found.get("compiler_seconds", 0.0) < work["seconds_at_peak"]:  # it counts a loop's body once: no estimate
        found.pop("compiler_seconds", None)
    return {**head, **found, **work, "libtpu": metadata.version("libtpu")}


def room() -> Path:
    """Where verdicts are kept, unless told otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scaling" / "aot"


def kept(config: RunConfig, placement: Placement, name: str) -> str:
    """A verdict's file, named by all that it depends on."""
    shape = canonical(config)
    for field in ("steps", "seed", "schedule", "eval"):
        shape.pop(field, None)
    shape["data"].pop("tokens")
    shape["optimizer"].pop("lr")
    what = [shape, to_dict(placement), name, metadata.version("libtpu"), metadata.version("jax"), source()]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]
    return f"{key}.json"


@functools.cache
def source() -> str:
    """Hash of the code that a step is made of."""
    code = Path(__file__).parents[1]
    files = [
        file for part in ("aot", "models", "program", "distributed") for file in sorted((code / part).rglob("*.py"))
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def said(found: dict[str, Any]) -> str:
    """A verdict for a person."""
    if "refused" in found:
        return f"{found['topology']}, batch {found['batch']} × {found['length']}: {found['refused']}"
    mesh = " × ".join(f"{axis} {size}" for axis, size in found["mesh"].items() if size > 1) or "one chip"
    total, hbm = found["memory"].get("total"), found["memory"]["hbm"]
    needs = f"{total / 1e9:.2f} of {hbm / 1e9:.1f} GB a chip" if total else f"more than {hbm / 1e9:.1f} GB a chip"
    verb = "fits" if found["fits"] else "does NOT fit"
    lines = [f"{found['topology']} ({mesh}), batch {found['batch']} × {found['length']}: {verb}, {needs}"]
    for part, size in found["memory"].items():
        lines += [f"  {part:12} {size / 1e9:10.3f} GB"]
    for kind, of in found.get("collectives", {}).items():
        lines += [f"  {kind:20} {of['count']:6} a step  {of['bytes'] / 1e9:10.3f} GB a chip"]
    lines += [f"  kernels: {', '.join(found['kernels'])}"] if found.get("kernels") else []
    for buffer in found.get("largest", []):
        lines += [f"  largest: {buffer['bytes'] / 1e9:.3f} GB  {buffer['what'][:100]}"]
    for one in found.get("would_fit", []):
        words = " ".join(f"--place {field}={value}" for field, value in one["place"].items())
        lines += [f"  would fit with {words}: {one['total'] / 1e9:.2f} GB a chip"]
    if not found["fits"] and found.get("tried") and not found.get("would_fit"):
        lines += [f"  tried in vain: {'; '.join(found['tried'])}: more chips, or a smaller batch"]
    lines += [f"  {found['flops']:.3e} FLOPs a step, {found['seconds_at_peak']:.4f} s at the chips' peak"]
    return "\n".join(lines)
