"""Numbers, durations and plain-text tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

from scaling.config.text import printable

NO_TERMINAL = (100, 60)  # columns and lines if the output is not a terminal
ROUNDS_UP = 0.9995  # from this share of a unit on, rounding to three digits gives the next unit


def terminal_size() -> tuple[int, int]:
    """Returns the columns and lines of the terminal, or NO_TERMINAL without a terminal."""
    size = shutil.get_terminal_size(NO_TERMINAL)
    return size.columns, size.lines


def short_count(value: float) -> str:
    """Returns a count in three digits: 41.7k, 2.51M, 1.6e12."""
    for limit, scale, unit in ((1e3, 1, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M")):
        if abs(value) < limit * ROUNDS_UP:
            return f"{value / scale:.3g}{unit}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def signed_percent(share: float) -> str:
    """Formats a relative difference as a whole percentage with its sign, which 0 does not have.

    Args:
        share: The difference.
    """
    text = f"{share:+.0%}"
    return "0%" if text in ("+0%", "-0%") else text


def duration(seconds: float) -> str:
    """Returns seconds as 8s, 3m 20s or 2h 05m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def text_table(header: list[str], rows: list[list[str]]) -> str:
    """Returns a table of plain text, the first column aligned to the left and the others to the right.

    Control characters in cells are escaped.

    The text is the same in a terminal and in a pipe. Trailing spaces within cells, which align decimals, are kept;
    rich's tables strip them and take 400 times as long.

    Args:
        header: Names of the columns.
        rows: Cells of each row.
    """
    header, *rows = ([printable(cell) for cell in row] for row in (header, *rows))
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, *rows]
    )


def json_by_rows(data: Mapping[str, Any]) -> str:
    """Returns JSON with one line per entry, and one per row of a list of objects.

    `json.dumps` with indent takes ten times as long, because it does not use the encoder in C.

    Args:
        data: The entries.
    """
    encode = json.JSONEncoder(allow_nan=False).encode
    entries = []
    for name, value in data.items():
        rows = isinstance(value, list) and value and isinstance(value[0], dict)
        text = "[\n  " + ",\n  ".join(map(encode, value)) + "\n ]" if rows else encode(value)
        entries.append(f" {encode(name)}: {text}")
    return "{\n" + ",\n".join(entries) + "\n}"
