"""Console for results: names and cells of files are literal text, with control characters escaped."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from scaling.config.text import printable_lines


class ResultConsole(Console):
    """A console that neither interprets markup such as [red] or :smile:, nor wraps lines, nor emits control characters.

    Args:
        width: Characters of a line; None takes those of the terminal.
    """

    def __init__(self, width: int | None) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, soft_wrap=True, width=width)

    def render_str(self, text: str, **options: Any) -> Text:
        """Converts a text to print, or a cell of a table, to a rich text.

        Args:
            text: The text.
            **options: As for `Console.render_str`.
        """
        return super().render_str(printable_lines(text), **options)
