"""Commands in processes with limits: a server with the imported packages forks one process per command.

A command costs what it computes, not what Python takes to import its libraries. Its process has time limits, a memory
limit and no right to read files against their modes (a process of root has it otherwise); what it writes to either
stream is kept.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import gc
import importlib
import json
import math
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.commands import ROOT

PACKAGES = ("scaling", "sweeps", "analysis")
# What the commands import themselves; with JAX first, whose threads start only with its devices.
LIBRARIES = ("numpy", "pandas", "pyarrow.parquet", "pyarrow.csv", "scipy.optimize", "scipy.stats", "jinja2")
DRAWING = ("matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg")
TRAINING = ("jax", "flax.linen", "optax", "orbax.checkpoint")
MEMORY_BYTES = 4 << 30  # address space of a command without JAX, which reserves more than it uses
CAPABILITIES = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH of linux/capability.h
PR_CAPBSET_DROP, CAPABILITY_VERSION = 24, 0x20080522
POLL_SECONDS = 0.002
WAITING = 5  # a machine that others use runs a command for a part of the time


@dataclass(frozen=True)
class Request:
    """A command to run.

    Attributes:
        words: Package and arguments.
        folder: Working directory; streams are written to `stdout` and `stderr` beside it.
        seconds: Limit of processor time; of other time it is WAITING times as much.
        training: Whether the command may use JAX.
        index: Whether the store's cache of records is used although the store is small.
    """

    words: tuple[str, ...]
    folder: str
    seconds: float
    training: bool = False
    index: bool = False


@dataclass(frozen=True)
class Done:
    """A command that has ended: exit status (None after the time limit), streams, and seconds."""

    status: int | None
    stdout: str
    stderr: str
    seconds: float


class Server:
    """A process that runs commands."""

    def __init__(self, *libraries: str) -> None:
        """Starts the process, which imports the libraries."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHONPATH"))}
        environment |= {
            "PYTHONPATH": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1", "MPLBACKEND": "Agg", "XLA_FLAGS": "",
            "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2", "OPENBLAS_NUM_THREADS": "1",
            "SCALING_LEASE_SECONDS": "2", "SCALING_USER_CODE_SECONDS": "20",
        }  # fmt: skip
        environment.pop("JAX_NUMPY_RANK_PROMOTION", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.damage.process", *libraries],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
        )  # fmt: skip

    def run(self, request: Request) -> Done:
        """Runs a command and returns how it ended."""
        assert self.process.stdin and self.process.stdout
        print(json.dumps(asdict(request)), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, f"the server ended with status {self.process.wait()} at {request.words}"
        answer = json.loads(line)
        beside = Path(request.folder).parent
        output, errors = ((beside / name).read_bytes().decode(errors="replace") for name in ("stdout", "stderr"))
        return Done(answer["status"], output, errors, answer["seconds"])

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


@contextlib.contextmanager
def open_server(*libraries: str) -> Iterator[Server]:
    """Context with a server."""
    server = Server(*libraries)
    try:
        yield server
    finally:
        server.close()


def serve(libraries: list[str]) -> None:
    """Answers requests on standard input until it is closed."""
    for name in libraries:
        importlib.import_module(name)
    for package in PACKAGES[0 if "jax" in libraries else 1 :]:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(module.name)
    gc.freeze()  # a child copies the pages that its garbage collector would visit
    for line in sys.stdin:
        data = json.loads(line)
        request, began = Request(**{**data, "words": tuple(data["words"])}), time.monotonic()
        pid = os.fork()
        if pid == 0:
            run_child(request)
        status = wait(pid, request.seconds)
        print(json.dumps({"status": status, "seconds": time.monotonic() - began}), flush=True)


def wait(pid: int, seconds: float) -> int | None:
    """Waits for a process and ends its group; returns its exit status, None after a time limit."""
    deadline, state = time.monotonic() + WAITING * seconds, (0, 0)
    while state[0] == 0 and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        state = os.waitpid(pid, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    if state[0] == 0:
        os.waitpid(pid, 0)
        return None
    status = os.waitstatus_to_exitcode(state[1])
    return None if status in (-signal.SIGXCPU, -signal.SIGKILL) else status


def run_child(request: Request) -> None:
    """Runs a command in this process and ends it."""
    status = 1
    try:
        os.setsid()
        beside = Path(request.folder).parent
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(beside / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
        os.chdir(request.folder)
        os.environ["TMPDIR"] = str(beside / "temporary")
        if not request.training:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        limit = math.ceil(request.seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        drop_capabilities()
        status = call_main(request)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(status)


def call_main(request: Request) -> int:
    """Calls `main` of the package as `python -m` does; returns the exit status."""
    package, *arguments = request.words
    sys.argv = [f"{package}/__main__.py", *arguments]
    if request.index:
        importlib.import_module("analysis.data.record_cache").__dict__["MIN_RUNS"] = 1
    try:
        status = importlib.import_module(f"{package}.__main__").main(arguments)
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    atexit._run_exitfuncs()
    return int(status)


def drop_capabilities() -> None:
    """Makes file modes hold for root too, in this process and in those that it starts."""
    if sys.platform != "linux" or os.geteuid():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in CAPABILITIES:
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) and ctypes.get_errno() != errno.EPERM:
            raise OSError(ctypes.get_errno(), "prctl")
    permitted = [
        int(line.split()[1], 16) for line in Path("/proc/self/status").read_text().splitlines() if "CapPrm" in line
    ]
    remaining = permitted[0] & ~sum(1 << capability for capability in CAPABILITIES)
    low, high = remaining & 0xFFFFFFFF, remaining >> 32
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)  # effective, permitted, inheritable, twice 32 bits
    if libc.capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")


if __name__ == "__main__":
    serve(sys.argv[1:])
