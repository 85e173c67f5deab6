"""python -m scaling evaluate RUN: what a trained run scores, every item kept beside its record."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from scaling.commands import harness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scaling.evaluate.config import Asked
    from scaling.store.record import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run ids, or how they begin")
    parser.add_argument("--store", required=True, metavar="DIR")
    add_asked(parser)
    harness.add_arguments(parser)
    parser.add_argument("--tokens", metavar="FILE|CORPUS", help="perplexity on this text (default: the run's own)")
    parser.add_argument("--step", type=int, metavar="N", help="of the checkpoint after N steps (default: the newest)")
    parser.add_argument("--missing", action="store_true", help="leave out what is kept of this step already")
    parser.add_argument("--json", action="store_true")


def add_asked(parser: argparse.ArgumentParser, seed: str = "--seed") -> None:
    """What is asked, and of how many items."""
    parser.add_argument("--tasks", default="", metavar="a,b", help="addition-3, recall-4, perplexity, FILE.jsonl, ...")
    parser.add_argument("--shots", default="", metavar="K,...", help="solved examples before a question (default 0)")
    parser.add_argument("--items", type=int, default=200, metavar="M", help="questions a task (default 200)")
    parser.add_argument(seed, dest="task_seed", type=int, default=0, help="of questions, shots, samples (default 0)")
    parser.add_argument("--samples", type=int, default=0, metavar="S", help="answers written beside the greedy one")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the samples (default 1)")


def add_training(parser: argparse.ArgumentParser) -> None:
    """What `train` asks of the runs it has trained."""
    add_asked(parser, "--task-seed")
    parser.add_argument(
        "--task-steps", default="", metavar="N,...", help="ask after these steps too, not at the end alone"
    )


def asked_of(args: argparse.Namespace, tokens: str | None = None) -> Asked:
    """What the arguments ask; ConfigError says what is allowed."""
    from scaling.evaluate.config import Asked, numbers

    tasks = [task for task in args.tasks.split(",") if task]
    if tokens is not None and "perplexity" not in tasks:
        tasks.append("perplexity")
    return Asked(
        tasks=tuple(dict.fromkeys(tasks)), shots=numbers("--shots", args.shots), items=args.items,
        seed=args.task_seed, samples=args.samples, temperature=args.temperature, tokens=tokens,
        steps=numbers("--task-steps", getattr(args, "task_steps", "")),
    )  # fmt: skip


def exam_of(args: argparse.Namespace, alone: bool) -> Asked | None:
    """What `train` is to ask, None where it is nothing. alone: one host trains."""
    from scaling.config.validation import require

    if not args.tasks:
        require(not args.task_steps, f"--task-steps {args.task_steps}: of which --tasks?")
        return None
    require(alone, "--tasks: several hosts cannot: ask afterwards, with `python -m scaling evaluate`")
    return asked_of(args)


def run(args: argparse.Namespace) -> int:
    """Asks each run and prints its scores; 1 where a task went wrong, the others are kept."""
    from scaling.evaluate.run import ask, warn
    from scaling.inference.load import load
    from scaling.store.open import open_store

    theirs = harness.asked_of(args)
    asked = asked_of(args, args.tokens) if args.tasks or args.tokens or theirs is None else None
    store, status = open_store(args.store), 0
    for name in args.runs:
        of = load(store, name, step=args.step)
        found, wrong = ask(of, store, asked, only_missing=args.missing) if asked else ({}, [])
        if theirs is not None:
            scores, lines = harness.run(of, store, theirs)
            found, wrong = found | scores, wrong + lines
        warn(wrong)
        status = max(status, int(bool(wrong)))
        show({"run_id": of.record.run_id, "step": of.step, "scores": found, "wrong": wrong}, args.json)
    return status


def show(said: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(said))
        return
    print(f"run {said['run_id'][:12]}, step {said['step']:,}")
    width = max(map(len, said["scores"]), default=0)
    for name, value in said["scores"].items():
        print(f"  {name:<{width}}  {value:.4g}")


def after_training(asked: Asked, store: Store, runs: Iterable[str]) -> int:
    """Asks those of the runs that are done, where something is not kept yet; 1 where a task went wrong."""
    from scaling.config.validation import ConfigError
    from scaling.data.tokens import DataError
    from scaling.evaluate.run import ask, missing, warn
    from scaling.inference.load import load
    from scaling.store.files import StoreError

    status = 0
    for name in runs:
        record = store.read(name)
        if record is None or record.status != "done" or not missing(store, name, record.config.steps, asked):
            continue
        try:
            _, wrong = ask(load(store, name, step=record.config.steps), store, asked, only_missing=True)
        except (ConfigError, DataError, StoreError) as error:  # the run is done, and the others are still to be asked
            wrong = [str(error)]
        warn([f"run {name[:12]}: {line}" for line in wrong])
        status = max(status, int(bool(wrong)))
    return status
