"""`check --topology`: compiles every shape of a sweep for a TPU slice, on a machine without a TPU.

Each shape is compiled by a process of `python -m scaling aot`, which caches its result in the store by shape,
placement, slice, versions and source code.
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
from scaling.config.user_code.blocks import code_sources
from scaling.config.validation import to_dict
from scaling.store.files import write_json
from scaling.store.record import Store
from sweeps.cost.compiled_time import write_step_seconds
from sweeps.errors import SweepError
from sweeps.format import duration, text_table
from sweeps.monitoring.live import COUNT_COLUMNS, ProgressBar
from sweeps.planning.plan import Plan, step_shape

AOT = (sys.executable, "-m", "scaling", "aot")
COMPILER_BYTES = 4 * 2**30  # memory of this machine that one compiler needs
GIGABYTE = 1e9
Row = dict[str, Any]


@dataclass
class CompilerProcesses:
    """The running compiler processes, which are ended together with this process.

    Attributes:
        running: The processes by process id.
        stopped: Whether `stop` was called; no process is started afterwards.
    """

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
        """Ends the compilers and their child processes."""
        self.stopped = True
        for pid in list(self.running):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)


@dataclass(frozen=True, kw_only=True)
class CompileTarget:
    """The slice and placement that shapes are compiled for.

    Attributes:
        topology: TPU slice, such as v5e-16.
        placement: Fields of the placement, FIELD=VALUE each.
        cache: Folder of cached results.
    """

    topology: str
    placement: list[str]
    cache: Path


def distinct_shapes(plan: Plan) -> list[tuple[RunConfig, int]]:
    """Returns one run of each distinct shape and the number of runs of that shape, in order of execution."""
    first: dict[object, RunConfig] = {}
    count: dict[object, int] = {}
    for run in (run for run in plan.runs if run.config.sae is None):  # autoencoders are trained on one chip
        key = step_shape(run.config)
        first.setdefault(key, run.config)
        count[key] = count.get(key, 0) + 1
    return [(config, count[key]) for key, config in first.items()]


def compile_shapes(plan: Plan, store: Store, topology: str, placement: list[str]) -> list[Row]:
    """Compiles each shape of a plan and writes the compiler's step times to the store.

    Args:
        plan: The sweep.
        store: The store for the verdicts.
        topology: TPU slice, such as v5e-16.
        placement: Fields of the placement, FIELD=VALUE each.

    Returns:
        A row for each shape: width, layers, length, batch, runs, fits, and the compiler's report or error.

    Raises:
        SweepError: The slice or the placement is unknown, or the compiler is not installed.
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
        runs: Number of runs of the shape.
    """
    model = config.model
    sizes = {"width": model.width, "layers": model.layers, "length": config.data.length, "batch": config.batch}
    return {**sizes, "runs": runs}


def compile_verdict(config: RunConfig, target: CompileTarget, processes: CompilerProcesses) -> Row:
    """Compiles a shape and returns the result of `scaling aot`; `refused` has the error if the compiler failed.

    Args:
        config: A run of the shape.
        target: The slice and placement.
        processes: The running compilers.

    Raises:
        SweepError: `aot` rejected its input.
    """
    path = target.cache / "asked" / f"{os.getpid()}-{id(config):x}.json"
    write_json(path, to_dict(config))
    try:
        place = [part for field in target.placement for part in ("--place", field)]
        cache = ["--cache", str(target.cache)]
        code = [word for source in code_sources() for word in ("--code", source)]
        command = [*AOT, str(path), "--topology", target.topology, *place, *cache, *code, "--json"]
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
    """Returns the number of concurrent compilers: one per core, limited by the free memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, available_memory() // COMPILER_BYTES))


def available_memory() -> int:
    """Returns the free memory of this machine in bytes, or COMPILER_BYTES if it is unknown."""
    with suppress(OSError), open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return COMPILER_BYTES


@contextmanager
def progress(total: int, topology: str) -> Iterator[Callable[[Row], None]]:
    """Yields a function that shows the progress when called with a finished row: a bar on a terminal, else lines.

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
    """Returns the name of a shape: width × layers, sequences × tokens."""
    return f"{row['width']} × {row['layers']}, {row['batch']} × {row['length']}"


def verdict_text(row: Row) -> str:
    """Returns "fits", "does not fit", or "refused" if the compiler failed."""
    if "refused" in row:
        return "refused"
    return "fits" if row["fits"] else "does not fit"


def spare_memory(row: Row) -> int | None:
    """Returns the free bytes per chip (negative if the shape does not fit); None without a total from the compiler."""
    memory = row.get("memory", {})
    return memory["hbm"] - memory["total"] if "total" in memory else None


def advice(row: Row) -> str:
    """Returns a compiled placement with which the shape fits, other advice, or the compiler's error."""
    if "refused" in row:
        return str(row["refused"])
    for placement in row.get("would_fit", []):
        return " ".join(f"--place {name}={value}" for name, value in placement["place"].items())
    return "" if row["fits"] else "more chips, or a smaller batch"


def as_text(rows: list[Row], topology: str) -> str:
    """Formats the results as a table.

    Args:
        rows: One row per shape.
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
