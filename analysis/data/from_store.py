"""Converts the runs of a store to points under a counting convention; config fields and scores are columns too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.data.columns.choice import ColumnChoice
from analysis.data.columns.reader import ColumnReader
from analysis.data.from_table import points_from_table
from analysis.data.options import ReadOptions
from analysis.data.points import Points, TrainingCurve
from analysis.data.record_cache import StoreSnapshot, as_snapshot
from analysis.data.rows.saes import (
    ALL,
    MODELS,
    SAE_COMPUTE,
    SAE_PARAMETERS,
    SAES,
    check_one_law,
    select_runs,
)
from analysis.data.rows.where import filter_rows
from analysis.data.runs import (
    DEFAULT_FLOPS,
    FLOP_COUNTS,
    PARAM_COUNTS,
    check_choice,
    read_runs,
    sequences_at,
    token_share,
)
from analysis.data.sources.readers import is_store
from analysis.data.table import Table, cell_texts, parse_column
from analysis.errors import DataError
from analysis.format import join_names, plural
from analysis.laws.law import Law
from scaling.config.options import changed_flags
from scaling.store.damaged import damaged_files

TABLE_COLUMNS = ("run_id", "sweep", "status", "N", "D", "C", "loss", "shared_steps")  # by which a table is one of runs
COUNT_COLUMNS = ("N_counts", "C_counts")
TABLE_OPTIONS = ("where", "flops", "params")  # fields of ReadOptions that apply to a table of runs
MAX_NAMED = 3  # damaged files that a note names
STORE_COLUMNS = {"N": "N", "D": "D", "C": "C", "L": "loss", "name": "run_id", "group": "sweep"}
SAE_STORE_COLUMNS = {**STORE_COLUMNS, "n": "n", "k": "k"}


def points_from_store(
    store: str | Path | StoreSnapshot, options: ReadOptions, law: Law | None, *, curves: bool = False
) -> Points:
    """Reads the points of the finished runs of a store.

    Args:
        store: The store, or its folder.
        options: Columns, units, rows and counting convention.
        law: Law whose inputs and output are read; None reads N, D, C and L.
        curves: Also read the training curves.

    Raises:
        DataError: The store has no intact runs, or its runs lack an input or the output of the law.
    """
    snapshot = as_snapshot(store)
    frame = read_runs(snapshot, options.flops, options.params, MODELS if law is None else law.runs)
    if not len(frame):
        check_other_runs(frame, str(store), law)
        reason = f"all records are damaged ({len(snapshot.damaged)})" if snapshot.damaged else "no runs/*/record.json"
        raise DataError(f"{store}: no runs in this store ({reason})")
    points, runs = _points_of_runs(Table(frame, str(store), tuple(frame.attrs["notes"])), options, law)
    if curves:
        points = replace(points, curves=_training_curves(snapshot, runs))
    return replace(points, notes=(*points.notes, *damage_notes(snapshot)))


def damage_notes(store: StoreSnapshot) -> list[str]:
    """Returns a note that names the damaged files of a store that were left out; none if there are none."""
    if not store.damaged:
        return []
    return [f"{plural(len(store.damaged), 'damaged file')} left out: {join_names(sorted(store.damaged), MAX_NAMED)}"]


def is_run_table(table: Table) -> bool:
    """Returns whether a table is one of the runs of a store, as written by `python -m analysis table --csv`."""
    return set(TABLE_COLUMNS) <= set(table.frame.columns) and table.frame["run_id"].is_unique


def points_from_run_table(table: Table, options: ReadOptions, law: Law | None) -> Points:
    """Reads the points of a table of the runs of a store, as they are read from the store, but without curves.

    Args:
        table: A table of which `is_run_table` is true.
        options: Columns, units and rows; a counting convention only as in the table.
        law: Law whose inputs and output are read; None reads N, D, C and L.

    Raises:
        DataError: The table counts N or C by another convention than the options.
    """
    counted = {name: next(iter(cell_texts(table.frame[name][:1])), "") for name in COUNT_COLUMNS if name in table.frame}
    params, flops = counted.get("N_counts", "total"), counted.get("C_counts", DEFAULT_FLOPS)
    check_choice("N_counts", params, PARAM_COUNTS)
    check_choice("C_counts", flops, FLOP_COUNTS)
    for option, wanted, count in (("params", options.params, params), ("flops", options.flops or flops, flops)):
        if wanted not in (count, "total"):
            raise DataError(
                f"{table.name}: was written with --{option} {count}: to fit {option} = {wanted}, write the table with "
                f"--{option} {wanted}, or fit the store"
            )
    options = replace(options, params=params, flops=flops)
    frame, notes = select_runs(table.frame, MODELS if law is None else law.runs)
    frame.attrs["notes"] = notes
    if not len(frame):
        check_other_runs(frame, table.name, law)
    table = replace(table.with_notes(*notes), frame=frame.sort_values("run_id", kind="stable"))
    return _points_of_runs(table, options, law)[0]


def check_other_runs(frame: pd.DataFrame, source: str, law: Law | None) -> None:
    """Raises DataError if a store without runs that a law describes has others.

    Args:
        frame: The selected runs, none, with notes on the others.
        source: Name of the store or table.
        law: The law.
    """
    if frame.attrs["notes"] and law is not None and law.runs == SAES:
        raise DataError(f"{source}: no runs of sparse autoencoders: train them with python -m scaling sae train")
    if frame.attrs["notes"]:
        raise DataError(f"{source}: only runs of sparse autoencoders: use --law sae-nk or sae-n")


def _points_of_runs(table: Table, options: ReadOptions, law: Law | None) -> tuple[Points, pd.DataFrame]:
    """Points of the finished runs of a table of runs, and their rows."""
    if "name" in options.columns:
        raise DataError(f"{table.name}: runs of a store are named by run_id: --columns name does not apply")
    table = _without_other_starts(replace(table, label_column="run_id"), options)
    is_of_saes = law is not None and law.runs == SAES
    if is_of_saes:
        table = table.with_notes(*_check_saes(table, options))
    counted = {"N": PARAM_COUNTS[options.params], "C": FLOP_COUNTS[options.flops or DEFAULT_FLOPS]}
    columns = SAE_STORE_COLUMNS if is_of_saes else STORE_COLUMNS
    counted = {"N": SAE_PARAMETERS, "C": SAE_COMPUTE} if is_of_saes else counted
    conventions = {letter: text for letter, text in counted.items() if letter not in options.columns}
    convention = "; ".join(f"{letter}: {text}" for letter, text in (conventions | dict(options.columns)).items())
    points = points_from_table(table, replace(options, flops=None), law, columns, convention)
    runs = table.frame.set_index("run_id").loc[points.names].copy().reset_index()  # the copy is not fragmented
    shared_prefix = _numbers(runs, "shared_steps") > 0
    budgets = _numbers(runs, "budget")
    points = replace(
        points,
        budgets=budgets if points.budgets is None and np.isfinite(budgets).any() else points.budgets,
        notes=(*points.notes, *run_notes(runs)),
        shared_prefix=shared_prefix if shared_prefix.any() else None,
    )
    return points, runs


def _check_saes(table: Table, options: ReadOptions) -> list[str]:
    """Notes on the finished runs of autoencoders that are selected; raises DataError if no one law describes them."""
    done = table.frame[table.frame["status"] == "done"]
    selected = filter_runs(done, Path(table.name), options.where)
    return check_one_law(selected, {options.columns.get("group", "")}, table.name)


def _without_other_starts(table: Table, options: ReadOptions) -> Table:
    """Returns the runs whose figures are those of all of their training.

    Fine-tuned runs start from the parameters of another, so their tokens are not all that these have seen; of an
    imported model nothing is known unless its tokens were stated. A filter expression that mentions init keeps them.
    """
    if "init" not in table.frame or "init" in (options.where or ""):
        return table
    stated = (_numbers(table.frame, "steps") == 0) & np.isfinite(_numbers(table.frame, "D"))
    others = np.array([bool(cell) for cell in cell_texts(table.frame["init"])], bool) & ~stated
    if not others.any():
        return table
    runs = table.frame[others]
    names = [
        f"{run[:12]} ({'imported' if steps == 0 else 'fine-tuned'})"
        for run, steps in zip(cell_texts(runs["run_id"]), _numbers(runs, "steps"), strict=True)
    ]
    note = f"{plural(int(others.sum()), 'run')} left out, which did not start at random: {join_names(names, MAX_NAMED)}"
    return table.select(~others).with_notes(note)


def _numbers(runs: pd.DataFrame, name: str) -> np.ndarray:
    """A column as numbers (n,), NaN if there is none."""
    return parse_column(runs[name], True).values if name in runs else np.full(len(runs), np.nan)


def filter_runs(frame: pd.DataFrame, path: Path, where: str | None) -> pd.DataFrame:
    """Selects the runs of a store for which an expression is true.

    Args:
        frame: Runs, as returned by `read_runs`.
        path: Folder of the store, for error messages.
        where: Filter expression (analysis/data/filter.py); None selects every run.

    Raises:
        DataError: The expression is not valid.
    """
    table = Table(frame, str(path), label_column="run_id")
    columns = ColumnChoice(STORE_COLUMNS, explicit=frozenset(), units={})
    return filter_rows(table, where, ColumnReader(columns, drop_bad=True)).frame


def table(store: str | Path | StoreSnapshot, options: ReadOptions = ReadOptions()) -> pd.DataFrame:
    """Returns the runs of a store, of any status, with the columns of `python -m analysis table --csv`.

    Args:
        store: The store, or its folder.
        options: Rows (`where`) and counting convention (`flops`, `params`); other options do not apply.

    Returns:
        One row per run in order of C, then of N (columns: analysis/data/runs.py). Unknown values are NaN or None.
        `attrs["notes"]` has notes on the reading, and `attrs["damaged"]` the path and problem of each damaged record
        that was left out.

    Raises:
        DataError: It is not a store, or an option does not apply or is not valid.
    """
    if not is_store(store):
        raise DataError(f"{store}: not a store: give the folder that runs were trained into")
    unused = [flag for name, flag in changed_flags(options).items() if name not in TABLE_OPTIONS]
    if unused:
        raise DataError(
            f"{store}: a table of runs does not use {', '.join(unused)}: it uses --where, --flops, --params"
        )
    snapshot = as_snapshot(store)
    runs = read_runs(snapshot, options.flops, options.params, ALL)
    selected = filter_runs(runs, Path(str(store)), options.where)
    selected = selected.sort_values(["C", "N"], kind="stable", ignore_index=True)
    selected.attrs |= {"notes": runs.attrs["notes"], "damaged": damaged_files(snapshot)}
    return selected


def curves(store: str | Path | StoreSnapshot, options: ReadOptions = ReadOptions()) -> pd.DataFrame:
    """Returns the learning curves of the runs of a store.

    Args:
        store: Folder of the store.
        options: As for `table`.

    Returns:
        One row per logged step of each run: run_id, step (steps done), D (tokens read), C (FLOPs spent), then what was
        logged: loss (training batch, nats per token), val_loss (held-out, at evaluated steps), grad_norm and others.
        Values that were not logged at a step are NaN. `attrs["damaged"]` has the path and problem of each damaged
        record and curve that was left out.

    Raises:
        DataError: As for `table`.
    """
    snapshot = as_snapshot(store)
    frames = []
    for run in table(snapshot if is_store(store) else store, options).to_dict("records"):
        rows = pd.DataFrame(snapshot.curve(run["run_id"]))
        if len(rows):
            share = np.array([token_share(run, step) for step in rows["step"]])
            head = pd.DataFrame({"run_id": run["run_id"], "step": rows["step"], "D": run["D"] * share})
            frames.append(pd.concat([head.assign(C=run["C"] * share), rows.drop(columns="step")], axis=1))
    steps = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["run_id", "step", "D", "C"])
    steps.attrs["damaged"] = damaged_files(snapshot)
    return steps


def run_notes(runs: pd.DataFrame) -> list[str]:
    """Returns notes on the budgets, precisions and shared prefixes of runs."""
    notes = []
    unplanned = int(np.isnan(_numbers(runs, "budget")).sum())
    if 0 < unplanned < len(runs):
        notes.append(f"{plural(unplanned, 'run')} without a planned budget")
    precisions = sorted(set(cell_texts(runs["computed_in"])) - {""}) if "computed_in" in runs else []
    if len(precisions) > 1:
        notes.append(f"runs were computed in {' and in '.join(precisions)}: their losses differ by rounding")
    shared = int((_numbers(runs, "shared_steps") > 0).sum())
    if shared:
        notes.append(
            f"{plural(shared, 'run')} started from another run's checkpoint (a shared prefix), so their errors "
            "are correlated: with five sizes or more the bootstrap resamples by size, with fewer the intervals are too "
            "narrow"
        )
    return notes


def _training_curves(store: StoreSnapshot, runs: pd.DataFrame) -> tuple[TrainingCurve, ...]:
    """Curves of the held-out loss, or of the training loss for runs with fewer than two held-out measurements."""
    curves = []
    columns = ["run_id", "N", "D", "C", "batch", "schedule.batch_ramp", "steps"]
    for run in runs[columns].to_dict("records"):
        rows = store.curve(run["run_id"])
        losses = [(row["step"], row["val_loss"]) for row in rows if row.get("val_loss") is not None]
        held_out = len(losses) > 1
        if not held_out:
            losses = [(row["step"], row["loss"]) for row in rows if row.get("loss") is not None]
        if losses:
            read = sequences_at(run, [step for step, _ in losses])
            total = sequences_at(run, [run["steps"]])
            D, C = run["D"] * read / total, run["C"] * read / total  # every sequence costs the same
            loss = np.array([value for _, value in losses], np.float64)
            curves.append(TrainingCurve(run["run_id"], run["N"], D, C, loss, held_out))
    return tuple(curves)
