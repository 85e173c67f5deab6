"""The part of `python -m scaling evaluate` that uses EleutherAI's lm-evaluation-harness."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling.evaluate.harness.config import HarnessOptions
    from scaling.inference.load import TrainedModel
    from scaling.store.record import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the harness."""
    group = parser.add_argument_group("lm-evaluation-harness")
    group.add_argument("--harness", default="", metavar="a,b", help="tasks: mmlu,gpqa_diamond_zeroshot,gsm8k, ...")
    group.add_argument(
        "--harness-path", metavar="DIR", help="read tasks from DIR/TASK.jsonl, offline, instead of from the hub"
    )
    group.add_argument("--limit", type=int, default=0, metavar="M", help="questions per task (default 0: all)")
    group.add_argument("--run-code", action="store_true", help="run programs written by the model, in a sandbox")


def harness_options(args: argparse.Namespace) -> HarnessOptions | None:
    """Builds the harness options from parsed arguments; None without --harness tasks."""
    from scaling.config.validation import require
    from scaling.evaluate.config import parse_integers
    from scaling.evaluate.harness.config import HarnessOptions

    tasks = tuple(task for task in args.harness.split(",") if task)
    if not tasks:
        for name in ("harness_path", "limit", "run_code"):
            require(not getattr(args, name), f"--{name.replace('_', '-')}: give --harness tasks as well")
        return None
    shots = parse_integers("--shots", args.shots)
    require(len(shots) < 2, f"--shots {args.shots}: --harness takes one number")
    return HarnessOptions(
        tasks=tasks, path=args.harness_path, limit=args.limit, shots=shots[0] if shots else None, samples=args.samples,
        temperature=args.temperature, run_code=args.run_code, seed=args.task_seed,
    )  # fmt: skip


def evaluate_with_harness(
    model: TrainedModel, store: Store, options: HarnessOptions
) -> tuple[dict[str, float], list[str]]:
    """Evaluates one model and writes its scores to the record.

    Args:
        model: The model.
        store: The store that has its record.
        options: Tasks of the harness.

    Returns:
        The scores by name, and a line for each task that had an error.
    """
    from scaling.evaluate.harness.run import run_harness
    from scaling.evaluate.run import write_scores
    from scaling.inference.scorer import Scorer

    result = run_harness(Scorer(model), store.items_dir(model.record.run_id), options)
    for path in result.files:
        store.upload(path)
    write_scores(store, model, result.scores)
    return result.scores, result.wrong
