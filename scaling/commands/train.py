"""scaling.commands.train."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from typing import Any

STOPPED = 75  # saved after a signal: run the same command again

SAME = 2.0  # seconds within which a signal is the first one come by another way: clusters tell parent and child


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

    from scaling.commands import evaluate, pack, schedule_runs
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
                return schedule_runs.CRASHED
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
        status = schedule_runs.in_turn(some, store, attempt, say, asked, trunks=trunks, retries=retries)
        if status:
            return status
    return 0


def status_of(error: Exception) -> int:
    """2 where the input was bad, 1 where the run failed."""
    from scaling.config.validation import ConfigError
    from scaling.data.tokens import DataError
    from scaling.store.files import StoreError

    return 2 if isinstance(error, ConfigError | DataError | StoreError) else 1
