"""`check --topology`: every shape of a sweep compiled for a TPU slice before one is paid for.

Each is a process of `python -m scaling aot`, which keeps its verdicts under the store by what they depend on:
shape, placement, slice, versions and source. What was compiled once is not compiled again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.config.run import RunConfig
from scaling.config.validation import to_dict
from scaling.store.files import write_json
from scaling.store.record import Store
from sweeps.cost.compiled_time import keep
from sweeps.errors import SweepError
from sweeps.format import duration, table
from sweeps.planning.plan import Plan, shape

AOT = (sys.executable, "-m", "scaling", "aot")
COMPILER_BYTES = 4 * 2**30  # of this machine's memory that one compiler may take
ANSWERED, BAD_INPUT = (0, 1), 2  # exit statuses of `aot`: it fits or does not; nothing could be compiled


@dataclass
class Children:
    """The compilers at work, so that none outlives us."""

    running: dict[int, subprocess.Popen[str]] = field(default_factory=dict)
    stopped: bool = False

    def ask(self, command: list[str]) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of a process, which has a group of its own."""
        if self.stopped:
            return -signal.SIGTERM, "", "stopped"
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            start_new_session=True,
        ) as child:  # fmt: skip
            self.running[child.pid] = child
            try:
                out, said = child.communicate()
            finally:
                self.running.pop(child.pid, None)
        return child.returncode, out, said

    def stop(self) -> None:
        """Ends them, and what they started."""
        self.stopped = True
        for pid in list(self.running):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)


def shapes(of: Plan) -> list[tuple[RunConfig, int]]:
    """A run of each distinct shape, and how many runs have it; in order of execution."""
    first: dict[object, RunConfig] = {}
    count: dict[object, int] = {}
    for run in of.runs:
        key = shape(run.config)
        first.setdefault(key, run.config)
        count[key] = count.get(key, 0) + 1
    return [(config, count[key]) for key, config in first.items()]


def check_ahead(of: Plan, store: Store, topology: str, places: list[str]) -> list[dict[str, Any]]:
    """A row for each shape: width, layers, length, batch, runs, fits, and what aot found or why it refused.

    SweepError where none can be compiled: the slice or the placement is unknown, the compiler is not installed.
    """
    asked = shapes(of)
    rows: list[dict[str, Any]] = [row(config, runs) for config, runs in asked]
    children = Children()
    with progress(len(rows), topology) as advance, ThreadPoolExecutor(workers()) as pool:
        waiting = {
            pool.submit(verdict, config, store.root / "aot", topology, places, children): at
            for at, (config, _) in enumerate(asked)
        }
        try:
            for done in as_completed(waiting):
                rows[waiting[done]].update(done.result())
                advance(rows[waiting[done]])
        except BaseException:
            children.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    found = [(config, found) for (config, _), found in zip(asked, rows, strict=True) if "compiler_seconds" in found]
    keep(store, topology, [(to_dict(config), found["compiler_seconds"]) for config, found in found])
    return rows


def row(config: RunConfig, runs: int) -> dict[str, Any]:
    """What a shape is called."""
    model = config.model
    sizes = {"width": model.width, "layers": model.layers, "length": config.data.length, "batch": config.batch}
    return {**sizes, "runs": runs}


def verdict(config: RunConfig, folder: Path, topology: str, places: list[str], children: Children) -> dict[str, Any]:
    """What `scaling aot` says of a shape; `refused` and its line where the compiler failed."""
    asked = folder / "asked" / f"{os.getpid()}-{id(config):x}.json"
    write_json(asked, to_dict(config))
    try:
        words = [word for place in places for word in ("--place", place)]
        command = [*AOT, str(asked), "--topology", topology, *words, "--cache", str(folder), "--json"]
        status, out, said = children.ask(command)
    finally:
        asked.unlink()
    lines = out.strip().splitlines()
    if status in ANSWERED and lines:
        return dict(json.loads(lines[-1]))
    last = (said.strip().splitlines() or [f"aot ended with {status}, without a word"])[-1]
    last = last.removeprefix("scaling aot: ")
    if status == BAD_INPUT:
        raise SweepError(last)
    return {"fits": False, "refused": last}


def workers() -> int:
    """Compilers at a time: one a core, as far as memory is free for them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, free() // COMPILER_BYTES))


def free() -> int:
    """Bytes of memory that this machine can still give; one compiler's where it does not say."""
    with suppress(OSError), open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return COMPILER_BYTES


@contextmanager
def progress(total: int, topology: str) -> Iterator[Any]:
    """A function to call with each row that is ready: a bar on a terminal, otherwise a line each, on stderr."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(f"compiling for {topology}", total=total)
            yield lambda _: bar.advance(task)
        return
    began, done = time.monotonic(), 0

    def line(found: dict[str, Any]) -> None:
        nonlocal done
        done += 1
        left = (time.monotonic() - began) / done * (total - done)
        more = f", some {duration(left)} left" if done < total else ""
        print(f"{done} of {total} shapes for {topology}: {named(found)}: {answer(found)}{more}", file=sys.stderr)

    yield line


def named(found: dict[str, Any]) -> str:
    """A shape in a few words: width × layers, then sequences × tokens."""
    return f"{found['width']} × {found['layers']}, {found['batch']} × {found['length']}"


def answer(found: dict[str, Any]) -> str:
    """Yes, no, or that it was refused."""
    if "refused" in found:
        return "refused"
    return "fits" if found["fits"] else "does not fit"


def spare(found: dict[str, Any]) -> int | None:
    """Bytes a chip left over, negative where they lack; None where the compiler gave no total."""
    memory = found.get("memory", {})
    return memory["hbm"] - memory["total"] if "total" in memory else None


def advice(found: dict[str, Any]) -> str:
    """What would make it fit, of what was compiled and does; or why not."""
    if "refused" in found:
        return str(found["refused"])
    for one in found.get("would_fit", []):
        return " ".join(f"--place {name}={value}" for name, value in one["place"].items())
    return "" if found["fits"] else "more chips, or a smaller batch"


def as_text(rows: list[dict[str, Any]], topology: str) -> str:
    """The verdicts as a table for a person."""
    header = ["width × layers, batch", "runs", "verdict", "GB to spare a chip", "what would make it fit"]
    cells = []
    for found in rows:
        left = spare(found)
        gigabytes = "" if left is None else f"{left / 1e9:.2f}"
        cells.append([named(found), str(found["runs"]), answer(found), gigabytes, advice(found)])
    fit = sum(found["fits"] for found in rows)
    return f"{table(header, cells)}\n\n{fit} of {len(rows)} shapes fit a chip of {topology}"
