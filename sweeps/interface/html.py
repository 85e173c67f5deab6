"""Tables as HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

MAX_ROWS = 100  # of a table in a notebook


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table with escaped cells and at most MAX_ROWS rows.

    Args:
        header: Names of the columns; empty: no header.
        rows: Cells of each row.
    """
    lines = ["<table>"]
    if header:
        lines.append("<thead><tr>" + "".join(f"<th>{escape(name)}</th>" for name in header) + "</tr></thead>")
    lines.append("<tbody>")
    lines += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[:MAX_ROWS]]
    if len(rows) > MAX_ROWS:
        lines.append(f'<tr><td colspan="{len(header)}">and {len(rows) - MAX_ROWS} more</td></tr>')
    return "\n".join([*lines, "</tbody></table>"])
