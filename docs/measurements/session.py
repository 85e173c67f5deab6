"""Runs the commands of a measurement and keeps what they were, when and how long they ran, and on which machine."""

from __future__ import annotations

import json
import os
import platform
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).parents[2]
LIBRARIES = ("jax", "numpy", "scipy")


class CommandFailedError(Exception):
    """A command of a measurement did not end with status 0."""


@dataclass
class Session:
    """Runs commands with the words STORE, DATA and OUT replaced by folders, and logs them as they were written.

    Attributes:
        store: Folder for what the measurement trains; it is kept, and training continues there.
        data: Folder of published data sets.
        figures: Folder for figures.
        small: Whether to measure only as much as a test of the measurement needs.
        commands: Each command with its date and its seconds.
        load: Load average of the minute before the measurement: processes of others that compute.
    """

    store: Path
    data: Path
    figures: Path
    small: bool = False
    commands: list[dict[str, Any]] = field(default_factory=list)
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def path(self, word: str) -> str:
        """Returns an argument with STORE, DATA or OUT at its beginning replaced by the folder."""
        out = self.store.with_name(self.store.name + ".figures")
        for name, folder in (("STORE", self.store), ("DATA", self.data), ("OUT", out)):
            if word == name or word.startswith(name + "/"):
                return str(folder) + word[len(name) :]
        return word

    def run(self, *words: str, statuses: Sequence[int] = (0,)) -> str:
        """Runs `python -m WORDS` in the root of the project and returns its standard output.

        Args:
            words: Module and arguments.
            statuses: Exit statuses of success.

        Raises:
            CommandFailedError: The command ended with another status.
        """
        began, clock = datetime.now(UTC), time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", *map(self.path, words)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
            check=False,
        )
        if done.returncode not in statuses:
            print(done.stdout[-5000:], file=sys.stderr)
            raise CommandFailedError(f"python -m {shlex.join(words)} ended with status {done.returncode}")
        self.log(shlex.join(["python", "-m", *words]), began, time.monotonic() - clock)
        return done.stdout

    def log(self, command: str, began: datetime, seconds: float) -> dict[str, Any]:
        """Adds a command to the log and returns its entry."""
        entry = {"command": command, "date": f"{began:%Y-%m-%d %H:%M}", "seconds": round(seconds, 1), **source()}
        self.commands.append(entry)
        return entry

    def json(self, *words: str, statuses: Sequence[int] = (0,)) -> Any:
        """Runs a command that writes JSON to its standard output and returns it."""
        return json.loads(self.run(*words, statuses=statuses))

    def timed(self, *words: str) -> dict[str, Any]:
        """Runs a command; returns its entry in the log, with the processor seconds of its processes."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.run(*words)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return self.commands[-1] | {"processor_seconds": spent}

    def figure(self, name: str, *words: str) -> pd.DataFrame:
        """Draws a figure of the store, puts its PNG into the folder of figures and returns its data."""
        folder = Path(self.path("OUT"))
        folder.mkdir(parents=True, exist_ok=True)
        self.run("analysis", "figure", name, "STORE", "--out", f"OUT/{name}.png", *words)
        shutil.copy(folder / f"{name}.png", self.figures)
        return pd.read_csv(folder / f"{name}.data.csv")

    def train(self, *words: str) -> None:
        """Runs a command that trains in the store, unless it has ended there before; keeps its log beside the store.

        A measurement whose training was interrupted continues it; the seconds of all attempts are added up.
        """
        path = self.store.with_name(self.store.name + ".commands.jsonl")
        command = shlex.join(["python", "-m", *words])
        lines = path.read_text().splitlines() if path.exists() else []
        entries = [entry for entry in map(json.loads, lines) if entry["command"] == command]
        if not any(entry["status"] == 0 for entry in entries):
            began, clock, status = datetime.now(UTC), time.monotonic(), 1
            try:
                self.run(*words)
                self.commands.pop()
                status = 0
            finally:
                self.store.parent.mkdir(parents=True, exist_ok=True)
                entries.append(self.log(command, began, time.monotonic() - clock) | {"status": status})
                self.commands.pop()
                with path.open("a") as file:
                    file.write(json.dumps(entries[-1]) + "\n")
        done = {key: entries[-1][key] for key in ("command", "date", "seconds", "commit", "clean")}
        self.commands.append(done | {"seconds": round(sum(entry["seconds"] for entry in entries), 1)})

    def about(self) -> dict[str, Any]:
        """Returns the commands, the date of the last, the machine, the commits and the seconds of all commands."""
        return {
            "commands": self.commands,
            "date": self.commands[-1]["date"],
            "machine": machine(),
            "load": round(self.load, 1),
            "commit": self.commands[-1]["commit"],
            "clean": all(entry["clean"] for entry in self.commands),
            "seconds": round(sum(entry["seconds"] for entry in self.commands), 1),
        }


def source() -> Mapping[str, Any]:
    """Returns the commit of the source code, and whether the files of its packages are as committed."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    packages = ("scaling", "sweeps", "analysis", "docs/measurements")
    return {"commit": git("rev-parse", "HEAD"), "clean": not git("status", "--porcelain", "--", *packages)}


def machine() -> dict[str, Any]:
    """Returns the processor, cores, memory and versions of this machine; no name and no path of it."""
    model = platform.processor() or platform.machine()
    cpu_info, memory = Path("/proc/cpuinfo"), None
    if cpu_info.exists():
        lines = [line.partition(":")[2].strip() for line in cpu_info.read_text().splitlines() if "model name" in line]
        flags = next((line for line in cpu_info.read_text().splitlines() if line.startswith("flags")), "").split()
        vectors = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else ""
        model = " ".join(dict.fromkeys(lines)) + (f" with {vectors}" if vectors else "")
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": memory,
        "python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
    }
