"""Code blocks of a Markdown page, with what their titles ask for."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

LANGUAGES = {"bash", "python", "json", "yaml", "toml", "csv", "text", "bibtex", "latex", "diff", "mermaid"}
FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[\w-]*)(?P<attributes>.*)\n"
    r"(?P<code>(?:.*\n)*?)(?P=indent)(?P=ticks)$",
    re.MULTILINE,
)
COMMENT = re.compile(r"^<!-- (?P<kind>store|setup): (?P<value>.+?) -->$", re.MULTILINE)
INLINE = re.compile(r"(?<!`)(`+)(?!`)(python -m .+?)(?<!`)\1(?!`)", re.DOTALL)
TITLE = re.compile(r'title="([^"]*)"')
FILE_NAME = re.compile(r"[\w./-]+\.\w+")


@dataclass(frozen=True)
class Block:
    """A block of code, or a comment that prepares a page.

    Attributes:
        page: The page.
        line: Line of the page, from 1, on which the code starts.
        language: Language, or `store` or `setup` for a comment.
        title: Title of the block; empty if it has none.
        code: The code without its indentation.
        indent: Columns by which the block is indented.
        span: Start and end of the code in the text of the page.
    """

    page: Path
    line: int
    language: str
    title: str
    code: str
    indent: int
    span: tuple[int, int]

    @property
    def file_name(self) -> str | None:
        """Name of the file that the block is written to."""
        return self.title if FILE_NAME.fullmatch(self.title) else None

    @property
    def needs(self) -> bool:
        """Whether it needs something that a test does not have, such as a cloud."""
        return self.title.startswith("Needs ")

    @property
    def takes(self) -> bool:
        """Whether it takes minutes."""
        return self.title.startswith("Takes ")

    @property
    def exit_status(self) -> int:
        """Exit status that it must have."""
        return int(self.title.removeprefix("Exits with ")) if self.title.startswith("Exits with ") else 0

    @property
    def is_output(self) -> bool:
        """Whether it is the output of the block before it."""
        return self.language == "text" and self.title == "Output"

    @property
    def place(self) -> str:
        """Page and line, for messages."""
        return f"{self.page}:{self.line}"


def read_blocks(page: Path) -> list[Block]:
    """Returns the blocks and comments of a page in the order of the page."""
    text, blocks = page.read_text("utf-8"), []
    for match in FENCE.finditer(text):
        title = TITLE.search(match["attributes"])
        line = text.count("\n", 0, match.start("code")) + 1
        blocks.append(
            Block(
                page,
                line,
                match["language"],
                title[1] if title else "",
                textwrap.dedent(match["code"]),
                len(match["indent"]),
                match.span("code"),
            )
        )
    for match in COMMENT.finditer(text):
        if not any(start <= match.start() < end for start, end in (block.span for block in blocks)):
            line = text.count("\n", 0, match.start()) + 1
            blocks.append(Block(page, line, match["kind"], "", match["value"], 0, match.span("value")))
    return sorted(blocks, key=lambda block: block.span)


def inline_commands(page: Path) -> list[Block]:
    """Returns the command lines in the prose of a page: code spans that start with `python -m`."""
    text = page.read_text("utf-8")
    prose = FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return [
        Block(page, text.count("\n", 0, m.start()) + 1, "bash", "", " ".join(m[2].split()), 0, m.span(2))
        for m in INLINE.finditer(prose)
    ]


def unclosed_fences(page: Path) -> list[int]:
    """Returns the lines of fences that `read_blocks` does not see: of blocks that are not closed."""
    text = page.read_text("utf-8")
    rest = FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return [number for number, line in enumerate(rest.splitlines(), 1) if line.lstrip().startswith("```")]
