"""Items that evaluations left beside records: STORE/runs/RUN_ID/items/<task>[@<shots>].<step>.parquet, a row each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.errors import DataError

NAME = re.compile(r"(?P<task>.+?)(?:@(?P<shots>\d+))?\.(?P<step>\d+)\.parquet")
NEEDED = ("task", "metric_kind")


@dataclass(frozen=True)
class File:
    """One evaluation: a run's answers to a task at a step."""

    run: str
    task: str
    shots: int
    step: int
    path: Path


def found(store: str | Path, every: bool = False) -> list[File]:
    """The evaluations of a store in order of task, shots, run and step: each run's last one, or every one."""
    files = []
    for path in Path(store).glob("runs/*/items/*.parquet"):
        match = NAME.fullmatch(path.name)
        if match and not path.name.startswith("."):
            run, shots = path.parent.parent.name, int(match["shots"] or 0)
            files.append(File(run, match["task"], shots, int(match["step"]), path))
    files.sort(key=lambda f: (f.task, f.shots, f.run, f.step))
    if every:
        return files
    last = {(f.task, f.shots, f.run): f for f in files}
    return list(last.values())


def read(path: Path) -> pd.DataFrame:
    """The items of a file. Raises DataError (one line)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        items = pq.read_table(path).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    missing = [name for name in NEEDED if name not in items]
    if missing:
        raise DataError(f"{path}: no column {missing[0]!r}: items have at least {', '.join(NEEDED)}")
    if not len(items):
        raise DataError(f"{path}: no items")
    return items
