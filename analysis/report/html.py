"""A table as HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape as text


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kinds: str, caption: str = "") -> str:
    """An HTML table; kinds, a letter a column: t text, w text on one line, n number (right-aligned), c code."""
    show: dict[str, Callable[[str], str]] = {
        "t": lambda cell: f"<td>{text(cell)}</td>",
        "w": lambda cell: f'<td class="t">{text(cell)}</td>',
        "n": lambda cell: f'<td class="n">{text(cell)}</td>',
        "c": lambda cell: f'<td class="t"><code>{text(cell)}</code></td>',
    }
    top = "".join(f"<th{' class=n' if k == 'n' else ''}>{text(h)}</th>" for h, k in zip(head, kinds, strict=True))
    body = "\n".join(
        "<tr>" + "".join(show[k](cell) for cell, k in zip(row, kinds, strict=True)) + "</tr>" for row in rows
    )
    said = f"<caption>{text(caption)}</caption>" if caption else ""
    return f'<div class="wide"><table>{said}<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
