"""A sweep in a store: its state, and watching, waiting for and stopping its launch."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from scaling.config import exit_status as statuses
from scaling.store.open import open_store
from scaling.store.record import Store
from sweeps.definitions import sweep_name
from sweeps.engines.events import log_tail
from sweeps.errors import SweepError
from sweeps.interface.status import SweepStatus, status
from sweeps.launching.lock import launcher_pid
from sweeps.monitoring.watch import sweep_ended, watch

START_SECONDS = 0.05  # between checks whether the launch has started
POLL_SECONDS = 0.5  # between checks whether the launch has ended


class Sweep:
    """A sweep in a store, which was launched by this process or by another one.

    Args:
        name: Name of the sweep in the store, or the sweep as it was launched: "FILE.py:NAME", "runs/*.json".
        store: Folder or address of the store.
        process: Process that launches it; None: found by the lock that a launch has.
        exit_status: Exit status of a launch that has ended.

    Attributes:
        name: Name of the sweep in the store.
        store: The store.
        exit_status: Exit status of the launch, as of `python -m sweeps launch`; None: unknown, or not ended yet.
        log: File with the output of a launch with wait=False.
    """

    def __init__(
        self,
        name: str | Path,
        store: str | Path | Store,
        *,
        process: subprocess.Popen[bytes] | None = None,
        exit_status: int | None = None,
    ) -> None:
        self.name = sweep_name(str(name))
        self.store = store if isinstance(store, Store) else open_store(str(store))
        self.exit_status = exit_status
        self.log = self.store.root / "sweeps" / f"{self.name}.launch.log"
        self._process = process

    def __repr__(self) -> str:
        return f"Sweep({self.name!r}, {self.store.address!r})"

    def _repr_html_(self) -> str:
        return self.status()._repr_html_()

    def status(self) -> SweepStatus:
        """Returns the state of its runs now."""
        return status(self.name, self.store)

    def is_launching(self) -> bool:
        """Whether a process on this machine is launching it."""
        return self._launcher_pid() is not None

    def _launcher_pid(self) -> int | None:
        if self._process is not None:
            self.exit_status = self._process.poll()
            if self.exit_status is None:
                return self._process.pid
        return launcher_pid(self.store, self.name)

    def wait_for_start(self) -> None:
        """Waits until the launch has the sweep's lock, or has ended; SweepError if it rejected its input."""
        while self.is_launching() and launcher_pid(self.store, self.name) is None:
            time.sleep(START_SECONDS)
        self._check_started()

    def wait(self, timeout: float | None = None) -> SweepStatus:
        """Waits until the launch has ended, and returns the state of its runs.

        Args:
            timeout: Longest time in seconds; None: no limit.

        Raises:
            SweepError: The launch could not start; the message is its own.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.is_launching() and (deadline is None or time.monotonic() < deadline):
            time.sleep(POLL_SECONDS)
        self._check_started()
        return self.status()

    def watch(self, seconds: float = 2.0) -> None:
        """Shows the state of the runs, and redraws it in place, until the launch has ended; also in a notebook.

        An interrupt (Ctrl-C, or the notebook's stop button) ends the display, not the launch.

        Args:
            seconds: Seconds between updates.
        """
        cache: dict[str, Any] = {}

        def read() -> dict[str, Any]:
            return status(self.name, self.store, cache=cache).data

        def is_over(data: dict[str, Any]) -> bool:
            return sweep_ended(data) or (self._process is not None and not self.is_launching())

        watch(read, seconds, None, is_over)
        self._check_started()

    def stop(self) -> SweepStatus:
        """Stops the launch: its runs save, and the next launch continues them. Returns their state.

        Raises:
            SweepError: No process on this machine is launching the sweep.
        """
        pid = self._launcher_pid()
        if pid is None:
            raise SweepError(f"sweep {self.name}: no process of this machine is launching it")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        return self.wait()

    def _check_started(self) -> None:
        """Raises SweepError with the last line of the launch's output if it rejected its input."""
        if self._process is not None and self.exit_status == statuses.BAD_INPUT:
            raise SweepError((log_tail(self.log) or [f"the launch of {self.name} failed: see {self.log}"])[-1])
