"""Item files: the scored items of an evaluation, in Parquet next to the record; analysis computes metrics from them.

    STORE/runs/RUN_ID/items/TASK[@SHOTS].STEP.parquet

One row per item; a column that does not apply to a row is null. PyArrow is imported by the functions that need it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scaling.store.files import DamagedFileError
from scaling.store.verification import parquet
from scaling.store.verification.item_columns import REMEDY, check_columns

if TYPE_CHECKING:
    import pyarrow as pa

METRIC_KINDS = ("choice", "exact", "loss")
COLUMNS = {  # name: type, by its name in PyArrow, and meaning
    "task": ("string", 'task, such as "addition-3"'),
    "family": ("string", 'family of the task, such as "addition"'),
    "difficulty": ("int32", "difficulty of the task, a number"),
    "shots": ("int32", "solved examples before the question"),
    "step": ("int64", "training steps of the model"),
    "item": ("int32", "index in the task, from 0"),
    "metric_kind": ("string", "choice: among `choices`; exact: exact match of `answer`; loss: tokens of a text"),
    "prompt": ("string", "text before the answer, with the solved examples"),
    "answer": ("string", "correct answer"),
    "chance": ("float64", "probability that a random guess is right"),
    "answer_tokens": ("int32", "tokens of the answer"),
    "answer_bytes": ("int32", "bytes of the answer"),
    "answer_logp": ("list<float32>", "nats, of each token of the answer given the tokens before it"),
    "greedy": ("bool", "whether greedy decoding writes the answer and stops there"),
    "choices": ("list<string>", "possible answers"),
    "choice_logp": ("list<float32>", "nats, of each choice as a whole"),
    "choice_tokens": ("list<int32>", "tokens of each choice"),
    "choice_bytes": ("list<int32>", "bytes of each choice"),
    "choice_prior_logp": ("list<float32>", "nats, of each choice without the prompt"),
    "gold": ("int32", "index of the correct choice, from 0"),
    "generated": ("list<string>", "texts that the model wrote: greedy first, then samples"),
    "passed": ("list<bool>", "whether each generated text is correct"),
    "isolation": ("string", "what isolated generated programs when they were run: bubblewrap, or none"),
}
ADDED_COLUMNS = ("isolation",)  # files of earlier versions lack them
REQUIRED_COLUMNS = tuple(name for name in COLUMNS if name not in ADDED_COLUMNS)
FILE_NAME = re.compile(r"(?P<task>[^.].*?)(?:@(?P<shots>\d+))?\.(?P<step>\d+)\.parquet")
STEP_MARK = "@step="  # in a record, before the step of a score that is not of the run's last step
Row = dict[str, Any]


class ItemFile(NamedTuple):
    """An item file, with the facts in its path.

    Attributes:
        path: The file.
        task: Name of the task, without shots.
        shots: Solved examples in the prompt.
        step: Training steps of the model.
    """

    path: Path
    task: str
    shots: int
    step: int

    @property
    def run(self) -> str:
        """Id of the run."""
        return self.path.parent.parent.name


def task_label(task: str, shots: int) -> str:
    """Returns the name of a task with its shots, as used in records and file names.

    Args:
        task: Name of the task.
        shots: Solved examples in the prompt; 0 adds nothing.
    """
    return f"{task}@{shots}" if shots else task


def score_name(name: str, step: int, steps: int) -> str:
    """Returns the name of a score in a record: the step is part of it unless it is the run's last.

    Args:
        name: Name of the score, TASK[@SHOTS]/METRIC.
        step: Training steps of the model.
        steps: Steps of the run.
    """
    task, _, metric = name.rpartition("/")
    return name if step == steps else f"{task}{STEP_MARK}{step}/{metric}"


def safe_name(text: str) -> str:
    """Replaces the characters of a task's name that are not allowed in a file name."""
    return re.sub(r"[^\w@.,=+-]", "_", text)


def item_files(folder: Path) -> list[ItemFile]:
    """Lists the item files in the folder of one run, by task, shots and step."""
    files = []
    for path in folder.glob("*.parquet"):
        if match := FILE_NAME.fullmatch(path.name):  # none: being written
            files.append(ItemFile(path, match["task"], int(match["shots"] or 0), int(match["step"])))
    return sorted(files, key=lambda file: (file.task, file.shots, file.step))


def write_items(folder: Path, task: str, shots: int, step: int, rows: list[Row]) -> Path:
    """Writes the items of one task at one step atomically and replaces an existing file.

    Args:
        folder: Folder of the run's items.
        task: Name of the task.
        shots: Solved examples in the prompt.
        step: Training steps of the model.
        rows: One dict per item; its keys are among COLUMNS.

    Returns:
        The file.
    """
    import pyarrow as pa

    for row in rows:
        if unknown := set(row) - set(COLUMNS):
            raise ValueError(f"items of {task}: unknown columns {', '.join(sorted(unknown))}")
        if row["metric_kind"] not in METRIC_KINDS:
            kinds = ", ".join(METRIC_KINDS)
            raise ValueError(f"items of {task}: metric_kind {row['metric_kind']!r}: must be one of {kinds}")
    columns = {name: pa.array([row.get(name) for row in rows], arrow_type(kind)) for name, (kind, _) in COLUMNS.items()}
    path = folder / f"{safe_name(task_label(task, shots))}.{step}.parquet"
    parquet.write_table(path, pa.table(columns), "zstd")
    return path


def arrow_type(name: str) -> pa.DataType:
    """Returns a PyArrow type by its name in COLUMNS."""
    import pyarrow as pa

    inner = re.fullmatch(r"list<(\w+)>", name)
    return pa.list_(pa.type_for_alias(inner[1])) if inner else pa.type_for_alias(name)


def read_table(path: Path, required: Sequence[str] = REQUIRED_COLUMNS) -> pa.Table:
    """Reads an item file as a PyArrow table.

    Args:
        path: The file.
        required: Columns that it must have; unless given, all that the files of every version have.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: The file is damaged, lacks a required column, or has no items.
    """
    table = parquet.read_table(path, REMEDY)
    if missing := [name for name in required if name not in table.column_names]:
        reason = f"no column {', '.join(missing)}; item files have at least {', '.join(required)}"
        raise DamagedFileError(path, reason, REMEDY)
    check_columns(path, table, {name: kind for name, (kind, _) in COLUMNS.items()}, METRIC_KINDS)
    return table


def read_items(path: Path) -> list[Row]:
    """Reads the rows of an item file; a column that does not apply to a row is absent from it."""
    return [{k: v for k, v in row.items() if v is not None} for row in read_table(path).to_pylist()]
