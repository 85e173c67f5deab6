"""The manifest of published data sets, and the state of their files in a folder."""

from __future__ import annotations

import functools
import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import DataError
from scaling.store.files import read_bytes

FILE = "manifest.toml"
VARIABLE = "SCALING_DATA"  # environment variable with the folder of the data sets
PRESENT, MISSING, CHANGED = "present", "missing", "changed"
SHORT_HASH = 12  # digits of a hash in messages


@dataclass(frozen=True)
class DataFile:
    """A file of a data set.

    Attributes:
        name: Its name.
        sha256: SHA-256 of its content.
        columns: What each column is, with its unit; empty where only the hash is listed.
    """

    name: str
    sha256: str
    columns: Mapping[str, str]

    def problem(self, folder: Path) -> str:
        """Returns what is wrong with the file in a folder, as text; "" if it is the listed one."""
        path = folder / self.name
        if not path.is_file():
            return f"{path}: {MISSING}"
        digest = hashlib.sha256(read_bytes(path)).hexdigest()
        if digest == self.sha256:
            return ""
        found, listed = digest[:SHORT_HASH], self.sha256[:SHORT_HASH]
        return f"{path}: {CHANGED}: SHA-256 {found}.., listed {listed}..: restore it from its origin"


@dataclass(frozen=True)
class DataSet:
    """A published data set.

    Attributes:
        name: Its name, and that of its folder.
        title: What it is.
        paper: The publication.
        origin: Where the files are from.
        commit: Version of the origin.
        licence: Licence of the data, or "none stated".
        files: Its files.
    """

    name: str
    title: str
    paper: str
    origin: str
    commit: str
    licence: str
    files: tuple[DataFile, ...]

    def problems(self, data: Path) -> list[str]:
        """Returns what is wrong with the files in a folder of data sets, one line each; none if all are as listed."""
        folder = data / self.name
        if not folder.is_dir():
            return [f"{folder}: {MISSING}"]
        return [problem for file in self.files if (problem := file.problem(folder))]

    def state(self, data: Path) -> str:
        """Returns the state of the set in a folder of data sets: present, missing or changed."""
        problems = self.problems(data)
        if not problems:
            return PRESENT
        return MISSING if all(problem.endswith(f": {MISSING}") for problem in problems) else CHANGED

    def to_json(self) -> dict[str, Any]:
        """Returns the entry of the manifest in types of JSON."""
        files = [{"name": f.name, "sha256": f.sha256, "columns": dict(f.columns)} for f in self.files]
        names = ("name", "title", "paper", "origin", "commit", "licence")
        return {name: getattr(self, name) for name in names} | {"files": files}


@functools.cache
def published_data_sets() -> dict[str, DataSet]:
    """Returns the data sets by name."""
    content = tomllib.loads(Path(__file__).with_name(FILE).read_text("utf-8"))
    return {entry["name"]: _data_set(entry) for entry in content["data_set"]}


def _data_set(entry: dict[str, Any]) -> DataSet:
    files = tuple(DataFile(file["name"], file["sha256"], file.get("columns", {})) for file in entry["file"])
    return DataSet(files=files, **{name: value for name, value in entry.items() if name != "file"})


def data_folder(given: str | None) -> Path:
    """Returns the folder of the data sets: as given, else that of the environment variable.

    Args:
        given: The folder, or None.

    Raises:
        DataError: There is no folder.
    """
    text = given or os.environ.get(VARIABLE)
    if not text:
        raise DataError(f"no folder of published data sets: give it with --data FOLDER or in {VARIABLE}")
    if not Path(text).is_dir():
        raise DataError(f"{text}: not a folder: published data sets are in FOLDER/NAME/FILE (--list shows the names)")
    return Path(text)
