"""What `python -m scaling evaluate` asks of EleutherAI's lm-evaluation-harness."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling.evaluate.harness.config import Asked
    from scaling.inference.load import Trained
    from scaling.store.record import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    of = parser.add_argument_group("lm-evaluation-harness")
    of.add_argument("--harness", default="", metavar="a,b", help="its tasks: mmlu,gpqa_diamond_zeroshot,gsm8k, ...")
    of.add_argument("--harness-path", metavar="DIR", help="from DIR/TASK.jsonl, offline, instead of from the hub")
    of.add_argument("--limit", type=int, default=0, metavar="M", help="questions of each (default 0: all)")
    of.add_argument("--run-code", action="store_true", help="run the programs that the model writes, within limits")


def asked_of(args: argparse.Namespace) -> Asked | None:
    """What the arguments ask of the harness, None where it is nothing; ConfigError says what is allowed."""
    from scaling.config.validation import require
    from scaling.evaluate.config import numbers
    from scaling.evaluate.harness.config import Asked

    tasks = tuple(task for task in args.harness.split(",") if task)
    if not tasks:
        for name in ("harness_path", "limit", "run_code"):
            require(not getattr(args, name), f"--{name.replace('_', '-')}: of which --harness tasks?")
        return None
    shots = numbers("--shots", args.shots)
    require(len(shots) < 2, f"--shots {args.shots}: with --harness one number")
    return Asked(
        tasks=tasks, path=args.harness_path, limit=args.limit, shots=shots[0] if shots else None, samples=args.samples,
        temperature=args.temperature, run_code=args.run_code, seed=args.task_seed,
    )  # fmt: skip


def run(of: Trained, store: Store, asked: Asked) -> tuple[dict[str, float], list[str]]:
    """Asks one model; its scores, kept in its record too, and a line for each task that went wrong."""
    from scaling.evaluate.harness.run import ask
    from scaling.evaluate.run import keep
    from scaling.inference.scorer import Scorer

    found = ask(Scorer(of), store.items_dir(of.record.run_id), asked)
    for path in found.files:
        store.put(path)
    keep(store, of, found.scores)
    return found.scores, found.wrong
