"""The part of `python -m scaling evaluate` that uses EleutherAI's lm-evaluation-harness."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling.evaluation.harness.config import HarnessOptions
    from scaling.evaluation.run import Evaluation
    from scaling.inference.load import TrainedModel
    from scaling.store.record import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the harness."""
    from scaling.config.options import add_options
    from scaling.evaluation.harness.config import HarnessOptions

    add_options(parser.add_argument_group("lm-evaluation-harness"), HarnessOptions)


def harness_options(args: argparse.Namespace) -> HarnessOptions | None:
    """Builds the harness options from parsed arguments; None without --harness tasks.

    Raises:
        ConfigError: An option is out of range, or given without --harness; or programs cannot be isolated here.
    """
    from scaling.config.options import option_flags, read_options
    from scaling.config.validation import require
    from scaling.evaluation.config import parse_integers
    from scaling.evaluation.harness.config import CODE_TASKS, HarnessOptions
    from scaling.evaluation.harness.sandbox.programs import find_isolation

    if not args.benchmarks:
        for name in ("folder", "limit", "run_code", "unsafe_run_code"):
            require(not getattr(args, name), f"{option_flags(HarnessOptions)[name]}: requires --harness")
        return None
    shots = parse_integers("--shots", args.shots or "")
    require(len(shots) < 2, f"--shots {args.shots}: --harness takes one number")
    options = dataclasses.replace(
        read_options(HarnessOptions, args),
        shots=shots[0] if shots else None,
        samples=args.samples,
        temperature=args.temperature,
        seed=args.seed,
        skip_bad=args.skip_bad,
    )
    if options.runs_code and not options.unsafe_run_code and not set(CODE_TASKS).isdisjoint(options.benchmarks):
        find_isolation()  # before a model is loaded
    return options


def bad_benchmarks(options: HarnessOptions) -> dict[str, str]:
    """Returns the benchmarks that cannot be evaluated on any model, each with a message."""
    from scaling.evaluation.harness.run import check_benchmarks

    return check_benchmarks(options)


def evaluate_with_harness(model: TrainedModel, store: Store, options: HarnessOptions) -> Evaluation:
    """Evaluates one model and writes its scores to the record.

    Args:
        model: The model.
        store: The store that has its record.
        options: The benchmarks, and how to evaluate them.
    """
    from scaling.evaluation.harness.run import run_harness
    from scaling.evaluation.run import Evaluation, write_scores
    from scaling.inference.scorer import Scorer

    scorer, result = Scorer(model), Evaluation()
    for name in options.benchmarks:  # written one by one: a process that is killed loses the last one only
        single = dataclasses.replace(options, benchmarks=(name,))
        scores = run_harness(scorer, store.items_dir(model.record.run_id), single)
        write_scores(store, model, scores.facts)
        for path in scores.files:
            store.upload(path)
        result.merge(scores)
    return result


def missing_benchmarks(store: Store, run: str, step: int, options: HarnessOptions) -> tuple[str, ...]:
    """Returns the benchmarks that have no item file of a run at a step; the parts of a group start with its name.

    Args:
        store: The store.
        run: Run id.
        step: Training steps of the model.
        options: The benchmarks, and how to evaluate them.
    """
    from scaling.store import items

    stored = [file for file in items.item_files(store.items_dir(run)) if file.step == step]
    tasks = {file.task for file in stored if options.shots in (None, file.shots)}
    return tuple(
        name for name in options.benchmarks if not any(task == name or task.startswith(f"{name}_") for task in tasks)
    )
