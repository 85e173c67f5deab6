"""Somebody's table of scores as tasks: columns task, one of C, N, D, L at least, and scores.

Long: `metric` names what `score` is, a row a metric. Wide: `score` (a share of right answers) and beside it a column of
a continuous metric. Right answers may be counts instead: `k` of `n`. A share takes `n`, its number of items, or `se`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.data import readers
from analysis.data.table import listed, parse
from analysis.errors import DataError
from analysis.evals.metrics import wilson
from analysis.evals.tasks import AXES, Measure, Task

NAMES = {  # other names of columns
    "task": ("task", "benchmark", "dataset"),
    "C": ("C", "flops", "flops_6nd", "compute"),
    "N": ("N", "params", "n_params", "parameters"),
    "D": ("D", "tokens", "n_tokens"),
    "L": ("L", "loss", "val_loss"),
    "metric": ("metric",),
    "score": ("score", "value", "accuracy", "acc", "exact_match", "em", "exact"),
    "k": ("k", "hits", "correct"),
    "n": ("n", "items", "n_items", "count", "total"),
    "se": ("se", "stderr"),
    "chance": ("chance", "random"),
    "run": ("run", "run_id", "model", "name"),
    "logp": ("logp", "log_prob", "logprob", "log_likelihood", "loglikelihood"),
    "brier": ("brier", "brier_score"),
    "edit": ("edit", "edit_distance", "token_edit_distance"),
}
BESIDE = ("logp", "brier", "edit")
UP = {"logp": 1.0, "brier": -1.0, "edit": -1.0}


def load(path: Path, level: float) -> list[Task]:
    """Tasks in the order of the table. Raises DataError (one line)."""
    table = readers.read(path)
    have = {c if len(c) == 1 else c.lower(): c for c in map(str, table.frame.columns)}  # N parameters, n items
    where = {k: next((have[n] for n in names if n in have), None) for k, names in NAMES.items()}
    if where["score"] is None and where["k"] is None:
        raise DataError(f"{path}: no column of scores: score, or k of n: it has {listed(table.frame.columns)}")
    if not any(where[axis] for axis in AXES):
        raise DataError(f"{path}: no column of scale: one of {', '.join(AXES)}: it has {listed(table.frame.columns)}")
    frame = pd.DataFrame(index=table.frame.index)
    for key, column in where.items():
        if column is None:
            continue
        cells = table.frame[column]
        if key in ("task", "metric", "run"):
            frame[key] = cells.astype(str).str.strip()
            continue
        frame[key] = parse(cells, counts=key in AXES, comma=table.comma).values
        wrong = ~np.isfinite(frame[key]) & (cells.notna() & (cells.astype(str).str.strip() != ""))
        if wrong.any():
            at = int(np.argmax(wrong))
            raise DataError(f"{path}: {table.place(frame.index[at])}, column {column}: {cells.iloc[at]!r} is no number")
    if "k" in frame and "n" not in frame:
        raise DataError(f"{path}: column {where['k']} of right answers takes n, the number of items")
    if "k" in frame:
        frame["score"] = frame["k"] / frame["n"]
    names = frame["task"] if "task" in frame else pd.Series("task", frame.index)
    return [_task(str(name), frame[names == name], str(path), level) for name in dict.fromkeys(names)]


def _task(name: str, rows: pd.DataFrame, source: str, level: float) -> Task:
    if "metric" not in rows:
        parts = {"score": rows.assign(value=rows["score"])}
        parts |= {b: rows.assign(value=rows[b]) for b in BESIDE if b in rows and rows[b].notna().any()}
        runs = rows
    else:
        kinds = {m: _kind(m, source) for m in dict.fromkeys(rows["metric"])}
        parts = {kinds[m]: rows[rows["metric"] == m].assign(value=lambda r: r["score"]) for m in kinds}
        if len(parts) < len(kinds):
            raise DataError(f"{source}: task {name}: two metrics of one kind: {', '.join(kinds)}: keep one of each")
        runs, parts = _aligned(parts, name, source)
    found = {kind: _measure(kind, part, source, name, level) for kind, part in parts.items()}
    chance = rows["chance"].dropna() if "chance" in rows else pd.Series(dtype=float)
    place = {axis: runs[axis].to_numpy(float) if axis in runs else np.full(len(runs), np.nan) for axis in AXES}
    place["run"] = runs["run"].to_numpy() if "run" in runs else np.array([f"row {i + 1}" for i in runs.index])
    beside = next((b for b in BESIDE if b in found), None)
    return Task(name, name, float("nan"), 0, float(chance.iloc[0]) if len(chance) else 0.0,
                pd.DataFrame(place).assign(step=0), found, "score" if "score" in found else None, beside)  # fmt: skip


def _kind(metric: str, source: str) -> str:
    """Which of ours a metric is, by its name."""
    said = metric.lower().replace("-", "_").replace(" ", "_")
    for kind in ("score", *BESIDE):
        if said in NAMES[kind] or said == kind:
            return kind
    known = [n for kind in ("score", *BESIDE) for n in NAMES[kind]]
    raise DataError(f"{source}: metric {metric!r}: known are {', '.join(known)}")


def _aligned(parts: dict[str, pd.DataFrame], name: str, source: str) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """The metrics' rows in one order of runs."""
    first = next(iter(parts.values()))
    keys = [k for k in ("run", *AXES) if k in first]
    out = {kind: part.sort_values(keys, kind="stable") for kind, part in parts.items()}
    like = next(iter(out.values()))
    for kind, part in out.items():
        if len(part) != len(like) or not (part[keys].to_numpy() == like[keys].to_numpy()).all():
            raise DataError(f"{source}: task {name}: {kind} is not there for the same runs as {next(iter(out))}")
    return like, out


def _measure(kind: str, rows: pd.DataFrame, source: str, task: str, level: float) -> Measure:
    from scipy.special import ndtri

    y = rows["value"].to_numpy(float) * UP.get(kind, 1.0)
    n = rows["n"].to_numpy(float) if "n" in rows else np.full(len(y), np.nan)
    se = rows["se"].to_numpy(float) if "se" in rows else np.full(len(y), np.nan)
    if kind == "score":
        if (y < 0).any() or (y > 1).any() or np.isnan(y).any():
            raise DataError(f"{source}: task {task}: scores are shares of right answers, from 0 to 1, without gaps")
        if np.isnan(n).any() and np.isnan(se).any():
            raise DataError(f"{source}: task {task}: how sure is a score? give n, its number of items, or se")
        n = np.where(np.isnan(n), np.maximum(y * (1 - y) / np.maximum(se, 1e-6) ** 2, 10.0), n)
        interval = np.array([wilson(a * b, b, level) for a, b in zip(y, n, strict=True)])
        return Measure(kind, y, y * (1 - y) / n, interval, n, share=True)
    v = np.where(np.isnan(se), _rough(y[np.argsort(_scale(rows), kind="stable")]), se**2)
    half = float(ndtri((1 + level) / 2)) * np.sqrt(v)
    return Measure(kind, y, v, np.stack([y - half, y + half], -1), np.nan_to_num(n))


def _scale(rows: pd.DataFrame) -> np.ndarray:
    return np.asarray(next(rows[axis] for axis in AXES if axis in rows), float)


def _rough(y: np.ndarray) -> float:
    """Variance of points about a curve whose noise nobody told: by the middle of its second differences."""
    if len(y) < 3:
        return float(np.var(y))
    return float((1.4826 * np.median(np.abs(np.diff(y, 2)))) ** 2 / 6)
