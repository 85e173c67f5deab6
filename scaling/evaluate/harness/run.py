"""Benchmarks asked of a trained run, one after the other: what goes wrong in one is a line, and the others go on."""

from __future__ import annotations

import importlib
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
from scaling.evaluate.harness.local import TASKS, read_task
from scaling.inference.scorer import ScoreError, Scorer
from scaling.store import items
from scaling.store.files import write_atomic


@dataclass
class HarnessResult:
    """scores by task/metric; a line for each task that went wrong; files of items."""

    scores: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def run_harness(scorer: Scorer, folder: Path, asked: HarnessOptions) -> HarnessResult:
    """Asks everything; items go to `folder`. ConfigError where the harness is not installed."""
    if asked.path is not None:
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        with silence_logging():
            importlib.import_module("lm_eval")
    except ImportError:
        raise ConfigError("--harness needs the [harness] extra: pip install 'scaling[harness]'") from None
    found = HarnessResult()
    for task in dict.fromkeys(asked.tasks):
        try:
            scores, files = run_task(scorer, folder, task, asked)
            found.scores |= scores
            found.files += files
        except (ConfigError, ScoreError, OSError) as error:
            said = " ".join(str(error).split())[:400]
            found.wrong.append(said if task in said else f"task {task}: {said}")
    return found


def run_task(scorer: Scorer, folder: Path, task: str, asked: HarnessOptions) -> tuple[dict[str, float], list[Path]]:
    """A task's scores (of a group also those of its parts), and its items' files."""
    from scaling.evaluate.harness.model import HarnessModel
    from scaling.evaluate.harness.rows import harness_rows

    model = HarnessModel(scorer, asked.seed)
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch, silence_logging():
        said = evaluate_task(model, task, asked, Path(scratch))
    out: dict[str, float] = {}
    files = []
    for name, samples in said["samples"].items():
        shots = int(said["n-shot"].get(name) or 0)
        rows, more = harness_rows(model, name, shots, scorer.of.step, samples, asked)
        files.append(items.write_items(folder, name, shots, scorer.of.step, rows))
        out |= {f"{items.task_label(name, shots)}/{metric}": value for metric, value in more.items()}
    for name, values in {**said["results"], **said.get("groups", {})}.items():
        label = items.task_label(name, int(said["n-shot"].get(name) or 0))
        out |= {f"{label}/{metric}": value for metric, value in finite_metrics(values)}
    return out, files


def finite_metrics(values: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The harness's `acc,none` as acc; what is no finite number is left out."""
    for key, value in values.items():
        metric, comma, how = key.partition(",")
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if comma and number and not metric.endswith("_stderr") and metric != "bypass":
            yield metric if how == "none" else f"{metric}_{how}", float(value)


def evaluate_task(model: Any, task: str, asked: HarnessOptions, scratch: Path) -> dict[str, Any]:
    """What the harness says of one task."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    spec: Any = task
    if asked.path is None and task not in CODE_TASKS:
        manager = TaskManager()
        require(task in manager.all_tasks, f"--harness {task}: unknown to the harness: `lm-eval ls tasks` lists them")
    else:
        spec = write_task_config(task, asked, scratch)
        manager = TaskManager(include_path=str(scratch / "tasks"), include_defaults=False)
    said: Any = simple_evaluate(
        model, tasks=[spec], num_fewshot=asked.shots, limit=asked.limit or None, bootstrap_iters=0,
        task_manager=manager, random_seed=asked.seed, numpy_random_seed=asked.seed, fewshot_random_seed=asked.seed,
        torch_random_seed=None,
    )  # fmt: skip
    return dict(said)


def write_task_config(task: str, asked: HarnessOptions, scratch: Path) -> str:
    """Our own YAML of a task, over its lines as they are read here; its name."""
    import yaml

    questions, shots = read_task(task, Path(asked.path)) if asked.path is not None else load_from_hub(task)
    config = yaml.safe_load((TASKS / f"{task}.yaml").read_text("utf-8"))
    files = {"test": str(write_lines(scratch / "test.jsonl", questions))}
    if asked.shots:
        require(config.get("num_fewshot") != 0, f"--harness {task}: has no shots: leave --shots out")
        require(bool(shots), f"--shots {asked.shots}: {task}.shots.jsonl is not there: shots are drawn from it")
        require(asked.shots <= len(shots), f"--shots {asked.shots}: {task}.shots.jsonl has {len(shots)}")
        files["shots"] = str(write_lines(scratch / "shots.jsonl", shots))
        config |= {"fewshot_split": "shots"}
        if "answer" in shots[0]:  # the whole way to it
            config["fewshot_config"] = {"doc_to_target": "{{answer}}"}
    if task in CODE_TASKS and asked.samples:
        config["repeats"] = 1 + asked.samples
        config["generation_kwargs"] |= {"do_sample": True, "temperature": asked.temperature, "greedy_first": True}
    config["dataset_kwargs"] = {"data_files": files, "cache_dir": str(scratch / "cache")}
    write_atomic(scratch / "tasks" / f"{task}.yaml", yaml.safe_dump(config).encode())
    return task


def load_from_hub(task: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The questions of a code task, from where they are published."""
    import datasets

    from scaling.evaluate.harness.local import FORMATS

    fields, order = FORMATS[task]
    rows = datasets.load_dataset("openai/openai_humaneval", split="test")
    return [order({name: row[name] for name in fields}, f"{task}, question {i}") for i, row in enumerate(rows)], []


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    import json

    write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return path


@contextmanager
def silence_logging() -> Iterator[None]:
    """Without what the harness and its data library say on the way, which is not for a user of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(before)
