"""A remote store at an address that fsspec supports (s3://, gs://, ...), with a local folder as its cache.

The local file ROOT/FILE is a copy of ADDRESS/FILE. A run uploads its record, its curve (every half minute and at the
end) and its checkpoints. The manifest of a checkpoint is uploaded last, so a checkpoint without a manifest is
incomplete. In a bucket that Orbax can write to (gs://, s3://), all hosts of a run write and read its checkpoints there,
without copies. Files that have changed remotely are fetched before they are read. The local folder may be deleted while
no process uses the store.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from scaling.store import lease
from scaling.store.cost import TIMING_FILE
from scaling.store.files import (
    FORECASTS_FILE,
    StoreError,
    plain_name,
    process_exists,
    read_json,
    user_cache_folder,
    write_atomic,
    write_json,
)
from scaling.store.lease import FileStorage
from scaling.store.origin.anonymous import SETTINGS_FILE, is_anonymous
from scaling.store.record import Record, Store
from scaling.store.remote.files import RemoteFiles

MANIFEST = "manifest.json"  # the last file of a checkpoint to be written
MANIFEST_FOLDER_SUFFIX, SHARD_FOLDER_SUFFIX = ".shards", ".parts"  # scaling/data/shards/manifest.py
CORPUS_SUFFIXES = (".tokens", MANIFEST_FOLDER_SUFFIX, ".npy")  # .npy: activations (scaling/inference/sae)
BUCKETS = ("gs", "gcs", "s3", "s3a")  # schemes of addresses at which Orbax writes checkpoints
STAMPS_FILE = ".seen.json"  # stamps of the remote files when they were fetched
FETCH_BATCH = 500  # files fetched in one call
TABLE_FOLDERS = ("items", "sae")  # of a run: tables of its evaluations


class RemoteStore(Store):
    """A remote store; `root` is its local cache."""

    def __init__(self, address: str, *, writes: bool = True) -> None:
        self.remote = RemoteFiles(address)
        super().__init__(cache_folder(self.remote.name), writes=writes)
        self.address = self.remote.name
        self.has_direct_checkpoints = address.partition("://")[0] in BUCKETS
        self._uploaded: dict[Path, float] = {}  # when a file was last uploaded, by time.monotonic
        self._checkpoint_names: set[str] = set()  # of the complete checkpoints, as of the last `fetch_results`

    @contextlib.contextmanager
    def _hold_both(self, name: str) -> Iterator[lease.Lease]:
        lock = self.root / "held" / name
        lock.parent.mkdir(parents=True, exist_ok=True)
        anonymous = is_anonymous(self.root)
        with lease.hold_lease(self.remote, name, anonymous=anonymous) as remote_lease, lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_SH)  # keeps fetches out of the run's folder: see _is_training
            yield remote_lease

    def lease(self, name: str) -> AbstractContextManager[lease.Lease]:
        """Context with the remote lease on a name, in which this machine does not fetch the run of that name."""
        return self._hold_both(plain_name("lease", name))

    @property
    def leases(self) -> FileStorage:
        """Storage of the leases."""
        return self.remote

    def check_writable(self) -> None:
        """Raises StoreError unless files can be written locally and remotely."""
        super().check_writable()
        probe = f".probe-{os.getpid()}"
        with self._store_errors():
            self.remote.write(probe, b"")
            self.remote.remove(probe)
            self._fetch_settings()

    def write(self, record: Record) -> None:
        """Writes a record; uploads the other files of the run first if it has ended."""
        folder = self.run_dir(record.run_id)
        if self.writes and record.status != "running" and folder.exists():
            for path in sorted(folder.iterdir()):
                if path.is_file() and not path.name.startswith(".") and path.name != "record.json":
                    self.upload(path)
        super().write(record)

    def placement(self, sweep: str) -> dict[str, Any]:
        """Returns the current fields of Placement that the launch of a sweep has set."""
        with contextlib.suppress(FileNotFoundError):
            write_atomic(self.root / "sweeps" / f"{sweep}.place", self.remote.read(f"sweeps/{sweep}.place"))
        return super().placement(sweep)

    def upload(self, path: Path, every: float = 0.0) -> None:
        """Uploads a file, or the folder of a checkpoint unless the remote one is complete.

        Args:
            path: The file or folder.
            every: Least seconds between uploads of the file.
        """
        if not self.writes or time.monotonic() - self._uploaded.get(path, -1e9) < every:
            return
        name = self._remote_name(path)
        self._uploaded[path] = time.monotonic()
        if not path.is_dir():
            self.remote.upload(path, name)
            return
        if MANIFEST in self.remote.files(name):  # another machine has uploaded the same checkpoint
            return
        files = sorted(file for file in path.rglob("*") if file.is_file())
        for file in sorted(files, key=lambda file: file == path / MANIFEST):
            self.remote.upload(file, self._remote_name(file))

    def upload_tokens(self) -> None:
        """Uploads the token files that do not exist remotely."""
        uploaded = set(self.remote.files("tokens"))
        for path in sorted(self.token_files.iterdir()):
            if path.is_file() and not path.name.startswith(".") and path.name not in uploaded:
                self.upload(path)

    def discard(self, path: Path) -> None:
        """Removes a file, or the folder of a checkpoint, manifest first."""
        if not self.writes:
            return
        name = self._remote_name(path)
        if not path.suffix:  # the folder of a checkpoint; files have a suffix
            self.remote.remove(f"{name}/{MANIFEST}")
        self.remote.remove(name)

    def checkpoint_folders(self, folder: Path) -> list[Path]:
        """Lists the checkpoints in a folder, remote ones even if incomplete; local ones too unless in a bucket."""
        remote = (folder / name for name in self.remote.files(self._remote_name(folder)))
        local = [] if self.has_direct_checkpoints else super().checkpoint_folders(folder)
        return sorted({*local, *(path for path in remote if path.name[:1].isdigit())})

    def fetch_checkpoint(self, checkpoint: Path) -> bool:
        """Fetches a checkpoint that is not read from its bucket; returns whether it is complete."""
        if self.has_direct_checkpoints:
            return MANIFEST in self.remote.files(self._remote_name(checkpoint))
        if checkpoint.exists():
            return True
        name = self._remote_name(checkpoint)
        files = self.remote.tree(name)
        if MANIFEST not in files:  # its upload was interrupted or is not finished
            return False
        part = checkpoint.with_name(f".fetching-{os.getpid()}-{checkpoint.name}")
        for leftover in checkpoint.parent.glob(".fetching-*"):  # of earlier fetches that did not finish
            pid = int(leftover.name.split("-")[1])
            if pid == os.getpid() or not process_exists(pid):
                shutil.rmtree(leftover, ignore_errors=True)
        for file in files:
            self.remote.download(f"{name}/{file}", part / file)
        with contextlib.suppress(OSError):  # another process was faster
            os.replace(part, checkpoint)
        shutil.rmtree(part, ignore_errors=True)
        return checkpoint.exists()

    def remove_incomplete_checkpoints(self, folder: Path) -> None:
        """Removes checkpoints without a manifest from a folder of a bucket."""
        if not self.has_direct_checkpoints or not self.writes:
            return
        name = self._remote_name(folder)
        files = self.remote.tree(name)
        for checkpoint in {file.partition("/")[0] for file in files}:
            if f"{checkpoint}/{MANIFEST}" not in files:
                self.remote.remove(f"{name}/{checkpoint}")

    def checkpoint_names(self, folder: Path) -> list[str]:
        """Lists names of checkpoints in a folder, as of the last `fetch_results` if they are in a bucket."""
        if not self.has_direct_checkpoints:
            return super().checkpoint_names(folder)
        start = f"{self._remote_name(folder)}/"
        return [name.removeprefix(start) for name in self._checkpoint_names if name.startswith(start)]

    def fetch_record(self, run_id: str) -> None:
        """Fetches the newest record of a run, and what its last process noted about its machine."""
        for path in (self.run_dir(run_id) / name for name in ("record.json", TIMING_FILE)):
            with contextlib.suppress(FileNotFoundError):
                write_atomic(path, self.remote.read(self._remote_name(path)))

    def fetch_results(self) -> None:
        """Fetches sealed forecasts and all changed records, curves, items and sweeps.

        Those of runs that this machine trains are left out.
        """
        with self._store_errors():
            self._fetch_settings()
            stamps = self._result_stamps()
            fetched = read_json(self.root / STAMPS_FILE) if (self.root / STAMPS_FILE).exists() else {}
            names = [n for n, stamp in stamps.items() if fetched.get(n) != stamp or not (self.root / n).exists()]
            runs = {name.split("/")[1] for name in names if name.startswith("runs/")}
            training = {run for run in runs if self._is_training(run)}
            names = [name for name in names if name.split("/")[1] not in training]
            for start in range(0, len(names), FETCH_BATCH):
                for name, data in self.remote.read_existing(names[start : start + FETCH_BATCH]).items():
                    write_atomic(self.root / name, data)
                    if name.endswith("/curve.jsonl"):  # its time shows when the run last made progress
                        with contextlib.suppress(FileNotFoundError):  # the run has ended since
                            self._copy_time(name)
                    fetched[name] = stamps[name]
            if names:
                write_json(self.root / STAMPS_FILE, fetched)

    def _fetch_settings(self) -> None:
        for name, data in self.remote.read_existing([SETTINGS_FILE, FORECASTS_FILE]).items():
            write_atomic(self.root / name, data)

    def _result_stamps(self) -> dict[str, str]:
        """Returns the stamps of all remote records, curves, items and sweeps, by name."""
        stamps = {f"sweeps/{name}": stamp for name, stamp in self.remote.tree("sweeps").items()}
        runs = self.remote.tree("runs")
        if self.has_direct_checkpoints:
            own = {f"runs/{name}".rpartition("/")[0] for name in runs if name.endswith(f"/{MANIFEST}")}
            self._checkpoint_names = own | {f"checkpoints/{name}" for name in self.remote.files("checkpoints")}
        return stamps | {
            f"runs/{name}": stamp
            for name, stamp in runs.items()
            if name.count("/") == 1 or any(f"/{folder}/" in name for folder in TABLE_FOLDERS)
        }

    def fetch_tokens(self, content_hash: str = "") -> None:
        """Fetches tokenizers, manifests of sharded corpora and all token files, or only those with a content hash."""
        with self._store_errors():
            for name in self.remote.files("tokens"):
                path = self.token_files / name
                other_tokens = content_hash and name.endswith(CORPUS_SUFFIXES) and content_hash[:16] not in name
                if name.endswith(MANIFEST_FOLDER_SUFFIX) and not other_tokens and not (path / MANIFEST).exists():
                    self._fetch_manifest(f"tokens/{name}")
                if name.startswith(".") or name.endswith(SHARD_FOLDER_SUFFIX) or other_tokens or path.exists():
                    continue
                self.remote.download(f"tokens/{name}", path)
                self._copy_time(f"tokens/{name}")  # the newest token file of a corpus is used

    def _fetch_manifest(self, folder: str) -> None:
        """Fetches the manifest of a sharded corpus; its shards stay where they are, at the address that it gets."""
        try:
            data = self.remote.read(f"{folder}/{MANIFEST}")
        except FileNotFoundError:  # it is being written
            return
        with contextlib.suppress(ValueError, AttributeError):  # damaged: named when it is opened
            manifest = json.loads(data)
            address = manifest.get("address") or folder.rpartition("/")[2]
            manifest["address"] = address if "://" in address else f"{self.address}/tokens/{address}"
            data = json.dumps(manifest).encode()
        write_atomic(self.root / folder / MANIFEST, data)

    def _copy_time(self, name: str) -> None:
        modified = self.remote.modified(name)
        os.utime(self.root / name, (modified, modified))

    def _remote_name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _is_training(self, run: str) -> bool:
        """Returns whether a process of this machine trains the run."""
        try:
            with (self.root / "held" / run).open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @contextlib.contextmanager
    def _store_errors(self) -> Iterator[None]:
        """Turns an OSError into a StoreError that names the store."""
        try:
            yield
        except OSError as error:
            raise StoreError(f"store {self.address}: {error.strerror or error}") from error


def cache_folder(address: str) -> Path:
    """Returns the local folder of the store at an address, and creates it if necessary."""
    folder = user_cache_folder() / "stores" / hashlib.sha256(address.encode()).hexdigest()[:16]
    if not (folder / "address.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "address.json", json.dumps(address).encode())
    return folder
