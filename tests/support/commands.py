"""Running the project's commands in processes of their own, what such processes cost, and where files are."""

import contextlib
import importlib
import io
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Published data sets, where they are at hand.
PUBLISHED = Path(os.environ.get("SCALING_DATA", ROOT.parent / "shared" / "data"))


def command(*arguments: object, timeout: float = 240, **environment: object) -> subprocess.CompletedProcess[str]:
    """Run `python -m ARGUMENTS` in a process of its own, on one device unless `XLA_FLAGS` is given."""
    env = {**os.environ, "XLA_FLAGS": "", **{k: str(v) for k, v in environment.items()}}
    line = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=env, timeout=timeout, check=False)


def call_command(package: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """What `python -m PACKAGE ARGUMENTS` answers, without the seconds that a process takes to import its libraries."""
    main = importlib.import_module(f"{package}.__main__").main
    output, errors, words = io.StringIO(), io.StringIO(), [str(argument) for argument in arguments]
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            status = main(words)
        except SystemExit as stop:  # argparse, at wrong arguments and after --help
            status = stop.code
    return subprocess.CompletedProcess([package, *words], status, output.getvalue(), errors.getvalue())


def processor_seconds(call: Callable[[], object]) -> float:
    """Processor seconds of the processes that a call starts and waits for: their duration on an idle machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    call()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def outcomes(hosts: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit status, standard output and standard error of processes, once they have all ended."""
    outputs = [host.communicate(timeout=400) for host in hosts]
    return [(host.returncode, out, err) for host, (out, err) in zip(hosts, outputs, strict=True)]
