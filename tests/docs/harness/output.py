"""Comparison of a printed output with the one that a page shows, and its renewal."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from tests.docs.harness.blocks import Block


def lines_of(text: str) -> list[str]:
    """Returns the lines without trailing spaces, and without empty lines at the end."""
    return [line.rstrip() for line in text.rstrip().splitlines()]


def matches(shown: str, printed: str) -> bool:
    """Returns whether an output is the one shown, in which `...` is any text, and a line `...` any number of lines."""
    pattern = ""
    for line in lines_of(shown):
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += r"[^\n]*?".join(map(re.escape, line.split("..."))) + r"\n"
    return re.fullmatch(pattern, "".join(line + "\n" for line in lines_of(printed))) is not None


def rewrite(page: Path, outputs: list[tuple[Block, str]]) -> None:
    """Replaces outputs that a page shows by the printed ones.

    Args:
        page: The page.
        outputs: Blocks of outputs, and what was printed.
    """
    text = page.read_text("utf-8")
    for block, printed in sorted(outputs, key=lambda output: output[0].span, reverse=True):
        start, end = block.span
        lines = "".join(line + "\n" for line in lines_of(printed))
        text = text[:start] + textwrap.indent(lines, " " * block.indent) + text[end:]
    page.write_text(text, "utf-8")
