"""Runs programs that a model wrote against the tests of their benchmark."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from scaling.config.validation import ConfigError
from scaling.evaluation.harness.sandbox import isolation, worker
from scaling.evaluation.harness.sandbox.isolation import NO_ISOLATION, Isolation

GRACE_SECONDS = 0.2  # for the candidate to end after the tester
SIGNALLED = 128  # from this exit status on, a process was ended by a signal
MAX_REASON_LENGTH = 200  # characters of an error of bubblewrap
INTERPRETER_FLAGS = ("-I", "-S", "-B")  # isolated, without site packages, without writing compiled files
UNSAFE_HINT = "--unsafe-run-code runs them without isolation"


class SandboxError(RuntimeError):
    """A sandbox did not start: whether the program is right is unknown."""


@dataclass(frozen=True)
class Problem:
    """A function to be completed, as in HumanEval (Chen 2021).

    Attributes:
        prompt: Text that ends with the head of the function.
        test: Source that defines `check(candidate)`.
        entry_point: Name of the function.
    """

    prompt: str
    test: str
    entry_point: str


@dataclass(frozen=True)
class Limits:
    """Limits of a program; those of the tests are the same.

    Attributes:
        cpu_seconds: Processor time.
        wall_seconds: Time of both together.
        memory: Bytes of address space. A program is one process, so that this is the total.
        file_bytes: Size of one file.
        open_files: Files open at once.
        threads: Threads at once.
    """

    cpu_seconds: int = 5
    wall_seconds: float = 15
    memory: int = 512 * 2**20
    file_bytes: int = 2**20
    open_files: int = 32
    threads: int = 32

    def resources(self, *, is_isolated: bool) -> dict[str, int]:
        """Returns the limits of a process by the name of the resource, without the RLIMIT_.

        Args:
            is_isolated: Whether the process has a user namespace; otherwise its threads are counted with all
                processes of the user and are not limited.
        """
        limits = {
            "CPU": self.cpu_seconds, "AS": self.memory, "FSIZE": self.file_bytes, "NOFILE": self.open_files, "CORE": 0,
        }  # fmt: skip
        return limits | ({"NPROC": self.threads} if is_isolated else {})


TRIAL = Problem("def answer():\n", "def check(candidate):\n    assert candidate() == 1\n", "answer")


@functools.cache
def find_isolation() -> Isolation:
    """Returns how programs are isolated on this machine, after a trial.

    Raises:
        ConfigError: They cannot be isolated; the message says what is missing.
    """
    try:
        reasons = []
        for possible in isolation.possible_isolations():
            try:
                if program_passes(TRIAL, "    return 1\n", possible):
                    return possible
                reasons.append("a trial program did not run to its end")
            except SandboxError as error:
                reasons.append(str(error))
        raise ConfigError(
            f"bubblewrap cannot isolate programs here ({'; '.join(dict.fromkeys(reasons))}): {isolation.remedy()}"
        )
    except ConfigError as error:
        raise ConfigError(f"--run-code: {error}; {UNSAFE_HINT}") from None


def run_programs(programs: Sequence[tuple[Problem, str]], isolated: Isolation, limits: Limits = Limits()) -> list[bool]:
    """Runs several programs, as many at once as there are processors.

    Args:
        programs: Problems with the text that completes each.
        isolated: How their processes are started.
        limits: Limits of each program.

    Returns:
        Whether each program passes its tests.

    Raises:
        SandboxError: A sandbox did not start.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        runs = [pool.submit(program_passes, problem, text, isolated, limits) for problem, text in programs]
        try:
            return [run.result() for run in runs]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def program_passes(problem: Problem, text: str, isolated: Isolation, limits: Limits = Limits()) -> bool:
    """Whether a program passes its tests within the limits.

    Args:
        problem: The problem.
        text: The text that completes its prompt.
        isolated: How the processes are started.
        limits: Limits of the program and of its tests.

    Raises:
        SandboxError: A sandbox did not start.
    """
    description = {"program": problem.prompt + text, "prompt": problem.prompt, "test": problem.test}
    with tempfile.TemporaryFile() as errors, working_folder(isolated) as folder, contextlib.ExitStack() as processes:
        requests, answers = os.pipe(), os.pipe()
        try:
            start = functools.partial(start_worker, isolated, limits, folder, errors)
            candidate = start(["candidate"], requests[0], answers[1])
            processes.callback(end, candidate)
            tester = start(["tester", answers[0], requests[1]], subprocess.PIPE, subprocess.DEVNULL)
            processes.callback(end, tester)
        finally:
            for descriptor in (*requests, *answers):
                os.close(descriptor)
        try:
            tester.communicate(
                json.dumps(description | {"entry_point": problem.entry_point}).encode(), limits.wall_seconds
            )
        except subprocess.TimeoutExpired:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            candidate.wait(GRACE_SECONDS)
        if tester.returncode in (worker.PASSED, worker.FAILED):
            return tester.returncode == worker.PASSED
        if tester.returncode < 0 or tester.returncode >= SIGNALLED:  # a limit of the tests
            return False
        raise SandboxError(reason(errors) or f"the interpreter ended with status {tester.returncode}")


def start_worker(
    isolated: Isolation, limits: Limits, folder: str, errors: IO[bytes], arguments: Sequence[str | int],
    stdin: int, stdout: int,
) -> subprocess.Popen[bytes]:  # fmt: skip
    """Starts a process of `worker`.

    Args:
        isolated: How it is started.
        limits: Its limits.
        folder: Its working folder without isolation.
        errors: File for its standard error.
        arguments: Its part, and the file descriptors that it inherits.
        stdin: File descriptor of its standard input.
        stdout: File descriptor of its standard output.
    """
    part, *descriptors = arguments
    resources = json.dumps(limits.resources(is_isolated=isolated is not NO_ISOLATION))
    with filter_pipe(isolated.system_calls) as filter_descriptor:
        inherited = [int(descriptor) for descriptor in (*descriptors, filter_descriptor) if descriptor is not None]
        command = [
            *isolated.command(filter_descriptor), *INTERPRETER_FLAGS, "-c", worker_source(), str(part), resources,
            *map(str, descriptors),
        ]  # fmt: skip
        return subprocess.Popen(
            command, cwd=folder, env={}, stdin=stdin, stdout=stdout, stderr=errors, pass_fds=inherited,
            start_new_session=True,
        )  # fmt: skip


@contextlib.contextmanager
def filter_pipe(system_calls: bytes) -> Iterator[int | None]:
    """Opens a pipe from which a filter of system calls can be read.

    Args:
        system_calls: The filter, smaller than the buffer of a pipe; empty for None in place of a file descriptor.
    """
    if not system_calls:
        yield None
        return
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as file:
            file.write(system_calls)
        yield reading
    finally:
        os.close(reading)


@functools.cache
def worker_source() -> str:
    """Returns the source of `worker`: its file may be one that the user of the sandbox cannot read."""
    return Path(worker.__file__).read_text("utf-8")


@contextlib.contextmanager
def working_folder(isolated: Isolation) -> Iterator[str]:
    """Yields the working folder of the processes; a temporary one without isolation.

    Args:
        isolated: How the processes are started.
    """
    if isolated is not NO_ISOLATION:
        yield "/"  # bubblewrap changes to the folder that it made
        return
    folder = tempfile.mkdtemp(prefix="program-")
    try:
        yield folder
    finally:  # by these programs, which folders of any depth do not stop
        for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
            subprocess.run([*command, "--", folder], check=False, capture_output=True)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and its process group; in a sandbox, the kernel ends what else runs in it.

    Args:
        process: The process.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def reason(errors: IO[bytes]) -> str:
    """Returns the last line that a process wrote to standard error.

    Args:
        errors: The file.
    """
    errors.seek(0)
    lines = errors.read(2**16).decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:MAX_REASON_LENGTH] if lines else ""
