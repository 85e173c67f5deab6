"""The part of `python -m scaling evaluate` that uses EleutherAI's lm-evaluation-harness."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling.evaluate.harness.config import HarnessOptions
    from scaling.inference.load import TrainedModel
    from scaling.store.record import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the harness."""
    from scaling.config.options import add_options
    from scaling.evaluate.harness.config import HarnessOptions

    add_options(parser.add_argument_group("lm-evaluation-harness"), HarnessOptions)


def harness_options(args: argparse.Namespace) -> HarnessOptions | None:
    """Builds the harness options from parsed arguments; None without --harness tasks.

    Raises:
        ConfigError: An option is out of range, or given without --harness.
    """
    from scaling.config.options import read_options
    from scaling.config.validation import require
    from scaling.evaluate.config import parse_integers
    from scaling.evaluate.harness.config import HarnessOptions

    if not args.benchmarks:
        for name, flag in (("folder", "--harness-path"), ("limit", "--limit"), ("run_code", "--run-code")):
            require(not getattr(args, name), f"{flag}: requires --harness")
        return None
    shots = parse_integers("--shots", args.shots or "")
    require(len(shots) < 2, f"--shots {args.shots}: --harness takes one number")
    return dataclasses.replace(
        read_options(HarnessOptions, args),
        shots=shots[0] if shots else None,
        samples=args.samples,
        temperature=args.temperature,
        seed=args.seed,
    )


def evaluate_with_harness(
    model: TrainedModel, store: Store, options: HarnessOptions
) -> tuple[dict[str, float], list[str]]:
    """Evaluates one model and writes its scores to the record.

    Args:
        model: The model.
        store: The store that has its record.
        options: The benchmarks, and how to evaluate them.

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
    return result.scores, result.errors
