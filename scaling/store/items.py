"""What an evaluation keeps of every item, in Parquet beside the record: metrics are computed from it in analysis.

STORE/runs/RUN_ID/items/TASK[@SHOTS].STEP.parquet, a row an item; a column that does not apply to a row is null.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

KINDS = ("choice", "exact", "loss")
COLUMNS = {  # name: type, as PyArrow calls it
    "task": "string",  # "addition-3"
    "family": "string",  # "addition"
    "difficulty": "int32",
    "shots": "int32",  # solved examples before the question
    "step": "int64",  # training steps of the model
    "item": "int32",  # number in the task, from 0
    "metric_kind": "string",  # choice: among `choices`; exact: `answer`, letter for letter; loss: tokens of a text
    "prompt": "string",
    "answer": "string",
    "chance": "float64",  # probability that a guess is right
    "answer_tokens": "int32",
    "answer_bytes": "int32",
    "answer_logp": "list<float32>",  # nats, of each token of the answer after those before it
    "greedy": "bool",  # the answer, and that it ends there, is what greedy decoding writes
    "choices": "list<string>",
    "choice_logp": "list<float32>",  # nats, of each choice as a whole
    "choice_tokens": "list<int32>",
    "choice_bytes": "list<int32>",
    "choice_prior_logp": "list<float32>",  # the same without the prompt
    "gold": "int32",  # the right one of the choices, from 0
    "generated": "list<string>",  # what the model wrote: greedily, then samples
    "passed": "list<bool>",  # whether each of these is right
}
NAME = re.compile(r"(?P<task>.+?)(?:@(?P<shots>\d+))?\.(?P<step>\d+)\.parquet")
Row = dict[str, Any]


class Scored(NamedTuple):
    """One file of items, by its name."""

    path: Path
    task: str
    shots: int
    step: int


def label(task: str, shots: int) -> str:
    """What a task with its shots is called in a record and in file names."""
    return f"{task}@{shots}" if shots else task


def write(folder: Path, task: str, shots: int, step: int, rows: list[Row]) -> Path:
    """The items of one task at one step, atomically, in place of those that were there; their file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from scaling.store.files import write_atomic

    for row in rows:
        if strange := set(row) - set(COLUMNS):
            raise ValueError(f"items of {task}: unknown columns {', '.join(sorted(strange))}")
        if row["metric_kind"] not in KINDS:
            raise ValueError(f"items of {task}: metric_kind {row['metric_kind']!r}: allowed are {', '.join(KINDS)}")
    columns = {name: pa.array([row.get(name) for row in rows], kind(of)) for name, of in COLUMNS.items()}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    path = folder / f"{file_name(label(task, shots))}.{step}.parquet"
    write_atomic(path, sink.getvalue().to_pybytes())
    return path


def kind(of: str) -> Any:
    """A PyArrow type by its name in COLUMNS."""
    import pyarrow as pa

    inner = re.fullmatch(r"list<(\w+)>", of)
    return pa.list_(pa.type_for_alias(inner[1])) if inner else pa.type_for_alias(of)


def file_name(text: str) -> str:
    """A task's name without what a file's may not hold."""
    return re.sub(r"[^\w@.,=+-]", "_", text)


def table(path: Path) -> Any:
    """A file of items as a PyArrow table with all of COLUMNS; StoreError names one that is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from scaling.store.files import StoreError

    try:
        found = pq.read_table(pa.BufferReader(path.read_bytes()))
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError(f"{path}: damaged: {error}") from None
    if missing := [name for name in COLUMNS if name not in found.column_names]:
        raise StoreError(f"{path}: not a file of items: it has no column {', '.join(missing)}")
    return found


def read(path: Path) -> list[Row]:
    """The rows of a file of items; what does not apply to a row is missing from it."""
    return [{k: v for k, v in row.items() if v is not None} for row in table(path).to_pylist()]


def scored(folder: Path) -> list[Scored]:
    """The files of items of one run, by task, shots and step."""
    found = []
    for path in folder.glob("*.parquet"):
        if name := NAME.fullmatch(path.name):
            found.append(Scored(path, name["task"], int(name["shots"] or 0), int(name["step"])))
    return sorted(found, key=lambda one: (one.task, one.shots, one.step))
