"""Rows that are checkpoints of runs: the run of each row, its learning curve, and the choice of final or all rows.

Key: N parameters, D tokens, C training FLOPs, L loss; n rows, m rows of one run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.data.columns.names import name_readings, normalise
from analysis.data.points import Points, TrainingCurve
from analysis.data.rows.factors import HYPERPARAMETER_NAME, SEED_NAME
from analysis.data.table import cell_texts, parse_column
from analysis.errors import DataError
from analysis.format import join_names
from analysis.laws.law import Law

CHECKPOINTS = ("auto", "final", "all")
RUN_NAMES = {
    *("run_id", "run", "run_name", "run_key", "run_label", "run_uuid", "uuid", "name", "id", "job_name"),
    *("experiment", "experiment_name", "experiment_id", "exp", "exp_name", "exp_id"),
    *("trial", "trial_id", "trial_name", "wandb_id", "wandb_run_id"),
}
WEAK_RUN_NAMES = {"name", "experiment", "experiment_name", "exp", "exp_name"}  # they can name a size or a recipe
STEP_NAMES = {
    *("step", "global_step", "train_step", "training_step", "train_global_step", "trainer_global_step"),
    *("optimizer_step", "iteration", "iter", "iterations", "checkpoint", "ckpt", "checkpoint_step", "ckpt_step"),
    *("update", "num_updates"),
}
STEP_ENDING = re.compile(  # end of the name of a checkpoint: 70M-2B/step1000, run_ckpt-12.pt, iter_0005000
    r"(?i)(^|[-_/.:@ ]+)(global_?steps?|steps?|iter(ation)?s?|ckpt|checkpoint|updates?)[-_=: ]*\d+[km]?(\.[a-z]+)?/?$"
)
PLAN_NAME = re.compile(
    r"((total|max|planned|target|final)_(n_|num_|train_|training_)?(steps|tokens|iters|iterations|updates)"
    r"|(n|num|train|training)_steps|horizon|run_length|token_budget)"
)
CURVE_INPUTS = {"x", "S", "step"}  # inputs of laws of learning curves
MIN_RUNS = 5  # smallest number of learning curves that are resampled as a whole
MIN_CHECKPOINTS = 5  # median number of rows from which rows without a run name are one run
MIN_UNEVEN = 8  # the same for rows of one size, whose D are not evenly spaced
EVEN = 0.05  # relative difference of the distances between checkpoints
MIN_SPARE_RUNS = 5  # smallest number of final rows minus parameters for which only final rows are fitted
PARAMETERS = 5  # of a law of the loss in N and D, for points that are read without a law
VARIES = 1.1  # smallest ratio of the largest to the smallest value of an input that varies
MAX_CORRELATION = 0.98  # of ln N and ln D in final rows, above which they do not determine a law of both


def runs_of_rows(
    frame: pd.DataFrame, points: Points, used: Mapping[str, str], run_columns: Sequence[str]
) -> list[str] | None:
    """Returns the run of each row (n,), None if each row is a run.

    Rows with the same run name or id, and seed, are of one run if they have the same N and several D (or steps). If
    a run name has two rows of one D, texts are part of the name. In a table without run names, rows with the same
    texts, seed and N are of one run if they are many, with steps or evenly spaced D.

    Args:
        frame: Rows of the table (n,).
        points: Their points (n,).
        used: Column by letter.
        run_columns: Columns that together name the run, as the user gave them.

    Raises:
        DataError: A column that names runs does not exist.
    """
    missing = [name for name in run_columns if name not in frame.columns]
    if missing:
        columns = join_names(frame.columns)
        raise DataError(f"{points.source}: no column {missing[0]!r} (to name runs): it has {columns}")
    if run_columns:
        return _joined(frame, run_columns)
    progress = _progress(frame, points)
    if progress is None or len(np.unique(points.N)) == len(points):
        return None
    frame, has_steps = _without_steps(frame)
    texts, seeds = _naming_columns(frame, used)
    for name in [name for name in frame.columns if _names_runs(str(name))]:
        least = 2 if has_steps or normalise(name) not in WEAK_RUN_NAMES else MIN_CHECKPOINTS
        candidates = [_joined(frame, list(dict.fromkeys([name, *others]))) for others in (seeds, [*seeds, *texts])]
        counts = [_distinct_values(runs, points.N, progress) for runs in candidates]
        usable = [
            (count.sum() == len(frame), runs)
            for count, runs in zip(counts, candidates, strict=True)
            if count is not None
            and count.max() >= least
            and not (normalise(name) in WEAK_RUN_NAMES and _are_designed(runs, points.N, progress))
        ]
        if usable:  # the shortest name without two rows of one D, else the shortest
            return next((runs for is_distinct, runs in usable if is_distinct), usable[0][1])
    return _unnamed_runs(frame, points, progress, [*texts, *seeds], _plans(frame, used), has_steps)


def final_rows(runs: Sequence[str], points: Points, frame: pd.DataFrame) -> np.ndarray:
    """Returns the index of the last row of each run, in order of rows.

    Args:
        runs: Run of each row (n,).
        points: Their points; the last row is that of the largest D.
        frame: The same rows of the table, with steps if D is not known.
    """
    progress = _progress(frame, points)
    order = np.arange(len(runs)) if progress is None else np.argsort(progress, kind="stable")
    codes = pd.factorize(np.array(runs, object))[0][order][::-1]
    return np.sort(order[::-1][np.unique(codes, return_index=True)[1]])


def wants_final_rows(law: Law | None) -> bool:
    """Returns whether a law describes the final loss of runs; None stands for laws of the loss in N, D and C."""
    return law is None or (law.output == "L" and not law.labels and not CURVE_INPUTS & set(law.inputs))


def why_undetermined(points: Points, rows: np.ndarray, law: Law | None) -> str:
    """Returns why rows do not determine a law, as text; empty if they do.

    Args:
        points: All rows (n,).
        rows: Indices of the rows.
        law: The law; None stands for a law of the loss in N and D.
    """
    parameters, inputs = (PARAMETERS, ("N", "D")) if law is None else (len(law.parameters), law.inputs)
    unknown = [letter for letter in inputs if not np.isfinite(points[letter]).all()]
    if unknown:
        return f"{unknown[0]} is not known"
    if len(rows) < parameters + MIN_SPARE_RUNS:
        return f"{len(rows)} are too few for {parameters} parameters"
    for letter in inputs:
        x = points[letter]
        if np.ptp(x) > 0 and x[rows].max() < VARIES * x[rows].min():
            return f"all have the same {letter}"
    if not {"N", "D"} <= set(inputs):
        return ""
    correlation = np.corrcoef(np.log(points.N[rows]), np.log(points.D[rows]))[0, 1]
    return "N and D rise together" if abs(correlation) > MAX_CORRELATION else ""


def learning_curves(points: Points, runs: Sequence[str], held_out: bool) -> tuple[TrainingCurve, ...] | None:
    """Returns the learning curves of runs with several rows, None if N, D or C is not known.

    Args:
        points: All rows (n,).
        runs: Run of each row (n,).
        held_out: Whether the losses were measured on held-out text.
    """
    if not all(np.isfinite(points[letter]).all() for letter in "NDCL"):
        return None
    curves = []
    for run, rows in _rows_by_run(runs).items():
        rows = rows[np.argsort(points.D[rows], kind="stable")]
        if np.ptp(points.D[rows]) > 0:
            N = float(points.N[rows[0]])
            curves.append(TrainingCurve(run, N, points.D[rows], points.C[rows], points.L[rows], held_out))
    return tuple(curves) or None


def _names_runs(column: str) -> bool:
    """Whether the name of a column is that of a run; `optimizer.name` and `data.id` are not."""
    return normalise(column) in RUN_NAMES or bool((RUN_NAMES - {"name", "id"}) & set(name_readings(column)))


def _rows_by_run(runs: Sequence[str]) -> dict[str, np.ndarray]:
    codes, names = pd.factorize(np.array(runs, object))
    order = np.argsort(codes, kind="stable")
    return dict(zip(names, np.split(order, np.cumsum(np.bincount(codes))[:-1]), strict=True))


def _joined(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Cells (n,) of columns as one text."""
    return [" ".join(cells) for cells in zip(*(cell_texts(frame[name]) for name in columns), strict=True)]


def _progress(frame: pd.DataFrame, points: Points) -> np.ndarray | None:
    """D (n,), or the steps if D is not known; None if neither is known."""
    if np.isfinite(points.D).all():
        return points.D
    for name in frame.columns:
        if STEP_NAMES & set(name_readings(str(name))):
            steps = parse_column(frame[name], True).values
            if np.isfinite(steps).all():
                return np.asarray(steps)
    return None


def _naming_columns(frame: pd.DataFrame, used: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Columns of texts that recur, and columns of seeds."""
    numeric = {column for letter, column in used.items() if letter not in ("name", "group")}
    texts, seeds = [], []
    for name in frame.columns:
        is_text = _is_text(frame[name])
        if name in numeric or (STEP_NAMES & set(name_readings(str(name))) and not is_text):
            continue
        if any(SEED_NAME.fullmatch(reading) for reading in name_readings(str(name))):
            seeds.append(name)
        elif is_text and 1 < len(set(cell_texts(frame[name]))) <= len(frame) / 2:
            texts.append(name)
    return texts, seeds


def _unnamed_runs(
    frame: pd.DataFrame,
    points: Points,
    progress: np.ndarray,
    texts: Sequence[str],
    plans: Sequence[str],
    has_steps: bool,
) -> list[str] | None:
    """The run of each row (n,) by texts and seeds, planned lengths and hyper-parameters, and N; None without runs."""
    codes, sizes = pd.factorize(points.N, use_na_sentinel=False)
    if len(points) < len(sizes) * MIN_CHECKPOINTS / 2:  # a run has one N, and half of the runs have so many rows
        return None
    sizes_n = np.array([f"N={N:g}" for N in sizes], object)[codes].tolist()
    for names in dict.fromkeys([(*texts, *plans), tuple(texts), ()]):
        labels = _joined(frame, names) if names else []
        runs = [f"{label} {size}".strip() for label, size in zip(labels, sizes_n, strict=True)] if names else sizes_n
        named = bool(set(texts) & set(names))  # else runs of sizes and settings, whose lengths must differ
        if (named or np.ptp(points.D[final_rows(runs, points, frame)]) > 0) and _are_checkpoints(
            runs, points.N, progress, has_steps and named
        ):
            return runs
    return None


def _plans(frame: pd.DataFrame, used: Mapping[str, str]) -> list[str]:
    """Columns that the rows of a run share: its planned length, such as total_steps, and hyper-parameters."""
    return [
        name
        for name in frame.columns
        if name not in used.values()
        and any(PLAN_NAME.fullmatch(name) or HYPERPARAMETER_NAME.fullmatch(name) for name in name_readings(str(name)))
    ]


def _without_steps(frame: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """The rows with names of checkpoints, such as 70M/step1000, as names of runs; and whether the table has steps."""
    has_steps = any(STEP_NAMES & set(name_readings(str(name))) for name in frame.columns)
    result = frame.copy(deep=False)
    for name in [name for name in frame.columns if _is_text(frame[name])]:
        cells = cell_texts(frame[name])
        runs = [STEP_ENDING.sub("", cell) for cell in cells]
        if runs != cells and 2 * len(set(runs)) <= len(runs):
            result[name], has_steps = runs, True
    return result, has_steps


def _is_text(column: pd.Series) -> bool:
    return column.dtype.kind == "O" and not np.isfinite(parse_column(column.head(100), False).values).any()


def _are_checkpoints(runs: Sequence[str], N: np.ndarray, progress: np.ndarray, has_steps: bool) -> bool:
    """Whether the rows (n,) with one label are checkpoints of one run: many, at different and plausible D."""
    distinct = _distinct_values(runs, N, progress)
    if distinct is None or np.median(distinct) < MIN_CHECKPOINTS or distinct.sum() < len(runs):
        return False
    return (has_steps and not _are_designed(runs, N, progress)) or _are_even(runs, progress)


def _are_designed(runs: Sequence[str], N: np.ndarray, progress: np.ndarray) -> bool:
    """Whether the rows (n,) with one label can be all runs of one size: the labels are sizes, with few uneven D."""
    rows_of_size = len(runs) / len(np.unique(N))
    return len(set(runs)) == len(np.unique(N)) and rows_of_size < MIN_UNEVEN and not _are_even(runs, progress)


def _distinct_values(runs: Sequence[str], N: np.ndarray, progress: np.ndarray) -> np.ndarray | None:
    """Number of different D of each run; None if a label is empty, unique in all rows, or has several N."""
    codes, names = pd.factorize(np.array(runs, object))
    if not all(names) or len(names) == len(runs):
        return None
    order = np.lexsort((progress, codes))
    same_run = np.diff(codes[order]) == 0
    if (np.diff(N[order])[same_run] != 0).any():
        return None
    is_repeated = same_run & (np.diff(progress[order]) == 0)
    return np.bincount(codes) - np.bincount(codes[order][1:][is_repeated], minlength=len(names))


def _are_even(runs: Sequence[str], progress: np.ndarray) -> bool:
    """Whether the D of each run are evenly spaced, as those of checkpoints are and those of designed runs are not."""
    codes = pd.factorize(np.array(runs, object))[0]
    order = np.lexsort((progress, codes))
    same_run = np.diff(codes[order]) == 0
    steps, codes = np.diff(progress[order])[same_run], codes[order][1:][same_run]
    first = np.flatnonzero(np.diff(codes, prepend=-1))  # of each run with several rows
    if not len(first):
        return False
    largest, smallest = np.maximum.reduceat(steps, first), np.minimum.reduceat(steps, first)
    is_long = np.diff(first, append=len(codes)) > 1
    return bool(is_long.any() and (largest - smallest <= EVEN * largest)[is_long].all())
