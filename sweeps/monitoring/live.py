"""Progress bars and screens that are redrawn in place on a terminal, with rich."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scaling.config.text import printable, printable_lines

if TYPE_CHECKING:  # rich is imported where it is used: commands that draw nothing start faster
    from rich.progress import ProgressColumn
    from rich.text import Text

PERCENT_COLUMNS = ("percent", "text")
COUNT_COLUMNS = ("count", "time left")


def _column(name: str) -> ProgressColumn:
    from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

    if name == "percent":
        return TextColumn("{task.percentage:>3.0f}%")
    if name == "text":
        return TextColumn("{task.fields[text]}", markup=False)
    return MofNCompleteColumn() if name == "count" else TimeRemainingColumn()


class ProgressBar:
    """A progress bar on standard error.

    Args:
        description: Text before the bar.
        total: Value of a full bar.
        columns: Columns after the bar: PERCENT_COLUMNS or COUNT_COLUMNS.
        transient: Whether the bar disappears at the end.
    """

    def __init__(self, description: str, total: float, columns: Sequence[str], *, transient: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        first = (TextColumn("{task.description}", markup=False), BarColumn())
        console = Console(stderr=True)
        self.progress = Progress(*first, *map(_column, columns), console=console, transient=transient)
        self.task = self.progress.add_task(printable(description), total=total, text="")

    def start(self) -> None:
        """Shows the bar."""
        self.progress.start()

    def stop(self) -> None:
        """Stops redrawing the bar."""
        self.progress.stop()

    def advance(self) -> None:
        """Adds 1 to the value."""
        self.progress.advance(self.task)

    def update(self, value: float, text: str) -> None:
        """Sets the value.

        Args:
            value: Between 0 and the total.
            text: Text of the text column.
        """
        self.progress.update(self.task, completed=value, text=printable(text))

    def print_line(self, text: str) -> None:
        """Prints a line above the bar, without interpreting markup or control characters."""
        self.progress.console.print(printable_lines(text), markup=False, emoji=False, highlight=False, soft_wrap=True)


@contextmanager
def redrawn_screen() -> Iterator[Callable[[Sequence[Text]], None]]:
    """Yields a function that shows lines on standard output and replaces the lines that it showed before."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(highlight=False), auto_refresh=False, vertical_overflow="crop") as live:

        def show(lines: Sequence[Text]) -> None:
            screen = Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
            live.update(screen, refresh=True)

        yield show
