"""Records and the store they live in: one folder a run, JSON and Parquet, no JAX.

STORE/runs/RUN_ID/record.json      facts about the run (Record without its curve)
                  config.json      the config alone, for a person
                  curve.jsonl      the curve while the run is running, a line a step
                  curve.parquet    the curve once it has ended
                  items/           what was asked of it and what it said, see scaling/store/items.py
                  log.txt          what the run's process said, where an engine keeps it
STORE/sweeps/NAME.json             the runs a sweep consists of, with their planned budgets
             NAME.place            how its runs are to be placed, where that is not as usual
STORE/tensorboard/                 see scaling/training/tracking/tensorboard.py
STORE/checkpoints/                 see scaling/program/checkpoint.py
STORE/tokens/                      token files, see scaling/data/tokens.py
STORE/leases/                      who is at work on which run, see scaling/store/lease.py
STORE/index.parquet                what analysis keeps of all records, see analysis/data/record_cache.py; may be deleted
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import tempfile
import typing
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from scaling.config.run import RunConfig
from scaling.config.validation import from_dict, to_dict
from scaling.store import lease
from scaling.store.files import (
    Folder,
    Here,
    StoreError,
    parsed,
    read_json,
    read_parquet,
    write_atomic,
    write_json,
    write_parquet,
)
from scaling.store.lease import Place

STATUSES = ("running", "stopped", "done", "diverged", "failed")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of a run. Missing is absent, never 0.

    params: parameters by group, and `total`.
    flops: training FLOPs of the whole run by part (scaling/models/counts.py), exactly.
    final: `loss` (held-out, nats a token), `step` and `tokens` of the last good step.
    evals: scores by task.
    status: running, stopped (will go on), done, diverged (a result), failed (see about["error"]).
    about: commit, device, seconds, token file: where the numbers come from; not part of them.
    """

    run_id: str
    config: RunConfig
    status: str
    sweep: str | None = None
    params: dict[str, int] = field(default_factory=dict)
    flops: dict[str, int] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    evals: dict[str, float] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status!r}: allowed are {', '.join(STATUSES)}")


CURVE_SECONDS = 30.0  # between two that a curve under way is sent


class Store(Here):
    """Runs, sweeps, checkpoints and token files under one folder.

    writes: False on the hosts of a run that leave its record and curve to host 0.
    """

    def __init__(self, root: str | Path, *, writes: bool = True) -> None:
        self.root = Path(root)
        self.writes = writes
        self.address = str(root)  # as a command line has it

    def run_dir(self, run_id: str) -> Path:
        """Folder of a run."""
        return self.root / "runs" / run_id

    def items_dir(self, run_id: str) -> Path:
        """Folder of what a run was asked, see scaling/store/items.py."""
        return self.run_dir(run_id) / "items"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def token_files(self) -> Path:
        return self.root / "tokens"

    def lease(self, name: str) -> AbstractContextManager[lease.Lease]:
        """Holds a name against every other process, on whatever machine; lease.Held where one has it."""
        return lease.held(self.leases, name)

    def abandoned(self, name: str) -> bool:
        """Whether a name was held and is nobody's now, as far as it can be told: see scaling/store/lease.py."""
        return lease.abandoned(self.leases, name)

    @property
    def leases(self) -> Place:
        """Where they are kept."""
        return Folder(self.root)

    def check_writable(self) -> None:
        """StoreError unless a file can be made here."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise StoreError(f"store {self.root} cannot be written: {error.strerror}") from None

    def write(self, record: Record) -> None:
        """Writes the record, whole or not at all."""
        if not self.writes:
            return
        data = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
        data["config"] = to_dict(record.config)
        write_json(self.run_dir(record.run_id) / "record.json", data)
        self.put(self.run_dir(record.run_id) / "record.json")

    def read(self, run_id: str) -> Record | None:
        """The record of a run, None where there is none."""
        data = self.facts(run_id)
        if data is None:
            return None
        try:
            return Record(**{**data, "config": _config(data["config"])})
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{self.run_dir(run_id) / 'record.json'}: damaged: {error}") from None

    def facts(self, run_id: str) -> dict[str, Any] | None:
        """A record as it is written, for one who reads very many and has their configs; None where there is none."""
        path = os.path.join(self.root, "runs", run_id, "record.json")
        try:
            with open(path, "rb") as file:
                data = parsed(path, file.read())
        except FileNotFoundError:
            return None
        if not isinstance(data, dict) or not {"run_id", "status", "config"} <= set(data):
            raise StoreError(f"{path}: damaged: no record")
        return data

    def stamps(self) -> dict[str, tuple[int, int, int]]:
        """Size, time of change (ns) and inode of every run's record: a record that is written again has another."""
        found = {}
        try:
            with os.scandir(self.root / "runs") as folders:
                for folder in folders:
                    try:
                        stat = os.stat(os.path.join(folder.path, "record.json"))
                    except (FileNotFoundError, NotADirectoryError):
                        continue
                    found[folder.name] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            return {}
        return dict(sorted(found.items()))

    def records(self) -> Iterator[Record]:
        """Every record, in order of run id."""
        for path in sorted(self.root.glob("runs/*/record.json")):
            record = self.read(path.parent.name)
            if record is not None:
                yield record

    def find(self, run: str) -> str:
        """The run id that starts with `run`; StoreError where there is none or more than one."""
        found = sorted(p.name for p in self.root.glob("runs/*") if p.name.startswith(run))
        if len(found) != 1:
            known = f"{len(found)} runs begin so" if found else "no run begins so"
            raise StoreError(f"run {run!r} in store {self.root}: {known}")
        return found[0]

    def write_sweep(
        self, name: str, configs: Iterable[RunConfig], ids: Iterable[str], planned: Iterable[dict[str, int]] = ()
    ) -> None:
        """Keeps which runs a sweep consists of, and what was planned of each: N, D, C and `from`, its first step."""
        runs = [{"run_id": i, "budget": c.budget, "config": to_dict(c)} for i, c in zip(ids, configs, strict=True)]
        for run, more in zip(runs, planned, strict=False):
            run |= more
        write_json(self.root / "sweeps" / f"{name}.json", {"name": name, "runs": runs})
        self.put(self.root / "sweeps" / f"{name}.json")

    def sweep(self, name: str) -> list[dict[str, Any]] | None:
        """The runs of one sweep: run_id, budget (planned FLOPs or None), config; None where there is none so called."""
        try:
            return list(read_json(self.root / "sweeps" / f"{name}.json")["runs"])
        except FileNotFoundError:
            return None

    def sweeps(self) -> dict[str, list[dict[str, Any]]]:
        """For each sweep its runs: run_id, budget (planned FLOPs or None), config."""
        return {p.stem: read_json(p)["runs"] for p in sorted(self.root.glob("sweeps/*.json"))}

    def write_placement(self, sweep: str, placement: dict[str, Any]) -> None:
        """Keeps how a sweep's runs are to be placed, for whatever process is to train them."""
        write_json(self.root / "sweeps" / f"{sweep}.place", placement)
        self.put(self.root / "sweeps" / f"{sweep}.place")

    def placement(self, sweep: str) -> dict[str, Any]:
        """The fields of Placement that a launch of the sweep has set; none where it set none."""
        try:
            return dict(read_json(self.root / "sweeps" / f"{sweep}.place"))
        except FileNotFoundError:
            return {}

    def append_curve(self, run_id: str, rows: list[dict[str, float]]) -> None:
        """Adds rows to the curve of a run that is running."""
        if not self.writes:
            return
        path = self.run_dir(run_id) / "curve.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        self.put(path, every=CURVE_SECONDS)

    def reset_curve(self, run_id: str, rows: list[dict[str, float]]) -> None:
        """Starts the curve of a running run over with `rows`."""
        if not self.writes:
            return
        lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        write_atomic(self.run_dir(run_id) / "curve.jsonl", lines.encode())

    def finish_curve(self, run_id: str, rows: list[dict[str, float]]) -> None:
        """The whole curve of a run that has ended, as Parquet; the lines it was kept in until now go."""
        if not self.writes:
            return
        write_parquet(self.run_dir(run_id) / "curve.parquet", rows)
        (self.run_dir(run_id) / "curve.jsonl").unlink(missing_ok=True)
        self.put(self.run_dir(run_id) / "curve.parquet")
        self.drop(self.run_dir(run_id) / "curve.jsonl")

    def curve(self, run_id: str) -> list[dict[str, float]]:
        """Rows of a run's curve in order of steps; empty where it has none yet.

        step: steps done; loss: of that step's batch before its update, nats a token; grad_norm
        before clipping; val_loss: held-out, after the step, at the steps that were evaluated; of examples with answers
        also val_accuracy, and train_accuracy and train_loss_fixed over the same training examples each time.
        """
        folder = self.run_dir(run_id)
        if (folder / "curve.parquet").exists():
            return read_parquet(folder / "curve.parquet")
        if not (folder / "curve.jsonl").exists():
            return []
        rows = []
        for line in (folder / "curve.jsonl").read_text().splitlines(keepends=True):
            if not line.endswith("\n"):  # a killed process left half a line
                break
            rows.append(json.loads(line))
        return rows

    def last_row(self, run_id: str) -> dict[str, float] | None:
        """The newest row of a running run's curve, read from the file's end; None where there is none."""
        path = self.run_dir(run_id) / "curve.jsonl"
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - 4096))
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return None
        whole = [line for line in lines if line.startswith(b"{") and line.endswith(b"}\n")]
        return json.loads(whole[-1]) if whole else None

    def last_written(self, run_id: str) -> float | None:
        """When a running run's curve last grew, in seconds since 1970; None where it has none."""
        try:
            return (self.run_dir(run_id) / "curve.jsonl").stat().st_mtime
        except FileNotFoundError:
            return None

    def spent(self, record: Record) -> dict[str, float]:
        """steps_computed and seconds (its share of the devices) of a run so far, where known; unsaved ones too."""
        about = record.about
        known: dict[str, float] = {name: about[name] for name in ("steps_computed", "seconds") if name in about}
        under_way = record.status == "running" and {"started_from", "compile_seconds"} & set(about)
        row = self.last_row(record.run_id) if under_way else None
        written = self.last_written(record.run_id) if row else None
        if row is None or written is None:
            return known
        before, pack = about.get("spent_before", {}), about.get("pack", {"devices": 1, "places": 1})
        steps = row["step"] - about.get("started_from", {}).get("step", 0)
        seconds = (written - datetime.fromisoformat(about["started"]).timestamp()) * pack["devices"] / pack["places"]
        here = (("steps_computed", steps), ("seconds", seconds))
        return {name: max(known.get(name, 0), before.get(name, 0) + max(0, more)) for name, more in here}


def _part(cls: Any, value: Any, name: str) -> Any:
    """A part of a config from parsed JSON. The runs of a sweep share most of theirs, which is then checked once."""
    key = f"{name}={value!r}"
    if key not in _PARTS:
        if len(_PARTS) > 4096:
            _PARTS.clear()
        _PARTS[key] = from_dict(cls, value, name)
    return _PARTS[key]


_PARTS: dict[str, Any] = {}


@functools.cache
def _hints() -> dict[str, Any]:
    return typing.get_type_hints(RunConfig)


def _config(data: Any) -> RunConfig:
    """from_dict, for very many records."""
    hints = _hints()
    if not isinstance(data, dict) or not set(data) <= set(hints) or not {*_NEEDED} <= set(data):
        return from_dict(RunConfig, data)  # which says what is wrong
    parts = {
        name: _part(hints[name], value, name) for name, value in data.items() if dataclasses.is_dataclass(hints[name])
    }
    return RunConfig(**{**data, **parts})


_NEEDED = [f.name for f in dataclasses.fields(RunConfig) if f.default is dataclasses.MISSING]
