"""Abilities over scale: every task's curve, its change-point and the verdict whether it was sudden.

Key: r runs, n scales, I items, B draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import DataError
from analysis.evals import load
from analysis.evals.metrics import METRICS, corrected, wilson
from analysis.evals.series import SAME, Series, choices, scales, values
from analysis.evals.tasks import AXES, Curve, Finding, Measure, Task, weights
from analysis.evals.verdict import ARTEFACT, BREAK, Verdict, judge
from analysis.format import plain

TITLE = {"C": "compute (FLOPs)", "N": "parameters", "D": "tokens", "L": "loss (nats a token)"}


@dataclass(frozen=True)
class Study:
    """Findings of a source along an axis."""

    source: str
    axis: str
    level: float
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """What `emergence --json` writes."""
        tasks = [_json(one, self.axis) for one in self.findings]
        return dict(plain({"source": self.source, "x": self.axis, "level": self.level, "tasks": tasks}))


def study(
    source: str | Path,
    *,
    x: str = "C",
    target: Mapping[str, float] | None = None,
    every: bool = False,
    frontier: bool = True,
    level: float = 0.95,
    seed: int = 0,
    bootstrap: int = 300,
    **reading: Any,
) -> Study:
    """Curves and verdicts of all tasks of a store or a table along x: C, N, D or L.

    every: all evaluations of a run, not its last. frontier: configurations whose loss none of a smaller scale beats,
    with all their seeds; else all runs. target: {"C": 1e13} or {"N": ..., "D": ...}, where a score is predicted.
    Raises DataError.
    """
    if x not in AXES:
        raise DataError(f"x = {x!r}: allowed are {', '.join(AXES)}")
    if target:
        from analysis.evals import predict

        predict.check(x, target)
    tasks = load.load(source, every=every, level=level, seed=seed, **reading)
    found = [_finding(task, x, frontier and x != "L", level, seed) for task in tasks]
    if target:
        found = [predict.at(one, x, target, bootstrap, level, seed) for one in found]
    return Study(str(source), x, level, tuple(found))


def _finding(task: Task, axis: str, frontier: bool, level: float, seed: int) -> Finding:
    at = task.runs[axis].to_numpy(float)
    kept, notes = np.isfinite(at) & (at > 0), []
    if not kept.any():
        raise DataError(f"task {task.name}: no run has {axis}: choose another x")
    if not kept.all():
        notes.append(f"{int((~kept).sum())} of {len(kept)} runs have no {axis}: left out")
    scale = scales(position(at, axis), _same(at[kept], axis))
    if frontier:
        best = _best(task, scale, kept)
        if best.sum() < kept.sum():
            notes.append(f"{int(best.sum())} of {int(kept.sum())} runs: those whose loss none of a smaller scale beats")
        kept = best
    curves = {name: _curve(task, one, at, scale, kept, level, seed) for name, one in task.measures.items()}
    if task.score is None:
        verdict = Verdict("cannot say", "no score that could be at a floor: nothing to compare", codes=("one",))
        return Finding(task, verdict, kept, curves, tuple(notes))
    score, beside = (series(task, name, axis, kept) for name in (task.score, task.continuous))
    assert score is not None
    verdict = judge(score, beside, decades=axis != "L", level=level)
    if verdict.score is not None and verdict.verdict in (ARTEFACT, BREAK) and verdict.score.change >= score.x[-2]:
        notes.append("the rise rests on the last scale alone: one more above it would tell")
    return Finding(task, verdict, kept, curves, tuple(notes))


def position(at: np.ndarray, axis: str) -> np.ndarray:
    """Where scales stand: log10 of C, N or D; −L, so that more is to the right."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(-at if axis == "L" else np.log10(at))


def unplaced(x: float, axis: str) -> float:
    """The scale that stands at x."""
    return -x if axis == "L" else 10.0**x


def series(task: Task, metric: str | None, axis: str, kept: np.ndarray) -> Series | None:
    """A task's metric by scale, up where it gets better; None where there is none."""
    if metric is None:
        return None
    one, at = task.measures[metric], task.runs[axis].to_numpy(float)
    x, same = position(at, axis)[kept], _same(at[kept], axis)
    mean, items = one.mean[kept], one.items[kept]
    if one.share:
        return choices(x, mean * items, items, same)
    sign = -1.0 if metric in METRICS and not METRICS[metric].up else 1.0
    return values(x, sign * mean, one.variance[kept], same)


def _same(at: np.ndarray, axis: str) -> float:
    """How close runs must be to be of one scale."""
    return float(np.ptp(at)) / 60 if axis == "L" else SAME


def _best(task: Task, scale: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The frontier: the configurations whose mean loss none of a smaller scale beats, and at one scale the best one.

    All runs where losses or sizes are missing. A configuration is a scale and a size; its runs are its seeds.
    """
    loss, N = task.runs["L"].to_numpy(float), task.runs["N"].to_numpy(float)
    if not (np.isfinite(loss[kept]).all() and np.isfinite(N[kept]).all()):
        return kept
    size = np.round(np.log10(N, where=kept, out=np.zeros(len(N))), 3)
    out, lowest = np.zeros_like(kept), np.inf
    for one in np.unique(scale[kept]):  # scales are numbered in order
        here = (scale == one) & kept
        means = {s: loss[here & (size == s)].mean() for s in np.unique(size[here])}
        best = min(means, key=lambda s: means[s])
        if means[best] < lowest:
            lowest = float(means[best])
            out |= here & (size == best)
    return out


def _curve(
    task: Task, one: Measure, at: np.ndarray, scale: np.ndarray, kept: np.ndarray, level: float, seed: int
) -> Curve:
    rows = [np.flatnonzero((scale == s) & kept) for s in np.unique(scale[kept])]  # in order: a loss falls
    means = np.array([one.mean[r].mean() for r in rows])
    intervals = np.array([_interval(one, r, level, seed) for r in rows])
    return Curve(one.name, np.array([at[r].mean() for r in rows]), means, intervals, np.array([len(r) for r in rows]))


def _interval(one: Measure, rows: np.ndarray, level: float, seed: int) -> tuple[float, float]:
    """Of a scale: its run's own; of several runs a bootstrap over runs and items, where items are known."""
    if len(rows) == 1:
        low, high = one.interval[rows[0]]
        return float(low), float(high)
    if not one.values or len({len(one.values[r]) for r in rows}) > 1:
        if one.share:
            return wilson(float((one.mean * one.items)[rows].sum()), float(one.items[rows].sum()), level)
        half = (one.interval[rows, 1] - one.interval[rows, 0]).mean() / 2 / np.sqrt(len(rows))
        return float(one.mean[rows].mean() - half), float(one.mean[rows].mean() + half)
    values_RI = np.stack([one.values[r] for r in rows])
    drawn_BR = weights(values_RI.shape[1], seed) @ values_RI.T
    chosen = np.random.default_rng(seed).integers(len(rows), size=drawn_BR.shape)
    low, high = np.quantile(np.take_along_axis(drawn_BR, chosen, 1).mean(1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _json(one: Finding, axis: str) -> dict[str, Any]:
    task, verdict = one.task, one.verdict
    change = None
    if verdict.score is not None:
        low, high = sorted(unplaced(x, axis) for x in verdict.score.interval)
        change = {"at": unplaced(verdict.score.change, axis), "interval": [low, high]}
    known = {
        "task": task.name, "family": task.family, "difficulty": task.difficulty, "shots": task.shots,
        "chance": task.chance, "score": task.score, "continuous": task.continuous,
        "verdict": verdict.verdict, "why": verdict.why, "change": change, "before": verdict.before,
        "sharpness": {k: asdict(v) for k, v in (("score", verdict.score), ("continuous", verdict.logp)) if v},
        "scales": {k: _points(task, c, axis) for k, c in one.curves.items()},
        "runs": task.runs[one.kept].to_dict("records"), "notes": list(one.notes), **one.told,
    }  # fmt: skip
    return {k: v for k, v in known.items() if v is not None and not (isinstance(v, float) and np.isnan(v))}


def _points(task: Task, curve: Curve, axis: str) -> list[dict[str, Any]]:
    rows = []
    for x, mean, (low, high), runs in zip(curve.x, curve.mean, curve.interval, curve.runs, strict=True):
        row = {axis: x, "mean": mean, "interval": [low, high], "runs": int(runs)}
        if curve.metric == task.score:
            row["corrected"] = corrected(mean, task.chance)
        rows.append(row)
    return rows
