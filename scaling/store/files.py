"""Files written whole or not at all: JSON, Parquet; a folder as what holds leases, and as all of a store. No JAX."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any


class StoreError(RuntimeError):
    """A store that cannot be read or written: one line that names the file."""


def write_atomic(path: Path, data: bytes) -> None:
    """All of `data` at `path`, or what was there before; survives a crash at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def alive(pid: int) -> bool:
    """Whether a process of this machine is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another person's
        return True
    return True


def write_json(path: Path, data: Any) -> None:
    """`data` as JSON at `path`, atomically; a NaN or infinity raises ValueError."""
    write_atomic(path, (json.dumps(data, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Parsed JSON; StoreError names the file that is damaged."""
    return parsed(path, path.read_bytes())


def parsed(path: Path | str, data: bytes) -> Any:
    """What a file's bytes say as JSON; StoreError names the file where they are damaged."""
    try:
        return json.loads(data.decode("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: damaged: {error}") from None


def write_parquet(path: Path, rows: list[dict[str, float]]) -> None:
    """Rows (dicts; a missing key is null) as Parquet, atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_atomic(path, sink.getvalue().to_pybytes())


def read_parquet(path: Path) -> list[dict[str, float]]:
    """Rows as dicts; a null is a missing key."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError(f"{path}: damaged: {error}") from None
    return [{k: v for k, v in row.items() if v is not None} for row in rows]


class Folder:
    """A folder of this machine, or one that is mounted, as lease.Place has it."""

    def __init__(self, root: Path) -> None:
        self.root, self.name = root, str(root)

    def files(self, folder: str) -> list[str]:
        """Names of the files in a folder; none where there is no such folder."""
        try:
            return os.listdir(self.root / folder)
        except FileNotFoundError:
            return []

    def read(self, file: str) -> bytes:
        return (self.root / file).read_bytes()

    def write(self, file: str, data: bytes) -> None:
        write_atomic(self.root / file, data)

    def create(self, file: str, data: bytes) -> bool:
        """Makes the file, whole; False where it is there. A mounted bucket has no links: there it may be seen empty."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(fd, "wb") as out:
                out.write(data)
            os.link(name, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK):
                raise
            return _create_new(path, data)
        finally:
            Path(name).unlink(missing_ok=True)
        return True

    def remove(self, file: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.root / file).unlink()


def _create_new(path: Path, data: bytes) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(fd, "wb") as out:
        out.write(data)
    return True


class Here:
    """What a store at an address has to do beside its folder (scaling/store/remote.py): nothing, where the folder is
    all."""

    def put(self, path: Path, every: float = 0.0) -> None:
        """A file, or a checkpoint's folder, was written here; every: seconds between two of a file that grows."""

    def put_tokens(self) -> None:
        """Token files may have been made here."""

    def drop(self, path: Path) -> None:
        """A file, or a checkpoint's folder, is gone or not to be trusted."""

    def entries(self, folder: Path) -> list[Path]:
        """Checkpoints in a folder."""
        return list(folder.glob("[0-9]*-*"))

    def fetch(self, checkpoint: Path) -> bool:
        """Makes sure that a checkpoint is here; whether it is, whole."""
        return True

    def fetch_run(self, run_id: str) -> None:
        """Makes sure that the run's record here is the newest."""

    def fetch_results(self) -> None:
        """Makes sure of all records, curves and sweeps."""

    def fetch_tokens(self, content_hash: str = "") -> None:
        """Makes sure of the token files, or of the one that is meant, and of the tokenisers."""
