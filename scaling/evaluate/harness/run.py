"""Evaluation on benchmarks of the harness; an error in one benchmark does not stop the others."""

from __future__ import annotations

import importlib
import json
import logging
import math
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.config.validation import ConfigError, require
from scaling.evaluate.harness.config import CODE_TASKS, HarnessOptions
from scaling.evaluate.harness.local import FORMATS, TASKS, read_task
from scaling.inference.scorer import ScoreError, Scorer
from scaling.store import items
from scaling.store.files import write_atomic

MAX_MESSAGE_LENGTH = 400  # characters of an error


@dataclass
class HarnessResult:
    """Results of all benchmarks.

    Attributes:
        scores: By name, TASK[@SHOTS]/METRIC.
        errors: One line for each benchmark that had an error.
        files: Item files.
    """

    scores: dict[str, float] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def run_harness(scorer: Scorer, folder: Path, options: HarnessOptions) -> HarnessResult:
    """Evaluates a model on every benchmark.

    Args:
        scorer: The model.
        folder: Folder of the item files.
        options: The benchmarks, and how to evaluate them.

    Raises:
        ConfigError: The harness is not installed.
    """
    if options.folder is not None:
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        with silence_logging():
            importlib.import_module("lm_eval")
    except ImportError:
        raise ConfigError("--harness needs the [harness] extra: pip install 'scaling[harness]'") from None
    result = HarnessResult()
    for task in dict.fromkeys(options.benchmarks):
        try:
            scores, files = run_task(scorer, folder, task, options)
            result.scores |= scores
            result.files += files
        except (ConfigError, ScoreError, OSError) as error:
            message = " ".join(str(error).split())[:MAX_MESSAGE_LENGTH]
            result.errors.append(message if task in message else f"task {task}: {message}")
    return result


def run_task(scorer: Scorer, folder: Path, task: str, options: HarnessOptions) -> tuple[dict[str, float], list[Path]]:
    """Evaluates one benchmark.

    Args:
        scorer: The model.
        folder: Folder of the item files.
        task: Name of the benchmark, or of a group of them.
        options: How to evaluate it.

    Returns:
        Its scores (for a group also those of its parts), and its item files.
    """
    from scaling.evaluate.harness.model import HarnessModel  # imports lm_eval
    from scaling.evaluate.harness.rows import harness_rows

    model = HarnessModel(scorer, options.seed)
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch, silence_logging():
        output = evaluate_task(model, task, options, Path(scratch))
    scores: dict[str, float] = {}
    files = []
    for name, samples in output["samples"].items():
        shots = int(output["n-shot"].get(name) or 0)
        rows, code_scores = harness_rows(model, name, shots, samples, options)
        files.append(items.write_items(folder, name, shots, scorer.model.step, rows))
        scores |= {f"{items.task_label(name, shots)}/{metric}": value for metric, value in code_scores.items()}
    for name, metrics in {**output["results"], **output.get("groups", {})}.items():
        label = items.task_label(name, int(output["n-shot"].get(name) or 0))
        scores |= {f"{label}/{metric}": value for metric, value in finite_metrics(metrics)}
    return scores, files


def finite_metrics(metrics: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yields the metrics that are finite numbers; the harness's `acc,none` becomes acc."""
    for key, value in metrics.items():
        metric, comma, filter_name = key.partition(",")
        is_finite = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if comma and is_finite and not metric.endswith("_stderr") and metric != "bypass":
            yield metric if filter_name == "none" else f"{metric}_{filter_name}", float(value)


def evaluate_task(model: Any, task: str, options: HarnessOptions, scratch: Path) -> dict[str, Any]:
    """Returns the output of the harness for one benchmark.

    Args:
        model: A HarnessModel.
        task: Name of the benchmark.
        options: How to evaluate it.
        scratch: An empty folder.

    Raises:
        ConfigError: The benchmark is unknown, or a line of its file is wrong.
    """
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    if options.folder is None and task not in CODE_TASKS:
        manager = TaskManager()
        require(task in manager.all_tasks, f"--harness {task}: unknown task: `lm-eval ls tasks` lists them")
    else:
        write_task_config(task, options, scratch)
        manager = TaskManager(include_path=str(scratch / "tasks"), include_defaults=False)
    output: Any = simple_evaluate(
        model, tasks=[task], num_fewshot=options.shots, limit=options.limit or None, bootstrap_iters=0,
        task_manager=manager, random_seed=options.seed, numpy_random_seed=options.seed,
        fewshot_random_seed=options.seed, torch_random_seed=None,
    )  # fmt: skip
    return dict(output)


def write_task_config(task: str, options: HarnessOptions, scratch: Path) -> None:
    """Writes our YAML file of a benchmark and its questions, converted by `local`.

    Args:
        task: Name of the benchmark.
        options: How to evaluate it.
        scratch: An empty folder.

    Raises:
        ConfigError: A line is wrong, or there are too few examples for the shots.
    """
    import yaml

    questions, examples = read_task(task, Path(options.folder)) if options.folder is not None else load_from_hub(task)
    config = yaml.safe_load((TASKS / f"{task}.yaml").read_text("utf-8"))
    files = {"test": str(write_lines(scratch / "test.jsonl", questions))}
    if options.shots:
        require(config.get("num_fewshot") != 0, f"--harness {task}: has no shots: remove --shots")
        require(bool(examples), f"--shots {options.shots}: {task}.shots.jsonl is missing: shots are drawn from it")
        require(options.shots <= len(examples), f"--shots {options.shots}: {task}.shots.jsonl has {len(examples)}")
        files["shots"] = str(write_lines(scratch / "shots.jsonl", examples))
        config |= {"fewshot_split": "shots"}
        if "answer" in examples[0]:  # with its derivation
            config["fewshot_config"] = {"doc_to_target": "{{answer}}"}
    if task in CODE_TASKS and options.samples:
        config["repeats"] = 1 + options.samples
        config["generation_kwargs"] |= {"do_sample": True, "temperature": options.temperature, "greedy_first": True}
    config["dataset_kwargs"] = {"data_files": files, "cache_dir": str(scratch / "cache")}
    write_atomic(scratch / "tasks" / f"{task}.yaml", yaml.safe_dump(config).encode())


def load_from_hub(task: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Loads the questions of a code task from the hub, and an empty list of examples."""
    import datasets

    fields, convert = FORMATS[task]
    rows = datasets.load_dataset("openai/openai_humaneval", split="test")
    return [convert({name: row[name] for name in fields}, f"{task}, question {i}") for i, row in enumerate(rows)], []


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Writes rows as JSON lines.

    Args:
        path: The file.
        rows: The rows.

    Returns:
        The path.
    """
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return path


@contextmanager
def silence_logging() -> Iterator[None]:
    """Silences warnings and log messages of the harness and its data library."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = logging.root.manager.disable
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(level)
