"""Files of activations in a store, tokens/activations-HASH.npy, that sparse autoencoders are trained on.

Axes: n rows, D width.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scaling.config.validation import ConfigError, require
from scaling.store.files import StoreError
from scaling.store.record import Store

SUFFIX = ".npy"
HELD_OUT = 0.05  # share of the rows, at the end of the file, that is not trained on


@dataclass(frozen=True)
class ActivationFile:
    """An open file of activations.

    Attributes:
        path: The file.
        rows_nD: Its activations, mapped into memory.
    """

    path: Path
    rows_nD: np.ndarray

    @property
    def width(self) -> int:
        """Width of the activations, D."""
        return int(self.rows_nD.shape[1])

    @property
    def training_rows(self) -> int:
        """Rows that are trained on, the first ones of the file."""
        return len(self.rows_nD) - max(1, int(HELD_OUT * len(self.rows_nD)))

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Returns some rows, float32 (rows, D)."""
        order = np.argsort(rows)  # the file is read from front to back
        out = np.empty((len(rows), self.width), np.float32)
        out[order] = self.rows_nD[rows[order]]
        return out

    def validation(self, count: int) -> np.ndarray:
        """Returns the first `count` held-out rows, or all if there are fewer, float32 (n, D)."""
        return np.asarray(self.rows_nD[self.training_rows :][:count], np.float32)


def open_npy(path: Path) -> np.ndarray:
    """Opens a NumPy file of activations without reading it.

    Args:
        path: The file, with float16 or float32 of shape (n, D).

    Raises:
        ConfigError: It is not such a file.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{path}: not a readable .npy file of activations: {error}") from None
    is_matrix = isinstance(array, np.ndarray) and array.ndim == 2 and len(array) > 1 and array.shape[1] > 0
    shape = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else "an archive"
    require(
        is_matrix and array.dtype in (np.float16, np.float32),
        f"{path}: {shape}: must be float16 or float32 of shape (rows, width)",
    )
    return array


def add_activation_file(store: Store, path: Path) -> tuple[str, int]:
    """Copies a file of activations into a store; returns its content hash and width.

    Args:
        store: The store.
        path: The .npy file.

    Raises:
        ConfigError: It is not a file of activations.
    """
    array = open_npy(path)
    name = file_hash(path)
    target = _path(store, name)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        shutil.copyfile(path, partial)
        partial.replace(target)
        store.upload(target)
    return name, int(array.shape[1])


def open_activation_file(store: Store, name: str) -> ActivationFile:
    """Opens a file of activations of a store.

    Args:
        store: The store.
        name: Content hash of the file.

    Raises:
        StoreError: It is not there, or has another content.
    """
    store.fetch_tokens(name)
    path = _path(store, name)
    if not path.exists():
        raise StoreError(f"{path}: missing: add the file with `python -m scaling sae train FILE.npy --store DIR`")
    if file_hash(path) != name:
        raise StoreError(f"{path}: damaged: its content has another hash: restore it from a copy")
    return ActivationFile(path, open_npy(path))


def _path(store: Store, name: str) -> Path:
    return store.token_files / f"activations-{name}{SUFFIX}"


def file_hash(path: Path) -> str:
    """Returns the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
