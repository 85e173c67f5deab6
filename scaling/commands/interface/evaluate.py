"""Evaluates a trained run on tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scaling.config.user_code.blocks import use_code
from scaling.config.validation import ConfigError
from scaling.evaluation.config import EvaluationOptions
from scaling.evaluation.prompts import bad_tasks
from scaling.evaluation.run import evaluate_run
from scaling.evaluation.summary import Score
from scaling.inference.load import load_model
from scaling.store.open import as_store
from scaling.store.record import Store


def evaluate(
    run: str,
    store: Store | str | Path,
    tasks: Sequence[str] | EvaluationOptions,
    *,
    step: int | None = None,
    only_missing: bool = False,
    code: Sequence[str] = (),
) -> dict[str, dict[str, Score]]:
    """Evaluates a trained run; scores go into its record, and the result of each question into the store.

    Args:
        run: Run id, or its first characters.
        store: Folder or address of the store.
        tasks: Names such as "addition-3", "perplexity", "questions.jsonl" or "my_task.py:parity-5" (your file, which is
            run), or EvaluationOptions with shots, number of questions and more.
        step: Use the checkpoint after this step; None: the last step.
        only_missing: Skip tasks that have stored results for this step.
        code: Your files with blocks of the model, FILE.py or package.module; they are run.

    Returns:
        The scores by task and name, such as `scores["addition-3"]["exact_match"].value`; `interval` is the 95% interval
        over questions, `count` their number.

    Raises:
        ConfigError: A task is unknown or has an error; the other tasks have been evaluated.
        StoreError: There is no such run or checkpoint.
    """
    options = tasks if isinstance(tasks, EvaluationOptions) else EvaluationOptions(tasks=tuple(tasks))
    for message in bad_tasks(options).values():
        raise ConfigError(message)
    use_code(code)
    opened = as_store(store)
    result = evaluate_run(load_model(opened, run, step=step), opened, options, only_missing=only_missing)
    if result.errors:
        raise ConfigError("; ".join(result.errors))
    return result.scores
