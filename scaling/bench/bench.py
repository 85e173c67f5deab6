"""Training speed of models from 1M to 1B parameters on this machine, compared with PyTorch where it is installed.

The programs (this package, PyTorch eager, torch.compile) alternate after a few steps, so that other load on the machine
affects all of them equally; ratios are ratios of medians. The upper bound is the rate of one large matrix product.
"""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from scaling.bench.torch import torch_step
from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError
from scaling.counting import counts
from scaling.program.build import build_program
from scaling.program.matmul_rate import matmul_rate as matmul_rate_of

# (width, layers) of about 1, 10, 30, 100, 350 million and 1 billion parameters
SHAPES = ((128, 5), (320, 8), (512, 10), (768, 14), (1024, 28), (1792, 26))
ROUNDS = 5  # turns per program, fewer where a turn is long
SIDES = ("ours", "eager", "compile")
EXPECTED_SHARE = 0.3  # share of the matrix-product rate assumed when planning turns
STATE_BYTES = 16  # per parameter: value, gradient and two moments in float32


def parse_shapes(text: str, option: str = "--shapes") -> tuple[tuple[int, int], ...]:
    """Parses "64x2,128x4" into (width, layers) pairs.

    Args:
        text: The text.
        option: Option of a command that it is the value of, for the error message.
    """
    try:
        return tuple((int(w), int(n)) for w, n in (part.split("x") for part in text.split(",")))
    except ValueError:
        raise ConfigError(f"{option} {text}: must be WIDTHxLAYERS,... such as 64x2,128x4") from None


def plan_rounds(config: RunConfig, steps: int, sides: int, rate: float, seconds: float) -> tuple[int, int, str]:
    """Plans the measurement of one size.

    Args:
        config: The run.
        steps: Largest number of steps per turn.
        sides: Number of programs that take turns.
        rate: The machine's matrix-product rate in FLOP/s.
        seconds: Time for all turns.

    Returns:
        Steps per turn, turns, and the reason for skipping the size ("" if it is measured).
    """
    need = STATE_BYTES * sides * counts.parameters(config.model)["total"]
    if need > (free := free_bytes()):
        return 0, 0, f"needs about {need / 2**30:.1f} GiB for {sides} programs; {free / 2**30:.1f} GiB are free"
    flops = counts.training_flops(config.model, config.data.length, config.batch)["total"]
    turns = int(seconds / (sides * flops / (EXPECTED_SHARE * rate)))  # turns of one step each
    if turns < 3:  # one to warm up, two to measure
        needed = 3 * sides * flops / (EXPECTED_SHARE * rate)
        return 0, 0, f"needs about {needed:.0f} s; --seconds allows {seconds:.0f}"
    rounds = min(ROUNDS, turns - 1)
    return max(1, min(steps, turns // (rounds + 1))), rounds, ""


def free_bytes() -> int:
    """Returns the free memory of the device in bytes, or that of the machine if the device has no own memory."""
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        [line] = [line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable")]
        return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def bench_config(width: int, layers: int, length: int, batch: int) -> RunConfig:
    """Returns a byte-level run of a size, with the proportions of the quickstart sweep.

    Args:
        width: Width of the model.
        layers: Number of layers.
        length: Context length in tokens.
        batch: Sequences per step.
    """
    heads = (128, 64, 32, 16, 8, 4, 2, 1)
    head = next(h for h in heads if width % h == 0 and h <= max(16, width // 4) and (h <= 64 or width >= 4096))
    model = ModelConfig(
        vocab=257, width=width, layers=layers, heads=width // head, mlp_width=-(-width * 8 // 3 // 8) * 8
    )
    data = DataConfig(tokens="0" * 64, length=length)
    return RunConfig(model=model, data=data, optimizer=OptimizerConfig(lr=1e-3), batch=batch, steps=1)


def compute_dtype_name() -> str:
    """Returns the dtype of matrix products on this backend."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def matmul_rate() -> float:
    """Returns the FLOP/s of a 2048³ matrix product, the best of several."""
    return matmul_rate_of(compute_dtype_name(), 2048, 8)


def wall_seconds(work: Callable[[], Any]) -> float:
    """Returns the wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure_size(config: RunConfig, steps: int, rounds: int, rate: float, modes: tuple[str, ...]) -> dict[str, Any]:
    """Measures speed, compile seconds and memory of one size, and PyTorch's speed.

    Args:
        config: The run.
        steps: Steps per turn.
        rounds: Turns per program.
        rate: The machine's matrix-product rate in FLOP/s.
        modes: PyTorch modes to compare with.
    """
    devices = jax.device_count() if jax.default_backend() == "cpu" else 1  # PyTorch uses one GPU, or all cores
    compiled, _ = build_program(config, Placement(data=devices, compile_cache=False))
    state = compiled.init(0)
    tokens = (
        np.random.default_rng(0)
        .integers(0, config.model.vocab, (config.batch, config.data.length + 1))
        .astype(np.int32)
    )
    rows = jax.device_put(tokens, compiled.batch_sharding)

    def train_turn() -> None:
        nonlocal state
        for _ in range(steps):
            state, metrics = compiled.step(state, rows, np.float32(1e-3))
        float(metrics["loss"])

    sides: dict[str, Callable[[], None]] = {"ours": train_turn}
    for side in modes:
        if step := torch_step(config, tokens, compiled=side == "compile"):
            sides[side] = partial(repeat_step, step, steps)
    median = {name: statistics.median(values) for name, values in time_in_turn(sides, rounds).items()}
    per_step = config.batch * config.data.length
    flops = counts.training_flops(config.model, config.data.length, config.batch)["total"]
    memory = compiled.step.memory_analysis()
    result: dict[str, Any] = {
        "devices": devices,
        "steps": steps,
        "turns": rounds,
        "tokens_per_second": per_step * steps / median["ours"],
        "share_of_matmul_rate": flops * steps / median["ours"] / rate,
        "compile_seconds": compiled.compile_seconds,
        "step_bytes": memory.temp_size_in_bytes + memory.argument_size_in_bytes if memory else None,
        "process_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    for side, turn_seconds in median.items():
        if side != "ours":
            result[f"torch_{side}_tokens_per_second"] = per_step * steps / turn_seconds
            result[f"ratio_{side}"] = turn_seconds / median["ours"]
    return result


def repeat_step(step: Callable[[], None], steps: int) -> None:
    """Calls a training step several times.

    Args:
        step: Function that does one step.
        steps: Number of calls.
    """
    for _ in range(steps):
        step()


def time_in_turn(sides: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Measures the time of programs that alternate.

    Args:
        sides: Function that does one turn of a program, by name.
        rounds: Turns to measure, after one turn for warm-up.

    Returns:
        Seconds of each timed turn, by program.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(1 + rounds):
        for name, side in sides.items():
            times[name].append(wall_seconds(side))
    return {name: values[1:] for name, values in times.items()}


def as_table(results: list[dict[str, Any]]) -> str:
    """Formats the results for a terminal."""
    compared = [side for side in SIDES[1:] if any(f"ratio_{side}" in r for r in results)]
    head = f"{'size':>9} {'N':>13} {'tokens/s':>10} {'of matmul':>10} {'compile':>9} {'step memory':>13}"
    lines = [head + "".join(f" {'torch ' + side:>14} {'ours/torch':>12}" for side in compared)]
    for r in results:
        line = f"{str(r['width']) + 'x' + str(r['layers']):>9} {r['parameters']:>13,}"
        if "skipped" in r:
            lines.append(f"{line} skipped: {r['skipped']}")
            continue
        memory = f"{r['step_bytes'] / 2**20:9.1f} MiB" if r["step_bytes"] is not None else ""
        line += f" {r['tokens_per_second']:>10,.0f} {r['share_of_matmul_rate']:>10.1%} {r['compile_seconds']:>7.1f} s"
        line += f" {memory:>13}"
        for side in compared:
            line += f" {r[f'torch_{side}_tokens_per_second']:>14,.0f} {r[f'ratio_{side}']:>12.2f}"
        lines.append(line)
    measured = [r for r in results if "skipped" not in r]
    if measured:
        lines.append(f"peak memory of this process: {measured[-1]['process_peak_bytes'] / 2**20:,.0f} MiB")
    if measured and not compared:
        lines.append("PyTorch is not installed: to compare, pip install torch")
    return "\n".join(lines)
