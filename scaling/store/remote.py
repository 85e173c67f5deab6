"""A store at an address that fsspec knows (s3://, gs://, ...): the same files as in a folder, worked on in one here.

ROOT/FILE of this machine is ADDRESS/FILE there. What a run writes goes there as it is written: its record, its curve
every half minute and when it ends, its checkpoints whole, their manifest last, so that what lacks one was cut off.
What is read comes from there when it has changed. ROOT is a cache: it may be deleted while nothing runs.
"""

from __future__ import annotations

import contextlib
import errno
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
from scaling.store.files import StoreError, alive, read_json, write_atomic, write_json
from scaling.store.lease import Place
from scaling.store.record import Record, Store

MANIFEST = "manifest.json"  # of a checkpoint: written last
SEEN = ".seen.json"  # what the files here were there, when they were fetched
STAMP = ("ETag", "etag", "md5Hash", "generation", "LastModified", "updated", "mtime", "created", "size")
BATCH = 500  # files fetched at once


class Remote:
    """Files under an address; what a lease needs of it too. OSError where it cannot be reached."""

    def __init__(self, address: str) -> None:
        """Raises StoreError (one line) for an address that nothing here can open."""
        self.name = address.rstrip("/")
        protocol = address.partition("://")[0]
        try:
            import fsspec
        except ImportError:
            raise StoreError(f"store {address}: needs the package fsspec: pip install 'scaling[cloud]'") from None
        try:
            self.fs, self.root = fsspec.core.url_to_fs(self.name, use_listings_cache=False)
        except ImportError as error:
            raise StoreError(f"store {address}: {error}: pip install 'scaling[cloud]' has s3:// and gs://") from None
        except ValueError:
            raise StoreError(f"store {address}: protocol {protocol!r} is not known: s3://, gs://, ... are") from None

    def files(self, folder: str) -> list[str]:
        with self.asked(folder):
            try:
                return [str(path).rpartition("/")[2] for path in self.fs.ls(self.at(folder), detail=False)]
            except FileNotFoundError:
                return []

    def read(self, file: str) -> bytes:
        with self.asked(file):
            return self.fs.cat_file(self.at(file))

    def write(self, file: str, data: bytes) -> None:
        with self.asked(file):
            self._parent(file)
            self.fs.pipe_file(self.at(file), data)

    def create(self, file: str, data: bytes) -> bool:
        try:
            with self.asked(file):
                self._parent(file)
                self.fs.pipe_file(self.at(file), data, mode="create")
        except FileExistsError:
            return False
        return True

    def remove(self, file: str) -> None:
        """Takes a file away, or all under a folder; nothing where there is none."""
        with self.asked(file), contextlib.suppress(FileNotFoundError):
            self.fs.rm(self.at(file), recursive=True)

    def tree(self, folder: str) -> dict[str, str]:
        """Every file under a folder, by name relative to it, with a stamp that changes with its content."""
        with self.asked(folder):
            try:
                found = self.fs.find(self.at(folder), detail=True)
            except FileNotFoundError:
                return {}
        start = len(self.at(folder)) + 1
        return {path[start:]: str([str(info[k]) for k in STAMP if k in info]) for path, info in found.items()}

    def many(self, files: list[str]) -> dict[str, bytes]:
        """Contents of the files that are there."""
        if not files:
            return {}
        with self.asked(files[0]):
            found = self.fs.cat([self.at(file) for file in files], on_error="omit")
        return {file: found[self.at(file)] for file in files if self.at(file) in found}

    def put(self, path: Path, file: str) -> None:
        with self.asked(file):
            self._parent(file)
            self.fs.put_file(str(path), self.at(file))

    def get(self, file: str, path: Path) -> None:
        """Fetches a file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".fetching-{os.getpid()}-{path.name}")
        try:
            with self.asked(file):
                self.fs.get_file(self.at(file), str(part))
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def changed(self, file: str) -> float:
        """When a file was written, in seconds of the store's clock."""
        with self.asked(file):
            return self.fs.modified(self.at(file)).timestamp()

    def at(self, file: str) -> str:
        return f"{self.root.rstrip('/')}/{file}"

    def _parent(self, file: str) -> None:
        if "file" in self.fs.protocol:  # object stores have no folders
            self.fs.makedirs(self.at(file).rpartition("/")[0], exist_ok=True)

    @contextlib.contextmanager
    def asked(self, file: str) -> Iterator[None]:
        """What the many clients raise, as OSError."""
        try:
            yield
        except OSError as error:
            if error.strerror:
                raise
            raise type(error)(error.errno or errno.EIO, _line(error), f"{self.name}/{file}") from error
        except Exception as error:
            raise OSError(errno.EIO, _line(error), f"{self.name}/{file}") from error


class RemoteStore(Store):
    """A store at an address, with its folder on this machine."""

    def __init__(self, address: str, *, writes: bool = True) -> None:
        self.remote = Remote(address)
        super().__init__(scratch(self.remote.name), writes=writes)
        self.address = self.remote.name
        self.sent: dict[Path, float] = {}

    @contextlib.contextmanager
    def _held(self, name: str) -> Iterator[lease.Lease]:
        here = self.root / "held" / name
        here.parent.mkdir(parents=True, exist_ok=True)
        with lease.held(self.remote, name) as held, here.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_SH)  # what is fetched does not touch the run's folder: see _busy
            yield held

    def lease(self, name: str) -> AbstractContextManager[lease.Lease]:
        return self._held(name)

    @property
    def leases(self) -> Place:
        return self.remote

    def check_writable(self) -> None:
        super().check_writable()
        probe = f".probe-{os.getpid()}"
        with self.said():
            self.remote.write(probe, b"")
            self.remote.remove(probe)

    def write(self, record: Record) -> None:
        """Writes the record; with one that says the end, all that lies beside it."""
        folder = self.run_dir(record.run_id)
        if self.writes and record.status != "running" and folder.exists():
            for path in sorted(folder.iterdir()):
                if path.is_file() and not path.name.startswith(".") and path.name != "record.json":
                    self.put(path)
        super().write(record)

    def placement(self, sweep: str) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            write_atomic(self.root / "sweeps" / f"{sweep}.place", self.remote.read(f"sweeps/{sweep}.place"))
        return super().placement(sweep)

    def put(self, path: Path, every: float = 0.0) -> None:
        if not self.writes or time.monotonic() - self.sent.get(path, -1e9) < every:
            return
        name = self.name_of(path)
        self.sent[path] = time.monotonic()
        if not path.is_dir():
            self.remote.put(path, name)
            return
        if MANIFEST in self.remote.files(name):  # another machine was first with the same
            return
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        for file in sorted(inside, key=lambda file: file == path / MANIFEST):
            self.remote.put(file, self.name_of(file))

    def drop(self, path: Path) -> None:
        if not self.writes:
            return
        name = self.name_of(path)
        if path.suffix != ".jsonl":
            self.remote.remove(f"{name}/{MANIFEST}")
        self.remote.remove(name)

    def entries(self, folder: Path) -> list[Path]:
        there = (folder / name for name in self.remote.files(self.name_of(folder)))
        return sorted({*super().entries(folder), *(path for path in there if path.name[:1].isdigit())})

    def fetch(self, checkpoint: Path) -> bool:
        if checkpoint.exists():
            return True
        name = self.name_of(checkpoint)
        files = self.remote.tree(name)
        if MANIFEST not in files:  # cut off while it was sent, or on its way now
            return False
        part = checkpoint.with_name(f".fetching-{os.getpid()}-{checkpoint.name}")
        for left in checkpoint.parent.glob(".fetching-*"):  # by processes of this machine that are gone, or by us
            pid = int(left.name.split("-")[1])
            if pid == os.getpid() or not alive(pid):
                shutil.rmtree(left, ignore_errors=True)
        for file in files:
            self.remote.get(f"{name}/{file}", part / file)
        with contextlib.suppress(OSError):  # another process was first
            os.replace(part, checkpoint)
        shutil.rmtree(part, ignore_errors=True)
        return checkpoint.exists()

    def fetch_run(self, run_id: str) -> None:
        path = self.run_dir(run_id) / "record.json"
        with contextlib.suppress(FileNotFoundError):
            write_atomic(path, self.remote.read(self.name_of(path)))

    def fetch_results(self) -> None:
        with self.said():
            there = {f"sweeps/{name}": stamp for name, stamp in self.remote.tree("sweeps").items()}
            there |= {
                f"runs/{n}": stamp
                for n, stamp in self.remote.tree("runs").items()
                if n.count("/") == 1 or "/items/" in n
            }
            known = read_json(self.root / SEEN) if (self.root / SEEN).exists() else {}
            wanted = [n for n, stamp in there.items() if known.get(n) != stamp or not (self.root / n).exists()]
            busy = {run for run in {n.split("/")[1] for n in wanted if n.startswith("runs/")} if self._busy(run)}
            wanted = [name for name in wanted if name.split("/")[1] not in busy]
            for start in range(0, len(wanted), BATCH):
                for name, data in self.remote.many(wanted[start : start + BATCH]).items():
                    write_atomic(self.root / name, data)
                    if name.endswith("/curve.jsonl"):  # of a run under way: its time tells how far it has come by when
                        with contextlib.suppress(FileNotFoundError):  # it has ended since
                            when = self.remote.changed(name)
                            os.utime(self.root / name, (when, when))
                    known[name] = there[name]
            if wanted:
                write_json(self.root / SEEN, known)

    def fetch_tokens(self, content_hash: str = "") -> None:
        with self.said():
            for name in self.remote.files("tokens"):
                path = self.token_files / name
                foreign = content_hash and name.endswith(".tokens") and content_hash[:16] not in name
                if name.startswith(".") or foreign or path.exists():
                    continue
                self.remote.get(f"tokens/{name}", path)
                when = self.remote.changed(f"tokens/{name}")
                os.utime(path, (when, when))  # of a corpus's files the newest is meant

    def put_tokens(self) -> None:
        there = set(self.remote.files("tokens"))
        for path in sorted(self.token_files.iterdir()):
            if path.is_file() and not path.name.startswith(".") and path.name not in there:
                self.put(path)

    def name_of(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _busy(self, run: str) -> bool:
        """Whether a process of this machine trains the run in this folder."""
        try:
            with (self.root / "held" / run).open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @contextlib.contextmanager
    def said(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"store {self.address}: {error.strerror or error}") from error


def scratch(address: str) -> Path:
    """The folder of this machine for a store's address."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scaling" / "stores"
    folder = cache / hashlib.sha256(address.encode()).hexdigest()[:16]
    if not (folder / "address.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "address.json", json.dumps(address).encode())
    return folder


def _line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 200 else text[:200] + " …"
