"""Item files of the evaluations of a store: STORE/runs/RUN_ID/items/TASK[@SHOTS].STEP.parquet, one row per item."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.data.record_cache import StoreSnapshot, as_snapshot
from scaling.store import items as stored_items
from scaling.store.files import DamagedFileError
from scaling.store.items import ItemFile
from scaling.store.verification.item_columns import REMEDY

REQUIRED_COLUMNS = ("task", "metric_kind")


def item_files(store: str | Path | StoreSnapshot, all_steps: bool = False) -> list[ItemFile]:
    """Returns the item files of a store in order of task, shots, run and step, without runs with a damaged record.

    Args:
        store: The store, or its folder.
        all_steps: Whether to return all evaluations of a run instead of the last one on each task.
    """
    store = as_snapshot(store)
    runs = [run for run in store.root.glob("runs/*") if not os.access(run, os.X_OK) or os.path.isdir(run / "items")]
    folders = [run / "items" for run in runs if not _has_damaged_record(store, run)]
    files = [file for folder in folders for file in stored_items.item_files(folder)]
    files.sort(key=lambda file: (file.task, file.shots, file.run, file.step))
    if all_steps:
        return files
    last = {(file.task, file.shots, file.run): file for file in files}
    return list(last.values())


def _has_damaged_record(store: StoreSnapshot, run: Path) -> bool:
    """Whether the record in a run's folder is damaged; a folder without a record is not."""
    return store.read_intact(run.name) is None and str((run / "record.json").relative_to(store.root)) in store.damaged


def read_items(store: StoreSnapshot, file: ItemFile, required: Sequence[str] = REQUIRED_COLUMNS) -> pd.DataFrame | None:
    """Reads the items of a file, one row each; None if the file is damaged, which is added to `damaged` of the store.

    Args:
        store: The store.
        file: The file.
        required: Columns that it must have, without empty cells.
    """
    try:
        table = stored_items.read_table(file.path, required)
        if empty := [name for name in required if table[name].null_count]:
            raise DamagedFileError(file.path, f"column {empty[0]}: has empty cells", REMEDY)
    except FileNotFoundError:  # it was listed: a link
        store.note_damaged(DamagedFileError(file.path, "a link to a missing file", REMEDY))
        return None
    except DamagedFileError as error:
        store.note_damaged(error)
        return None
    return table.to_pandas(ignore_metadata=True)
