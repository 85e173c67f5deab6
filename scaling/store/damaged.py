"""Damaged files: those that a command left out, and records that are set aside so that their runs are trained again."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

from scaling.config.text import printable
from scaling.store.files import DamagedFileError
from scaling.store.record import Record, Store
from scaling.store.verification.record_file import verified_config


def print_damaged(store: Store, stream: TextIO | None = None) -> None:
    """Prints each file of `store.damaged` once, as `left out: PATH: damaged: REASON: REMEDY`.

    Args:
        store: The store.
        stream: Where to print; by default standard error.
    """
    for path, problem in store.damaged.items():
        if path not in store.printed_damaged:
            store.printed_damaged.add(path)
            print(printable(f"left out: {store.root / path}: {problem}"), file=stream or sys.stderr)


def damaged_files(store: Store) -> list[dict[str, str]]:
    """Returns the files that a command left out, for its JSON output: the `path` and the `problem` of each.

    Args:
        store: The store.
    """
    return [{"path": str(store.root / path), "problem": problem} for path, problem in sorted(store.damaged.items())]


def verified_facts(store: Store, run_id: str) -> dict[str, Any] | None:
    """Returns the JSON of a record, None without one; faster than `Store.read`.

    The record of an earlier version has no checksum: it is compared with its config instead.

    Args:
        store: The store.
        run_id: Id of the run.

    Raises:
        DamagedFileError: The record is damaged.
    """
    data = store.raw_record(run_id)
    if data is not None and "checksum" not in data:
        verified_config(store.record_file(run_id), data)
    return data


def newest_row(store: Store, run_id: str) -> dict[str, float] | None:
    """Returns the newest row of a running run's curve, or None; an unreadable curve is added to `store.damaged`.

    Args:
        store: The store.
        run_id: Id of the run.
    """
    try:
        return store.last_row(run_id)
    except DamagedFileError as error:
        store.note_damaged(error)
        return None


def has_damaged_record(store: Store, run_id: str) -> bool:
    """Returns whether a command left out the record of a run because it is damaged.

    Args:
        store: The store.
        run_id: Id of the run.
    """
    return os.path.join("runs", run_id, "record.json") in store.damaged


def read_or_set_aside(store: Store, run_id: str) -> Record | None:
    """Returns the record of a run, None without one; a damaged one is set aside, which is said in one line.

    Args:
        store: The store; the caller has the lease on the run.
        run_id: Id of the run.

    Raises:
        DamagedFileError: The record cannot be read but may be intact: for its permissions, or of a newer version.
    """
    try:
        return store.read(run_id)
    except DamagedFileError as error:
        set_aside(store, error)
        return None


def set_aside(store: Store, error: DamagedFileError) -> None:
    """Renames a damaged file, so that it can be written again, and says so in one line on standard error.

    Args:
        store: The store of the file.
        error: The error; it is raised again if the file may be intact.
    """
    if not error.is_replaceable:
        raise error
    new_path = store.set_aside(error.path)
    store.damaged.pop(os.path.relpath(error.path, store.root), None)
    if new_path is not None:  # another process was not faster
        print(printable(f"{error.path}: damaged: {error.reason}: set aside as {new_path.name}"), file=sys.stderr)
