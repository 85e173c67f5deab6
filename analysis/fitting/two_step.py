"""Accuracy in two steps: the task's loss from parameters and tokens, then accuracy from that loss (OLMo ladder 2024).

Key: N parameters, D tokens, L the task's loss, Acc accuracy (0 to 1); B draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.data import from_table, readers
from analysis.data.load import load
from analysis.data.points import Points
from analysis.data.table import listed
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit as fit_law
from analysis.fitting.result import Fit
from analysis.laws import LAWS
from analysis.laws.downstream.accuracy import TWO_STEP
from analysis.uncertainty.bootstrap import SIZES

FIRST, SECOND = "chinchilla", "sigmoid"
RUN = "run of the checkpoint"  # a column that is made
LAST, DROP, WINDOW = 5, 0.1, 5  # OLMo ladder 2024, sections 3.1 and 3.2


def fit(
    source: Any,
    *,
    second: Points | None = None,
    runs: Sequence[str] = (),
    ideal: bool = True,
    objective: str | None = None,
    delta: float | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    kind: str = "auto",
    **given: Any,
) -> Fit:
    """Both steps, and the chain of them as one Fit: predict(N=, D=) gives accuracy, its draws are through both steps.

    source: Points with "Acc" in `more`, or what `points.load` reads (`given` are its options), a row a run; or rows
    that are checkpoints, and `runs` the columns that together name a run: then step 1 is fitted to `finals` and step 2
    to `smoothed`. second: points of step 2 where they are other ones. ideal: step 2 has one more point, no loss and
    all answers right. objective, delta: of step 1; step 2 is least squares on accuracy, as the paper has it.
    """
    first, more = _points(source, runs, given)
    second = second or more
    _usable(first, ("N", "D", "L"))
    _usable(second, ("L", "Acc"))
    if ideal:
        second = with_ideal(second)
    both: dict[str, Any] = {"bootstrap": bootstrap, "level": level}
    loss = fit_law(first, FIRST, objective=objective, delta=delta, seed=seed, kind=kind, **both)
    # Checkpoints of a run share their noise: they are drawn together where there are runs enough.
    together = kind == "auto" and second.groups is not None and len(set(second.groups)) >= SIZES < len(second)
    accuracy = fit_law(second, SECOND, seed=seed + 1, kind="groups" if together else kind, **both)
    return chain(loss, accuracy, first, _said(first, second, runs, ideal))


def alone(**options: Any) -> None:
    """FitError for an option that is of one law alone."""
    for name, value in options.items():
        if value:
            raise FitError(f"{name}: two-step takes none: fit its steps one by one, with chinchilla and with sigmoid")


def chain(loss: Fit, accuracy: Fit, points: Points, notes: tuple[str, ...] = ()) -> Fit:
    """A fit of L(N, D) and one of Acc(L) as one: parameters side by side, draws of both paired."""
    verdict = [f"{said} (step {step})" for step, one in ((1, loss), (2, accuracy)) for said in one.verdict]
    tried = [loss.starts, accuracy.starts]
    return Fit(
        law="two-step",
        points=points,
        params=loss.params | accuracy.params,
        intervals=loss.intervals | accuracy.intervals,
        level=loss.level,
        objective={**loss.objective, "step_2": accuracy.objective["name"], "step_2_value": accuracy.objective["value"]},
        starts=min(tried, key=lambda one: one["agreed"] / one["tried"]),
        verdict=tuple(said for said in verdict if not said.startswith("converged")) or ("converged",),
        draws=loss.draws | accuracy.draws,
        notes=(
            *notes,
            f"step 2 is fitted to {len(accuracy.points)} points; starts are those of the step that agrees less",
        ),
        form=LAWS["two-step"],
    )


def finals(points: Points, last: int = LAST) -> Points:
    """Each run's end, from its checkpoints (OLMo ladder 2024, section 3.1): the mean L and Acc of the last few.

    points: checkpoints, `groups` naming the run of each. D is that of the last one.
    """
    rows = _runs(points)
    ends = points.where(np.array([at[-1] for at in rows.values()]))
    mean = {letter: np.array([points[letter][at[-last:]].mean() for at in rows.values()]) for letter in ("L", "Acc")}
    return replace(ends, names=list(rows), L=mean["L"], more={**ends.more, "Acc": mean["Acc"]})


def smoothed(points: Points, drop: float = DROP, window: int = WINDOW) -> Points:
    """Checkpoints for step 2 (OLMo ladder 2024, section 3.2): each run's first ones left out, the others averaged.

    points: as for `finals`. drop: share of a run's checkpoints, rounded up. window: how many, up to and with itself,
    a checkpoint is averaged over; the first ones over those there are.
    """
    rows = {name: at[int(np.ceil(drop * len(at))) :] for name, at in _runs(points).items()}
    kept = points.where(np.concatenate(list(rows.values())))
    mean = {
        letter: np.concatenate(
            [pd.Series(points[letter][at]).rolling(window, min_periods=1).mean().to_numpy() for at in rows.values()]
        )
        for letter in ("L", "Acc")
    }
    return replace(kept, L=mean["L"], more={**kept.more, "Acc": mean["Acc"]})


def with_ideal(points: Points) -> Points:
    """One more point for step 2 (OLMo ladder 2024, section 3.2): no loss, every answer right."""
    nothing = [np.nan]
    return Points(
        N=np.append(points.N, nothing),
        D=np.append(points.D, nothing),
        C=np.append(points.C, nothing),
        L=np.append(points.L, 0.0),
        names=[*points.names, "ideal"],
        budgets=np.append(np.zeros(len(points)), 1.0),  # drawn apart from the others: every draw has it
        groups=None if points.groups is None else [*points.groups, "ideal"],
        source=points.source,
        more={"Acc": np.append(points["Acc"], 1.0)},
    )


def _runs(points: Points) -> dict[str, np.ndarray]:
    """Rows of each run, by tokens."""
    if points.groups is None:
        raise FitError(f"two-step: the checkpoints of {points.source} do not say which run they are of: give groups")
    groups = np.array(points.groups)
    rows = {name: np.flatnonzero(groups == name) for name in dict.fromkeys(points.groups)}
    return {name: at[np.argsort(points.D[at], kind="stable")] for name, at in rows.items()}


def _points(source: Any, runs: Sequence[str], given: Mapping[str, Any]) -> tuple[Points, Points]:
    """Points of step 1 and of step 2."""
    if isinstance(source, Points):
        if given:
            raise FitError(f"{', '.join(given)}: points are read already; give these to load")
        return (finals(source), smoothed(source)) if runs else (source, source)
    if not runs:
        points = load(source, law=TWO_STEP, **given)
        return points, points
    points = _checkpoints(source, runs, given)
    return finals(points), smoothed(points)


def _checkpoints(source: Any, runs: Sequence[str], given: Mapping[str, Any]) -> Points:
    """Checkpoints as points, `groups` naming the run of each by the columns `runs`."""
    if isinstance(source, str | Path) and not Path(source).is_file():
        raise DataError(f"{source}: not a file: the checkpoints of runs are read from a table")
    table = readers.read(Path(source)) if isinstance(source, str | Path) else readers.from_memory(source)
    missing = [name for name in runs if name not in table.frame.columns]
    if missing:
        raise DataError(f"{table.name}: no column {missing[0]!r} to name runs by: it has {listed(table.frame.columns)}")
    run = table.frame[list(runs)].astype(str).agg(" ".join, axis=1)
    table = replace(table, frame=table.frame.assign(**{RUN: run}))
    wanted = {**given, "columns": {**(given.get("columns") or {}), "group": RUN}}
    return from_table.points_of(table, from_table.Wanted(TWO_STEP, **wanted))


def _usable(points: Points, letters: tuple[str, ...]) -> None:
    missing = [letter for letter in letters if not np.isfinite(points[letter]).all()]
    if missing:
        raise FitError(f"two-step needs {', '.join(missing)}, which {points.source} does not have")
    if "Acc" in letters and (points["Acc"].min() < 0 or points["Acc"].max() > 1):
        at = int(np.argmax((points["Acc"] < 0) | (points["Acc"] > 1)))
        raise FitError(f"{points.names[at]}: Acc = {points['Acc'][at]:g}: accuracy is a share of answers, from 0 to 1")


def _said(first: Points, second: Points, runs: Sequence[str], ideal: bool) -> tuple[str, ...]:
    notes = []
    if runs:
        notes.append(
            f"step 1: the mean of the last {LAST} checkpoints of {len(first)} runs; step 2: {len(second) - ideal} "
            f"checkpoints, the first {DROP:.0%} of each run left out, averaged over {WINDOW}"
        )
    if ideal:
        notes.append("step 2 has one more point: no loss, all answers right")
    return tuple(notes)
