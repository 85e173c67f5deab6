"""Notes and progress on standard error: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from scaling.config.text import printable

PROGRESS_SECONDS = 30.0  # between progress lines where standard error is no terminal
Item = TypeVar("Item")


def print_note(spec: str, note: str) -> None:
    """Prints a line about a corpus on standard error.

    Args:
        spec: Specification of the corpus.
        note: The line.
    """
    print(printable(f"{spec}: {note}"), file=sys.stderr)


def show_progress(
    spec: str, items: Iterator[Item], total: int | None, unit: str, size: Callable[[Any], int] = lambda _: 1
) -> Iterator[Item]:
    """Yields the items and shows progress.

    Args:
        spec: Specification of the corpus.
        items: The items.
        total: Sum of their sizes, where known.
        unit: What the sizes count.
        size: Returns the size of an item.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    done, last_line = 0, time.monotonic()
    # isatty, because notebooks set FORCE_COLOR, with which Rich takes any stream for a terminal
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(spec, total=total)
        for item in items:
            yield item
            done += size(item)
            progress.update(task, completed=done)
            if progress.disable and time.monotonic() - last_line > PROGRESS_SECONDS:
                last_line = time.monotonic()
                print_note(spec, f"{done:,} {f'of {total:,} ' if total else ''}{unit}")
