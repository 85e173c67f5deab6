"""One launcher per sweep at a time, and signals that ask it to stop."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from scaling.store.record import Store
from sweeps.errors import SweepError

HOLDER_BYTES = 200  # of the lock file that are read to name the process that has it


@dataclass
class StopSignals:
    """Signals that ask the launcher to stop."""

    count: int = 0
    answered: int = 0

    @property
    def pending(self) -> bool:
        """Whether one has not been answered."""
        return self.count > self.answered

    def answer(self) -> int:
        """Counts an answer and returns how many there have been."""
        self.answered += 1
        return self.answered


@contextlib.contextmanager
def count_stop_signals() -> Iterator[StopSignals]:
    """Counts SIGINT (Ctrl-C) and SIGTERM, which otherwise would end the process."""
    signals = StopSignals()

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
    """Holds the lock STORE/sweeps/SWEEP.lock and yields its file descriptor.

    A child that inherits the descriptor keeps the lock when this process is killed.

    Args:
        store: Where the sweep is trained.
        sweep: Name of the sweep.

    Raises:
        SweepError: Another launcher, or a child that it left, holds the lock.
    """
    path = store.root / "sweeps" / f"{sweep}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, HOLDER_BYTES, 0).decode("utf-8", "replace").strip() or "another process"
            raise SweepError(
                f"sweep {sweep} is being launched in {store.address} by {holder}: wait for it, or stop it first"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)
