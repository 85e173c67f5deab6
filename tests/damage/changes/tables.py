"""Damages of tables: columns of other types and lengths, metadata, and cells of text."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

PANDAS = (
    "null",
    "[]",
    '{"columns": 3, "index_columns": {"a": 1}}',
    '{"index_columns": ["missing"], "columns": [null]}',
)
CSV_EDITS = {
    "duplicate column": lambda text: text.replace('"D"', '"N"', 1).replace("D,", "N,", 1),
    "a longer row": lambda text: text + "1,2,3,4,5,6,7,8\n",
    "a shorter row": lambda text: text + "1,2\n",
    "text for a number": lambda text: text.replace("\n", "\nrun,many,few,x,y\n", 2),
    "a cell of 200 KB": lambda text: text + '"' + "x" * 200_000 + '",1,2,3,4\n',
    "an open quote": lambda text: text + '"open,1,2,3,4\n',
    "a NUL byte": lambda text: text + "a\0b,1,2,3,4\n",
    "nested JSON": lambda text: text + '"' + "[" * 20_000 + '",1,2,3,4\n',
    "control characters": lambda text: text + "\x1b[31mred[bold],1,2,3,4\n",
    "negative numbers": lambda text: text + "a,-1,-2,-3,-4\n",
    "infinite numbers": lambda text: text + "a,inf,1e400,nan,-inf\n",
    "no rows": lambda text: text.split("\n", 1)[0] + "\n",
    "UTF-16": lambda text: text.encode("utf-16"),
    "a UTF-8 mark": lambda text: "\ufeff" + text,
    "Latin-1": lambda text: text.encode() + b"\xe9,1,2,3,4\n",
    "a list of configs": lambda text: text.replace("run", "config", 1) + '"[1,2",1,2,3,4\n',
}


def altered_csv(path: Path, random: Random) -> str:
    """An edited table."""
    name = random.choice(list(CSV_EDITS))
    text = CSV_EDITS[name](path.read_text())
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def other_columns(path: Path, random: Random) -> str:
    """A column that is missing, or has another type or other values."""
    table = pq.read_table(path)
    name = random.choice(table.column_names)
    place, rows = table.column_names.index(name), len(table)
    if random.random() < 0.15:
        pq.write_table(table.drop_columns([name]), path)
        return f"without {name}"
    values = {
        "text": pa.array(["text"] * rows),
        "null": pa.nulls(rows),
        "lists": pa.array([[1.0, 2.0]] * rows),
        "structs": pa.array([{"a": 1}] * rows),
        "infinite": pa.array([float("inf")] * rows),
        "NaN": pa.array([float("nan")] * rows),
        "negative": pa.array([-1] * rows),
        "bytes": pa.array([b"\xff"] * rows),
        "dates": pa.array([0] * rows, pa.timestamp("ns")),
    }
    kind = random.choice(list(values))
    pq.write_table(table.set_column(place, name, values[kind]), path)
    return f"{name} as {kind}"


def older(path: Path, random: Random) -> None:
    """A file without checksums of its pages and without metadata, as earlier versions wrote it."""
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata(None), path, write_page_checksum=False)


def pandas_metadata(path: Path, random: Random) -> str:
    """Metadata of pandas that are not what pandas writes."""
    table, value = pq.read_table(path), random.choice(PANDAS)
    metadata = {**(table.schema.metadata or {}), b"pandas": value.encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return value


def altered_curve(path: Path, random: Random) -> str:
    """Another held-out loss in the last row, in a file that is whole."""
    rows = pq.read_table(path).to_pylist()
    rows[-1]["val_loss"] = (rows[-1].get("val_loss") or 4.0) * 0.9
    pq.write_table(pa.Table.from_pylist(rows), path)
    return "val_loss of the last row"
