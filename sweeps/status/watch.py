"""`status --watch`: updates the status repeatedly, in place on a terminal, as printed text, or as an HTML page.

It ends when every run has ended, or with Ctrl-C.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scaling.config import exit_status
from sweeps.format import terminal_size

UNFINISHED = ("running", "waiting", "stopped", "interrupted")
Read = Callable[[], dict[str, Any]]
Write = Callable[[dict[str, Any]], Path]


def watch(read: Read, seconds: float, write: Write | None) -> int:
    """Shows the status of a sweep until every run has ended; returns the exit status.

    Args:
        read: Returns `status.status` of the sweep.
        seconds: Seconds between updates.
        write: Writes the page and returns its path, which is shown; None: no page.
    """
    try:
        if sys.stdout.isatty():
            _redraw(read, seconds, write)
        else:
            _print(read, seconds, write)
    except KeyboardInterrupt:
        pass
    return exit_status.DONE


def sweep_ended(status: dict[str, Any]) -> bool:
    """Returns whether every run has ended."""
    return not any(status["counts"][state] for state in UNFINISHED)


def _clock() -> str:
    return time.strftime("%H:%M:%S")


def _print(read: Read, seconds: float, write: Write | None) -> None:
    from sweeps.status.terminal import as_text  # imports rich

    while True:
        status = read()
        clock = _clock()
        print(f"{clock}  {write(status)}" if write else f"{clock}\n{as_text(status, terminal_size()[0])}\n", flush=True)
        if sweep_ended(status):
            return
        time.sleep(seconds)


def _redraw(read: Read, seconds: float, write: Write | None) -> None:
    from rich.text import Text

    from sweeps.status.live import redrawn_screen
    from sweeps.status.terminal import screen

    with redrawn_screen() as show:
        while True:
            status = read()
            width, height = terminal_size()
            lines = screen(status, width - 1, height - 1)
            footer = f"{_clock()}, every {seconds:g} s, Ctrl-C to quit" + (f"; {write(status)}" if write else "")
            show([*lines[: height - 2], Text(footer, "dim")])
            if sweep_ended(status):
                return
            time.sleep(seconds)
