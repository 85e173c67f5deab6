"""`status` again and again: redrawn in place on a terminal, printed anew elsewhere, written as a page if asked.

Ends by itself once no run is left to wait for, or with Ctrl-C: nothing is half-written.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeps.format import terminal_size
from sweeps.status.terminal import Line, as_text, screen

UNDER_WAY = ("running", "waiting", "stopped", "interrupted")


def watch(look: Callable[[], dict[str, Any]], seconds: float, write: Callable[[dict[str, Any]], Path] | None) -> int:
    """Shows what `look` finds every so many seconds until the sweep is over. write: the page, which is then said."""
    try:
        if sys.stdout.isatty():
            _redraw(look, seconds, write)
        else:
            _print(look, seconds, write)
    except KeyboardInterrupt:
        pass
    return 0


def over(found: dict[str, Any]) -> bool:
    """Whether every run has come to its end."""
    return not any(found["counts"][state] for state in UNDER_WAY)


def _print(look: Callable[[], dict[str, Any]], seconds: float, write: Callable[[dict[str, Any]], Path] | None) -> None:
    while True:
        found = look()
        at = time.strftime("%H:%M:%S")
        said = f"{at}  {write(found)}" if write else f"{at}\n{as_text(found, terminal_size()[0])}\n"
        print(said, flush=True)
        if over(found):
            return
        time.sleep(seconds)


def _redraw(look: Callable[[], dict[str, Any]], seconds: float, write: Callable[[dict[str, Any]], Path] | None) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            found = look()
            width, height = terminal_size()
            lines = screen(found, width - 1, height - 1)
            at = time.strftime("%H:%M:%S")
            said = f"{at}, every {seconds:g} s, Ctrl-C ends it" + (f"; {write(found)}" if write else "")
            live.update(styled([*lines[: height - 2], [(said, "dim")]]), refresh=True)
            if over(found):
                return
            time.sleep(seconds)


def styled(lines: list[Line]) -> Any:
    """Spans as a text of rich; what they hold is never read as markup."""
    from rich.text import Text

    out = Text(no_wrap=True, overflow="ellipsis")
    for i, line in enumerate(lines):
        out.append("\n" if i else "")
        for text, style in line:
            out.append(text, style or "")
    return out
