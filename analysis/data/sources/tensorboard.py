"""Reads TensorBoard folders: a run per folder of event files, a row per step, scalars as columns."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.sources.event_files import RunEvents, read_events
from analysis.data.sources.files import files_below, require_regular
from analysis.data.table import Table, table_of_frame
from analysis.errors import DataError
from analysis.format import join_names, plural

EVENT_FILES = "*tfevents*"
NEVER_FOLDERS = "events.out.tfevents.*"  # names that writers give to files; a user's folder may match EVENT_FILES
SPLITS = ("train", "training", "validation", "val", "valid", "eval", "evaluation", "test")  # folders within a run
SESSION = re.compile(r"\d{9,}(?:\.\d+)?")  # folder that PyTorch's add_hparams makes within a run, named by the time
HPARAMS_TAG = "_hparams_/"
COUNTER = re.compile(r"tokens|flop|flos|samples|examples|sequences|seen|consumed|epoch", re.IGNORECASE)


def has_events(folder: Path) -> bool:
    """Returns whether there is an event file in a folder or below it."""
    return next(folder.rglob(EVENT_FILES), None) is not None


def read_event_files(source: Path) -> Table:
    """Reads an event file, or all event files below a folder.

    Args:
        source: The file or the folder.

    Returns:
        Rows of run, step, scalars by tag and hyperparameters. Folders called train, validation, ... belong to the run
        that contains them, and their name is put before the tags.

    Raises:
        DataError: A file is damaged, or there are no scalars.
    """
    if source.is_dir():
        files = files_below(source, EVENT_FILES, NEVER_FOLDERS)
    else:
        require_regular(source)
        files = [source]
    folders: dict[Path, list[Path]] = {}
    for path in files:
        folders.setdefault(path.parent, []).append(path)
    runs: dict[str, RunEvents] = {}
    for folder, members in folders.items():
        events = read_events(members)
        run, tags = _run_of(folder, source, set(folders), list(events.scalars))
        total = runs.setdefault(run, RunEvents())
        total.scalars |= {tags[tag]: values for tag, values in events.scalars.items() if values}
        total.hparams |= events.hparams
        total.truncated += events.truncated
    filled: set[str] = set()
    frames = {run: _frame_of_run(run, events, filled) for run, events in runs.items()}
    parts = [frame for frame in frames.values() if frame is not None]
    if not parts:
        raise DataError(f"{source}: no scalars in {plural(len(files), 'event file')}")
    frame = pd.concat(parts, ignore_index=True)
    note = f"TensorBoard: {plural(len(parts), 'run')}, {plural(len(frame), 'row')}"
    table = replace(table_of_frame(frame, str(source)), curve_column="run").with_notes(note)
    if empty := [run for run, frame in frames.items() if frame is None]:
        table = table.with_notes(f"{plural(len(empty), 'run')} without scalars left out: {join_names(empty)}")
    if filled:
        table = table.with_notes(f"{join_names(sorted(filled))} interpolated between the steps at which it was written")
    truncated = [str(path.relative_to(source) if path != source else path.name)
                 for events in runs.values() for path in events.truncated]  # fmt: skip
    if truncated:
        table = table.with_notes(f"the last record is incomplete and left out in {join_names(truncated)}")
    return table


def _run_of(folder: Path, source: Path, folders: set[Path], tags: list[str]) -> tuple[str, dict[str, str]]:
    """Name of the run of a folder, and the column of each of its tags."""
    root = source if source.is_dir() else source.parent
    columns = {tag: tag for tag in tags}
    if folder != root and SESSION.fullmatch(folder.name) and folder.parent in folders:
        folder = folder.parent
    parent, tag = folder.name, tags[0] if len(tags) == 1 else ""
    if folder != root and parent.lower() in SPLITS:
        folder, columns = folder.parent, {tag: f"{parent}/{tag}" for tag in tags}
    elif folder != root and tag and parent.startswith(prefix := tag.replace("/", "_") + "_"):  # PyTorch's add_scalars
        folder, columns = folder.parent, {tag: f"{tag}/{parent.removeprefix(prefix)}"}
    name = folder.relative_to(root).as_posix()
    return folder.resolve().name if name == "." else name, columns


def _frame_of_run(run: str, events: RunEvents, filled: set[str]) -> pd.DataFrame | None:
    """Rows of a run, one per step, or None without scalars; adds the tags of interpolated counters to `filled`."""
    scalars = {tag: values for tag, values in events.scalars.items() if values and not tag.startswith(HPARAMS_TAG)}
    if not scalars:
        return None
    steps = sorted(set().union(*scalars.values()))
    columns: dict[str, Any] = {"run": run, "step": steps}
    for tag, values in scalars.items():
        cells = np.array([values.get(step, np.nan) for step in steps])
        columns.setdefault(tag, fill_counter(tag, np.array(steps, float), cells))
        if np.isfinite(columns[tag]).sum() > np.isfinite(cells).sum():
            filled.add(tag)
    fields = {name: value for name, value in events.hparams.items() if name not in columns and value is not None}
    return pd.DataFrame({**columns, **fields}, index=range(len(steps)), dtype=object)


def fill_counter(name: str, steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolates a counter between the steps at which it was written; returns other quantities unchanged.

    Args:
        name: Name of the quantity; one of tokens, FLOPs or samples that never decreases is a counter.
        steps: Steps (m,), increasing.
        values: Values (m,), NaN where there is none.
    """
    known = np.isfinite(values)
    if not COUNTER.search(name) or known.all() or known.sum() < 2 or (np.diff(values[known]) < 0).any():
        return values
    inside = (steps >= steps[known][0]) & (steps <= steps[known][-1])
    return np.where(inside, np.interp(steps, steps[known], values[known]), np.nan)
