"""The door to one run: `python -m scaling train|prepare|count|generate|...`."""

from __future__ import annotations

import argparse
import os
import sys

from scaling.commands.count import count
from scaling.commands.train import train


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 75 stopped by a signal after saving, 2 bad input, 1 failed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's own warnings are thousands of lines
    parser = argparse.ArgumentParser(prog="python -m scaling", description=__doc__)
    doors = parser.add_subparsers(dest="door", required=True, metavar="COMMAND")

    p = doors.add_parser("train", help="train runs from their configs; resumes by itself")
    p.add_argument("configs", nargs="+", metavar="CONFIG.json", help="trained one after the other in this process")
    p.add_argument("--store", required=True, metavar="DIR")
    p.add_argument("--set", action="append", default=[], metavar="path.to.field=value", help="change the configs")
    p.add_argument("--place", action="append", default=[], metavar="field=value",
                   help="data, fsdp, tensor, expert, scan, remat, attention, save_seconds, share, ...")  # fmt: skip
    p.add_argument("--sweep", metavar="NAME", help="noted in the records")
    p.add_argument("--wandb", nargs="?", const="online", metavar="offline", help="curves to Weights & Biases too")
    p.add_argument("--retries", type=int, default=0, metavar="N", help="of a run that crashed (default 0)")
    p.add_argument("--in-order", action="store_true", help="none before the one before it; end at the first that fails")
    p.add_argument("--events", action="store_true", help="JSON lines on standard output, for a program")
    from scaling.commands import pack

    pack.add_arguments(p)
    from scaling.commands import evaluate

    evaluate.add_training(p)
    from scaling.distributed.hosts import add_arguments

    add_arguments(p)

    p = doors.add_parser("prepare", help="a corpus to a token file, once")
    from scaling.commands import prepare

    prepare.add_arguments(p)

    p = doors.add_parser("count", help="parameters by group and training FLOPs by part; allocates nothing")
    p.add_argument("model", metavar="PRESET|CONFIG.json")
    p.add_argument("--length", type=int, default=2048, metavar="L", help="context of a preset (default 2048)")
    p.add_argument("--json", action="store_true")

    p = doors.add_parser("generate", help="text from a trained run")
    from scaling.commands import generate, internals

    generate.add_arguments(p)
    internals.add_attention(doors.add_parser("attention", help="how a trained run's heads look at a prompt, to a file"))
    internals.add_activations(
        doors.add_parser("activations", help="activations of a layer on the run's text, to a file")
    )

    evaluate.add_arguments(doors.add_parser("evaluate", help="what a trained run scores; every item is kept"))

    p = doors.add_parser("aot", help="does a step fit a TPU slice: compiled for it on a machine without one")
    from scaling.aot import check

    check.add_arguments(p)

    p = doors.add_parser("bench", help="speed of sizes from 1M to 1B, beside PyTorch where it is installed")
    p.add_argument("--shapes", metavar="WIDTHxLAYERS,...", help="other sizes")
    p.add_argument("--steps", type=int, default=12, help="steps of one turn, at most (default 12)")
    p.add_argument("--length", type=int, default=0, metavar="L", help="context (default 128 on a CPU, else 2048)")
    p.add_argument("--batch", type=int, default=8, metavar="B", help="sequences a step (default 8)")
    p.add_argument("--seconds", type=float, default=120, help="for one size, without compiling (default 120)")
    p.add_argument("--beside", metavar="eager,compile", help="PyTorch's ways to stand beside (default both)")
    p.add_argument("--json", action="store_true")

    p = doors.add_parser(
        "coordinates", help="how activations and their changes grow with width or depth (coordinate check)"
    )
    from scaling.bench import coordinates

    coordinates.add_arguments(p)

    args = parser.parse_args(argv)
    doors_by_name = {
        "train": train,
        "prepare": prepare.run,
        "count": count,
        "aot": check.run,
        "coordinates": coordinates.run,
        "bench": bench,
        "generate": generate.run,
        "evaluate": evaluate.run,
        "attention": internals.attention,
        "activations": internals.activations,
    }
    from scaling.config.validation import ConfigError
    from scaling.data.tokens import DataError
    from scaling.store.files import StoreError
    from scaling.store.open import open_store

    try:
        if args.door == "prepare":
            open_store(args.store).check_writable()
        return doors_by_name[args.door](args)
    except (ConfigError, DataError, StoreError) as error:
        print(f"scaling {args.door}: {error}", file=sys.stderr)
        return 2
    except check.CompilerError as error:
        print(f"scaling {args.door}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"scaling {args.door}: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"scaling {args.door}: interrupted", file=sys.stderr)
        return 130


def bench(args: argparse.Namespace) -> int:
    """Measures; see scaling/bench/bench.py."""
    from scaling.bench import bench as benchmark
    from scaling.config.validation import ConfigError

    for name, least in (("steps", 1), ("batch", 1), ("length", 0), ("seconds", 0)):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name} {getattr(args, name)}: must be {max(least, 1)} or more")

    return benchmark.run(args)


if __name__ == "__main__":
    sys.exit(main())
