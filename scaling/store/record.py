"""Records of runs and their store, which has a folder per run with JSON and Parquet files. No JAX.

STORE/runs/RUN_ID/record.json      the record, without its curve
                  config.json      the config alone
                  curve.jsonl      the curve while the run is running, one line per step
                  curve.parquet    the curve once the run has ended
                  items/           items of its evaluations, see scaling/store/items.py
                  log.txt          output of the process that trained it, if an engine stores it
STORE/sweeps/NAME.json             the runs of a sweep, with their planned budgets
             NAME.place            their placement, if it is not the default
STORE/tensorboard/                 see scaling/training/tracking/tensorboard.py
STORE/checkpoints/                 see scaling/program/checkpoint.py
STORE/tokens/                      token files, see scaling/data/tokens.py
STORE/leases/                      which process trains which run, see scaling/store/lease.py
STORE/index.parquet                cache of all records, see analysis/data/record_cache.py; may be deleted
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.config.os_errors import reason_of_os_error
from scaling.config.run import RunConfig
from scaling.config.validation import to_dict
from scaling.store import lease
from scaling.store.curves import curve_files
from scaling.store.files import (
    DamagedFileError,
    LocalFiles,
    NewerFileError,
    RemoteHooks,
    StoreError,
    plain_name,
    set_aside,
    write_json,
)
from scaling.store.lease import FileStorage
from scaling.store.origin.anonymous import is_anonymous, public_record
from scaling.store.sweep_files import read_placement, read_sweep, sweep_paths
from scaling.store.verification.agreement import FINISHED, curve_disagreement
from scaling.store.verification.checksum import add_checksum
from scaling.store.verification.record_file import RECORD_REMEDY, read_record, record_stamps, verified_config

STATUSES = ("running", "stopped", "done", "diverged", "failed")


@dataclass(frozen=True, kw_only=True)
class Record:
    """The facts about a run. Unknown values are absent, not 0.

    Attributes:
        run_id: Id of the run.
        config: Its config.
        status: running, stopped (can be resumed), done, diverged (also a result), or failed (see about["error"]).
        sweep: Name of the sweep that launched it.
        params: Parameters by group, and `total`.
        flops: Training FLOPs of the whole run by part (scaling/counting/counts.py), exact.
        final: `loss` (held-out, nats per token), `step` and `tokens` of the last step with finite loss.
        evals: Scores by task.
        about: Provenance: commit, device, seconds, token file, ...; not part of the identity.
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
            raise ValueError(f"status {self.status!r}: must be one of {', '.join(STATUSES)}")

    def token_share(self, step: int) -> float:
        """Share of the run's training tokens that its first `step` steps read, from 0 to 1."""
        return self.config.token_share(step)


CURVE_SECONDS = 30.0  # between uploads of the curve of a running run


class Store(RemoteHooks):
    """Runs, sweeps, checkpoints and token files in one folder.

    Attributes:
        root: The folder.
        writes: Whether this process writes records and curves; False on all hosts of a run but host 0.
        address: Folder or address, as given to --store.
        damaged: Files that `records`, `read_intact` and `raw_intact` left out: path in the store, and the problem with
            what to do about it.
    """

    def __init__(self, root: str | Path, *, writes: bool = True) -> None:
        self.root = Path(root)
        self.writes = writes
        self.address = str(root)
        self.damaged: dict[str, str] = {}
        self.printed_damaged: set[str] = set()  # of print_damaged

    def run_dir(self, run_id: str) -> Path:
        """Folder of a run; StoreError for an id that is not a plain name, such as a path."""
        return self.root / "runs" / plain_name("run", run_id)

    def record_file(self, run_id: str) -> str:
        """Path of a record; a text, because thousands of records are read at once."""
        return os.path.join(self.root, "runs", plain_name("run", run_id), "record.json")

    def items_dir(self, run_id: str) -> Path:
        """Folder of the items of a run's evaluations (scaling/store/items.py)."""
        return self.run_dir(run_id) / "items"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.root / "checkpoints"

    @property
    def token_files(self) -> Path:
        """Folder of the token files."""
        return self.root / "tokens"

    def lease(self, name: str) -> AbstractContextManager[lease.Lease]:
        """Context with the lease on a name; raises LeaseHeldError if another process on any machine has it."""
        return lease.hold_lease(self.leases, plain_name("lease", name), anonymous=is_anonymous(self.root))

    def is_abandoned(self, name: str) -> bool:
        """Returns whether a lease was acquired once and is known to be free now (scaling/store/lease.py)."""
        return lease.is_abandoned(self.leases, plain_name("lease", name))

    @property
    def leases(self) -> FileStorage:
        """Storage of the leases."""
        return LocalFiles(self.root)

    def check_writable(self) -> None:
        """Raises StoreError unless a file can be created here."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise StoreError(f"store {self.root} cannot be written: {reason_of_os_error(error)}") from None

    def write(self, record: Record) -> None:
        """Writes a record atomically."""
        if not self.writes:
            return
        data = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
        data["config"] = to_dict(record.config)
        data = public_record(self.root, data)
        write_json(self.run_dir(record.run_id) / "record.json", add_checksum(data))
        self.upload(self.run_dir(record.run_id) / "record.json")

    def read(self, run_id: str) -> Record | None:
        """Returns the record of a run, or None without a record; raises DamagedFileError for a damaged record."""
        data = self.raw_record(run_id)
        if data is None:
            return None
        path = self.record_file(run_id)
        config = verified_config(path, data)
        if data["status"] not in STATUSES:
            raise NewerFileError(path, [f"status = {data['status']!r}"])
        return Record(**{name: value for name, value in data.items() if name != "checksum"} | {"config": config})

    def read_intact(self, run_id: str, *, check_curve: bool = False) -> Record | None:
        """Returns the record of a run, or None without a record or with a damaged one, which is added to `damaged`."""
        try:
            record = self.read(run_id)
            if record is not None and check_curve:
                self.check_result(record)
            return record
        except DamagedFileError as error:
            self.note_damaged(error)
            return None

    def check_result(self, record: Record) -> None:
        """Raises DamagedFileError if the final scores of a finished run are not those of the last row of its curve.

        Args:
            record: The record. A damaged curve is added to `damaged`, and its record remains in use.
        """
        if record.status not in FINISHED or not record.final:
            return
        folder = self.run_dir(record.run_id)
        try:
            last = curve_files.last_table_row(folder / "curve.parquet")
        except FileNotFoundError:
            return
        except DamagedFileError as error:
            self.note_damaged(error)
            return
        if problem := curve_disagreement(record.final, last):
            raise DamagedFileError(folder / "record.json", problem, RECORD_REMEDY)

    def raw_intact(self, run_id: str) -> dict[str, Any] | None:
        """Returns the JSON of a record, or None without a record or with a damaged one, which is added to `damaged`."""
        try:
            return self.raw_record(run_id)
        except DamagedFileError as error:
            self.note_damaged(error)
            return None

    def raw_record(self, run_id: str) -> dict[str, Any] | None:
        """Returns the JSON of a record, or None without a record: faster than `read` if the config is not needed."""
        try:
            return read_record(self.record_file(run_id))
        except FileNotFoundError:
            return None

    def record_stamps(self) -> dict[str, tuple[int, int, int]]:
        """Returns size, modification time (ns) and inode of each record, which change when it is written again."""
        return record_stamps(self.root / "runs")

    def records(self, *, check_curves: bool = False) -> Iterator[Record]:
        """Iterates over all intact records in order of run id; the others are added to `damaged`.

        Args:
            check_curves: Whether records whose final scores contradict their curve are left out too (`check_result`).
        """
        for run_id in record_stamps(self.root / "runs"):
            record = self.read_intact(run_id, check_curve=check_curves)
            if record is not None:
                yield record

    def find_run(self, prefix: str) -> str:
        """Returns the one run id that starts with `prefix`; StoreError if there is none or more than one."""
        matches = sorted(p.name for p in self.root.glob("runs/*") if p.name.startswith(prefix))
        if len(matches) != 1:
            count = f"{len(matches)} run ids start with it" if matches else "no run id starts with it"
            raise StoreError(f"run {prefix!r} in store {self.root}: {count}")
        return matches[0]

    def _sweep_file(self, name: str, suffix: str) -> Path:
        return self.root / "sweeps" / f"{plain_name('sweep', name)}.{suffix}"

    def write_sweep(
        self, name: str, configs: Iterable[RunConfig], ids: Iterable[str], planned: Iterable[dict[str, int]] = ()
    ) -> None:
        """Writes the runs of a sweep.

        Args:
            name: Name of the sweep.
            configs: Its runs.
            ids: Their run ids.
            planned: N, D, C and `from` (the first step) of each run.
        """
        runs = [{"run_id": i, "budget": c.budget, "config": to_dict(c)} for i, c in zip(ids, configs, strict=True)]
        for run, facts in zip(runs, planned, strict=False):
            run |= facts
        write_json(self._sweep_file(name, "json"), {"name": name, "runs": runs})
        self.upload(self._sweep_file(name, "json"))

    def sweep(self, name: str) -> list[dict[str, Any]] | None:
        """Returns the runs of a sweep: dicts of run_id, budget (planned FLOPs or None) and config; None if unknown."""
        try:
            return read_sweep(self._sweep_file(name, "json"))
        except FileNotFoundError:
            return None

    def sweeps(self) -> dict[str, list[dict[str, Any]]]:
        """Returns the runs of every sweep with an intact file, as `sweep` does; other files are added to `damaged`."""
        runs = {}
        for path in sweep_paths(self.root):
            try:
                runs[path.stem] = read_sweep(path)
            except DamagedFileError as error:
                self.note_damaged(error)
        return runs

    def write_placement(self, sweep: str, placement: dict[str, Any]) -> None:
        """Writes the placement of the runs of a sweep, for every process that will train them.

        Args:
            sweep: Name of the sweep.
            placement: The fields of Placement that differ from the defaults.
        """
        write_json(self._sweep_file(sweep, "place"), placement)
        self.upload(self._sweep_file(sweep, "place"))

    def placement(self, sweep: str) -> dict[str, Any]:
        """Returns the fields of Placement that the launch of a sweep has set; DamagedFileError for a damaged file."""
        try:
            return read_placement(self._sweep_file(sweep, "place"))
        except FileNotFoundError:
            return {}

    def append_curve(self, run_id: str, rows: list[dict[str, float]], seconds: float | None = None) -> None:
        """Appends rows to the curve of a running run.

        Args:
            run_id: Id of the run.
            rows: See `curve`.
            seconds: Seconds that this process has spent on the run, by a clock that does not jump (`cost_so_far`).
        """
        if self.writes:
            path = curve_files.append_lines(self.run_dir(run_id), rows, seconds)
            self.upload(path, every=CURVE_SECONDS)

    def reset_curve(self, run_id: str, rows: list[dict[str, float]], seconds: float | None = None) -> None:
        """Replaces the curve of a running run; arguments as for `append_curve`."""
        if self.writes:
            curve_files.write_lines(self.run_dir(run_id), rows, seconds)

    def finish_curve(self, run_id: str, rows: list[dict[str, float]]) -> None:
        """Writes the whole curve of a run that has ended as Parquet and removes the lines of the running run."""
        if not self.writes:
            return
        path = curve_files.write_table(self.run_dir(run_id), rows)
        self.upload(path)
        self.discard(path.with_suffix(".jsonl"))

    def curve(self, run_id: str) -> list[dict[str, float]]:
        """Returns the rows of a run's curve in order of steps; an empty list without a curve.

        A row has `step` (steps done), `loss` (of the batch of that step before its update, nats per token) and
        `grad_norm` (before clipping); at the evaluated steps also `val_loss` (held-out, after the step). Runs on
        examples with answers have `val_accuracy` there, and `train_accuracy` and `train_loss_fixed` over a fixed set of
        training examples.
        """
        return curve_files.read_curve(self.run_dir(run_id))

    def last_row(self, run_id: str) -> dict[str, float] | None:
        """Returns the newest row of a running run's curve, or None; reads only the end of the file."""
        return curve_files.last_row(self.run_dir(run_id))

    def last_write_time(self, run_id: str) -> float | None:
        """Returns when a running run's curve last grew, in seconds since 1970; None if it has no curve."""
        return curve_files.last_write_time(self.run_dir(run_id))

    def set_aside(self, path: Path) -> Path | None:
        """Renames a damaged file of this store to NAME.damaged; returns its new path, None if it no longer exists."""
        new_path = set_aside(path)
        if new_path is not None and self.writes:
            self.upload(new_path)
            self.discard(path)
        return new_path

    def note_damaged(self, error: DamagedFileError) -> None:
        """Adds a file that was left out to `damaged`."""
        self.damaged[os.path.relpath(error.path, self.root)] = error.problem
