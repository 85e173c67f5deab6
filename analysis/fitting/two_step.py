"""Two-step fit of accuracy: loss of the task from parameters and tokens, then accuracy from loss (OLMo ladder 2024).

Key: N parameters, D tokens, L loss of the task, Acc accuracy (0 to 1).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.errors import FitError
from analysis.fitting.options import FitOptions
from analysis.fitting.parametric import fit_law
from analysis.fitting.result import Fit
from analysis.laws import LAWS

LOSS_LAW, ACCURACY_LAW = "chinchilla", "sigmoid"
LAST, DROP, WINDOW = 5, 0.1, 5  # OLMo ladder 2024, sections 3.1 and 3.2


def read_steps(source: Any, reading: ReadOptions = ReadOptions()) -> tuple[Points, Points, tuple[str, ...]]:
    """Reads the points of step 1 and of step 2.

    Args:
        source: Points with "Acc" in `extra`, or any source of `load`, with one row per run or per checkpoint.
        reading: Options of reading the source.

    Returns:
        The points of both steps, and notes. If several rows belong to one run (`Points.runs`), they are
        `final_checkpoints` and `smoothed_checkpoints`.
    """
    points = source if isinstance(source, Points) else load(source, LAWS["two-step"], reading)
    if points.runs is None:
        return points, points, ()
    final, smoothed = final_checkpoints(points), smoothed_checkpoints(points)
    note = (
        f"step 1: the mean of the last {LAST} checkpoints of {len(final)} runs; step 2: {len(smoothed)} checkpoints, "
        f"the first {DROP:.0%} of each run left out, averaged over {WINDOW}"
    )
    return final, smoothed, (note,)


def fit_two_step(
    loss_points: Points, accuracy_points: Points, options: FitOptions = FitOptions(), notes: tuple[str, ...] = ()
) -> Fit:
    """Fits both steps. The result predicts accuracy from N and D with the uncertainty of both steps.

    Args:
        loss_points: Points of step 1, with N, D and L.
        accuracy_points: Points of step 2, with L and "Acc" in `extra`; `runs` names the run of each checkpoint.
        options: Options of the fits; objective and delta apply to step 1. Step 2 is least squares on accuracy.
        notes: Notes on the points.

    Raises:
        FitError: An input is missing, or a step cannot be fitted.
    """
    _check_inputs(loss_points, ("N", "D", "L"))
    _check_inputs(accuracy_points, ("L", "Acc"))
    if options.ideal_point:
        accuracy_points = with_ideal_point(accuracy_points)
        notes = (*notes, "step 2 includes an additional point with zero loss and accuracy 1")
    loss = fit_law(loss_points, LOSS_LAW, LAWS[LOSS_LAW], options)
    second = replace(options, objective=None, delta=None, seed=options.seed + 1)
    accuracy = fit_law(accuracy_points, ACCURACY_LAW, LAWS[ACCURACY_LAW], second)
    return chain(loss, accuracy, notes)


def chain(loss: Fit, accuracy: Fit, notes: tuple[str, ...] = ()) -> Fit:
    """Combines fits of L(N, D) and of Acc(L): parameters of both, and bootstrap samples in pairs.

    Args:
        loss: Fit of step 1.
        accuracy: Fit of step 2.
        notes: Notes on the points.
    """
    verdict = [f"{line} (step {step})" for step, fit in ((1, loss), (2, accuracy)) for line in fit.verdict]
    starts = [loss.starts, accuracy.starts]
    return replace(
        loss,
        law="two-step",
        params=loss.params | accuracy.params,
        intervals=loss.intervals | accuracy.intervals,
        objective={**loss.objective, "step_2": accuracy.objective["name"], "step_2_value": accuracy.objective["value"]},
        starts=min(starts, key=lambda counts: counts["agreed"] / counts["tried"]),
        verdict=tuple(line for line in verdict if not line.startswith("converged")) or ("converged",),
        samples=loss.samples | accuracy.samples,
        optimum=None,
        notes=(
            *notes,
            f"step 2 is fitted to {len(accuracy.points)} points; starts are those of the step with less agreement",
        ),
        form=LAWS["two-step"].in_loss_unit(loss.points.loss_unit),
        refits=(),
        resampling="residuals",
    )


def final_checkpoints(points: Points, last: int = LAST) -> Points:
    """Returns the final state of each run, averaged over its last checkpoints (OLMo ladder 2024, section 3.1).

    Args:
        points: Checkpoints; `runs` names the run of each.
        last: Number of final checkpoints whose L and Acc are averaged; D is that of the last checkpoint.
    """
    rows = _rows_by_run(points)
    final = points.select(np.array([row[-1] for row in rows.values()]))
    mean = {letter: np.array([points[letter][row[-last:]].mean() for row in rows.values()]) for letter in ("L", "Acc")}
    return replace(final, names=list(rows), runs=None, L=mean["L"], extra={**final.extra, "Acc": mean["Acc"]})


def smoothed_checkpoints(points: Points, drop: float = DROP, window: int = WINDOW) -> Points:
    """Returns the checkpoints of step 2: without the first of each run, smoothed (OLMo ladder 2024, section 3.2).

    Args:
        points: Checkpoints; `runs` names the run of each.
        drop: Share of the first checkpoints of a run that is dropped, rounded up.
        window: Number of checkpoints in the trailing mean, including the checkpoint; fewer at the start.
    """
    rows = {name: row[int(np.ceil(drop * len(row))) :] for name, row in _rows_by_run(points).items()}
    later = points.select(np.concatenate(list(rows.values())))
    mean = {
        letter: np.concatenate(
            [pd.Series(points[letter][row]).rolling(window, min_periods=1).mean().to_numpy() for row in rows.values()]
        )
        for letter in ("L", "Acc")
    }
    return replace(later, L=mean["L"], extra={**later.extra, "Acc": mean["Acc"]})


def with_ideal_point(points: Points) -> Points:
    """Adds a point with zero loss and accuracy 1 for step 2 (OLMo ladder 2024, section 3.2)."""
    missing = [np.nan]
    return Points(
        N=np.append(points.N, missing),
        D=np.append(points.D, missing),
        C=np.append(points.C, missing),
        L=np.append(points.L, 0.0),
        names=[*points.names, "ideal"],
        budgets=np.append(np.zeros(len(points)), 1.0),  # a separate budget, so that every bootstrap sample contains it
        runs=None if points.runs is None else [*points.runs, "ideal"],
        source=points.source,
        extra={"Acc": np.append(points["Acc"], 1.0)},
    )


def _rows_by_run(points: Points) -> dict[str, np.ndarray]:
    """Indices of the checkpoints of each run in order of tokens."""
    if points.runs is None:
        raise FitError(f"two-step: the checkpoints of {points.source} have no column of runs: name it with --runs")
    runs = np.array(points.runs)
    rows = {name: np.flatnonzero(runs == name) for name in dict.fromkeys(points.runs)}
    return {name: row[np.argsort(points.D[row], kind="stable")] for name, row in rows.items()}


def _check_inputs(points: Points, letters: tuple[str, ...]) -> None:
    missing = [letter for letter in letters if not np.isfinite(points[letter]).all()]
    if missing:
        raise FitError(f"two-step needs {', '.join(missing)}, which {points.source} does not have")
    if "Acc" in letters and (points["Acc"].min() < 0 or points["Acc"].max() > 1):
        row = int(np.argmax((points["Acc"] < 0) | (points["Acc"] > 1)))
        raise FitError(
            f"{points.names[row]}: Acc = {points['Acc'][row]:g}: accuracy is a share of answers, from 0 to 1"
        )
