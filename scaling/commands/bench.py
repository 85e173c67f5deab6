"""`python -m scaling bench`: training speed of several model sizes, compared with PyTorch where it is installed."""

from __future__ import annotations

import argparse
import json
import sys

from scaling.config.exit_status import DONE

SMALLEST = {"steps": 1, "batch": 1, "length": 0, "seconds": 0}  # smallest allowed values; a length of 0: the default


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("--shapes", metavar="WIDTHxLAYERS,...", help="model sizes (default: 1M to 1B parameters)")
    parser.add_argument("--steps", type=int, default=12, help="largest number of steps per measurement (default 12)")
    parser.add_argument(
        "--length", type=int, default=0, metavar="L", help="context length in tokens (default 128 on a CPU, else 2048)"
    )
    parser.add_argument("--batch", type=int, default=8, metavar="B", help="sequences per step (default 8)")
    parser.add_argument(
        "--seconds", type=float, default=120, help="time limit per size, without compilation (default 120)"
    )
    parser.add_argument(
        "--compare", metavar="eager,compile", help="PyTorch modes to compare with (default: both; needs torch)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measures each size and prints a table or JSON."""
    import jax

    from scaling.bench import bench
    from scaling.config.validation import ConfigError, require_choice
    from scaling.counting import counts
    from scaling.program import cpu_memory

    for name, smallest in SMALLEST.items():
        if getattr(args, name) < smallest:
            raise ConfigError(f"--{name} {getattr(args, name)}: must be {max(smallest, 1)} or more")
    shapes = bench.parse_shapes(args.shapes) if args.shapes else bench.SHAPES
    modes = tuple(args.compare.split(",")) if args.compare else bench.SIDES[1:]
    for mode in modes:
        require_choice("--compare", mode, bench.SIDES[1:])
    cpu_memory.retain_freed_memory()
    rate = bench.matmul_rate()
    length = args.length or (128 if jax.default_backend() == "cpu" else 2048)
    results = []
    for width, layers in shapes:
        print(f"measuring width {width}, {layers} layers", file=sys.stderr)
        config = bench.bench_config(width, layers, length, args.batch)
        shape = {"width": width, "layers": layers, "parameters": counts.parameters(config.model)["total"]}
        steps, rounds, reason = bench.plan_rounds(config, args.steps, len(modes) + 1, rate, args.seconds)
        skipped = {"skipped": reason}
        results.append(shape | (skipped if reason else bench.measure_size(config, steps, rounds, rate, modes)))
    if args.json:
        facts = {"matmul_flops_per_second": rate, "device": jax.devices()[0].device_kind}
        print(json.dumps({**facts, "length": length, "batch": args.batch, "shapes": results}))
        return DONE
    device = f"{jax.devices()[0].device_kind}, {bench.compute_dtype_name()}"
    print(f"matrix products on this machine: {rate / 1e9:,.0f} GFLOP/s ({device})")
    print(bench.as_table(results))
    return DONE
