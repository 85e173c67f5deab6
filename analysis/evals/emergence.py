"""Emergence: curves of scores by scale, their changepoints, and verdicts on sudden rises.

Key: r runs, n scales, I items, B bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.data.options import ReadOptions
from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError
from analysis.evals.load import load_tasks
from analysis.evals.metrics import METRICS, chance_corrected
from analysis.evals.options import AXES, EmergenceOptions
from analysis.evals.predict import add_predictions, check_target
from analysis.evals.series import SCALE_TOLERANCE, Series, binomial_series, mean_series, scale_indices
from analysis.evals.tasks import Curve, Finding, Task, TaskMetric, bootstrap_weights
from analysis.evals.verdict import ARTEFACT, BREAK, INCONCLUSIVE, Verdict, judge_emergence
from analysis.fitting.options import FitOptions
from analysis.format import json_ready
from analysis.solver.processes import fork_pool, fork_processes, map_in_pool
from analysis.uncertainty import intervals
from scaling.store.origin.paths import public_path
from scaling.store.score_intervals import wilson_interval

AXIS_TITLES = {"C": "compute (FLOPs)", "N": "parameters", "D": "tokens", "L": "loss"}
LOSS_SCALES = 60  # losses within 1/60 of their range count as one scale


@dataclass(frozen=True)
class EmergenceStudy:
    """Findings of a source along one axis.

    Attributes:
        source: Name of the store or table.
        axis: Scale of the curves: C, N, D or L.
        level: Coverage of the intervals.
        findings: One per task.
        notes: Notes on the reading of the source, one line each.
        loss_unit: Unit of the loss L of the runs, as it is printed.
    """

    source: str
    axis: str
    level: float
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    loss_unit: str = "nats per token"

    def to_json(self) -> dict[str, Any]:
        """Returns what `emergence --json` writes."""
        tasks = [_finding_json(finding, self.axis) for finding in self.findings]
        unit = {"loss_unit": self.loss_unit} if self.axis == "L" else {}
        data = {
            "source": public_path(self.source),
            "x": self.axis,
            "level": self.level,
            **unit,
            "notes": list(self.notes),
        }
        return dict(json_ready({**data, "tasks": tasks}))


def emergence_study(
    source: Any,
    options: EmergenceOptions = EmergenceOptions(),
    reading: ReadOptions = ReadOptions(),
) -> EmergenceStudy:
    """Computes the curves and verdicts of all tasks of a store or a table.

    Args:
        source: A store whose runs were evaluated, its folder, or a table of scores: its file, a DataFrame, or columns
            by name.
        options: Scale, tasks, metrics, runs, and the target of predictions.
        reading: Columns, units, rows and counting convention of the source.

    Raises:
        DataError: The source cannot be read, or a metric or the target does not apply.
    """
    if options.target:
        check_target(options.x or next((axis for axis in AXES if axis in options.target), "C"), options.target)
    scores = load_tasks(source, options, reading)
    options = replace(options, x=options.x or _first_axis(scores.tasks, options.target))
    findings = [_finding(task, options) for task in scores.tasks]
    if options.target:
        findings = _with_predictions(findings, options)
    name = str(source) if isinstance(source, str | Path | StoreSnapshot) else "table"
    return EmergenceStudy(name, str(options.x), options.level, tuple(findings), scores.notes, scores.loss_unit)


def _first_axis(tasks: Sequence[Task], target: Mapping[str, float]) -> str:
    """The scale of a target in one scale, else the first scale that a run of every task has."""
    if len(target) == 1 and set(target) <= set(AXES):
        return next(iter(target))
    axes = "CND" if target else AXES  # a target in N and D has no loss
    known = [axis for axis in axes if all(np.isfinite(task.runs[axis].to_numpy(float)).any() for task in tasks)]
    return known[0] if known else AXES[0]


def _with_predictions(findings: list[Finding], options: EmergenceOptions) -> list[Finding]:
    """The findings with their predictions, computed on all cores if there are many tasks."""
    fit_options = FitOptions(bootstrap=options.bootstrap, level=options.level, seed=options.seed)
    arguments = [(finding, str(options.x), options.target, fit_options) for finding in findings]
    workers = min(fork_processes(), len(findings))
    if workers <= 1:
        return [add_predictions(*row) for row in arguments]
    with fork_pool(workers) as pool:
        return list(map_in_pool(pool, add_predictions, *zip(*arguments, strict=True)))


def _finding(task: Task, options: EmergenceOptions) -> Finding:
    axis = str(options.x)
    scale_r = task.runs[axis].to_numpy(float)
    has_scale = np.isfinite(scale_r) & (scale_r > 0)
    if not has_scale.any():
        others = [letter for letter in AXES if np.isfinite(task.runs[letter].to_numpy(float)).any()]
        remedy = (
            f"choose another --x: {', '.join(others)}" if others else "name it with --columns or --run-names '*{N}'"
        )
        raise DataError(f"task {task.name}: no run has {axis}: {remedy}")
    index_r = scale_indices(scale_position(scale_r, axis), _tolerance(scale_r[has_scale], axis))
    included, notes = _included_runs(task, index_r, has_scale, options)
    notes = [*task.notes, *notes]
    curves = {name: _curve(measure, scale_r, index_r, included, options) for name, measure in task.measures.items()}
    if task.score is None:
        reason = f"the task has no score to compare: its metrics are {', '.join(task.measures)}"
        verdict = Verdict(INCONCLUSIVE, reason, codes=("no-score",))
        return Finding(task, verdict, included, curves, tuple(notes))
    score, continuous = (metric_series(task, name, axis, included) for name in (task.score, task.continuous))
    assert score is not None
    verdict = judge_emergence(score, continuous, decades=axis != "L", level=options.level)
    if verdict.score is not None and verdict.verdict in (ARTEFACT, BREAK) and verdict.score.changepoint >= score.x[-2]:
        notes.append("only the last scale supports the rise: add a larger scale")
    return Finding(task, verdict, included, curves, tuple(notes))


def _included_runs(
    task: Task, index_r: np.ndarray, has_scale: np.ndarray, options: EmergenceOptions
) -> tuple[np.ndarray, list[str]]:
    """Mask (r,) of the runs in the curves: runs with a scale, by default on the compute-efficient frontier."""
    notes = []
    if not has_scale.all():
        notes.append(f"{int((~has_scale).sum())} of {len(has_scale)} runs have no {options.x} and are left out")
    if options.all_runs or options.x == "L":
        return has_scale, notes
    frontier = _frontier(task, index_r, has_scale)
    if frontier.sum() < has_scale.sum():
        notes.append(
            f"{int(frontier.sum())} of {int(has_scale.sum())} runs are on the compute-efficient frontier and are used"
        )
    return frontier, notes


def scale_position(scale: np.ndarray, axis: str) -> np.ndarray:
    """Returns the position of scales on the x axis of a series: log10 of C, N or D; -L, so that it increases.

    Args:
        scale: C, N, D or L of runs.
        axis: Its letter.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(-scale if axis == "L" else np.log10(scale))


def scale_value(x: float, axis: str) -> float:
    """Returns the scale at a position, the inverse of `scale_position`.

    Args:
        x: Position.
        axis: C, N, D or L.
    """
    return -x if axis == "L" else 10.0**x


def metric_series(task: Task, metric: str | None, axis: str, included: np.ndarray) -> Series | None:
    """Returns a metric by scale, with a sign such that higher is better; None if there is no metric.

    Args:
        task: The task.
        metric: Name of the metric.
        axis: C, N, D or L.
        included: Mask of the runs to use (r,).
    """
    if metric is None:
        return None
    measure, scale_r = task.measures[metric], task.runs[axis].to_numpy(float)
    x, tolerance = scale_position(scale_r, axis)[included], _tolerance(scale_r[included], axis)
    mean, items = measure.mean[included], measure.items[included]
    if measure.share:
        return binomial_series(x, mean * items, items, tolerance)
    sign = -1.0 if metric in METRICS and not METRICS[metric].higher_is_better else 1.0
    return mean_series(x, sign * mean, measure.variance[included], tolerance)


def _tolerance(scale: np.ndarray, axis: str) -> float:
    """Distance in x within which runs count as one scale."""
    return float(np.ptp(scale)) / LOSS_SCALES if axis == "L" else SCALE_TOLERANCE


def _frontier(task: Task, index_r: np.ndarray, included: np.ndarray) -> np.ndarray:
    """Mask (r,) of the frontier: the best size at each scale, if its mean loss is below those of all smaller scales.

    All runs if losses or sizes are missing. The runs of one scale and size are averaged over seeds.
    """
    loss, N = task.runs["L"].to_numpy(float), task.runs["N"].to_numpy(float)
    if not (np.isfinite(loss[included]).all() and np.isfinite(N[included]).all()):
        return included
    size = np.round(np.log10(N, where=included, out=np.zeros(len(N))), 3)
    frontier, lowest = np.zeros_like(included), np.inf
    for index in np.unique(index_r[included]):  # scales are numbered in increasing order
        runs = (index_r == index) & included
        means = {s: loss[runs & (size == s)].mean() for s in np.unique(size[runs])}
        best = min(means, key=lambda s: means[s])
        if means[best] < lowest:
            lowest = float(means[best])
            frontier |= runs & (size == best)
    return frontier


def _curve(
    measure: TaskMetric, scale_r: np.ndarray, index_r: np.ndarray, included: np.ndarray, options: EmergenceOptions
) -> Curve:
    rows = [
        np.flatnonzero((index_r == i) & included) for i in np.unique(index_r[included])
    ]  # in increasing order of scale
    return Curve(
        measure.name,
        x=np.array([scale_r[r].mean() for r in rows]),
        mean=np.array([measure.mean[r].mean() for r in rows]),
        interval=np.array([_scale_interval(measure, r, options.level, options.seed) for r in rows]),
        runs=np.array([len(r) for r in rows]),
    )


def _scale_interval(measure: TaskMetric, rows: np.ndarray, level: float, seed: int) -> tuple[float, float]:
    """Interval of one scale: the interval of a single run, or a bootstrap over several runs and their items."""
    if len(rows) == 1:
        low, high = measure.interval[rows[0]]
        return float(low), float(high)
    if not measure.values or len({len(measure.values[r]) for r in rows}) > 1:
        if measure.share:
            hits, items = (measure.mean * measure.items)[rows].sum(), measure.items[rows].sum()
            return wilson_interval(float(hits), float(items), level)
        half = (measure.interval[rows, 1] - measure.interval[rows, 0]).mean() / 2 / np.sqrt(len(rows))
        return float(measure.mean[rows].mean() - half), float(measure.mean[rows].mean() + half)
    values_RI = np.stack([measure.values[r] for r in rows])
    mean_BR = bootstrap_weights(values_RI.shape[1], seed) @ values_RI.T
    run_BR = np.random.default_rng(seed).integers(len(rows), size=mean_BR.shape)
    return intervals.percentile_interval(np.take_along_axis(mean_BR, run_BR, 1).mean(1), level)


def _finding_json(finding: Finding, axis: str) -> dict[str, Any]:
    task, verdict = finding.task, finding.verdict
    data: dict[str, Any] = {
        "task": task.name,
        "family": task.family,
        "difficulty": task.difficulty,
        "shots": task.shots,
        "chance": task.chance,
        "score": task.score,
        "continuous": task.continuous,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "logp_before": verdict.logp_before,
        "sharpness": {k: asdict(v) for k, v in (("score", verdict.score), ("continuous", verdict.logp)) if v},
        "scales": {name: _curve_json(task, curve, axis) for name, curve in finding.curves.items()},
        "runs": task.runs[finding.included].to_dict("records"),
        "notes": list(finding.notes),
    }
    if verdict.score is not None:
        ends = sorted(scale_value(x, axis) for x in verdict.score.interval)
        data["changepoint"] = {"at": scale_value(verdict.score.changepoint, axis), "interval": ends}
    if finding.target:
        data |= {"target": finding.target, "predictions": finding.predictions}
    return {k: v for k, v in data.items() if v is not None and not (isinstance(v, float) and np.isnan(v))}


def _curve_json(task: Task, curve: Curve, axis: str) -> list[dict[str, Any]]:
    rows = []
    for x, mean, (low, high), runs in zip(curve.x, curve.mean, curve.interval, curve.runs, strict=True):
        row = {axis: x, "mean": mean, "interval": [low, high], "runs": int(runs)}
        if curve.metric == task.score and np.isfinite(task.chance):
            row["corrected"] = chance_corrected(mean, task.chance)
        rows.append(row)
    return rows
