"""`status --watch`: updates the status repeatedly, in place on a terminal, as printed text, or as an HTML page.

It ends when every run has ended, or with Ctrl-C.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from scaling.config import exit_status
from sweeps.format import terminal_size
from sweeps.planning.plan import DAMAGED

UNFINISHED = ("running", "waiting", "stopped", "interrupted", DAMAGED, "unknown")
Read = Callable[[], dict[str, Any]]
Write = Callable[[dict[str, Any]], Path]
IsOver = Callable[[dict[str, Any]], bool]


def watch(read: Read, seconds: float, write: Write | None, is_over: IsOver | None = None) -> int:
    """Shows the status of a sweep until every run has ended; returns the exit status.

    Args:
        read: Returns `status.status` of the sweep.
        seconds: Seconds between updates.
        write: Writes the page and returns its path, which is shown; None: no page.
        is_over: Whether a status is the last one; None: once every run has ended.
    """
    is_over = is_over or sweep_ended
    try:
        if in_notebook():
            _redraw_notebook(read, seconds, is_over)
        elif sys.stdout.isatty():
            _redraw(read, seconds, write, is_over)
        else:
            _print(read, seconds, write, is_over)
    except KeyboardInterrupt:
        pass
    return exit_status.DONE


def sweep_ended(status: dict[str, Any]) -> bool:
    """Returns whether every run has ended."""
    return not any(status["counts"].get(state) for state in UNFINISHED)


def in_notebook() -> bool:
    """Returns whether this is a cell of a Jupyter notebook."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _redraw_notebook(read: Read, seconds: float, is_over: IsOver) -> None:
    from IPython.display import HTML, display

    from sweeps.monitoring.terminal import as_text

    handle = None
    while True:
        status = read()
        text = HTML(f"<pre>{escape(as_text(status))}</pre>")
        if handle is None:
            handle = display(text, display_id=True)
        else:
            handle.update(text)
        if is_over(status):
            return
        time.sleep(seconds)


def _clock() -> str:
    return time.strftime("%H:%M:%S")


def _print(read: Read, seconds: float, write: Write | None, is_over: IsOver) -> None:
    from sweeps.monitoring.terminal import as_text  # imports rich

    while True:
        status = read()
        clock = _clock()
        print(f"{clock}  {write(status)}" if write else f"{clock}\n{as_text(status, terminal_size()[0])}\n", flush=True)
        if is_over(status):
            return
        time.sleep(seconds)


def _redraw(read: Read, seconds: float, write: Write | None, is_over: IsOver) -> None:
    from rich.text import Text

    from sweeps.monitoring.live import redrawn_screen
    from sweeps.monitoring.terminal import screen

    with redrawn_screen() as show:
        while True:
            status = read()
            width, height = terminal_size()
            lines = screen(status, width - 1, height - 1)
            footer = f"{_clock()}, every {seconds:g} s, Ctrl-C to quit" + (f"; {write(status)}" if write else "")
            show([*lines[: height - 2], Text(footer, "dim")])
            if is_over(status):
                return
            time.sleep(seconds)
