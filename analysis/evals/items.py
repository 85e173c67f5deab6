"""Item files of the evaluations of a store: STORE/runs/RUN_ID/items/TASK[@SHOTS].STEP.parquet, one row per item."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError
from scaling.store import items as stored_items
from scaling.store.files import StoreError
from scaling.store.items import ItemFile

REQUIRED_COLUMNS = ("task", "metric_kind")


def item_files(store: str | Path | StoreSnapshot, all_steps: bool = False) -> list[ItemFile]:
    """Returns the item files of a store in order of task, shots, run and step.

    Args:
        store: The store, or its folder.
        all_steps: Whether to return all evaluations of a run instead of the last one on each task.
    """
    folders = Path(store).glob("runs/*/items")
    files = [file for folder in folders for file in stored_items.item_files(folder)]
    files.sort(key=lambda file: (file.task, file.shots, file.run, file.step))
    if all_steps:
        return files
    last = {(file.task, file.shots, file.run): file for file in files}
    return list(last.values())


def read_items(path: Path) -> pd.DataFrame:
    """Reads the items of a file, one row each.

    Raises:
        DataError: The file is damaged or empty, or lacks a required column.
    """
    try:
        items = stored_items.read_table(path, REQUIRED_COLUMNS).to_pandas()
    except StoreError as error:
        raise DataError(str(error)) from None
    if not len(items):
        raise DataError(f"{path}: no items")
    return items
