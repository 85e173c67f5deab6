"""Programs that a model wrote, each run in a process of its own with little to spend and nothing to see.

Limits: processor seconds, memory, size and number of files; an empty folder that is deleted after, an empty
environment, no network and no sight of other processes where the system can take them away. That keeps accidents
small; it is no wall against a program that means harm: run what a stranger's model wrote on a machine you can lose.
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

# Sets the limits from within, then becomes the program: nothing runs between a fork and its exec in our own process.
LIMITED_PROGRAM = """
import os, resource, sys
for name, most in (("CPU", {cpu}), ("AS", {memory}), ("FSIZE", {file}), ("CORE", 0), ("NOFILE", 32)):
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (most, most))
os.execv(sys.executable, [sys.executable, "-I", "-S", "-B", "program.py"])
"""


def program_passes(
    program: str, *, cpu: int = CPU_SECONDS, wall: float = WALL_SECONDS, memory: int = MEMORY_BYTES
) -> bool:
    """Whether a program runs to its last line within its limits."""
    word = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="program-") as folder:
        (Path(folder) / "program.py").write_text(f"{program}\n\nprint({word!r})\n", encoding="utf-8", errors="replace")
        with (Path(folder) / "said").open("w+b") as said:
            ended = run_isolated([*isolation_command(), sys.executable, "-I", "-S", "-B", "-c",
                         LIMITED_PROGRAM.format(cpu=cpu, memory=memory, file=FILE_BYTES)], folder, said.fileno(), wall)  # fmt: skip
            said.seek(0)
            return ended == 0 and said.read(2 * FILE_BYTES).rstrip().endswith(word.encode())


def run_isolated(line: list[str], folder: str, out: int, wall: float) -> int | None:
    """Its exit status, None where its time ran out; whatever it has started ends with it."""
    process = subprocess.Popen(
        line, cwd=folder, env={}, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait(wall)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@functools.cache
def isolation_command() -> tuple[str, ...]:
    """What takes the network and the sight of other processes away from a command, as far as this system allows."""
    unshare = shutil.which("unshare")
    for flags in (("-rnpf", "--kill-child"), ("-rn",), ("-n",)):
        line = (unshare or "unshare", *flags)
        if unshare and subprocess.run([*line, "true"], capture_output=True, check=False).returncode == 0:
            return line
    return ()


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Chance that one of k draws without return passes, unbiased (Chen 2021, equation 1)."""
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} of {samples} samples: k must be from 1 to {samples}")
    return 1 - math.comb(samples - passed, k) / math.comb(samples, k)
