"""`check --topology`: compiles every shape of a sweep for a TPU slice before one is paid for.

Each shape is a process of `python -m scaling aot`, which keeps its verdict under the store by what it depends on:
shape, placement, slice, versions and source. What was compiled once is not compiled again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.config import exit_status
from scaling.config.run import RunConfig
from scaling.config.validation import to_dict
from scaling.store.files import write_json
from scaling.store.record import Store
from sweeps.cost.compiled_time import write_step_seconds
from sweeps.errors import SweepError
from sweeps.format import duration, text_table
from sweeps.planning.plan import Plan, step_shape
from sweeps.status.live import COUNT_COLUMNS, ProgressBar

AOT = (sys.executable, "-m", "scaling", "aot")
COMPILER_BYTES = 4 * 2**30  # of this machine's memory, for one compiler
GIGABYTE = 1e9
Row = dict[str, Any]


@dataclass
class CompilerProcesses:
    """The compilers at work, so that none outlives this process."""

    running: dict[int, subprocess.Popen[str]] = field(default_factory=dict)
    stopped: bool = False

    def run(self, command: list[str]) -> tuple[int, str, str]:
        """Runs a command in a process group of its own; returns exit status, standard output and standard error."""
        if self.stopped:
            return -signal.SIGTERM, "", "stopped"
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            start_new_session=True,
        ) as child:  # fmt: skip
            self.running[child.pid] = child
            try:
                output, errors = child.communicate()
            finally:
                self.running.pop(child.pid, None)
        return child.returncode, output, errors

    def stop(self) -> None:
        """Ends the compilers and their children."""
        self.stopped = True
        for pid in list(self.running):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)


@dataclass(frozen=True, kw_only=True)
class CompileTarget:
    """What shapes are compiled for.

    Attributes:
        topology: TPU slice, as v5e-16.
        placement: Fields of the placement, as texts FIELD=VALUE.
        cache: Folder of the verdicts.
    """

    topology: str
    placement: list[str]
    cache: Path


def distinct_shapes(plan: Plan) -> list[tuple[RunConfig, int]]:
    """Returns a run of each distinct shape and the number of its runs, in order of execution."""
    first: dict[object, RunConfig] = {}
    count: dict[object, int] = {}
    for run in plan.runs:
        key = step_shape(run.config)
        first.setdefault(key, run.config)
        count[key] = count.get(key, 0) + 1
    return [(config, count[key]) for key, config in first.items()]


def compile_shapes(plan: Plan, store: Store, topology: str, placement: list[str]) -> list[Row]:
    """Compiles each shape of a plan, and keeps the compiler's step times in the store.

    Args:
        plan: The sweep.
        store: Where the verdicts are kept.
        topology: TPU slice, as v5e-16.
        placement: Fields of the placement, as texts FIELD=VALUE.

    Returns:
        A row for each shape: width, layers, length, batch, runs, fits, and what the compiler reports or why it refused.

    Raises:
        SweepError: Nothing can be compiled: the slice or the placement is unknown, or there is no compiler.
    """
    shapes = distinct_shapes(plan)
    rows = [shape_row(config, runs) for config, runs in shapes]
    target = CompileTarget(topology=topology, placement=placement, cache=store.root / "aot")
    processes = CompilerProcesses()
    with progress(len(rows), topology) as advance, ThreadPoolExecutor(compiler_count()) as pool:
        pending = {
            pool.submit(compile_verdict, config, target, processes): place for place, (config, _) in enumerate(shapes)
        }
        try:
            for future in as_completed(pending):
                rows[pending[future]].update(future.result())
                advance(rows[pending[future]])
        except BaseException:
            processes.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    seconds = [
        (to_dict(config), row["compiler_seconds"])
        for (config, _), row in zip(shapes, rows, strict=True)
        if "compiler_seconds" in row
    ]
    write_step_seconds(store, topology, seconds)
    return rows


def shape_row(config: RunConfig, runs: int) -> Row:
    """Returns the sizes of a shape.

    Args:
        config: A run of the shape.
        runs: Number of its runs.
    """
    model = config.model
    sizes = {"width": model.width, "layers": model.layers, "length": config.data.length, "batch": config.batch}
    return {**sizes, "runs": runs}


def compile_verdict(config: RunConfig, target: CompileTarget, processes: CompilerProcesses) -> Row:
    """Compiles a shape and returns the verdict of `scaling aot`; `refused` and its reason where the compiler failed.

    Args:
        config: A run of the shape.
        target: What it is compiled for.
        processes: The compilers at work.

    Raises:
        SweepError: `aot` refused its input.
    """
    path = target.cache / "asked" / f"{os.getpid()}-{id(config):x}.json"
    write_json(path, to_dict(config))
    try:
        place = [part for field in target.placement for part in ("--place", field)]
        cache = ["--cache", str(target.cache)]
        command = [*AOT, str(path), "--topology", target.topology, *place, *cache, "--json"]
        status, output, errors = processes.run(command)
    finally:
        path.unlink()
    lines = output.strip().splitlines()
    if status in (exit_status.DONE, exit_status.FAILED) and lines:  # it fits or does not
        return dict(json.loads(lines[-1]))
    message = (errors.strip().splitlines() or [f"aot ended with {status} and no message"])[-1]
    message = message.removeprefix("scaling aot: ")
    if status == exit_status.BAD_INPUT:
        raise SweepError(message)
    return {"fits": False, "refused": message}


def compiler_count() -> int:
    """Returns how many compilers run at the same time: one per core, as far as memory is free for them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, available_memory() // COMPILER_BYTES))


def available_memory() -> int:
    """Returns the bytes of memory that are free on this machine; one compiler's where it does not say."""
    with suppress(OSError), open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return COMPILER_BYTES


@contextmanager
def progress(total: int, topology: str) -> Iterator[Callable[[Row], None]]:
    """Yields a function to call with each row that is ready: a bar on a terminal, else a line each, on stderr.

    Args:
        total: Number of shapes.
        topology: TPU slice.
    """
    if sys.stderr.isatty():
        bar = ProgressBar(f"compiling for {topology}", total, COUNT_COLUMNS)
        bar.start()
        try:
            yield lambda _: bar.advance()
        finally:
            bar.stop()
        return
    began, done = time.monotonic(), 0

    def print_row(row: Row) -> None:
        nonlocal done
        done += 1
        seconds_left = (time.monotonic() - began) / done * (total - done)
        estimate = f", about {duration(seconds_left)} left" if done < total else ""
        verdict = f"{shape_name(row)}: {verdict_text(row)}"
        print(f"{done} of {total} shapes for {topology}: {verdict}{estimate}", file=sys.stderr)

    yield print_row


def shape_name(row: Row) -> str:
    """Returns a shape as width × layers, sequences × tokens."""
    return f"{row['width']} × {row['layers']}, {row['batch']} × {row['length']}"


def verdict_text(row: Row) -> str:
    """Returns whether a shape fits, or that the compiler refused it."""
    if "refused" in row:
        return "refused"
    return "fits" if row["fits"] else "does not fit"


def spare_memory(row: Row) -> int | None:
    """Returns the bytes left over on a chip, negative where they lack; None where the compiler gave no total."""
    memory = row.get("memory", {})
    return memory["hbm"] - memory["total"] if "total" in memory else None


def advice(row: Row) -> str:
    """Returns a placement that was compiled and makes the shape fit, else what else would help, or why it failed."""
    if "refused" in row:
        return str(row["refused"])
    for placement in row.get("would_fit", []):
        return " ".join(f"--place {name}={value}" for name, value in placement["place"].items())
    return "" if row["fits"] else "more chips, or a smaller batch"


def as_text(rows: list[Row], topology: str) -> str:
    """Returns the verdicts as a table.

    Args:
        rows: Of the shapes.
        topology: TPU slice.
    """
    header = ["width × layers, batch", "runs", "verdict", "spare GB per chip", "what would make it fit"]
    cells = []
    for row in rows:
        spare = spare_memory(row)
        gigabytes = "" if spare is None else f"{spare / GIGABYTE:.2f}"
        cells.append([shape_name(row), str(row["runs"]), verdict_text(row), gigabytes, advice(row)])
    fitting = sum(row["fits"] for row in rows)
    return f"{text_table(header, cells)}\n\n{fitting} of {len(rows)} shapes fit a chip of {topology}"
