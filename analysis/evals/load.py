"""Reads tasks from the evaluations of a store or from a table of scores: metrics by run, with intervals.

Key: r runs, I items, B bootstrap samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.data import runs as runs_module
from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError
from analysis.evals.items import item_files, read_items
from analysis.evals.metrics import METRICS
from analysis.evals.options import EmergenceOptions
from analysis.evals.score_table import load_score_table
from analysis.evals.tasks import Task, summarise_metric
from scaling.store.items import ItemFile
from scaling.store.record import Store

DEFAULT_SCORE = {"exact": "exact", "choice": "accuracy"}  # default by kind of task
DEFAULT_CONTINUOUS = {"exact": "logp", "choice": "choice-logp", "loss": "logp"}


def load_tasks(source: str | Path | StoreSnapshot, options: EmergenceOptions = EmergenceOptions()) -> list[Task]:
    """Reads the tasks of a store or of a table of scores (analysis/evals/score_table.py).

    Args:
        source: A store whose runs were evaluated, its folder, or the file of a table.
        options: Metrics, evaluations, level, seed and counting convention.

    Raises:
        DataError: The source cannot be read, or no run was evaluated.
    """
    for metric, share in ((options.score, True), (options.continuous, False)):
        names = [name for name, m in METRICS.items() if m.share == share or (share and name.startswith("pass"))]
        if metric is not None and metric not in names:
            raise DataError(f"metric {metric!r}: must be one of {', '.join(names)}")
    if not Path(source).is_dir():
        return load_score_table(Path(source), options.level)
    files = item_files(source, options.all_steps)
    if not files:
        raise DataError(f"{source}: no run was evaluated on a task (no runs/*/items/*.parquet)")
    runs = runs_module.read_runs(source, options.flops, options.params).set_index("run_id")
    files_by_task: dict[tuple[str, int], list[ItemFile]] = {}
    for file in files:
        if file.run in runs.index:
            files_by_task.setdefault((file.task, file.shots), []).append(file)
    names = [task for task, _ in files_by_task]
    store = source if isinstance(source, StoreSnapshot) else Store(source)
    return [
        _task(f"{task}@{shots}" if shots or names.count(task) > 1 else task, task_files, runs, store, options)
        for (task, shots), task_files in files_by_task.items()
    ]


def _task(name: str, files: list[ItemFile], runs: pd.DataFrame, store: Store, options: EmergenceOptions) -> Task:
    frames = [read_items(file.path) for file in files]
    first = frames[0].iloc[0]
    kind = str(first["metric_kind"])
    chance = float(pd.to_numeric(frames[0]["chance"]).mean()) if "chance" in frames[0] else 0.0
    measures = {}
    for metric, definition in METRICS.items():
        values = [definition.compute(frame) for frame in frames]
        if all(v is not None for v in values):
            arrays = [np.asarray(v) for v in values]
            measures[metric] = summarise_metric(metric, arrays, definition.share, options.level, options.seed)
    score = options.score or DEFAULT_SCORE.get(kind)
    continuous = options.continuous or DEFAULT_CONTINUOUS.get(kind)
    return Task(
        name=name,
        family=str(first.get("family") or name),
        difficulty=float(first["difficulty"]) if pd.notna(first.get("difficulty")) else float("nan"),
        shots=files[0].shots,
        chance=0.0 if np.isnan(chance) else chance,
        runs=pd.DataFrame([_scales(file, runs.loc[file.run], store) for file in files]),
        measures=measures,
        score=score if score in measures else None,
        continuous=continuous if continuous in measures else None,
    )


def _scales(file: ItemFile, run: Any, store: Store) -> dict[str, Any]:
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


def _loss_at(store: Store, run: str, step: int) -> float:
    """Held-out loss at a step, NaN if it was not measured."""
    rows = store.curve(run)
    return next((row["val_loss"] for row in rows if row["step"] == step and "val_loss" in row), float("nan"))
