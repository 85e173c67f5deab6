"""Reads the records of a store into one table, cached in the store by size, time and inode of each record and curve.

A row is a run; its columns are run_id, sweep, status, folder, and by dotted name params.*, flops.*, final.*, evals.*,
about.* (ABOUT_FIELDS) and config.*. Only records written since are read again. The cache is independent of
counting conventions and can be deleted.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.rows.saes import model_counts
from scaling.store.files import DamagedFileError
from scaling.store.items import STEP_MARK
from scaling.store.record import Record, Store
from scaling.store.verification import parquet

CACHE_FILE = "index.parquet"
MIN_RUNS = 500  # smaller stores are read in 0.1 s and have no cache
PROGRESS_MIN_RECORDS = 3000  # smallest number of records to read for which a progress bar is shown
ABOUT_FIELDS = ("precision", "shared_steps", "seconds", "error", "stated_tokens", "stated_loss")
STAMP_COLUMNS = ("size", "changed_ns", "inode", "curve_size", "curve_changed_ns", "curve_inode")
NO_CURVE = (0, 0, 0)
VERSION = 3
Stamps = dict[str, tuple[int, ...]]  # of each run, in the order of STAMP_COLUMNS


class StoreSnapshot(Store):
    """A store that reads each record and each curve once, for reports, which need them several times.

    It is accepted wherever the folder of a store is. Later changes of the store are not seen. Damaged records, curves
    and item files are left out and noted in `damaged`.
    """

    def __init__(self, root: str | Path, address: str | None = None) -> None:
        super().__init__(root, writes=False)
        self.address = address or self.address
        self._records: dict[str, Record | None] = {}
        self._curves: dict[str, list[dict[str, float]]] = {}

    def __fspath__(self) -> str:
        return str(self.root)

    def __str__(self) -> str:
        return str(self.root)

    def read(self, run_id: str) -> Record | None:
        """Returns the record of a run, None if it does not exist; DamagedFileError also if its curve contradicts it."""
        if run_id not in self._records:
            record = super().read(run_id)
            if record is not None:
                self.check_result(record)
            self._records[run_id] = record
        return self._records[run_id]

    def records(self, *, check_curves: bool = False) -> Iterator[Record]:
        """Iterates over the intact records of models; those of sparse autoencoders are in `read_facts`.

        Args:
            check_curves: As in `Store.records`; `read` compares every record with its curve.
        """
        return (record for record in super().records(check_curves=check_curves) if record.config.sae is None)

    def curve(self, run_id: str) -> list[dict[str, float]]:
        """Returns the rows of the curve of a run in order of steps; none without a curve or with a damaged one.

        Callers must not change them.
        """
        if run_id not in self._curves:
            try:
                self._curves[run_id] = super().curve(run_id)
            except DamagedFileError as error:
                self.note_damaged(error)
                self._curves[run_id] = []
        return self._curves[run_id]

    @functools.cached_property
    def facts_table(self) -> tuple[pd.DataFrame, list[str]]:
        """Result of `read_facts`."""
        return _read_facts(self)


def as_snapshot(store: str | Path | StoreSnapshot) -> StoreSnapshot:
    """Returns a snapshot of a store as it is, or a new one of the store in a folder."""
    return store if isinstance(store, StoreSnapshot) else StoreSnapshot(store)


def read_facts(store: str | Path | StoreSnapshot) -> tuple[pd.DataFrame, list[str]]:
    """Reads all intact records of a store as a table.

    Args:
        store: The store, or its folder.

    Returns:
        One row per run in the order of run ids, and notes on the cache.
    """
    return as_snapshot(store).facts_table


def _read_facts(store: Store) -> tuple[pd.DataFrame, list[str]]:
    stamps = _stamps(store)
    cached, notes = _read_cache(store) if len(stamps) >= MIN_RUNS else (None, [])
    if cached is None:
        current = pd.DataFrame({"folder": []})
    elif _is_current(cached, stamps):
        return cached, []
    else:
        old_stamps = zip(cached["folder"], *(cached[name] for name in STAMP_COLUMNS), strict=True)
        current = cached[np.array([stamps.get(run) == tuple(stamp) for run, *stamp in old_stamps], bool)]
    frame = new_rows = _read_records(store, sorted(stamps.keys() - set(current["folder"])), stamps)
    if len(current):
        frame = pd.concat([current, new_rows]) if len(new_rows) else current
        frame = frame.sort_values("folder", ignore_index=True)
    if len(frame) >= MIN_RUNS and (cached is None or len(new_rows) or len(current) < len(cached)):
        notes = [*notes, *_write_cache(store, frame)]
    return frame, notes


def _stamps(store: Store) -> Stamps:
    """Size, modification time and inode of each record and its curve."""
    stamps: Stamps = {}
    for run, stamp in store.record_stamps().items():
        try:
            stat = os.stat(f"{store.root}/runs/{run}/curve.parquet")
            stamps[run] = (*stamp, stat.st_size, stat.st_mtime_ns, stat.st_ino)
        except OSError:
            stamps[run] = (*stamp, *NO_CURVE)
    return stamps


def _is_current(cached: pd.DataFrame, stamps: Stamps) -> bool:
    """Whether the cache agrees with the current records of the store."""
    if cached["folder"].tolist() != list(stamps):
        return False
    return np.array_equal(cached[list(STAMP_COLUMNS)].to_numpy(np.int64), np.array(list(stamps.values()), np.int64))


def _read_records(store: Store, runs: list[str], stamps: Stamps) -> pd.DataFrame:
    rows = []
    for run in _with_progress(runs):
        record = store.read_intact(run)
        if record is not None:  # None if it is damaged, or was deleted meanwhile
            rows.append(_row(record) | {"folder": run} | dict(zip(STAMP_COLUMNS, stamps[run], strict=True)))
    names = dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in names})


def _with_progress(runs: list[str]) -> Iterable[str]:
    if len(runs) < PROGRESS_MIN_RECORDS:
        return runs
    from rich.console import Console  # imported only where a progress bar is shown
    from rich.progress import track

    return track(runs, "reading records", console=Console(stderr=True), transient=True)


def _row(record: Record) -> dict[str, Any]:
    """A record as one flat row. Counts are floats because the FLOPs of a large run exceed 2^63."""
    row: dict[str, Any] = {"run_id": record.run_id, "sweep": record.sweep, "status": record.status}
    for part in ("params", "flops", "final", "evals"):
        facts = {name: value for name, value in getattr(record, part).items() if STEP_MARK not in name}
        row.update({f"{part}.{name}": float(value) for name, value in facts.items()})
    row.update({f"about.{name}": record.about[name] for name in ABOUT_FIELDS if record.about.get(name) is not None})
    return row | model_counts(record.config) | _flatten.__wrapped__(record.config, "config.")


@functools.cache
def _nested_fields(cls: Any) -> dict[str, Any]:
    """Fields of a dataclass with the dataclass that each has, or may have beside None; None for other fields."""
    hints = typing.get_type_hints(cls)
    return {
        field.name: next(
            filter(dataclasses.is_dataclass, (hints[field.name], *typing.get_args(hints[field.name]))), None
        )
        for field in dataclasses.fields(cls)
    }


@functools.lru_cache(maxsize=4096)
def _flatten(config: Any, prefix: str) -> dict[str, Any]:
    """Fields of a config by dotted name, without those of a part that is None.

    Parts are cached because the runs of a sweep share most of them.
    """
    row: dict[str, Any] = {}
    cls: Any = type(config)
    for name, part in _nested_fields(cls).items():
        value = getattr(config, name)
        if part is None:
            row[prefix + name] = value
        elif value is not None:
            row |= _flatten(value, f"{prefix}{name}.")
    return row


def _column(values: list[Any]) -> pd.Series:
    """Numbers as float64 with NaN for missing values; other values unchanged."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and (kinds != {int} or None in values):
        return pd.Series(np.array([np.nan if value is None else value for value in values], np.float64))
    return pd.Series(values)


def _schema_key() -> str:
    """Hash of the fields of a record; a cache with another key is not read."""
    return hashlib.sha256(json.dumps([VERSION, ABOUT_FIELDS, _schema(Record)]).encode()).hexdigest()


def _schema(cls: Any) -> list[Any]:
    """Names and defaults of the fields of a dataclass and of its nested dataclasses."""
    parts = {name: _schema(part) for name, part in _nested_fields(cls).items() if part is not None}
    return [
        (field.name, None if field.default is dataclasses.MISSING else repr(field.default), parts.get(field.name))
        for field in dataclasses.fields(cls)
    ]


def _read_cache(store: Store) -> tuple[pd.DataFrame | None, list[str]]:
    """The cached table, None if there is no usable cache, and a note if it was damaged."""
    path = store.root / CACHE_FILE
    try:
        table = parquet.read_table(path, needs_digest=True)
    except FileNotFoundError:
        return None, []
    except DamagedFileError as error:
        return None, [f"{path}: {error.reason}: all records are read, and it is written again"]
    if (table.schema.metadata or {}).get(b"key") != _schema_key().encode():
        return None, []
    return table.to_pandas(), []


def _write_cache(store: Store, frame: pd.DataFrame) -> list[str]:
    """Writes the cache; returns a note with the reason if that fails."""
    import pyarrow as pa  # slow to import, needed only for large stores

    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"key": _schema_key().encode()})
        parquet.write_table(store.root / CACHE_FILE, table, "zstd")
    except (OSError, pa.ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return [
            f"{store.root / CACHE_FILE}: the cache cannot be written, so all {len(frame)} records are read every time "
            f"({reason})"
        ]
    return []
