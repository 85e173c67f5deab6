"""Renders the report's templates, and the table that they lay out."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2


@dataclass(frozen=True)
class Table:
    """Text of a table.

    Attributes:
        head: Title of each column.
        kinds: One letter per column: t text, w text on one line, n number (right-aligned), c code.
        rows: Cells of each row.
        caption: Caption, "" for none.
    """

    head: Sequence[str]
    kinds: str
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.head) == len(self.kinds) for row in (self.head, *self.rows))


@functools.cache
def environment() -> jinja2.Environment:
    """Returns the environment of the report's templates; every value that they show is escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, context: Mapping[str, Any]) -> str:
    """Returns a template filled in.

    Args:
        template: File name in `templates`.
        context: Values by the names that the template uses.
    """
    return environment().get_template(template).render(context)
