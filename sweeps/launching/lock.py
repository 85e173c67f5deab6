"""The lock that allows one launcher per sweep, and the signals that stop a launcher."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scaling.config.os_errors import check_regular, name_file, open_file
from scaling.store.files import process_exists
from scaling.store.origin.anonymous import host_name, is_this_host
from scaling.store.record import Store
from sweeps.errors import SweepError

HOLDER = re.compile(r"process (?P<pid>\d+) on (?P<host>\S+)")  # content of the lock file
HOLDER_BYTES = 200  # largest number of bytes read from the lock file, which names its holder


@dataclass
class StopSignals:
    """Numbers of received and of answered stop signals."""

    count: int = 0
    answered: int = 0

    @property
    def pending(self) -> bool:
        """Whether a signal has not been answered yet."""
        return self.count > self.answered

    def answer(self) -> int:
        """Marks one signal as answered and returns the number of answered signals."""
        self.answered += 1
        return self.answered


@contextlib.contextmanager
def count_stop_signals(signals: StopSignals | None = None) -> Iterator[StopSignals]:
    """Counts SIGINT (Ctrl-C) and SIGTERM instead of ending the process; only in the main thread, which receives them.

    Args:
        signals: Where they are counted; None: a new counter.
    """
    signals = signals or StopSignals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return

    def count(*_: object) -> None:
        signals.count += 1

    handlers = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def launcher_lock(store: Store, sweep: str) -> Iterator[int]:
    """Acquires the lock STORE/sweeps/SWEEP.lock within the context and yields its file descriptor.

    A child process that inherits the descriptor keeps the lock if this process is killed.

    Args:
        store: The store of the sweep.
        sweep: Name of the sweep.

    Raises:
        SweepError: Another launcher, or one of its child processes, has the lock.
    """
    path = _lock_file(store, sweep)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o644)
    try:
        check_regular(path, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, HOLDER_BYTES, 0).decode("utf-8", "replace").strip() or "another process"
            raise SweepError(
                f"sweep {sweep} is being launched in {store.address} by {holder}: wait for it, or stop it first"
            ) from None
        os.ftruncate(descriptor, 0)
        with name_file(path):
            os.pwrite(descriptor, f"process {os.getpid()} on {host_name(store.root)}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def launcher_pid(store: Store, sweep: str) -> int | None:
    """Returns the process on this machine that launches a sweep, None without one.

    Args:
        store: The store of the sweep.
        sweep: Name of the sweep.
    """
    try:
        file = open_file(_lock_file(store, sweep))
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None  # nobody has the lock
        except BlockingIOError:
            match = HOLDER.fullmatch(file.read(HOLDER_BYTES).decode("utf-8", "replace").strip())
            local = match is not None and is_this_host(match["host"])
            pid = int(match["pid"]) if match is not None and local else None
            return pid if pid is not None and process_exists(pid) else None


def _lock_file(store: Store, sweep: str) -> Path:
    return store.root / "sweeps" / f"{sweep}.lock"
