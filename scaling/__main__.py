"""The door to one run: `python -m scaling train|prepare|count|generate|...`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from typing import Any

STOPPED = 75  # saved after a signal: run the same command again
SAME = 2.0  # seconds within which a signal is the first one come by another way: clusters tell parent and child


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
    from scaling.commands import generate, inside

    generate.add_arguments(p)
    inside.add_attention(doors.add_parser("attention", help="how a trained run's heads look at a prompt, to a file"))
    inside.add_activations(doors.add_parser("activations", help="activations of a layer on the run's text, to a file"))

    evaluate.add_arguments(doors.add_parser("evaluate", help="what a trained run scores; every item is kept"))

    p = doors.add_parser("aot", help="does a step fit a TPU slice: compiled for it on a machine without one")
    from scaling import aot

    aot.add_arguments(p)

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
    from scaling import coordinates

    coordinates.add_arguments(p)

    args = parser.parse_args(argv)
    doors_by_name = {
        "train": train,
        "prepare": prepare.run,
        "count": count,
        "aot": aot.run,
        "coordinates": coordinates.run,
        "bench": bench,
        "generate": generate.run,
        "evaluate": evaluate.run,
        "attention": inside.attention,
        "activations": inside.activations,
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
    except aot.CompilerError as error:
        print(f"scaling {args.door}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"scaling {args.door}: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"scaling {args.door}: interrupted", file=sys.stderr)
        return 130


def train(args: argparse.Namespace) -> int:
    """Trains each config in turn; one that fails is recorded and the next goes on."""
    from scaling.commands import evaluate
    from scaling.config.placement import Placement
    from scaling.config.run import load, override
    from scaling.config.validation import ConfigError, from_dict
    from scaling.distributed import collectives
    from scaling.distributed import hosts as hosts_module
    from scaling.store.open import open_store
    from scaling.training.tracking import wandb

    asked = [f"wandb={args.wandb}"] if args.wandb else []
    usual = from_dict(Placement, open_store(args.store).placement(args.sweep) if args.sweep else {})
    placed = override(usual, [*asked, *args.place])
    wandb.check(placed)
    configs = [override(load(path), args.set) for path in args.configs]
    hosts = hosts_module.asked(args)
    if hosts is not None and "://" in args.store:
        raise ConfigError(f"--store {args.store}: many hosts write one checkpoint: mount it, and give the folder")
    args.exam = evaluate.exam_of(args, alone=hosts is None)
    if hosts is not None and not hosts_module.supervised():
        return hosts_module.supervise(hosts, sys.argv[1:])
    stop = stopper()
    if hosts is None:
        return train_all(args, configs, placed, stop)
    hosts_module.start(hosts)
    status = train_all(args, configs, placed, stop)
    collectives.finish()
    return status


def stopper() -> list[int]:
    """A list that a signal is added to; a second one ends the process at once."""
    asked: list[int] = []
    heard: list[float] = []

    def ask(number: int, _: Any) -> None:
        if heard and time.monotonic() - heard[0] > SAME:  # a second signal does not wait
            os._exit(128 + number)
        if not heard:
            heard.append(time.monotonic())
            asked.append(number)
            print("stopping after this step (again: at once, without saving)", file=sys.stderr)

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    return asked


def train_all(args: argparse.Namespace, configs: list[Any], placed: Any, asked: list[int]) -> int:
    """The runs one after the other; the exit status."""
    # Orbax logs and re-raises in its threads what it raises in ours as well: said once is enough.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    threading.excepthook = lambda _: None

    from scaling.commands import evaluate, pack, turns
    from scaling.config.run import run_id
    from scaling.distributed import collectives
    from scaling.program import cpu_memory
    from scaling.store import lease
    from scaling.store.open import open_store
    from scaling.training import startup
    from scaling.training.events import speaker
    from scaling.training.loop import train as train_one

    cpu_memory.keep()
    startup.note()
    if args.pack is not None:
        one = argparse.Namespace(**{**vars(args), "pack": None})
        return pack.run(args, configs, placed, asked, lambda rest: train_all(one, rest, placed, asked))
    store = open_store(args.store)

    def attempt(config: Any, again: str) -> int:
        """One run to its end: 0, its failure's status, 75 where it was stopped; `again`: see turns.in_turn."""
        say = speaker(config, events=args.events, unheard=lambda: asked.append(signal.SIGTERM))
        say = say if collectives.first() else lambda event: None
        try:
            record = train_one(
                config, store, placed, sweep=args.sweep, say=say, stop=lambda: bool(asked), exam=args.exam
            )
        except collectives.HostLost as error:
            collectives.leave(error)
        except (lease.Held, lease.Lost):
            raise
        except Exception as error:  # whatever one run died of, the others go on; the record keeps the reason
            line = " ".join(str(error).split()) or type(error).__name__
            if again and status_of(error) == 1:
                say({"event": "again", "run_id": run_id(config), "why": f"run {run_id(config)[:12]}: {line} ({again})"})
                return turns.CRASHED
            say({"event": "end", "run_id": run_id(config), "status": "failed", "error": line})
            if args.events:  # a person has been told
                print(f"scaling train: run {run_id(config)[:12]} failed: {line}", file=sys.stderr)
            if os.environ.get("SCALING_TRACEBACK"):
                raise
            return 1 if len(configs) > 1 and not args.in_order else status_of(error)
        loss = {"loss": record.final["loss"]} if "loss" in record.final else {}
        why = {"error": record.about["error"]} if "error" in record.about else {}
        say({"event": "end", "run_id": record.run_id, "status": record.status, **loss, **why})
        if record.status == "stopped":
            return STOPPED
        return 0 if args.exam is None else evaluate.after_training(args.exam, store, [record.run_id])

    say = speaker(configs[0], events=args.events, unheard=lambda: asked.append(signal.SIGTERM))
    say = say if collectives.first() else lambda event: None
    trunks = placed.share and len(configs) > 1 and not collectives.many()
    retries = 0 if collectives.many() else args.retries
    for some in [[config] for config in configs] if args.in_order else [configs]:
        status = turns.in_turn(some, store, attempt, say, asked, trunks=trunks, retries=retries)
        if status:
            return status
    return 0


def status_of(error: Exception) -> int:
    """2 where the input was bad, 1 where the run failed."""
    from scaling.config.validation import ConfigError
    from scaling.data.tokens import DataError
    from scaling.store.files import StoreError

    return 2 if isinstance(error, ConfigError | DataError | StoreError) else 1


def count(args: argparse.Namespace) -> int:
    """Counts of a preset (FLOPs of one sequence) or of a run (all its training)."""
    from scaling.config.presets import preset
    from scaling.config.run import load
    from scaling.config.validation import ConfigError
    from scaling.models import counts

    if args.model.endswith(".json"):
        config = load(args.model)
        model, flops = config.model, counts.run_flops(config)
    else:
        if args.length < 1:
            raise ConfigError(f"--length {args.length}: must be 1 or more")
        model = preset(args.model)
        flops = counts.training_flops(model, args.length, 1)
    params = counts.parameters(model)
    if args.json:
        print(json.dumps({"params": params, "flops": flops}))
        return 0
    for title, figures in (("parameters", params), ("training FLOPs", flops)):
        print(title)
        for name, value in figures.items():
            print(f"  {name:32} {value:>28,}")
    return 0


def bench(args: argparse.Namespace) -> int:
    """Measures; see scaling/bench.py."""
    from scaling import bench as benchmark
    from scaling.config.validation import ConfigError

    for name, least in (("steps", 1), ("batch", 1), ("length", 0), ("seconds", 0)):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name} {getattr(args, name)}: must be {max(least, 1)} or more")

    return benchmark.run(args)


if __name__ == "__main__":
    sys.exit(main())
