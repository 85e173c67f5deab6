"""Starts a run on many hosts and ends it on all hosts together.

    python -m scaling train CONFIG.json --store DIR --hosts 4 --host 2 --coordinator 10.0.0.1:8482

on each host, all with the same store; or `--hosts auto` where JAX detects the hosts (TPU pods, SLURM, Open MPI).
JAX aborts a process with a stack trace when another host is lost. Therefore each host trains in a child process, and
the parent converts the abort to a one-line message and an exit status.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass

from scaling.config.exit_status import FAILED, STOPPED
from scaling.config.options import add_options, option, read_options
from scaling.config.user_code.process_exit import END_PROCESS
from scaling.config.validation import ConfigError, require
from scaling.distributed import collectives
from scaling.distributed.collectives import DEADLINE_SECONDS, host_lost_message

STARTED = "\x01started\n"  # written by a child to its parent when every host has joined
OUTPUT_FD_VARIABLE = "SCALING_OUTPUT_FD"  # environment variable of a child: the file descriptor for its output


def _parse_index(flag: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{flag} {text}: must be a whole number") from None


@dataclass(frozen=True)
class HostOptions:
    """Flags of a run on many hosts; all except the deadline can also be set by environment variables.

    Attributes:
        hosts: Number of hosts, or auto.
        host: Index of this host.
        coordinator: Address and port of host 0.
        deadline: Longest time in seconds for a host to start or respond.
    """

    hosts: str | None = option(
        None, "number of hosts (or SCALING_HOSTS); auto: detected from TPU pods, SLURM or Open MPI", metavar="N|auto"
    )
    host: int | None = option(None, "index of this host, from 0 (or SCALING_HOST)", metavar="I", parse=_parse_index)
    coordinator: str | None = option(None, "address of host 0 (or SCALING_COORDINATOR)", metavar="ADDRESS:PORT")
    deadline: float = option(
        DEADLINE_SECONDS,
        "longest time for a host to start or respond (default %(default)g)",
        metavar="SECONDS",
    )


@dataclass(frozen=True)
class Host:
    """This host, and how it connects to the others; JAX detects the fields that are None.

    Attributes:
        count: Number of hosts.
        index: Index of this host.
        coordinator: Address and port of host 0.
        deadline: Longest time in seconds for a host to start or respond.
    """

    count: int | None
    index: int | None
    coordinator: str | None
    deadline: float

    def __str__(self) -> str:
        return "this host" if self.index is None else f"host {self.index} of {self.count}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a run on many hosts."""
    group = parser.add_argument_group("many hosts", "one run over several machines that share the store")
    add_options(group, HostOptions)


def parse_hosts(args: argparse.Namespace) -> Host | None:
    """Returns the host that the flags or the environment describe; None for a run on one host.

    Raises:
        ConfigError: The flags are not valid or not complete.
    """
    options = read_options(HostOptions, args)
    count = options.hosts or os.environ.get("SCALING_HOSTS")
    if count is None and "," in os.environ.get("TPU_WORKER_HOSTNAMES", ""):
        count = "auto"
    require(options.deadline >= 1, f"--deadline {options.deadline:g}: must be 1 second or more")
    if count == "auto":
        return Host(None, None, None, options.deadline)
    index = options.host if options.host is not None else os.environ.get("SCALING_HOST")
    address = options.coordinator or os.environ.get("SCALING_COORDINATOR")
    if count is None:
        require(index is None and address is None, "--host and --coordinator: require --hosts N")
        return None
    require(count.isdecimal() and int(count) > 0, f"--hosts {count}: must be a number above 0, or auto")
    if int(count) == 1:
        return None
    complete = index is not None and address is not None
    require(complete, f"--hosts {count}: requires --host I and --coordinator ADDRESS:PORT")
    assert index is not None and address is not None
    require(str(index).isdecimal() and int(index) < int(count), f"--host {index}: must be from 0 to {int(count) - 1}")
    has_port = ":" in address and address.rpartition(":")[2].isdecimal()
    require(has_port, f"--coordinator {address}: must be ADDRESS:PORT")
    return Host(int(count), int(index), address, options.deadline)


def is_supervised() -> bool:
    """Returns whether this process is the child of `supervise`."""
    return OUTPUT_FD_VARIABLE in os.environ


def supervise(host: Host, argv: list[str]) -> int:
    """Runs a command in a child process and prints one line if the child was aborted.

    Args:
        host: This host.
        argv: Arguments of `python -m scaling`.

    Returns:
        The exit status.
    """
    read, write = os.pipe()
    started = False
    with tempfile.TemporaryFile() as errors, os.fdopen(read, encoding="utf-8", errors="replace") as lines:
        child = subprocess.Popen(
            [sys.executable, "-m", "scaling", *argv], stdin=subprocess.PIPE, stderr=errors, pass_fds=(write,),
            env={**os.environ, OUTPUT_FD_VARIABLE: str(write)}, start_new_session=True,
        )  # fmt: skip
        os.close(write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _: child.send_signal(received))
        for line in lines:
            if line == STARTED:
                started = True
            else:
                print(line, end="", file=sys.stderr, flush=True)
        status = child.wait()
        errors.seek(0)
        stderr = errors.read().decode(errors="replace")
    if os.environ.get("SCALING_TRACEBACK"):
        print(stderr, file=sys.stderr)
    if status >= 0:
        return status
    line, status = _explain_signal(host, -status, started, stderr)
    print(f"scaling train: {line}", file=sys.stderr)
    return status


def _explain_signal(host: Host, number: int, started: bool, stderr: str) -> tuple[str, int]:
    """Returns a line about the signal that ended a child, and the exit status for it."""
    if number == signal.SIGABRT and not started:
        address = f" to {host.coordinator}" if host.coordinator else ""
        return f"{host}: not every host connected{address} within {host.deadline:g} s", FAILED
    if number == signal.SIGABRT and "distributed service" in stderr:
        return f"{host}: {host_lost_message(host.deadline)}", STOPPED
    last = (stderr.strip().splitlines() or ["no output"])[-1]
    return f"{host}: ended by {signal.Signals(number).name}: {last[:200]}", 128 + number


def join_hosts(host: Host) -> None:
    """Connects a child of `supervise` to the other hosts; JAX aborts the process if a host does not start."""
    collectives.set_deadline(host.deadline)
    sys.stderr = os.fdopen(int(os.environ[OUTPUT_FD_VARIABLE]), "w", buffering=1, encoding="utf-8")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # Gloo writes to standard output, which is reserved for JSON events
    import jax

    jax.config.update("jax_enable_preemption_service", False)  # it would catch SIGTERM
    seconds = int(host.deadline)
    jax.distributed.initialize(
        host.coordinator, host.count, host.index, initialization_timeout=seconds,
        heartbeat_timeout_seconds=seconds, shutdown_timeout_seconds=seconds,
        cluster_detection_method=None if host.count is None else "deactivate",
    )  # fmt: skip
    sys.stderr.write(STARTED)


def _end_with_parent() -> None:
    sys.stdin.read()
    END_PROCESS(STOPPED)
