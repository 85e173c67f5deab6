"""Easy tasks, and the items that an evaluation left."""

from __future__ import annotations

from pathlib import Path

from scaling.data.tasks import FAMILIES
from scaling.data.tasks.family import get_family
from scaling.store import items

EASY_DIFFICULTY = {name: max((get_family(name).difficulties or (1, 1))[0], 3) for name in FAMILIES} | {
    "modular": 23,
    "regression": 2,
}


def item_rows(folder: Path, task: str) -> list[dict]:
    [file] = [file for file in items.item_files(folder) if file.task == task]
    return items.read_items(file.path)
