"""Parts of Markdown pages: tables, and text in which no character has a special meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SPECIAL = "\\`*_{}[]<>|#$~^&"  # characters that Markdown, its extensions or HTML give a meaning

_DEFAULT = re.compile(r"\s*\(default:? ((?:[^()]|\([^()]*\))*)\)")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table.

    Args:
        head: Titles of the columns.
        rows: Cells, in Markdown and on one line each.
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def escape(text: str) -> str:
    """Returns plain text as Markdown on one line: words in backquotes stay code."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    return "".join(
        code(part.strip("`")) if part.startswith("`") and len(part) > 2 else _entities(part) for part in parts
    )


def code(text: str) -> str:
    """Returns text as code on one line, also inside a cell of a table."""
    return f"<code>{_entities(text)}</code>" if re.search(r"[|`]", text) else f"`{text}`"


def flag_code(text: str) -> str:
    """Returns an option as code that is not broken between lines."""
    return f'<code class="flag">{_entities(text)}</code>'


def split_default(text: str) -> tuple[str, str]:
    """Splits the help text of an option into its meaning and its default, "" if the text names none.

    Args:
        text: The help text, such as "number of bootstrap samples (default: 1000)".
    """
    match = _DEFAULT.search(text)
    return (text[: match.start()] + text[match.end() :], match[1]) if match else (text, "")


def _entities(text: str) -> str:
    return "".join(f"&#{ord(char)};" if char in SPECIAL else char for char in text)


def anchor(text: str) -> str:
    """Returns the anchor of a section with this name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
