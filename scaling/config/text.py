r"""Text from names, files and other programs as a terminal may show it: control characters are escaped.

An escape sequence in a name could move the cursor, clear the screen or set the title of a terminal, and a line break or
a bidirectional control could make one line look like another. Where rich prints, the text must also be a
`rich.text.Text` or printed with `markup=False` (or pass through `rich.markup.escape`), because `printable` leaves
`[red]` as it is.
"""

from __future__ import annotations

import re

SHORT_ESCAPES = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}

# C0 and C1 controls with DEL, the characters of the Unicode property Bidi_Control (UAX #9), the line and paragraph
# separators, and lone surrogates, which no encoding of a terminal can write.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
UNSAFE_IN_LINES = re.compile("(?![\t\n])" + UNSAFE.pattern)


def printable(text: str) -> str:
    r"""Returns a text on one line, with control characters escaped: `\n`, `\x1b`, `\u202e`.

    Ordinary text of any script stays as it is.

    Args:
        text: Name, cell, message or line of a log.
    """
    return UNSAFE.sub(_escape, text)


def printable_lines(text: str) -> str:
    """Returns a text of several lines with control characters escaped except line feeds and tabs.

    Args:
        text: Text whose line breaks are intended.
    """
    return UNSAFE_IN_LINES.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return SHORT_ESCAPES.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
