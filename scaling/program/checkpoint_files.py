"""Files of one checkpoint, in a local folder or in a bucket: absent or whole, whenever a process is killed.

A local checkpoint is written in a folder of another name, which is renamed when all of its files are there. A bucket
cannot rename: each attempt writes its arrays in a folder of its own, and the manifest, which names that folder, is
written last. Without it there is no checkpoint. Both have the same files:

    NAME/state/         arrays, written by Orbax; in a bucket state-XXXXXXXX/
         curve.parquet
         manifest.json
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from scaling.config.os_errors import open_file, reason_of_os_error
from scaling.config.validation import one_line
from scaling.program.orbax_buckets import bucket_scheme, enable_buckets
from scaling.store.files import plain_name, write_atomic
from scaling.store.origin.machine import machine_alias
from scaling.store.record import Store
from scaling.store.remote.files import RemoteFiles
from scaling.store.remote.store import RemoteStore

FREE_SPACE_FACTOR = 1.1  # free bytes required before writing, relative to the bytes of the arrays
MANIFEST, CURVE, STATE = "manifest.json", "curve.parquet", "state"
MAX_MESSAGE_LENGTH = 300  # characters of a message of Orbax or TensorStore


class CheckpointError(RuntimeError):
    """A checkpoint that could not be written or restored; the message is one line that names it."""


@dataclass(frozen=True)
class LocalCheckpoint:
    """A checkpoint in a local folder.

    Attributes:
        path: Its path; the last part is its name.
    """

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The checkpoint's name, which contains its step and prefix id."""
        return self.path.name

    def exists(self) -> bool:
        """Returns whether there is such a checkpoint."""
        return self.path.exists()

    def start(self, size: int) -> str:
        """Makes the folder of a checkpoint that is being written.

        Args:
            size: Bytes of its arrays.

        Returns:
            The folder, for the other methods.

        Raises:
            OSError: It cannot be made, or too little space is free.
        """
        folder = self.path.parent.absolute() / f".writing-{machine_alias()}-{os.getpid()}-{self.name}"
        shutil.rmtree(folder, ignore_errors=True)  # in a container, a killed process may have had the same id
        folder.mkdir(parents=True)
        try:
            _check_free_space(folder, size)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return str(folder)

    def arrays_to_write(self, folder: str) -> str:
        """Returns where Orbax writes the arrays; `folder` is the result of `start`."""
        return f"{folder}/{STATE}"

    def arrays(self, manifest: dict[str, Any]) -> str:
        """Returns where Orbax reads the arrays of a complete checkpoint.

        Raises:
            OSError: A file of them is none, such as a FIFO, for whose writer Orbax would wait for ever.
        """
        folder = self.path.absolute() / arrays_folder(manifest)
        for path in folder.rglob("*"):
            if not (path.is_file() or path.is_dir()):
                raise OSError(errno.EINVAL, "is no regular file", str(path))
        return str(folder)

    def finish(self, folder: str, manifest: dict[str, Any], curve: bytes) -> None:
        """Writes the other files of a checkpoint, and gives it its name.

        Args:
            folder: Result of `start`.
            manifest: The manifest.
            curve: The curve as Parquet.
        """
        for note in Path(folder).rglob("commit_success.txt"):  # Orbax writes the path of this machine into it
            note.write_text("")
        write_atomic(Path(folder) / CURVE, curve)
        write_atomic(Path(folder) / MANIFEST, manifest_bytes(manifest))
        _rename_folder(Path(folder), self.path)

    def abandon(self, folder: str) -> None:
        """Removes what was written of a checkpoint that failed."""
        shutil.rmtree(folder, ignore_errors=True)

    def read(self, file: str) -> bytes:
        """Reads a file; OSError if it cannot be read."""
        with open_file(self.path / file) as stream:
            return stream.read()

    def set_aside(self) -> None:
        """Renames a checkpoint that does not load, so that a new one can have its name."""
        renamed = self.path.with_name(f".damaged-{time.time_ns()}-{self.name}")
        with contextlib.suppress(FileNotFoundError):  # another process was first
            os.replace(self.path, renamed)


@dataclass(frozen=True)
class BucketCheckpoint:
    """A checkpoint in a bucket, which Orbax writes and reads there; attributes and methods as in LocalCheckpoint.

    Attributes:
        remote: Files of the store.
        folder: Folder of the checkpoint in the store; the last part is its name.
    """

    remote: RemoteFiles
    folder: str

    def __str__(self) -> str:
        return f"{self.remote.name}/{self.folder}"

    @property
    def name(self) -> str:
        """The checkpoint's name."""
        return self.folder.rpartition("/")[2]

    def exists(self) -> bool:
        """Returns whether there is a complete checkpoint."""
        return MANIFEST in self.remote.files(self.folder)

    def start(self, size: int) -> str:
        """Returns the folder of a new attempt; there is no limit on `size`."""
        return f"{STATE}-{secrets.token_hex(4)}"

    def arrays_to_write(self, folder: str) -> str:
        """Returns where Orbax writes the arrays."""
        return f"{bucket_scheme(self.remote.name)}://{self.remote.root.strip('/')}/{self.folder}/{folder}"

    def arrays(self, manifest: dict[str, Any]) -> str:
        """Returns where Orbax reads the arrays of a complete checkpoint."""
        return self.arrays_to_write(arrays_folder(manifest))

    def finish(self, folder: str, manifest: dict[str, Any], curve: bytes) -> None:
        """Writes the other files of a checkpoint, the manifest last; if another process was first, keeps its files."""
        if self.exists():
            self.abandon(folder)
            return
        self.remote.write(f"{self.folder}/{CURVE}", curve)
        self.remote.write(f"{self.folder}/{MANIFEST}", manifest_bytes({**manifest, STATE: folder}))

    def abandon(self, folder: str) -> None:
        """Removes what was written of a checkpoint that failed, if the bucket can be reached."""
        with contextlib.suppress(OSError):
            self.remote.remove(f"{self.folder}/{folder}")

    def read(self, file: str) -> bytes:
        """Reads a file; OSError if it cannot be read."""
        return self.remote.read(f"{self.folder}/{file}")

    def set_aside(self) -> None:
        """Renames the manifest of a checkpoint that does not load, so that a new one can have its name."""
        with contextlib.suppress(FileNotFoundError):
            self.remote.write(f"{self.folder}/.damaged-{time.time_ns()}-{MANIFEST}", self.read(MANIFEST))
            self.remote.remove(f"{self.folder}/{MANIFEST}")


CheckpointFiles = LocalCheckpoint | BucketCheckpoint


def named_leaves(state: Any) -> dict[str, Any]:
    """Returns the leaves of a tree by name, as they are named in checkpoints."""
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def short_message(error: Exception) -> str:
    """Returns the message of an error of Orbax, TensorStore or a file system as one short line."""
    text = one_line(error)
    if isinstance(error, OSError):
        return reason_of_os_error(error)
    if "No space left on device" in text:  # TensorStore's message has thousands of characters
        return reason_of_os_error(OSError(errno.ENOSPC, "No space left on device"))
    return text if len(text) < MAX_MESSAGE_LENGTH else text[:MAX_MESSAGE_LENGTH] + " …"


def open_checkpoint(store: Store, path: Path) -> CheckpointFiles:
    """Returns the files of a checkpoint of a store.

    Args:
        store: The store.
        path: Path of the checkpoint in the store's folder, which is a local copy if the store is at an address.
    """
    if isinstance(store, RemoteStore) and store.has_direct_checkpoints:
        enable_buckets()
        return BucketCheckpoint(store.remote, path.relative_to(store.root).as_posix())
    return LocalCheckpoint(path)


def orbax_options(files: CheckpointFiles) -> dict[str, Any]:
    """Returns Orbax's options for a checkpoint: in a bucket nothing is renamed, a last file marks a complete save."""
    if isinstance(files, LocalCheckpoint):
        return {}
    return {"temporary_path_class": ocp.path.atomicity.CommitFileTemporaryPath}


def arrays_folder(manifest: dict[str, Any]) -> str:
    """Returns the folder of the arrays; StoreError if the manifest names one that is not inside the checkpoint."""
    return plain_name("folder of a checkpoint", manifest.get(STATE, STATE))


def manifest_bytes(manifest: dict[str, Any]) -> bytes:
    """Returns the content of a manifest; ValueError for a NaN or infinity."""
    return (json.dumps(manifest, indent=1, allow_nan=False) + "\n").encode()


def _check_free_space(folder: Path, size: int) -> None:
    """Raises OSError if too little disk space is free, because Orbax's threads would report it inconsistently."""
    free = shutil.disk_usage(folder).free
    if free < FREE_SPACE_FACTOR * size:
        reason = f"No space left on device: {size:,} bytes are needed, {free:,} are free"
        raise OSError(errno.ENOSPC, reason, str(folder.parent))


def _rename_folder(temporary: Path, final: Path) -> None:
    """Renames a complete checkpoint to its final name; if another process was first, its checkpoint is kept."""
    try:
        os.replace(temporary, final)
    except OSError:
        if not final.exists():
            raise
        shutil.rmtree(temporary, ignore_errors=True)
