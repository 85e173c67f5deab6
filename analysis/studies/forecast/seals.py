"""Sealed forecasts of a store: a file with one line of JSON per forecast, each with the hash of the line before it.

A seal states what was forecast, from which points and by which code, before the run was trained. A later change of a
line, or a removed line that is not the last, breaks the chain. The last lines can be removed without a trace in the
file: publish the hash of the last seal to prevent it.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.errors import DataError
from analysis.format import json_ready
from analysis.studies.forecast.predictive import Predictive, from_json
from analysis.studies.forecast.result import Forecast
from scaling.store.files import FORECASTS_FILE, DamagedFileError, read_bytes
from scaling.store.lease import LeaseHeldError
from scaling.store.origin.clock import time_of_day
from scaling.store.origin.commit import code_commit
from scaling.store.record import Store

FILE = FORECASTS_FILE
VERSION = 1
FIRST = "0" * 64  # hash before the first seal
FIELDS = {
    "version": int, "index": int, "time": str, "target": dict, "points": dict, "commit": str | None, "options": list,
    "forecast": dict, "distribution": list, "previous": str, "hash": str,
}  # fmt: skip


@dataclass(frozen=True)
class Seal:
    """A sealed forecast.

    Attributes:
        index: Number of the seal in its file, from 0.
        time: Time of the seal in UTC, ISO 8601.
        run_id: Id of the run that was forecast.
        commit: Commit of the code; None where it is not known.
        forecast: The forecast, as `Forecast.to_json`.
        predictive: Distribution of the loss of the run.
        hash: SHA-256 of the seal, which contains the hash of the seal before it.
    """

    index: int
    time: str
    run_id: str
    commit: str | None
    forecast: dict[str, Any]
    predictive: Predictive
    hash: str


def check_unsealed(store: Store, run: str) -> None:
    """Checks that a forecast of a run can be sealed now, before it is computed.

    Args:
        store: The store.
        run: Id of the run.

    Raises:
        DataError: The run has a curve, a record or a sealed forecast, or an earlier seal does not verify.
        StoreError: The store cannot be written.
    """
    if problem := _started(store, run):
        raise DataError(f"--seal: run {run[:16]} {problem}: a forecast is sealed before its run is trained")
    if any(seal.run_id == run for seal in read_seals(store)):
        raise DataError(f"--seal: run {run[:16]} has a sealed forecast: see `analysis forecasts`")
    store.check_writable()


def seal_forecast(store: Store, forecast: Forecast, arguments: list[str]) -> Seal:
    """Appends a forecast to the file of the store, syncs it to disk, and uploads it if the store is remote.

    Args:
        store: The store, in which the run has not been trained.
        forecast: The forecast.
        arguments: Options of the command, as they were given.

    Raises:
        DataError: The forecast is of no run, the run has a curve or a record, or an earlier seal does not verify.
        StoreError: The store cannot be written.
        OSError: The file cannot be written.
    """
    target = forecast.target
    if target.run_id is None:
        raise DataError("--seal: needs the run that is forecast: give its config with --target-run CONFIG.json")
    check_unsealed(store, target.run_id)
    path = store.root / FILE
    try:
        with store.lease("forecasts"):
            store.fetch_results()
            check_unsealed(store, target.run_id)  # another process may have sealed it before the lease
            seals = read_seals(store)
            entry = _entry(forecast, arguments, len(seals), seals[-1].hash if seals else FIRST)
            with path.open("ab") as file:
                file.write(json.dumps(entry, allow_nan=False, sort_keys=True).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            store.upload(path)
    except LeaseHeldError as error:
        raise DataError(f"--seal: another process seals a forecast: {error}: try again when it has ended") from None
    return _seal(entry)


def _started(store: Store, run: str) -> str:
    """What a run has left in the store, "" for a run that has not started."""
    folder = store.run_dir(run)
    for name, text in (
        ("record.json", "has a record"),
        ("curve.jsonl", "has a curve"),
        ("curve.parquet", "has a curve"),
    ):
        if (folder / name).exists():
            return text
    return ""


def _entry(forecast: Forecast, arguments: list[str], index: int, previous: str) -> dict[str, Any]:
    data = forecast.to_json()
    entry = json_ready(
        {
            "version": VERSION,
            "index": index,
            "time": datetime.fromtimestamp(time_of_day(), UTC).isoformat(timespec="seconds"),
            "target": data["target"],
            "points": data["points"],
            "commit": code_commit(),
            "options": arguments,
            "forecast": {name: value for name, value in data.items() if name not in ("target", "points")},
            "distribution": forecast.predictive.to_json(),
            "previous": previous,
        }
    )
    return {**entry, "hash": hash_entry(entry)}


def hash_entry(entry: dict[str, Any]) -> str:
    """Returns the SHA-256 of the canonical JSON of an entry, without its own hash."""
    content = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(json.dumps(content, allow_nan=False, sort_keys=True).encode()).hexdigest()


def _seal(entry: dict[str, Any]) -> Seal:
    forecast = {**entry["forecast"], "target": entry["target"], "points": entry["points"]}
    return Seal(
        index=entry["index"],
        time=entry["time"],
        run_id=entry["target"]["run_id"],
        commit=entry["commit"],
        forecast=forecast,
        predictive=from_json(entry["distribution"]),
        hash=entry["hash"],
    )


def read_seals(store: Store) -> list[Seal]:
    """Reads and verifies the sealed forecasts of a store; none without the file.

    Raises:
        DataError: A line was changed, removed or is no seal; the message names it.
    """
    path = store.root / FILE
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        return []
    except DamagedFileError as error:
        raise DataError(str(error)) from None
    seals, previous = [], FIRST
    for number, line in enumerate(data.splitlines(), 1):
        seals.append(_verified(path, number, line, previous))
        previous = seals[-1].hash
    return seals


def _verified(path: Path, number: int, line: bytes, previous: str) -> Seal:
    where = f"{path}, line {number}"
    try:
        entry = json.loads(line)
        if not isinstance(entry, dict) or type(entry.get("version")) is not int:
            raise TypeError
        if entry["version"] > VERSION:
            raise DataError(f"{where}: written by a newer version: update the package")
        if entry.keys() != FIELDS.keys() or not all(isinstance(entry[name], kind) for name, kind in FIELDS.items()):
            raise TypeError
        if hash_entry(entry) != entry["hash"]:
            raise DataError(f"{where}: altered: its content does not match its hash: restore the file from a copy")
        if entry["previous"] != previous or entry["index"] != number - 1:
            raise DataError(f"{where}: does not follow the line before it: a seal was removed, added or moved")
        return _seal(entry)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where}: is no sealed forecast: restore the file from a copy") from None
