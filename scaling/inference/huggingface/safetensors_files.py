"""Files of safetensors: written piece by piece at known offsets, read tensor by tensor.

Layout: the length of the header (8 bytes, little-endian), the header (JSON: type, shape and byte range of each tensor),
then the tensors.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling.config.validation import ConfigError, one_line, require, shown
from scaling.store.files import PLAIN_NAME, write_json

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
DTYPES = {"float32": ("F32", 4), "bfloat16": ("BF16", 2)}  # by name: name in the header, bytes
READABLE = ("F64", "F32", "F16", "BF16")
ALIGNMENT = 8  # bytes: the header is padded with spaces to a multiple
HASH_BYTES = 1 << 22  # read at a time
NEEDS_EXTRA = "files of safetensors and tokenizers need the [hf] extra: pip install 'scaling[hf]'"


@dataclass(frozen=True)
class Location:
    """Where a tensor is in the files that are written."""

    path: Path
    offset: int


class Writer:
    """Writes tensors in any order into one file or several, at most one tensor in memory.

    Attributes:
        files: Names of the files.
    """

    def __init__(self, folder: Path, shapes: Mapping[str, tuple[int, ...]], dtype: str, limit: float) -> None:
        """Makes the files with their headers.

        Args:
            folder: An existing folder.
            shapes: Shape of each tensor, in the order of the files.
            dtype: float32 or bfloat16.
            limit: Largest number of bytes of tensors in one file; a larger tensor has a file of its own.
        """
        self.folder, self.dtype = folder, dtype
        groups = split_shards({name: math.prod(shape) * DTYPES[dtype][1] for name, shape in shapes.items()}, limit)
        count = len(groups)
        self.files = [SINGLE] if count == 1 else [shard_name(i + 1, count) for i in range(count)]
        self.locations: dict[str, Location] = {}
        for file, names in zip(self.files, groups, strict=True):
            self._write_header(folder / file, {name: shapes[name] for name in names})
        if count > 1:
            weights = {name: location.path.name for name, location in self.locations.items()}
            total = sum(math.prod(shape) for shape in shapes.values()) * DTYPES[dtype][1]
            write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weights})

    def _write_header(self, path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        kind, width = DTYPES[self.dtype]
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers requires the format
        start = 0
        for name, shape in shapes.items():
            end = start + math.prod(shape) * width
            header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
            start = end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % ALIGNMENT)
        for name in shapes:
            self.locations[name] = Location(path, 8 + len(text) + header[name]["data_offsets"][0])
        with path.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + start)

    def write(self, name: str, tensor: np.ndarray) -> None:
        """Writes one tensor.

        Args:
            name: Its name.
            tensor: Its values, float32.
        """
        location = self.locations.pop(name)
        if self.dtype == "bfloat16":
            import ml_dtypes  # comes with JAX

            tensor = tensor.astype(ml_dtypes.bfloat16)
        with location.path.open("r+b") as file:
            file.seek(location.offset)
            file.write(np.ascontiguousarray(tensor).view(np.uint8).data)

    def finish(self) -> None:
        """Waits until all files are on disk; every tensor must have been written."""
        assert not self.locations, f"not written: {sorted(self.locations)}"
        for name in self.files:
            with (self.folder / name).open("rb") as file:
                os.fsync(file.fileno())


def split_shards(sizes: Mapping[str, int], limit: float) -> list[list[str]]:
    """Divides tensors among files.

    Args:
        sizes: Bytes of each tensor, in order.
        limit: Largest number of bytes of a file.

    Returns:
        Names of the tensors of each file.
    """
    groups: list[list[str]] = [[]]
    used = 0
    for name, size in sizes.items():
        if groups[-1] and used + size > limit:
            groups.append([])
            used = 0
        groups[-1].append(name)
        used += size
    return groups


def shard_name(number: int, count: int) -> str:
    """Returns the name of one file of several.

    Args:
        number: Its number, from 1.
        count: Number of files.
    """
    return f"model-{number:05d}-of-{count:05d}.safetensors"


class Reader:
    """Tensors of a folder, read one at a time.

    Attributes:
        files: Names of the files, in order.
        shapes: Shape of each tensor.
    """

    def __init__(self, folder: Path, stack: ExitStack, files: list[str] | None = None) -> None:
        """Opens the files of a folder.

        Args:
            folder: The folder.
            stack: Closes the files.
            files: Their names; None: those of a model.

        Raises:
            ConfigError: There are no such files, or one is damaged.
        """
        self.files = weight_files(folder) if files is None else files
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._open: dict[str, Any] = {}
        self._file_of: dict[str, str] = {}
        for name in self.files:
            file = stack.enter_context(_open_file(folder / name))
            for tensor in file.keys():  # noqa: SIM118 - not a dict
                require(tensor not in self.shapes, f"{folder / name}: tensor {shown(tensor)} is in two files")
                part = file.get_slice(tensor)
                kind = part.get_dtype()
                require(
                    kind in READABLE, f"{folder / name}: {tensor} has type {kind}: must be one of {', '.join(READABLE)}"
                )
                self.shapes[tensor], self._file_of[tensor] = tuple(part.get_shape()), name
                self._open[name] = file

    def read(self, name: str) -> np.ndarray:
        """Returns a tensor, float32.

        Args:
            name: Its name.
        """
        tensor: np.ndarray = self._open[self._file_of[name]].get_tensor(name)
        return tensor.astype(np.float32)


def weight_files(folder: Path) -> list[str]:
    """Returns the names of the weight files of a folder.

    Args:
        folder: The folder.

    Raises:
        ConfigError: There are none, or the index of several is damaged or names files that are missing.
    """
    if (folder / INDEX).is_file():
        try:
            names = sorted(set(json.loads((folder / INDEX).read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ConfigError(f"{folder / INDEX}: damaged: must be an object with weight_map") from None
        for name in names:
            valid = isinstance(name, str) and PLAIN_NAME.fullmatch(name)
            require(bool(valid), f"{folder / INDEX}: file {shown(name)}: must be a plain name")
            require((folder / name).is_file(), f"{folder / name}: missing: {INDEX} names it")
        return names
    if (folder / SINGLE).is_file():
        return [SINGLE]
    others = sorted(path.name for path in folder.glob("*") if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".h5"))
    reason = f"has {', '.join(others[:3])} but" if others else "has"
    raise ConfigError(
        f"{folder}: {reason} no {SINGLE}: only safetensors are read, since other formats can run code: convert with "
        "model.save_pretrained of transformers"
    )


def _open_file(path: Path) -> Any:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise ConfigError(NEEDS_EXTRA) from None
    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{path}: damaged: {one_line(error)[:200]}: fetch it again") from None


def file_digests(folder: Path, names: list[str]) -> Iterator[tuple[str, str]]:
    """Yields the SHA-256 of each file with its name.

    Args:
        folder: The folder.
        names: Names of the files.
    """
    for name in names:
        digest = hashlib.sha256()
        with (folder / name).open("rb") as file:
            while chunk := file.read(HASH_BYTES):
                digest.update(chunk)
        yield name, digest.hexdigest()
