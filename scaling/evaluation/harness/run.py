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
from scaling.evaluation.harness.config import CODE_TASKS, HarnessOptions
from scaling.evaluation.harness.local import FORMATS, TASKS, LocalTask, read_task
from scaling.evaluation.run import Evaluation
from scaling.evaluation.summary import Score
from scaling.inference.scorer import ScoreError, Scorer
from scaling.store import items
from scaling.store.files import write_atomic
from scaling.store.score_intervals import wilson_interval

MAX_MESSAGE_LENGTH = 400  # characters of an error


@dataclass
class HarnessResult(Evaluation):
    """Results of all benchmarks.

    Attributes:
        files: Item files.
    """

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
    import_harness(options)
    result = HarnessResult()
    for task in dict.fromkeys(options.benchmarks):
        try:
            result.merge(run_task(scorer, folder, task, options))
        except (ConfigError, ScoreError) as error:
            result.add_error(task, error)
        except Exception as error:  # the harness, the hub and their libraries raise classes of their own
            message = " ".join(f"{type(error).__name__}: {error}".split())
            result.add_error(task, message[:MAX_MESSAGE_LENGTH])
    return result


def import_harness(options: HarnessOptions) -> None:
    """Imports the harness, offline where the benchmarks are local; ConfigError where it is not installed."""
    if options.folder is not None:
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        with silence_logging():
            importlib.import_module("lm_eval")
    except ImportError:
        raise ConfigError("--harness needs the [harness] extra: pip install 'scaling[harness]'") from None


def check_benchmarks(options: HarnessOptions) -> dict[str, str]:
    """Returns the benchmarks that cannot be evaluated on any model, each with a message; loads no model.

    Args:
        options: The benchmarks, and how to evaluate them.

    Raises:
        ConfigError: The harness is not installed.
    """
    import_harness(options)
    messages: dict[str, str] = {}
    for task in options.benchmarks:
        if options.folder is None and task in CODE_TASKS:  # known; its questions are on the hub
            continue
        try:
            with tempfile.TemporaryDirectory(prefix="harness-") as scratch, silence_logging():
                open_benchmark(task, options, Path(scratch))
        except ConfigError as error:
            messages[task] = str(error)
    return messages


def run_task(scorer: Scorer, folder: Path, task: str, options: HarnessOptions) -> HarnessResult:
    """Evaluates one benchmark; of a group of benchmarks the result has also the scores of its parts.

    Args:
        scorer: The model.
        folder: Folder of the item files.
        task: Name of the benchmark, or of a group of them.
        options: How to evaluate it.
    """
    from scaling.evaluation.harness.model import HarnessModel, long_note  # imports lm_eval
    from scaling.evaluation.harness.rows import harness_rows

    model = HarnessModel(scorer, options.seed)
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch, silence_logging():
        benchmark = open_benchmark(task, options, Path(scratch))
        output = evaluate_task(model, task, benchmark, options)
    result = HarnessResult(notes=list(benchmark.notes))
    for name, samples in output["samples"].items():
        shots = int(output["n-shot"].get(name) or 0)
        rows, code_scores = harness_rows(model, name, shots, samples, options)
        result.files.append(items.write_items(folder, name, shots, scorer.model.step, rows))
        label, metrics = items.task_label(name, shots), output["results"].get(name, {})
        result.scores[label] = code_scores | sample_scores(metrics, samples)
        if code_scores:
            result.scores[label]["isolated"] = Score(float(not options.unsafe_run_code), len(rows))
        if code_scores and options.unsafe_run_code:
            result.notes.append(
                f"{name}: --unsafe-run-code: programs were run without isolation, with this user's rights"
            )
        if model.too_long.get(name):
            result.notes.append(long_note(model, name, benchmark.names, len(rows) + len(model.too_long[name])))
    for name, metrics in {**output["results"], **output.get("groups", {})}.items():
        if name not in output["samples"]:
            label = items.task_label(name, int(output["n-shot"].get(name) or 0))
            parts = [part for part in output.get("group_subtasks", {}).get(name, []) if part in output["samples"]]
            result.scores[label] = sample_scores(metrics, [row for part in parts for row in output["samples"][part]])
    return result


def sample_scores(metrics: dict[str, Any], samples: Sequence[dict[str, Any]]) -> dict[str, Score]:
    """Returns the metrics that are finite numbers, with Wilson's interval where each question is right or wrong.

    The harness's `acc,none` becomes acc.

    Args:
        metrics: Metrics of a benchmark, by metric and filter.
        samples: Its samples: one per question and filter.
    """
    count = len({(sample["doc_hash"], sample["doc_id"]) for sample in samples})
    scores = {}
    for key, value in metrics.items():
        metric, comma, filter_name = key.partition(",")
        is_finite = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not (comma and is_finite) or metric.endswith("_stderr") or metric == "bypass":
            continue
        is_share = all(sample[metric] in (0, 1) for sample in samples if metric in sample) and 0 <= value <= 1
        interval = wilson_interval(value * count, count) if is_share and count else None
        scores[metric if filter_name == "none" else f"{metric}_{filter_name}"] = Score(float(value), count, interval)
    return scores


@dataclass(frozen=True)
class Benchmark:
    """A benchmark that is ready to be evaluated.

    Attributes:
        manager: The harness's TaskManager.
        names: Name of each question in a local file; empty for a benchmark of the hub.
        notes: Lines about questions that were left out.
    """

    manager: Any
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def open_benchmark(task: str, options: HarnessOptions, scratch: Path) -> Benchmark:
    """Opens a benchmark of the hub or of local files.

    Args:
        task: Name of the benchmark.
        options: How to evaluate it.
        scratch: An empty folder.

    Raises:
        ConfigError: The benchmark is unknown, or a line of its file is wrong.
    """
    from lm_eval.tasks import TaskManager

    if options.folder is None and task not in CODE_TASKS:
        manager = TaskManager()
        require(task in manager.all_tasks, f"--harness {task}: unknown task: `lm-eval ls tasks` lists them")
        return Benchmark(manager)
    local = write_task_config(task, options, scratch)
    manager = TaskManager(include_path=str(scratch / "tasks"), include_defaults=False)
    return Benchmark(manager, tuple(local.names), tuple(f"left out: {line}" for line in local.bad))


def evaluate_task(model: Any, task: str, benchmark: Benchmark, options: HarnessOptions) -> dict[str, Any]:
    """Returns the output of the harness for one benchmark.

    Args:
        model: A HarnessModel.
        task: Name of the benchmark.
        benchmark: The benchmark.
        options: How to evaluate it.
    """
    from lm_eval import simple_evaluate

    from scaling.evaluation.harness.model import leave_out_long  # imports lm_eval

    load = benchmark.manager.load

    def load_fitting(*names: Any) -> dict[str, Any]:
        loaded: dict[str, Any] = load(*names)
        for name, loaded_task in loaded["tasks"].items():
            leave_out_long(model, name, loaded_task, benchmark.names)
        return loaded

    benchmark.manager.load = load_fitting
    output: Any = simple_evaluate(
        model, tasks=[task], num_fewshot=options.shots, limit=options.limit or None, bootstrap_iters=0,
        task_manager=benchmark.manager, random_seed=options.seed, numpy_random_seed=options.seed,
        fewshot_random_seed=options.seed, torch_random_seed=None,
    )  # fmt: skip
    return dict(output)


def write_task_config(task: str, options: HarnessOptions, scratch: Path) -> LocalTask:
    """Writes our YAML file of a benchmark and its questions, converted by `local`; returns what was read.

    Args:
        task: Name of the benchmark.
        options: How to evaluate it.
        scratch: An empty folder.

    Raises:
        ConfigError: A line is wrong, or there are too few examples for the shots.
    """
    import yaml

    if options.folder is not None:
        local = read_task(task, Path(options.folder), skip_bad=options.skip_bad)
    else:
        local = load_from_hub(task)
    config = yaml.safe_load((TASKS / f"{task}.yaml").read_text("utf-8"))
    files = {"test": str(write_lines(scratch / "test.jsonl", local.questions))}
    if options.shots:
        require(config.get("num_fewshot") != 0, f"--harness {task}: has no shots: remove --shots")
        require(
            bool(local.examples), f"--shots {options.shots}: {task}.shots.jsonl is missing: shots are drawn from it"
        )
        require(
            options.shots <= len(local.examples),
            f"--shots {options.shots}: {task}.shots.jsonl has {len(local.examples)}",
        )
        files["shots"] = str(write_lines(scratch / "shots.jsonl", local.examples))
        config |= {"fewshot_split": "shots"}
        if "answer" in local.examples[0]:  # with its derivation
            config["fewshot_config"] = {"doc_to_target": "{{answer}}"}
    if task in CODE_TASKS and options.samples:
        config["repeats"] = 1 + options.samples
        config["generation_kwargs"] |= {"do_sample": True, "temperature": options.temperature, "greedy_first": True}
    config["dataset_kwargs"] = {"data_files": files, "cache_dir": str(scratch / "cache")}
    write_atomic(scratch / "tasks" / f"{task}.yaml", yaml.safe_dump(config).encode())
    return local


def load_from_hub(task: str) -> LocalTask:
    """Loads the questions of a code task from the hub."""
    import datasets

    fields, convert = FORMATS[task]
    rows = datasets.load_dataset("openai/openai_humaneval", split="test")
    questions = [
        convert({name: row[name] for name in fields}, f"{task}, question {number}")
        for number, row in enumerate(rows, 1)
    ]
    return LocalTask(questions, [], [], [])


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
