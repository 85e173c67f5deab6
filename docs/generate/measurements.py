"""Fills the markers of the measurement pages from their results files.

`{{ made:NAME }}` shows how the results were made, `{{ table:NAME }}` or `{{ table:NAME.TABLE }}` shows a table and
`{{ value:NAME.KEY }}` a single result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from docs.measurements.results import Cell, Number, results_path

MARKER = re.compile(r"\{\{ (made|table|value):([a-z-]+)(?:\.([a-z0-9_]+))? \}\}")
NO_END = "none"  # an interval without a lower or an upper end


def fill_markers(markdown: str) -> str:
    """Returns a page with its markers replaced; a subject that was not measured yet is said to be missing.

    Raises:
        KeyError: A marker names no table or value of the results file.
    """
    return MARKER.sub(lambda match: _fill(match[1], match[2], match[3] or "main"), markdown)


def _fill(kind: str, name: str, key: str) -> str:
    if not results_path(name).exists():
        return f"(not measured yet: `make measure-{name}`)"
    return _FILLERS[kind](read_results(name), key)


@cache
def read_results(name: str) -> Mapping[str, Any]:
    """Returns the content of a results file."""
    return json.loads(results_path(name).read_text())


def origin_text(results: Mapping[str, Any], _: str) -> str:
    """Returns a line that says when, where and from which source the results were made, and the commands."""
    machine = results["machine"]
    load = f", load average {results['load']} before it" if "load" in results else ""
    text = (
        f"Made by `make measure-{results['name']}` on {results['date']} (UTC) in {duration(results['seconds'])}, on "
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB, with Python "
        f"{machine['python']}, JAX {machine['jax']}, NumPy {machine['numpy']} and SciPy {machine['scipy']}, at commit "
        f"`{results['commit'][:10]}`{'' if results['clean'] else ' with changes'}{load}:\n\n```console\n"
    )
    lines = [f"{entry['command']}  # {duration(entry['seconds'])}" for entry in results["commands"]]
    return text + "\n".join(lines) + "\n```"


def table(results: Mapping[str, Any], name: str) -> str:
    """Returns a table in Markdown."""
    content = results["tables"][name]
    columns = content["columns"]
    lines = [[column["title"] for column in columns], ["---" for _ in columns]]
    lines += [
        [cell_text(cell, column["format"]) for cell, column in zip(row, columns, strict=True)]
        for row in content["rows"]
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def value(results: Mapping[str, Any], key: str) -> str:
    """Returns a single result as text."""
    return cell_text(**results["values"][key])


_FILLERS = {"made": origin_text, "table": table, "value": value}


def cell_text(value: Cell, format: str) -> str:
    """Returns a number, a text or an estimate with its interval, [estimate, low, high], as text.

    Args:
        value: The cell; None is an empty cell, and as the end of an interval an end that does not exist.
        format: Format specification of the numbers.
    """
    if value is None or isinstance(value, int | float):
        return number_text(value, format)
    if isinstance(value, str):
        return value.replace("|", "\\|")
    estimate, low, high = (number_text(number, format) or NO_END for number in value)
    return f"{estimate} [{low}, {high}]"


def number_text(number: Number, format: str) -> str:
    """Returns a number as text with a true minus sign, such as 3.2e18; nothing for None."""
    if number is None:
        return ""
    text = f"{number:{format}}".replace("-", "−")
    power = re.fullmatch(r"([−\d.]+)e([+−])(\d+)", text)
    return text if power is None else f"{power[1]}e{'−' if power[2] == '−' else ''}{int(power[3])}"


def duration(seconds: float) -> str:
    """Returns seconds as seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
