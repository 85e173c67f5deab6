"""What a measurement returns, and the file it is written to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parents[1] / "pages" / "measurements"
Number = float | int | None
Cell = Number | str | Sequence[Number]  # [estimate, low, high] is an estimate with its interval


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Heading, in Markdown.
        format: Format specification of its numbers, as of `format()`; text is shown as it is.
    """

    title: str
    format: str = ""


@dataclass(frozen=True)
class Table:
    """A table of results: columns, and rows of unrounded cells (of type Cell)."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Value:
    """A single result that the text of a page names: its unrounded value and how it is shown."""

    value: Cell
    format: str = ""


@dataclass(frozen=True)
class Results:
    """Results of one measurement.

    Attributes:
        tables: Tables by name; the one named "main" is shown by the marker without a name.
        values: Single results by name.
    """

    tables: Mapping[str, Table]
    values: Mapping[str, Value] = field(default_factory=dict)


def results_path(name: str) -> Path:
    """Returns the results file of a measurement."""
    return PAGES / "results" / f"{name}.json"


def write_results(name: str, results: Results, about: Mapping[str, object]) -> Path:
    """Writes results and how they were made (commands, date, machine, commit, seconds); returns the file."""
    path = results_path(name)
    path.parent.mkdir(exist_ok=True)
    content = {"name": name, **about, **asdict(results)}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return path
