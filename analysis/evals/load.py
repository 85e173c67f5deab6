"""What runs can do: every task's metrics by run, with intervals, from a store's items or from somebody's table.

Key: r runs, I items, B draws.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.data import runs as runs_module
from analysis.errors import DataError
from analysis.evals import items
from analysis.evals.metrics import METRICS
from analysis.evals.tasks import Task, measure

SCORES = {"exact": "exact", "choice": "accuracy"}  # by kind of task, unless another is chosen
CONTINUOUS = {"exact": "logp", "choice": "choice-logp", "loss": "logp"}


def load(
    source: str | Path, *, every: bool = False, flops: str = "6nd", params: str = "total", level: float = 0.95,
    seed: int = 0, score: str | None = None, continuous: str | None = None,
) -> list[Task]:  # fmt: skip
    """The tasks of a store, or of a table (analysis/evals/score_table.py). every: all evaluations, not each run's last.

    score, continuous: metrics to compare instead of the usual ones. Raises DataError (one line).
    """
    for given, share in ((score, True), (continuous, False)):
        fit = [name for name, m in METRICS.items() if m.share == share or (share and name.startswith("pass"))]
        if given is not None and given not in fit:
            raise DataError(f"metric {given!r}: known are {', '.join(fit)}")
    if not Path(source).is_dir():
        from analysis.evals import score_table

        return score_table.load(Path(source), level)
    files = items.found(source, every)
    if not files:
        raise DataError(f"{source}: no run was evaluated on a task (no runs/*/items/*.parquet)")
    runs = runs_module.runs(source, flops, params).set_index("run_id")
    groups: dict[tuple[str, int], list[items.File]] = {}
    for file in files:
        if file.run in runs.index:
            groups.setdefault((file.task, file.shots), []).append(file)
    several = {task for task, _ in groups if sum(task == other for other, _ in groups) > 1}
    return [
        _task(f"{task}@{shots}" if shots or task in several else task, shots, of, runs, Path(source), level, seed,
              score, continuous)
        for (task, shots), of in groups.items()
    ]  # fmt: skip


def _task(
    name: str, shots: int, files: list[items.File], runs: pd.DataFrame, store: Path, level: float, seed: int,
    score: str | None, continuous: str | None,
) -> Task:  # fmt: skip
    frames = [items.read(file.path) for file in files]
    first = frames[0].iloc[0]
    kind = str(first["metric_kind"])
    chance = float(pd.to_numeric(frames[0]["chance"]).mean()) if "chance" in frames[0] else 0.0
    found = {}
    for metric, how in METRICS.items():
        values = [how.of(frame) for frame in frames]
        if all(v is not None for v in values):
            found[metric] = measure(metric, [np.asarray(v) for v in values], how.share, level, seed)
    wanted = score or SCORES.get(kind)
    beside = continuous or CONTINUOUS.get(kind)
    return Task(
        name=name,
        family=str(first.get("family") or name),
        difficulty=float(first["difficulty"]) if pd.notna(first.get("difficulty")) else float("nan"),
        shots=shots,
        chance=0.0 if np.isnan(chance) else chance,
        runs=pd.DataFrame([_run(file, runs.loc[file.run], store) for file in files]),
        measures=found,
        score=wanted if wanted in found else None,
        continuous=beside if beside in found else None,
    )


def _run(file: items.File, run: Any, store: Path) -> dict[str, Any]:
    """Scale of an evaluation: that of the run, or of the part of it up to the step."""
    steps, part = float(run["steps"]), {"L": float(run["loss"])}
    if file.step < steps:
        part["L"] = _loss_at(store, file.run, file.step)
    share = min(1.0, file.step / steps)
    return {"run": file.run, "step": file.step, "N": float(run["N"]), "D": float(run["D"]) * share,
            "C": float(run["C"]) * share, **part}  # fmt: skip


def _loss_at(store: Path, run: str, step: int) -> float:
    """Held-out loss at a step, NaN where it was not measured."""
    from scaling.store.record import Store

    rows = Store(store).curve(run)
    return next((row["val_loss"] for row in rows if row["step"] == step and "val_loss" in row), float("nan"))
