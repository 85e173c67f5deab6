"""`python -m scaling bench`: how fast the demo's sizes train here, beside PyTorch where it is installed.

Both sides take turns, a few steps at a time, so that what else the machine does falls on both;
the ratio is of medians. The floor is the machine's own rate on one large matrix product.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scaling.bench_torch import torch_step
from scaling.config import ConfigError, DataConfig, ModelConfig, OptimizerConfig, Placement, RunConfig
from scaling.models import counts
from scaling.program import program

# width, layers: the quickstart's and one more
SHAPES = ((16, 2), (24, 2), (32, 2), (48, 2), (64, 2), (80, 2), (128, 4))
LENGTH = 128
SEQUENCES = 8
ROUNDS = 5  # turns that each side takes


def run(args: argparse.Namespace) -> int:
    """Measures each size and prints a table, or JSON."""
    shapes = parse(args.shapes) if args.shapes else SHAPES
    rate = matmul_rate()
    results = []
    for width, layers in shapes:
        print(f"measuring width {width}, {layers} layers", file=sys.stderr)
        results.append(measure(config(width, layers), args.steps, rate))
    if args.json:
        print(json.dumps({"matmul_flops_per_second": rate, "device": jax.devices()[0].device_kind, "shapes": results}))
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


def config(width: int, layers: int) -> RunConfig:
    """A run of that size on bytes, shaped as the quickstart's."""
    head = next(h for h in (32, 16, 8) if width % h == 0 and (h <= max(16, width // 4)))
    model = ModelConfig(
        vocab=257, width=width, layers=layers, heads=width // head, mlp_width=-(-width * 8 // 3 // 8) * 8
    )
    data = DataConfig(tokens="0" * 64, length=LENGTH)
    return RunConfig(model=model, data=data, optimizer=OptimizerConfig(lr=1e-3), batch=SEQUENCES, steps=1)


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


def measure(of: RunConfig, steps: int, rate: float) -> dict[str, Any]:
    """Speed of one size: tokens/s, share of the matrix-product rate, compile seconds, peak memory, and PyTorch's."""
    compiled, _ = program(of, Placement(data=1))
    state = compiled.init(0)
    tokens = np.random.default_rng(0).integers(0, of.model.vocab, (of.batch, LENGTH + 1)).astype(np.int32)
    rows = jax.device_put(tokens, compiled.batch_sharding)

    def ours() -> None:
        nonlocal state
        for _ in range(steps):
            state, metrics = compiled.step(state, rows, np.float32(1e-3))
        float(metrics["loss"])

    step = torch_step(of, tokens)

    def theirs() -> None:
        for _ in range(steps):
            assert step is not None
            step()

    sides: dict[str, Callable[[], None]] = {"ours": ours} | ({"torch": theirs} if step else {})
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(1 + ROUNDS):  # the first turn warms up
        for name, side in sides.items():
            times[name].append(seconds(side) / steps)
    median = {name: statistics.median(values[1:]) for name, values in times.items()}
    per_step = of.batch * LENGTH
    flops = counts.training_flops(of.model, LENGTH, of.batch)["total"]
    memory = compiled.step.memory_analysis()
    result = {
        "width": of.model.width,
        "layers": of.model.layers,
        "parameters": counts.parameters(of.model)["total"],
        "tokens_per_second": per_step / median["ours"],
        "share_of_matmul_rate": flops / median["ours"] / rate,
        "compile_seconds": compiled.compile_seconds,
        "step_bytes": memory.temp_size_in_bytes + memory.argument_size_in_bytes if memory else None,
        "process_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    if "torch" in median:
        result |= {"torch_tokens_per_second": per_step / median["torch"], "ratio": median["torch"] / median["ours"]}
    return result


def table(results: list[dict[str, Any]]) -> None:
    """The results for a person."""
    head = f"{'size':>9} {'N':>10} {'tokens/s':>10} {'of matmul':>10} {'compile':>9} {'step memory':>12}"
    torch = any("ratio" in r for r in results)
    print(head + (f" {'PyTorch':>10} {'ours/PyTorch':>13}" if torch else ""))
    for r in results:
        size = f"{r['width']}x{r['layers']}"
        memory = f"{r['step_bytes'] / 2**20:9.1f} MiB" if r["step_bytes"] is not None else ""
        line = (
            f"{size:>9} {r['parameters']:>10,} {r['tokens_per_second']:>10,.0f} {r['share_of_matmul_rate']:>10.1%} "
            f"{r['compile_seconds']:>7.1f} s {memory:>12}"
        )
        print(line + (f" {r['torch_tokens_per_second']:>10,.0f} {r['ratio']:>13.2f}" if "ratio" in r else ""))
    print(f"peak memory of this process: {results[-1]['process_peak_bytes'] / 2**20:,.0f} MiB" if results else "")
    if not torch:
        print("PyTorch is not installed: pip install torch for the comparison")
