"""Reads tasks from the evaluations of a store or from a table of scores: metrics by run, with intervals.

Key: r runs, I items, B bootstrap samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.data import runs as runs_module
from analysis.data.from_store import damage_notes, filter_runs
from analysis.data.options import ReadOptions
from analysis.data.record_cache import StoreSnapshot, as_snapshot
from analysis.data.sources.readers import is_store
from analysis.errors import DataError
from analysis.evals.items import item_files, read_items
from analysis.evals.metrics import METRICS
from analysis.evals.options import EmergenceOptions
from analysis.evals.score_table.read import load_score_table
from analysis.evals.tasks import Task, TaskScores, chance_level, select_tasks, summarise_metric
from scaling.store.items import ItemFile

DEFAULT_SCORE = {"exact": "exact", "choice": "accuracy"}  # default by kind of task
DEFAULT_CONTINUOUS = {"exact": "logp", "choice": "choice-logp", "loss": "logp"}


def load_tasks(
    source: Any,
    options: EmergenceOptions = EmergenceOptions(),
    reading: ReadOptions = ReadOptions(),
) -> TaskScores:
    """Reads the tasks of a store or of a table of scores (analysis/evals/score_table).

    Args:
        source: A store whose runs were evaluated, its folder, or a table: its file, a DataFrame, or columns by name.
        options: Tasks, metrics, chance levels, evaluations, level and seed.
        reading: Columns, units, rows and counting convention.

    Raises:
        DataError: The source cannot be read, or no run was evaluated.
    """
    if not is_store(source):
        return load_score_table(source, options, reading)
    _check_store_options(source, options, reading)
    store = as_snapshot(source)
    files = item_files(store, options.all_steps)
    if not files:
        raise DataError(f"{source}: no run was evaluated on a task (no runs/*/items/*.parquet)")
    runs = runs_module.read_runs(store, reading.flops, reading.params)
    runs = filter_runs(runs, Path(source), reading.where).set_index("run_id")
    files_by_task: dict[tuple[str, int], list[ItemFile]] = {}
    for file in files:
        if file.run in runs.index:
            files_by_task.setdefault((file.task, file.shots), []).append(file)
    if not files_by_task:
        condition = f"matches {reading.where}" if reading.where else "has an intact record"
        raise DataError(f"{source}: no run that was evaluated {condition}")
    names = [task for task, _ in files_by_task]
    labels = [f"{task}@{shots}" if shots or names.count(task) > 1 else task for task, shots in files_by_task]
    selected = select_tasks(labels, options.tasks, source)
    tasks = [
        _task(label, task_files, runs, store, options)
        for label, task_files, use in zip(labels, files_by_task.values(), selected, strict=True)
        if use
    ]
    if not any(tasks):
        raise DataError(f"{source}: all item files are damaged ({len(store.damaged)})")
    return TaskScores(tuple(task for task in tasks if task is not None), tuple(damage_notes(store)))


def _check_store_options(source: str | Path | StoreSnapshot, options: EmergenceOptions, reading: ReadOptions) -> None:
    """Raises DataError for an unknown metric, and for options that only apply to a table."""
    for metric, share in ((options.score, True), (options.continuous, False)):
        names = [name for name, m in METRICS.items() if m.share == share or (share and name.startswith("pass"))]
        if metric is not None and metric not in names:
            raise DataError(f"metric {metric!r}: must be one of {', '.join(names)}")
    if options.items:
        raise DataError(f"{source}: is a store, whose items are counted: --items applies only to a table of scores")
    for name in ("columns", "units", "drop_bad", "wide", "run_names"):
        if getattr(reading, name):
            raise DataError(f"{source}: is a store: --{name.replace('_', '-')} applies only to a table of scores")


def _task(
    name: str, files: list[ItemFile], runs: pd.DataFrame, store: StoreSnapshot, options: EmergenceOptions
) -> Task | None:
    """A task of the intact files; None if all are damaged."""
    items = [(file, frame) for file in files if (frame := read_items(store, file)) is not None]
    if not items:
        return None
    files, frames = [file for file, _ in items], [frame for _, frame in items]
    first = frames[0].iloc[0]
    kind = str(first["metric_kind"])
    measures = {}
    for metric, definition in METRICS.items():
        values = [definition.compute(frame) for frame in frames]
        if all(v is not None for v in values):
            arrays = [np.asarray(v) for v in values]
            measures[metric] = summarise_metric(metric, arrays, definition.share, options.level, options.seed)
    score = options.score or DEFAULT_SCORE.get(kind)
    continuous = options.continuous or DEFAULT_CONTINUOUS.get(kind)
    chance, notes = _chance(name, frames[0], kind, options)
    last_steps = runs.loc[[file.run for file in files], "steps"].tolist()
    earlier = sum(file.step < last for file, last in zip(files, last_steps, strict=True))
    if earlier and not options.all_steps:
        note = (
            f"{earlier} of {len(files)} runs were evaluated before their last step: D, C and L are those of that step"
        )
        notes = (*notes, note)
    return Task(
        name=name,
        family=str(first.get("family") or name),
        difficulty=float(first["difficulty"]) if pd.notna(first.get("difficulty")) else float("nan"),
        shots=files[0].shots,
        chance=chance,
        runs=pd.DataFrame([_scales(file, runs.loc[file.run], store) for file in files]),
        measures=measures,
        score=score if score in measures else None,
        continuous=continuous if continuous in measures else None,
        notes=notes,
    )


def _chance(name: str, items: pd.DataFrame, kind: str, options: EmergenceOptions) -> tuple[float, tuple[str, ...]]:
    """Chance level of a task: the mean over its items, or derived from the number of choices."""
    stated = float(pd.to_numeric(items["chance"]).mean()) if "chance" in items else float("nan")
    choices = float("nan")
    if kind == "choice" and "choice_logp" in items:
        counts = [len(logp_K) for logp_K in items["choice_logp"] if logp_K is not None and len(logp_K)]
        choices = len(counts) / sum(1 / count for count in counts) if counts else choices
    return chance_level(name, options.chance, stated, choices, exact=kind == "exact")


def _scales(file: ItemFile, run: Any, store: StoreSnapshot) -> dict[str, Any]:
    """N, D, C and L of a run at the step of an evaluation."""
    loss = float(run["loss"])
    if file.step < float(run["steps"]):
        loss = _loss_at(store, file.run, file.step)
    share = runs_module.token_share(run, file.step)
    return {
        "run": file.run,
        "step": file.step,
        "N": float(run["N"]),
        "D": float(run["D"]) * share,
        "C": float(run["C"]) * share,
        "L": loss,
    }


def _loss_at(store: StoreSnapshot, run: str, step: int) -> float:
    """Held-out loss at a step, NaN if it was not measured."""
    rows = store.curve(run)
    return next((row["val_loss"] for row in rows if row["step"] == step and "val_loss" in row), float("nan"))
