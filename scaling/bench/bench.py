"""`python -m scaling bench`: how fast sizes from 1M to 1B train here, beside PyTorch where it is installed.

All sides (ours, PyTorch eager, torch.compile) take turns, a few steps at a time, so that what else the machine
does falls on all; ratios are of medians. The ceiling is the machine's own rate on one large matrix product.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scaling.bench.torch import torch_step
from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError, one_of
from scaling.models import counts
from scaling.program import cpu_memory
from scaling.program.step import program

# width, layers: some 1, 10, 30, 100, 350 million and 1 billion parameters
SHAPES = ((128, 5), (320, 8), (512, 10), (768, 14), (1024, 28), (1792, 26))
SEQUENCES = 8
ROUNDS = 5  # turns that each side takes, fewer where one is long
SIDES = ("ours", "eager", "compile")
GUESS = 0.3  # share of the matrix-product rate that a step is expected to reach, to tell what there is time for
STATE_BYTES = 16  # a parameter: itself, its gradient and two moments, float32


def run(args: argparse.Namespace) -> int:
    """Measures each size and prints a table, or JSON."""
    shapes = parse(args.shapes) if args.shapes else SHAPES
    sides = tuple(args.beside.split(",")) if args.beside else SIDES[1:]
    for side in sides:
        one_of("--beside", side, SIDES[1:])
    cpu_memory.keep()
    rate = matmul_rate()
    length = args.length or (128 if jax.default_backend() == "cpu" else 2048)
    results = []
    for width, layers in shapes:
        print(f"measuring width {width}, {layers} layers", file=sys.stderr)
        of = config(width, layers, length, args.batch)
        about = {"width": width, "layers": layers, "parameters": counts.parameters(of.model)["total"]}
        steps, rounds, why = affordable(of, args.steps, len(sides) + 1, rate, args.seconds)
        results.append(about | ({"skipped": why} if why else measure(of, steps, rounds, rate, sides)))
    if args.json:
        facts = {"matmul_flops_per_second": rate, "device": jax.devices()[0].device_kind}
        print(json.dumps({**facts, "length": length, "batch": args.batch, "shapes": results}))
        return 0
    print(f"matrix products here: {rate / 1e9:,.0f} GFLOP/s ({jax.devices()[0].device_kind}, {compute_name()})")
    table(results)
    return 0


def parse(text: str) -> tuple[tuple[int, int], ...]:
    """WIDTHxLAYERS, comma separated."""
    try:
        return tuple((int(w), int(n)) for w, n in (part.split("x") for part in text.split(",")))
    except ValueError:
        raise ConfigError(f"--shapes {text}: must be WIDTHxLAYERS,... such as 64x2,128x4") from None


def affordable(of: RunConfig, steps: int, sides: int, rate: float, seconds: float) -> tuple[int, int, str]:
    """Steps of a turn and turns that take some `seconds`, and why it is left out where not even the least fits."""
    need = STATE_BYTES * sides * counts.parameters(of.model)["total"]
    if need > (free := free_bytes()):
        return 0, 0, f"needs some {need / 2**30:.1f} GiB for {sides} sides, {free / 2**30:.1f} GiB are free"
    flops = counts.training_flops(of.model, of.data.length, of.batch)["total"]
    turns = int(seconds / (sides * flops / (GUESS * rate)))  # of one step each
    if turns < 3:  # one to warm up, two to measure
        wanted = 3 * sides * flops / (GUESS * rate)
        return 0, 0, f"needs some {wanted:.0f} s, allowed are {seconds:.0f} (--seconds)"
    rounds = min(ROUNDS, turns - 1)
    return max(1, min(steps, turns // (rounds + 1))), rounds, ""


def free_bytes() -> int:
    """Memory that a new program may have: of the device, or of the machine where it has none of its own."""
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    known = Path("/proc/meminfo")
    if known.exists():
        [line] = [line for line in known.read_text().splitlines() if line.startswith("MemAvailable")]
        return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def config(width: int, layers: int, length: int, batch: int) -> RunConfig:
    """A run of that size on bytes, shaped as the quickstart's."""
    heads = (128, 64, 32, 16, 8, 4, 2, 1)
    head = next(h for h in heads if width % h == 0 and h <= max(16, width // 4) and (h <= 64 or width >= 4096))
    model = ModelConfig(
        vocab=257, width=width, layers=layers, heads=width // head, mlp_width=-(-width * 8 // 3 // 8) * 8
    )
    data = DataConfig(tokens="0" * 64, length=length)
    return RunConfig(model=model, data=data, optimizer=OptimizerConfig(lr=1e-3), batch=batch, steps=1)


def compute_name() -> str:
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def matmul_rate() -> float:
    """FLOP/s of a 2048³ matrix product, the best of several."""
    a = jnp.ones((2048, 2048), compute_name())
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    return max(2 * 2048**3 / seconds(lambda: product(a).block_until_ready()) for _ in range(8))


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(of: RunConfig, steps: int, rounds: int, rate: float, beside: tuple[str, ...]) -> dict[str, Any]:
    """Speed of one size: tokens/s, share of the matrix-product rate, compile seconds, peak memory, and PyTorch's."""
    devices = jax.device_count() if jax.default_backend() == "cpu" else 1  # PyTorch has one GPU, and all the cores
    compiled, _ = program(of, Placement(data=devices, compile_cache=False))
    state = compiled.init(0)
    tokens = np.random.default_rng(0).integers(0, of.model.vocab, (of.batch, of.data.length + 1)).astype(np.int32)
    rows = jax.device_put(tokens, compiled.batch_sharding)

    def ours() -> None:
        nonlocal state
        for _ in range(steps):
            state, metrics = compiled.step(state, rows, np.float32(1e-3))
        float(metrics["loss"])

    sides: dict[str, Callable[[], None]] = {"ours": ours}
    for side in beside:
        if step := torch_step(of, tokens, compiled=side == "compile"):
            sides[side] = partial(repeat, step, steps)
    median = {name: statistics.median(values) for name, values in turns(sides, rounds).items()}
    per_step = of.batch * of.data.length
    flops = counts.training_flops(of.model, of.data.length, of.batch)["total"]
    memory = compiled.step.memory_analysis()
    result: dict[str, Any] = {
        "devices": devices,
        "steps": steps,
        "turns": rounds,
        "tokens_per_second": per_step / steps_time(median["ours"], steps),
        "share_of_matmul_rate": flops / steps_time(median["ours"], steps) / rate,
        "compile_seconds": compiled.compile_seconds,
        "step_bytes": memory.temp_size_in_bytes + memory.argument_size_in_bytes if memory else None,
        "process_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    for side, time_taken in median.items():
        if side != "ours":
            result[f"torch_{side}_tokens_per_second"] = per_step / steps_time(time_taken, steps)
            result[f"ratio_{side}"] = time_taken / median["ours"]
    return result


def steps_time(turn: float, steps: int) -> float:
    """Seconds a step."""
    return turn / steps


def repeat(step: Callable[[], None], steps: int) -> None:
    for _ in range(steps):
        step()


def turns(sides: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each turn of each side after the first, which warms up."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(1 + rounds):
        for name, side in sides.items():
            times[name].append(seconds(side))
    return {name: values[1:] for name, values in times.items()}


def table(results: list[dict[str, Any]]) -> None:
    """The results for a person."""
    there = [side for side in SIDES[1:] if any(f"ratio_{side}" in r for r in results)]
    head = f"{'size':>9} {'N':>13} {'tokens/s':>10} {'of matmul':>10} {'compile':>9} {'step memory':>13}"
    print(head + "".join(f" {'torch ' + side:>14} {'ours/theirs':>12}" for side in there))
    for r in results:
        line = f"{str(r['width']) + 'x' + str(r['layers']):>9} {r['parameters']:>13,}"
        if "skipped" in r:
            print(f"{line} left out: {r['skipped']}")
            continue
        memory = f"{r['step_bytes'] / 2**20:9.1f} MiB" if r["step_bytes"] is not None else ""
        line += f" {r['tokens_per_second']:>10,.0f} {r['share_of_matmul_rate']:>10.1%} {r['compile_seconds']:>7.1f} s"
        line += f" {memory:>13}"
        for side in there:
            line += f" {r[f'torch_{side}_tokens_per_second']:>14,.0f} {r[f'ratio_{side}']:>12.2f}"
        print(line)
    measured = [r for r in results if "skipped" not in r]
    if measured:
        print(f"peak memory of this process: {measured[-1]['process_peak_bytes'] / 2**20:,.0f} MiB")
    if measured and not there:
        print("PyTorch is not installed: pip install torch for the comparison")
