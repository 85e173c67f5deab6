"""`python -m scaling bench`: training speed of several model sizes, compared with PyTorch where it is installed.

`bench checkpoint` measures how long training waits for checkpoints, `bench data` how quickly corpora are prepared and
read, and `bench sae` the training of sparse autoencoders beside SAELens.
"""

from __future__ import annotations

import argparse
import json
import sys

from scaling.commands.benchmarks import data, sae
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
    kinds = parser.add_subparsers(dest="bench_kind", metavar="KIND", help="measure something else (KIND --help)")
    checkpoint = kinds.add_parser("checkpoint", help="how long training waits for checkpoints; rate of their checksums")
    checkpoint.add_argument("--shape", metavar="WIDTHxLAYERS", help="size of the model (default: 100M parameters)")
    checkpoint.add_argument("--rounds", type=int, default=3, help="saves of each kind (default 3)")
    checkpoint.add_argument(
        "--folder", default="", metavar="DIR|ADDRESS", help="where to write (default: a temporary folder)"
    )
    checkpoint.add_argument("--json", action="store_true", help="print JSON")
    data.add_arguments(kinds.add_parser("data", help="how quickly a corpus is prepared and read"))
    sae.add_arguments(kinds.add_parser("sae", help="training of sparse autoencoders beside SAELens"))


def run(args: argparse.Namespace) -> int:
    """Measures what was asked for and prints a table or JSON."""
    kinds = {None: run_speed, "checkpoint": run_checkpoint, "data": data.run, "sae": sae.run}
    return kinds[args.bench_kind](args)


def run_checkpoint(args: argparse.Namespace) -> int:
    """Measures saves of checkpoints."""
    import jax

    from scaling.bench import bench, checkpoint
    from scaling.config.validation import ConfigError

    if args.rounds < 1:
        raise ConfigError(f"--rounds {args.rounds}: must be 1 or more")
    shapes = bench.parse_shapes(args.shape, "--shape") if args.shape else (checkpoint.SHAPE,)
    if len(shapes) > 1:
        raise ConfigError(f"--shape {args.shape}: must be one size, such as 64x2")
    result = checkpoint.measure(checkpoint.CheckpointBench(*shapes[0], args.rounds, args.folder))
    result["device"] = jax.devices()[0].device_kind
    print(json.dumps(result) if args.json else checkpoint.as_table(result))
    return DONE


def run_speed(args: argparse.Namespace) -> int:
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
