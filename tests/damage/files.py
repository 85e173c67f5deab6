"""Kinds of files of a store and of a command line, and the content of a folder before and after a command."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from random import Random

STORE_ENTRIES = {"runs", "sweeps", "checkpoints", "tokens", "leases", "tensorboard", "index.parquet", "code", "held"}


@dataclass(frozen=True)
class FileKind:
    """A kind of file.

    Attributes:
        name: Its name.
        pattern: Pattern of its files, relative to the folder that has `store/` and `input/`.
        format: json, lines (JSON lines), parquet, csv, code, bytes, folder (of a run or checkpoint) or store.
        is_cache: Whether the file can be made again from others, so that it may be replaced without a word.
        of_run: Whether it belongs to one run, so that a command over many runs must go on without it.
        grows: Whether it is of a run that is running, so that it ends anywhere and has no checksum yet.
    """

    name: str
    pattern: str
    format: str
    is_cache: bool = False
    of_run: bool = False
    grows: bool = False

    @property
    def is_input(self) -> bool:
        """Whether a user names the file on the command line: what it says is what they say."""
        return self.pattern.startswith("input/")


FILE_KINDS = (
    FileKind("record", "store/runs/*/record.json", "json", of_run=True),
    FileKind("config", "store/runs/*/config.json", "json", of_run=True),
    FileKind("curve", "store/runs/*/curve.parquet", "parquet", of_run=True),
    FileKind("curve-lines", "store/runs/*/curve.jsonl", "lines", of_run=True, grows=True),
    FileKind("items", "store/runs/*/items/*.parquet", "parquet", of_run=True),
    FileKind("log", "store/runs/*/log.txt", "bytes", of_run=True),
    FileKind("run", "store/runs/*", "folder", of_run=True),
    FileKind("lease", "store/leases/*/*.json", "json", is_cache=True, of_run=True),
    FileKind("sweep", "store/sweeps/*.json", "json"),
    FileKind("placement", "store/sweeps/*.place", "json"),
    FileKind("launch-log", "store/sweeps/*.log", "bytes"),
    FileKind("launch-lock", "store/sweeps/*.lock", "bytes"),
    FileKind("tokens", "store/tokens/*.tokens", "bytes"),
    FileKind("tokens-verified", "store/tokens/.*.verified", "bytes", is_cache=True),
    FileKind("events", "store/tensorboard/*/events.*", "bytes", grows=True),
    FileKind("index", "store/index.parquet", "parquet", is_cache=True),
    FileKind("store", "store", "store"),
    FileKind("runs", "store/runs", "store"),
    FileKind("sweeps", "store/sweeps", "store"),
    FileKind("token-files", "store/tokens", "store"),
    FileKind("leases", "store/leases", "store"),
    FileKind("run-config", "input/config.json", "json"),
    FileKind("run-configs", "input/small.jsonl", "lines"),
    FileKind("prices", "input/prices.json", "json"),
    FileKind("table-csv", "input/table.csv", "csv"),
    FileKind("table-json", "input/table.json", "json"),
    FileKind("table-lines", "input/table.jsonl", "lines"),
    FileKind("table-parquet", "input/table.parquet", "parquet"),
    FileKind("harness", "input/harness/*/results_*.json", "json"),
    FileKind("harness-model", "input/harness/*", "folder"),
    FileKind("schedule", "input/schedule.csv", "csv"),
    FileKind("law-file", "input/law.py", "code"),
    FileKind("figure-file", "input/figure.py", "code"),
    FileKind("sweep-file", "input/sweep.py", "code"),
)
TRAINED_KINDS = (
    FileKind("checkpoint-manifest", "store/runs/*/checkpoints/*/manifest.json", "json", of_run=True),
    FileKind("checkpoint-curve", "store/runs/*/checkpoints/*/curve.parquet", "parquet", of_run=True),
    FileKind("checkpoint-state", "store/runs/*/checkpoints/*/state/*/d/*", "bytes", of_run=True),
    FileKind("checkpoint-metadata", "store/runs/*/checkpoints/*/state/_METADATA", "json", of_run=True),
    FileKind("checkpoint", "store/runs/*/checkpoints/*", "folder", of_run=True),
    FileKind("shared-manifest", "store/checkpoints/*/manifest.json", "json"),
    FileKind("shared-curve", "store/checkpoints/*/curve.parquet", "parquet"),
    FileKind("shared-state", "store/checkpoints/*/state/*/d/*", "bytes"),
    FileKind("shared-checkpoint", "store/checkpoints/*", "folder"),
)


def choose_file(kind: FileKind, folder: Path, random: Random) -> Path:
    """Returns one of two files of a kind, so that few reference stores are needed."""
    paths = sorted(folder.glob(kind.pattern))
    return random.choice([paths[0], paths[len(paths) // 2]])


def run_of(path: Path, folder: Path) -> str | None:
    """Returns the run that a file of a store belongs to."""
    parts = path.relative_to(folder).parts
    return parts[2] if len(parts) > 2 and parts[1] in ("runs", "leases") else None


def contents(folder: Path) -> dict[str, str]:
    """Returns the hash of each file under a folder by relative path; of a link or folder, what it is.

    The process of root reads files against their modes.
    """
    states: dict[str, str] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode):
                with open(path, "rb") as file:
                    state = hashlib.sha256(file.read()).hexdigest()
            else:
                state = f"link to {os.readlink(path)}" if stat.S_ISLNK(mode) else f"type {stat.S_IFMT(mode):o}"
            states[os.path.relpath(path, folder)] = state
    return states
