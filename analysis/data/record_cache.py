"""What a store's records say, read once: a table of facts kept in the store, by the content of each record.

A row is a run; its columns are run_id, sweep, status, folder, and by dotted name params.*, flops.*, final.*, evals.*,
about.* (ABOUT) and config.*. A record that was written again since (another size, time or inode) is read again; nothing
else is. The index holds no convention and may be deleted.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import DataError
from scaling.store.files import StoreError, write_atomic
from scaling.store.record import Record, Store

FILE = "index.parquet"
LEAST = 500  # runs of a store worth an index: fewer are read in a tenth of a second
SHOW = 3000  # records to be read that are worth a progress bar
ABOUT = ("precision", "shared_steps", "seconds", "error")
STAMP = ("size", "changed_ns", "inode")
VERSION = 1


def facts(root: str | Path) -> tuple[pd.DataFrame, list[str]]:
    """All records of a store, in order of run id, and what there is to say about the index.

    Raises DataError for a damaged record.
    """
    store = Store(root)
    stamps = store.stamps()
    kept = _kept(store) if len(stamps) >= LEAST else None
    if kept is None:
        known, old = pd.DataFrame(), []
    elif _unchanged(kept, stamps):
        return kept, []
    else:
        held = zip(kept["folder"], *(kept[name] for name in STAMP), strict=True)
        same = np.array([stamps.get(run) == tuple(stamp) for run, *stamp in held], bool)
        known = kept[same]
        old = known["folder"].tolist()
    fresh = list(stamps.keys() - set(old))
    frame = _read(store, fresh, stamps)
    if old:
        frame = pd.concat([known, frame]) if len(frame) else known
        frame = frame.sort_values("folder", ignore_index=True)
    return frame, _keep(store, frame) if len(frame) >= LEAST else []


def _unchanged(kept: pd.DataFrame, stamps: dict[str, tuple[int, int, int]]) -> bool:
    """Whether all records are those that the index was made of."""
    if kept["folder"].tolist() != list(stamps):
        return False
    return np.array_equal(kept[list(STAMP)].to_numpy(np.int64), np.array(list(stamps.values()), np.int64))


def _read(store: Store, runs: list[str], stamps: dict[str, tuple[int, int, int]]) -> pd.DataFrame:
    rows = []
    try:
        for run in _progress(sorted(runs)):
            record = store.read(run)
            if record is not None:  # unless it was deleted a moment ago
                rows.append(_row(record) | {"folder": run} | dict(zip(STAMP, stamps[run], strict=True)))
    except StoreError as error:
        raise DataError(str(error)) from None
    names = dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in names})


def _progress(runs: list[str]) -> Iterable[str]:
    if len(runs) < SHOW:
        return runs
    from rich.console import Console
    from rich.progress import track

    return track(runs, "reading records", console=Console(stderr=True), transient=True)


def _row(record: Record) -> dict[str, Any]:
    """A record as one flat row. Counts beyond 2^63 are floats: FLOPs of a large run are."""
    row: dict[str, Any] = {"run_id": record.run_id, "sweep": record.sweep, "status": record.status}
    for part in ("params", "flops", "final", "evals"):
        row.update({f"{part}.{name}": float(value) for name, value in getattr(record, part).items()})
    row.update({f"about.{name}": record.about[name] for name in ABOUT if record.about.get(name) is not None})
    return row | _flat.__wrapped__(record.config, "config.")


@functools.cache
def _names(of: Any) -> dict[str, bool]:
    """Fields of a dataclass, and whether they are dataclasses themselves."""
    hints = typing.get_type_hints(of)
    return {field.name: dataclasses.is_dataclass(hints[field.name]) for field in dataclasses.fields(of)}


@functools.lru_cache(maxsize=4096)
def _flat(config: Any, prefix: str) -> dict[str, Any]:
    """Fields of a config by dotted name. Its parts are remembered: runs of a sweep share most of theirs."""
    row: dict[str, Any] = {}
    kind: Any = type(config)
    for name, nested in _names(kind).items():
        value = getattr(config, name)
        row |= _flat(value, f"{prefix}{name}.") if nested else {prefix + name: value}
    return row


def _column(values: list[Any]) -> pd.Series:
    """Numbers as numbers, absent ones NaN; anything else as it is."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and (kinds != {int} or None in values):
        return pd.Series(np.array([np.nan if value is None else value for value in values], np.float64))
    return pd.Series(values)


def _key() -> str:
    """Changes with what a record holds: an index of another key is not read."""
    return hashlib.sha256(json.dumps([VERSION, ABOUT, _fields(Record)]).encode()).hexdigest()


def _fields(of: Any) -> list[Any]:
    """Names and defaults of a dataclass, those of its parts too."""
    hints = typing.get_type_hints(of)
    parts = {name: _fields(hint) for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    return [
        (f.name, None if f.default is dataclasses.MISSING else repr(f.default), parts.get(f.name))
        for f in dataclasses.fields(of)
    ]


def _kept(store: Store) -> pd.DataFrame | None:
    """The index as it was left; None where there is none that can be used."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(store.root / FILE)
        if (table.schema.metadata or {}).get(b"key") != _key().encode():
            return None
        return table.to_pandas()
    except (OSError, pa.ArrowException):
        return None


def _keep(store: Store, frame: pd.DataFrame) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"key": _key().encode()})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        write_atomic(store.root / FILE, sink.getvalue().to_pybytes())
    except OSError as error:
        return [f"no index is kept of this store, each reading takes all {len(frame)} records ({error.strerror})"]
    except pa.ArrowException as error:
        return [f"no index is kept of this store, each reading takes all {len(frame)} records ({error})"]
    return []
