"""scaling.distributed.hosts."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass

from scaling.config.validation import require
from scaling.distributed import collectives
from scaling.distributed.collectives import DEADLINE, LOST, _lost

STARTED = "\x01started\n"  # a child to its parent: every host came

VOICE = "SCALING_VOICE"  # environment of a child: the descriptor its lines go to


@dataclass(frozen=True)
class Hosts:
    """Which of how many hosts this one is; None: for JAX to find out."""

    count: int | None
    index: int | None
    coordinator: str | None  # address:port of host 0
    deadline: float  # seconds that a host may take to come, or be silent

    def __str__(self) -> str:
        return "this host" if self.index is None else f"host {self.index} of {self.count}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of a run on many hosts."""
    many = parser.add_argument_group("many hosts", "one run over several machines that share the store")
    many.add_argument("--hosts", metavar="N|auto", help="how many (SCALING_HOSTS); auto: as TPU pods or SLURM say")
    many.add_argument("--host", type=int, metavar="I", help="this one's number, from 0 (SCALING_HOST)")
    many.add_argument("--coordinator", metavar="ADDRESS:PORT", help="where host 0 listens (SCALING_COORDINATOR)")
    many.add_argument("--deadline", type=float, default=DEADLINE, metavar="SECONDS",
                      help="for every host to come, and for one to be silent (default %(default)g)")  # fmt: skip


def asked(args: argparse.Namespace) -> Hosts | None:
    """The hosts that the flags or the environment name; None where there is one."""
    count = args.hosts or os.environ.get("SCALING_HOSTS")
    if count is None and "," in os.environ.get("TPU_WORKER_HOSTNAMES", ""):
        count = "auto"
    require(args.deadline >= 1, f"--deadline {args.deadline:g}: must be 1 second or more")
    if count == "auto":
        return Hosts(None, None, None, args.deadline)
    index = args.host if args.host is not None else os.environ.get("SCALING_HOST")
    where = args.coordinator or os.environ.get("SCALING_COORDINATOR")
    if count is None:
        require(index is None and where is None, "--host and --coordinator: need --hosts N beside them")
        return None
    require(count.isdecimal() and int(count) > 0, f"--hosts {count}: must be a number above 0, or auto")
    if int(count) == 1:
        return None
    require(index is not None and where is not None, f"--hosts {count}: needs --host I and --coordinator ADDRESS:PORT")
    assert index is not None and where is not None
    require(str(index).isdecimal() and int(index) < int(count), f"--host {index}: must be from 0 to {int(count) - 1}")
    require(where.rpartition(":")[2].isdecimal() and ":" in where, f"--coordinator {where}: must be ADDRESS:PORT")
    return Hosts(int(count), int(index), where, args.deadline)


def supervised() -> bool:
    """Whether this process is the child of a `supervise`."""
    return VOICE in os.environ


def supervise(hosts: Hosts, argv: list[str]) -> int:
    """Does the work of `argv` in a child and returns its exit status; one line where the child was aborted."""
    read, write = os.pipe()
    started = False
    with tempfile.TemporaryFile() as noise, os.fdopen(read, encoding="utf-8", errors="replace") as lines:
        child = subprocess.Popen(
            [sys.executable, "-m", "scaling", *argv], stdin=subprocess.PIPE, stderr=noise, pass_fds=(write,),
            env={**os.environ, VOICE: str(write)}, start_new_session=True,
        )  # fmt: skip
        os.close(write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _: child.send_signal(got))
        for line in lines:
            if line == STARTED:
                started = True
            else:
                print(line, end="", file=sys.stderr, flush=True)
        status = child.wait()
        noise.seek(0)
        said = noise.read().decode(errors="replace")
    if os.environ.get("SCALING_TRACEBACK"):
        print(said, file=sys.stderr)
    if status >= 0:
        return status
    line, status = _meaning(hosts, -status, started, said)
    print(f"scaling train: {line}", file=sys.stderr)
    return status


def _meaning(hosts: Hosts, number: int, started: bool, said: str) -> tuple[str, int]:
    """What a child's death by a signal meant, and the exit status for it."""
    if number == signal.SIGABRT and not started:
        where = f" to {hosts.coordinator}" if hosts.coordinator else ""
        return f"{hosts}: not every host came{where} within {hosts.deadline:g} s", 1
    if number == signal.SIGABRT and "distributed service" in said:
        return f"{hosts}: {_lost(hosts.deadline)}", LOST
    last = (said.strip().splitlines() or ["without a word"])[-1]
    return f"{hosts}: ended by {signal.Signals(number).name}: {last[:200]}", 128 + number


def start(hosts: Hosts) -> None:
    """Meets the other hosts (in a child of `supervise`); the process is aborted where one does not come."""
    collectives.set_deadline(hosts.deadline)
    sys.stderr = os.fdopen(int(os.environ[VOICE]), "w", buffering=1, encoding="utf-8")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # gloo greets on standard output, which is for programs
    import jax

    jax.config.update("jax_enable_preemption_service", False)  # it takes SIGTERM for itself
    seconds = int(hosts.deadline)
    jax.distributed.initialize(
        hosts.coordinator, hosts.count, hosts.index, initialization_timeout=seconds,
        heartbeat_timeout_seconds=seconds, shutdown_timeout_seconds=seconds,
        cluster_detection_method=None if hosts.count is None else "deactivate",
    )  # fmt: skip
    sys.stderr.write(STARTED)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(LOST)
