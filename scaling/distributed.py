"""One run on many hosts: how they start, agree and stop together.

    python -m scaling train CONFIG.json --store DIR --hosts 4 --host 2 --coordinator 10.0.0.1:8482

on each host, all with the same store; or `--hosts auto` where JAX can tell by itself (TPU pods, SLURM,
Open MPI). JAX aborts a process whose fellow is lost, with a stack trace: so each host's work is done in a
child, whose end the parent turns into one line and a status that says whether to run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from scaling.checked import ConfigError, require

LOST = 75  # run again: the newest checkpoint is there
STARTED = "\x01started\n"  # a child to its parent: every host came
VOICE = "SCALING_VOICE"  # environment of a child: the descriptor its lines go to
DEADLINE = 300.0  # seconds

T = TypeVar("T")


@dataclass(frozen=True)
class Hosts:
    """Which of how many hosts this one is; None: for JAX to find out."""

    count: int | None
    index: int | None
    coordinator: str | None  # address:port of host 0
    deadline: float  # seconds that a host may take to come, or be silent

    def __str__(self) -> str:
        return "this host" if self.index is None else f"host {self.index} of {self.count}"


class HostLost(RuntimeError):
    """Another host is gone: run again, on as many as are left."""


class Elsewhere(RuntimeError):
    """What failed on host 0."""


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


def _lost(deadline: float) -> str:
    return f"another host was lost or silent for {deadline:g} s; run again, on the hosts that are left"


def start(hosts: Hosts) -> None:
    """Meets the other hosts (in a child of `supervise`); the process is aborted where one does not come."""
    global _deadline
    _deadline = hosts.deadline
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


_deadline = DEADLINE
_calls = itertools.count()  # every host makes the same calls in the same order


def _client() -> Any:
    from jax._src import distributed  # where Orbax takes it from too: JAX gives it no public name

    return distributed.global_state.client


def many() -> bool:
    """Whether there is more than one host."""
    import jax

    return jax.process_count() > 1


def first() -> bool:
    """Whether this host writes records and speaks."""
    import jax

    return jax.process_index() == 0


def agree(make: Callable[[], T]) -> T:
    """What `make()` gave on host 0 (JSON), on every host; where it raised there, all raise."""
    if not many():
        return make()
    key = f"scaling/{next(_calls)}"
    if first():
        try:
            value = make()
        except Exception as error:
            line = " ".join(str(error).split()) or type(error).__name__
            _client().key_value_set(key, json.dumps({"error": line}))
            raise
        _client().key_value_set(key, json.dumps({"value": value}))
        return value
    said = json.loads(_waited(lambda wait: _client().blocking_key_value_get(key, wait)))
    if "error" in said:
        raise Elsewhere(said["error"])
    return said["value"]


def gather(value: T) -> list[T]:
    """Each host's `value` (JSON), in order of hosts; all wait for the last."""
    if not many():
        return [value]
    import jax

    key = f"scaling/{next(_calls)}"
    _client().key_value_set(f"{key}/{jax.process_index()}", json.dumps(value))
    _waited(lambda wait: _client().wait_at_barrier(key, wait))
    texts = (_client().blocking_key_value_get(f"{key}/{i}", 1000) for i in range(jax.process_count()))
    return [json.loads(text) for text in texts]


def _waited(call: Callable[[int], T]) -> T:
    """`call` with the deadline in milliseconds; HostLost where it passes."""
    try:
        return call(int(_deadline * 1000))
    except Exception as error:
        raise told(error) from error


def told(error: Exception) -> Exception:
    """`error`, or HostLost where it is what another host's end looks like from here."""
    import jax

    if not many() or not isinstance(error, jax.errors.JaxRuntimeError | ValueError) or isinstance(error, ConfigError):
        return error
    signs = ("Gloo", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "Connection")
    return HostLost(_lost(_deadline)) if any(sign in str(error) for sign in signs) else error


def leave(error: HostLost) -> NoReturn:
    """Ends this process as one that lost another: at once, for JAX would wait for it."""
    import jax

    print(f"scaling train: host {jax.process_index()} of {jax.process_count()}: {error}", file=sys.stderr)
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(LOST)


def finish() -> None:
    """Waits for the other hosts before this one's process may end."""
    if many():
        import jax

        jax.distributed.shutdown()


LOST_RUN, STOP, SAVE = 3, 2, 1


class Word:
    """A number that every host says at each step, and the largest that was said: all hear it at the same step.

    One host hears its own at once; many hear what was said a step ago, so that none waits for it.
    """

    def __init__(self) -> None:
        self.said: Any = None
        if many():
            import jax
            from jax.sharding import Mesh, NamedSharding, PartitionSpec

            mesh = Mesh(jax.devices(), ("host",))
            self.each, whole = NamedSharding(mesh, PartitionSpec("host")), NamedSharding(mesh, PartitionSpec())
            self.largest = jax.jit(lambda words: words.max(), out_shardings=whole)

    def exchange(self, word: int) -> int:
        """Says `word`; the largest that was said."""
        if not many():
            return word
        import jax
        import numpy as np

        before = self.said
        mine = np.full(jax.local_device_count(), word, np.int32)
        self.said = self.largest(jax.make_array_from_process_local_data(self.each, mine, (jax.device_count(),)))
        return 0 if before is None else int(before)
