"""Renders the templates of the report, and defines their tables."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        head: Title of each column.
        kinds: One letter per column: t text, w text on one line, n number (right-aligned), c code.
        rows: Cells of each row.
        caption: Caption; "" means no caption.
        values: Number of each cell, None for text; with them the page can sort and filter the table.
    """

    head: Sequence[str]
    kinds: str
    rows: Sequence[Sequence[str]]
    caption: str = ""
    values: Sequence[Sequence[float | None]] = ()

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.head) == len(self.kinds) for row in (self.head, *self.rows, *self.values))
        assert len(self.values) in (0, len(self.rows))


@functools.cache
def environment() -> jinja2.Environment:
    """Returns the Jinja2 environment of the templates, with autoescape."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, context: Mapping[str, Any]) -> str:
    """Renders a template.

    Args:
        template: File name in `templates`.
        context: Values of the variables of the template.
    """
    return environment().get_template(template).render(context)
