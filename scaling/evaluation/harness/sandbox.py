"""Runs programs written by a model, each in its own process with limited resources and an empty environment.

Limits: CPU time, memory, size and number of files. A program runs in an empty temporary folder, without environment
variables and, where the system allows it, without network access and without seeing other processes. This protects
against accidents, not against malicious programs: run untrusted models on a disposable machine.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

CPU_SECONDS, WALL_SECONDS, MEMORY_BYTES, FILE_BYTES = 5, 15, 512 * 2**20, 2**20
MAX_FILES = 32  # open at once
INTERPRETER = (sys.executable, "-I", "-S", "-B")  # isolated, without site packages and compiled files

# The child sets its own limits, then becomes the program: no code of this process runs between fork and exec.
LIMITED_PROGRAM = """
import os, resource, sys
limits = (("CPU", {cpu}), ("AS", {memory}), ("FSIZE", {file}), ("CORE", 0), ("NOFILE", {files}))
for name, limit in limits:
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (limit, limit))
os.execv(sys.executable, [sys.executable, "-I", "-S", "-B", "program.py"])
"""


def program_passes(
    program: str, *, cpu_seconds: int = CPU_SECONDS, wall_seconds: float = WALL_SECONDS, memory: int = MEMORY_BYTES
) -> bool:
    """Whether a program runs to its last line within the limits.

    Args:
        program: The source text.
        cpu_seconds: Processor seconds.
        wall_seconds: Seconds of real time.
        memory: Bytes of memory.
    """
    marker = secrets.token_hex(16)  # printed by a last line that the program cannot guess
    source = f"{program}\n\nprint({marker!r})\n"
    limited = LIMITED_PROGRAM.format(cpu=cpu_seconds, memory=memory, file=FILE_BYTES, files=MAX_FILES)
    with tempfile.TemporaryDirectory(prefix="program-") as folder:
        (Path(folder) / "program.py").write_text(source, encoding="utf-8", errors="replace")
        with (Path(folder) / "output").open("w+b") as output:
            command = [*isolation_command(), *INTERPRETER, "-c", limited]
            status = run_isolated(command, folder, output.fileno(), wall_seconds)
            output.seek(0)
            return status == 0 and output.read(2 * FILE_BYTES).rstrip().endswith(marker.encode())


def run_isolated(command: list[str], folder: str, output: int, wall_seconds: float) -> int | None:
    """Runs a command and kills its process group afterwards.

    Args:
        command: The command.
        folder: Its working folder.
        output: File descriptor of its standard output.
        wall_seconds: Seconds after which it is killed.

    Returns:
        Its exit status, None where it was killed.
    """
    process = subprocess.Popen(
        command, cwd=folder, env={}, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait(wall_seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@functools.cache
def isolation_command() -> tuple[str, ...]:
    """Returns a command prefix that hides the network and other processes, as far as this system allows."""
    unshare = shutil.which("unshare")
    for flags in (("-rnpf", "--kill-child"), ("-rn",), ("-n",)):
        command = (unshare or "unshare", *flags)
        if unshare and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return ()


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Returns the probability that one of k samples passes, unbiased (Chen 2021, equation 1).

    Args:
        samples: Number of samples.
        passed: How many of them pass.
        k: Samples drawn without replacement.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} of {samples} samples: k must be from 1 to {samples}")
    return 1 - math.comb(samples - passed, k) / math.comb(samples, k)
