"""Atomic files (JSON), the local file operations of leases, and the hooks of a remote store. No JAX."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scaling.config.os_errors import name_file, open_file, read_file, remedy_of_os_error
from scaling.config.validation import NEWER_VERSION, shown

PLAIN_NAME = re.compile(r"[^/.\x00-\x1f][^/\x00-\x1f]{0,254}")
FORECASTS_FILE = "forecasts.jsonl"  # sealed forecasts of a store (analysis/studies/forecast/seals.py)
RESTORE = "restore it from a copy, or remove it"  # what to do about a damaged file unless there is a better way


class StoreError(RuntimeError):
    """A store cannot be read or written; the message is one line that names the file."""


class DamagedFileError(StoreError):
    """A file cannot be parsed, has values of wrong types, or does not agree with itself.

    Attributes:
        path: The file.
        reason: What is wrong.
        problem: What is wrong and what to do about it, without the path.
        is_replaceable: Whether the file may be set aside and written again, because its content is of no use.
    """

    is_replaceable = True

    def __init__(self, path: Path | str, reason: str, remedy: str = RESTORE) -> None:
        super().__init__(path, reason, remedy)
        self.path, self.reason = Path(path), reason
        self.problem = f"damaged: {reason}: {remedy}"

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class UnreadableFileError(DamagedFileError):
    """A file cannot be read although it may be intact, such as for its permissions."""

    is_replaceable = False

    def __init__(self, path: Path | str, error: OSError) -> None:
        super().__init__(path, error.strerror or str(error))
        self.problem = f"cannot be read: {self.reason}: {remedy_of_os_error(error) or RESTORE}"


class NewerFileError(DamagedFileError):
    """A file has fields of a newer version; it may be intact."""

    is_replaceable = False

    def __init__(self, path: Path | str, fields: Sequence[str]) -> None:
        super().__init__(path, f"field {', '.join(fields)} is unknown", NEWER_VERSION)
        self.problem = f"{self.reason}: {NEWER_VERSION}"


def user_cache_folder() -> Path:
    """Returns the user's folder of cached files: compiled programs, results of `aot`, copies of remote stores."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scaling"


def write_atomic(path: Path, data: bytes) -> None:
    """Writes a file atomically: it is complete or unchanged even if the process or the machine stops.

    Args:
        path: The file; its folder is created if needed. A device or pipe, such as /dev/stdout, is written to directly.
        data: Its content.
    """
    with name_file(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # an error for a pipe without a reader, not a wait
            os.set_blocking(descriptor, True)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            return
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


def set_aside(path: Path) -> Path | None:
    """Renames a damaged file to NAME.damaged (NAME.damaged-2, ...) atomically, replacing nothing.

    Args:
        path: The file, or a folder in its place.

    Returns:
        Its new path, or None if it no longer exists.
    """
    for number in itertools.count(1):
        new_path = path.with_name(f"{path.name}.damaged" + (f"-{number}" if number > 1 else ""))
        is_folder = path.is_dir() and not path.is_symlink()
        try:  # reserves the name
            new_path.mkdir() if is_folder else new_path.touch(exist_ok=False)
        except FileExistsError:
            continue
        except FileNotFoundError:
            return None
        try:
            os.rename(path, new_path)
        except FileNotFoundError:
            new_path.rmdir() if is_folder else new_path.unlink()
            return None
        return new_path
    raise AssertionError


def process_exists(pid: int) -> bool:
    """Returns whether a process of this machine exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it belongs to another user
        return True
    return True


def write_json(path: Path, data: Any) -> None:
    """Writes JSON atomically.

    Args:
        path: The file.
        data: What to write; a NaN or infinity raises ValueError.
    """
    write_atomic(path, (json.dumps(data, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path, remedy: str = RESTORE) -> Any:
    """Reads JSON.

    Args:
        path: The file.
        remedy: What to do if it is damaged, for the error message.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: It cannot be read, or is not JSON.
    """
    return parse_json(path, read_bytes(path, remedy), remedy)


def read_bytes(path: Path | str, remedy: str = RESTORE) -> bytes:
    """Reads a file of a store.

    Args:
        path: The file.
        remedy: What to do if it is a folder, for the error message.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It cannot be read, such as for its permissions.
        DamagedFileError: It is not a file.
    """
    try:
        return read_file(path)
    except FileNotFoundError:
        raise
    except IsADirectoryError:
        raise DamagedFileError(path, "a folder, not a file", remedy) from None
    except OSError as error:
        raise UnreadableFileError(path, error) from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns an object of JSON; ValueError for a key that occurs twice."""
    data = dict(pairs)
    if len(data) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice")
    return data


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


_STRICT_JSON = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
_FAST_JSON = json.JSONDecoder(parse_constant=_refuse_constant)


def plain_name(kind: str, name: str) -> str:
    """Returns a name that is part of the path of a file, if it is a plain name.

    Args:
        kind: What it names, for the error message.
        name: The name, such as a run id.

    Raises:
        StoreError: It has a slash or a control character, or starts with a dot.
    """
    if not isinstance(name, str) or not PLAIN_NAME.fullmatch(name):
        raise StoreError(
            f"{kind} {shown(name)}: must be a plain name: no slash, no control character, no dot at its start"
        )
    return name


def parse_json(path: Path | str, data: bytes, remedy: str = RESTORE, *, unique_keys: bool = True) -> Any:
    """Parses the content of a JSON file.

    Args:
        path: The file, for the error message.
        data: Its content.
        remedy: What to do if it is damaged, for the error message.
        unique_keys: Whether a key that occurs twice is an error; False is faster.

    Raises:
        DamagedFileError: The content is not JSON, or is nested too deeply.
    """
    try:
        return (_STRICT_JSON if unique_keys else _FAST_JSON).decode(data.decode("utf-8"))
    except RecursionError:
        raise DamagedFileError(path, "nested too deeply", remedy) from None
    except ValueError as error:  # also UnicodeDecodeError, and numbers of more digits than Python reads
        raise DamagedFileError(path, str(error), remedy) from None


class LocalFiles:
    """The file operations that leases need (`scaling.store.lease.FileStorage`), in a local or mounted folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.name = root, str(root)

    def files(self, folder: str) -> list[str]:
        """Lists the names of the files in a folder; returns an empty list if the folder does not exist."""
        try:
            return os.listdir(self.root / folder)
        except FileNotFoundError:
            return []

    def read(self, file: str) -> bytes:
        """Reads a file; FileNotFoundError if it does not exist."""
        with open_file(self.root / file) as stream:
            return stream.read()

    def write(self, file: str, data: bytes) -> None:
        """Writes a file atomically, replacing it if it exists.

        Args:
            file: The file, relative to the folder.
            data: Its content.
        """
        write_atomic(self.root / file, data)

    def create(self, file: str, data: bytes) -> bool:
        """Creates a file; returns False if it exists already.

        If the file system has no hard links (such as a mounted bucket), other processes may see the file while it is
        still empty.

        Args:
            file: The file, relative to the folder.
            data: Its content.
        """
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with name_file(path), os.fdopen(fd, "wb") as out:
                out.write(data)
            os.link(name, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK):
                raise
            return _create_without_link(path, data)
        finally:
            Path(name).unlink(missing_ok=True)
        return True

    def remove(self, file: str) -> None:
        """Removes a file if it exists."""
        with contextlib.suppress(FileNotFoundError):
            (self.root / file).unlink()


def _create_without_link(path: Path, data: bytes) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(fd, "wb") as out:
        out.write(data)
    return True


class RemoteHooks:
    """Hooks of a remote store (scaling/store/remote/store.py); in a local store they do nothing."""

    def upload(self, path: Path, every: float = 0.0) -> None:
        """Called after a file, or the folder of a checkpoint, was written.

        Args:
            path: The file or folder.
            every: Least seconds between uploads of a growing file.
        """

    def upload_tokens(self) -> None:
        """Called when token files may have been written."""

    def discard(self, path: Path) -> None:
        """Called when a file, or the folder of a checkpoint, was removed or found to be damaged."""

    def checkpoint_folders(self, folder: Path) -> list[Path]:
        """Lists the checkpoints in a folder."""
        return list(folder.glob("[0-9]*-*"))

    def fetch_checkpoint(self, checkpoint: Path) -> bool:
        """Fetches a checkpoint if it is not available locally; returns whether it is complete."""
        return True

    def remove_incomplete_checkpoints(self, folder: Path) -> None:
        """Removes what interrupted saves have left in a folder of a bucket; called by the only process that saves."""

    def checkpoint_names(self, folder: Path) -> list[str]:
        """Lists names of checkpoints in a folder, those of a bucket as of the last `fetch_results`."""
        return os.listdir(folder)

    def fetch_record(self, run_id: str) -> None:
        """Fetches the newest record of a run."""

    def fetch_results(self) -> None:
        """Fetches all records, curves, items and sweeps that have changed."""

    def fetch_tokens(self, content_hash: str = "") -> None:
        """Fetches tokenizers and all token files, or only the one with a content hash."""
