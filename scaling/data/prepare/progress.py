"""Notes and progress on standard error: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

from scaling.config.text import printable
from scaling.data.prepare.report import Report

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


class JobProgress:
    """Progress of jobs: tokens, tokens per second, and the time left by the bytes of files that are read.

    The position in a compressed file is not known, so a part that is being read counts by its text, at the ratio of
    text to files of the parts that were read.
    """

    def __init__(self, spec: str, sizes: Sequence[int | None]) -> None:
        """Starts the progress.

        Args:
            spec: Specification of the corpus.
            sizes: Bytes that are read for each job; None where not known.
        """
        from rich.console import Console
        from rich.status import Status

        self.spec, self.jobs = spec, len(sizes)
        known = [size for size in sizes if size is not None]
        self.total = sum(known) if len(known) == len(sizes) else None
        self.text: dict[int, int] = {}  # bytes of text by job
        self.text_of_parts: dict[int, int] = {}  # of those, the bytes of parts that were completely read
        self.complete, self.read, self.tokens = 0, 0, 0
        self.started = self.last_line = time.monotonic()
        self.status = Status(spec, console=Console(stderr=True)) if sys.stderr.isatty() else None

    def __enter__(self) -> JobProgress:
        """Shows the line of a terminal."""
        if self.status is not None:
            self.status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes the line."""
        if self.status is not None:
            self.status.stop()

    def update(self, report: Report) -> None:
        """Counts a report.

        Args:
            report: The report of a job.
        """
        self.tokens += report.tokens
        self.text[report.job] = self.text.get(report.job, 0) + report.text_bytes
        self.complete += report.complete
        self.read += report.read_bytes
        if report.read_bytes:
            self.text_of_parts[report.job] = self.text[report.job]
        now = time.monotonic()
        if self.status is not None:
            self.status.update(printable(f"{self.spec}: {self.line(now - self.started)}"))
        elif now - self.last_line > PROGRESS_SECONDS:
            self.last_line = now
            print_note(self.spec, self.line(now - self.started))

    def line(self, seconds: float) -> str:
        """Returns the progress as text.

        Args:
            seconds: Seconds since the start.
        """
        rate = self.tokens / max(seconds, 1e-9)
        text = f"{self.tokens / 1e6:,.1f}M tokens, {rate / 1e6:.2f}M/s, {self.complete} of {self.jobs} jobs"
        share = self.share()
        return text if share is None else f"{text}, {share:.0%}, {format_time(seconds * (1 - share) / share)} left"

    def share(self) -> float | None:
        """Returns the share of the bytes of files that were read; None where it cannot be known yet."""
        text, text_of_parts = sum(self.text.values()), sum(self.text_of_parts.values())
        if not self.total or not self.read or not text_of_parts:
            return None
        return min((self.read + (text - text_of_parts) * self.read / text_of_parts) / self.total, 1.0)


def format_time(seconds: float) -> str:
    """Returns a duration as `2 h 05 min`, `3 min` or `20 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
