r"""Converts text and numbers to LaTeX that is ASCII only and contains no command of the text itself.

A backslash, brace or other special character of a name is printed as such. Characters that OT1 fonts lack are printed
by their code, such as [U+4E2D].
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from analysis.report.html import Table
from scaling.config.text import printable

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "$": r"\ensuremath{\mathdollar}",  # as text it would be of a font that is not embedded as an outline
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\`{}",
}  # fmt: skip
TEXT = {
    "–": r"\textendash{}", "—": r"\textemdash{}", "…": r"\ldots{}", "‘": "`{}", "’": "'", "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}", "\u00a0": "~",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}",
    "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "§": r"\ensuremath{\mathsection}",
}  # fmt: skip
MATH = {
    "×": r"\times", "·": r"\cdot", "±": r"\pm", "−": "-", "≤": r"\leq", "≥": r"\geq", "≠": r"\neq", "≈": r"\approx",
    "∞": r"\infty", "∝": r"\propto", "∂": r"\partial", "√": r"\surd", "Σ": r"\Sigma", "→": r"\to", "′": "{}'",
    "°": r"{}^\circ", "µ": r"\mu", "«": r"\ll", "»": r"\gg", "ε": r"\varepsilon", "̂": r"\hat{}",
}  # fmt: skip
ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c", "\u0331": "b",
}  # fmt: skip
GREEK = (
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
    "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega",
)  # fmt: skip
SUPERSCRIPTS = {
    "⁰": "0",
    "¹": "1",
    "²": "2",
    "³": "3",
    "⁴": "4",
    "⁵": "5",
    "⁶": "6",
    "⁷": "7",
    "⁸": "8",
    "⁹": "9",
    "⁻": "-",
}
NUMBER = re.compile(  # with a power of ten, or negative; other numbers need no mathematics
    r"(?<![\w.])(-?\d+(?:[.,]\d+)*)(?:×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)|e([+-]\d{2,3})(?!\w))|(?<![\w.)\]-])(-\d+(?:[.,]\d+)*)"
)
LIGATURES = re.compile(r"([-'])(?=\1)")
WRAPPED = 34  # characters from which a cell of text is wrapped


class Symbol(str):
    """Name of a parameter, a cell of a table."""


def escape(text: object) -> str:
    r"""Converts a text to LaTeX.

    Args:
        text: Plain text. Numbers with a minus sign or a power of ten become mathematics; control characters are
            printed as escapes such as \x1b, and line feeds become spaces.
    """
    plain, parts, end = printable(" ".join(str(text).split())), [], 0
    for match in NUMBER.finditer(plain):
        parts += [_literal(plain[end : match.start()]), _number(match)]
        end = match.end()
    return "".join([*parts, _literal(plain[end:])])


def _literal(text: str) -> str:
    """Text without numbers; repeated hyphens and quotes are separated, which LaTeX would join to one character."""
    return LIGATURES.sub(r"\1{}", "".join(map(_character, text)))


def _number(match: re.Match[str]) -> str:
    mantissa, power, exponent, negative = match.groups()
    if negative:
        return rf"\ensuremath{{{negative}}}"
    digits = "".join(SUPERSCRIPTS[digit] for digit in power) if power else str(int(exponent))
    return rf"\ensuremath{{{mantissa}\times10^{{{digits}}}}}"


def _character(character: str) -> str:
    if character in SPECIAL or character in TEXT:
        return SPECIAL.get(character) or TEXT[character]
    if character.isascii():
        return character
    if character in MATH:
        return rf"\ensuremath{{{MATH[character]}}}"
    if character in SUPERSCRIPTS:
        return rf"\ensuremath{{{{}}^{{{SUPERSCRIPTS[character]}}}}}"
    if name := greek_name(character):
        return rf"\ensuremath{{\{name}}}"
    base, *marks = tuple(unicodedata.normalize("NFD", character))
    if marks and base.isascii() and base.isalpha() and all(mark in ACCENTS for mark in marks):
        for mark in marks:
            base = rf"\{ACCENTS[mark]}{{{base}}}"
        return base
    return f"[U+{ord(character):04X}]"


def greek_name(character: str) -> str:
    """Returns the name of a Greek letter, such as alpha, "" for another character."""
    _, found, name = unicodedata.name(character, "").partition("LETTER ")
    name = name.lower() if "SMALL" in unicodedata.name(character, "") else name.capitalize()
    return name if found and name in GREEK and unicodedata.name(character).startswith("GREEK") else ""


def symbol(name: str) -> str:
    """Returns the name of a parameter as mathematics: alpha as its letter, what follows "_" as a subscript.

    Args:
        name: Name of the parameter, an identifier of Python.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9_]+)?", name):
        return escape(name)
    head, _, subscript = re.sub(r"^([NDC])c$", r"\1_c", name).partition("_")  # the scales of Kaplan 2020
    letter = rf"\{head}" if head in GREEK else head if len(head) == 1 else rf"\mathrm{{{head}}}"
    lower = rf"_{{\mathrm{{{subscript.replace('_', ',')}}}}}" if subscript else ""
    return rf"\ensuremath{{{letter}{lower}}}"


def booktabs(table: Table) -> str:
    """Converts a table of the report to a tabular environment with rules of the package booktabs.

    Args:
        table: The table. Columns of text with long cells are wrapped. A row whose first cell is "" continues the one
            above.
    """
    columns = list(zip(table.head, *table.rows, strict=True))
    wrapped = [kind == "t" and max(map(len, cells)) > WRAPPED for kind, cells in zip(table.kinds, columns, strict=True)]
    spec = "".join(_column(kind, wrap) for kind, wrap in zip(table.kinds, wrapped, strict=True))
    grouped = any(not cells[0] for cells in table.rows)
    body = [
        (r"\addlinespace" + "\n" if grouped and cells[0] and index else "") + _row(cells)
        for index, cells in enumerate(table.rows)
    ]
    head = [rf"\begin{{tabular}}{{@{{}}{spec}@{{}}}}", r"\toprule", _row(table.head), r"\midrule"]
    return "\n".join([*head, *body, r"\bottomrule", r"\end{tabular}", ""])


def _column(kind: str, wrap: bool) -> str:
    if wrap:
        return r">{\raggedright\arraybackslash}p{0.28\linewidth}"
    return "r" if kind == "n" else "l"


def _row(cells: Sequence[str]) -> str:
    row = " & ".join(map(cell, cells)) + r" \\"
    return "{}" + row if row.startswith(("[", "*")) else row  # which the end of the row above would read as its option


def cell(text: str) -> str:
    """Converts a cell to LaTeX.

    Args:
        text: The cell; a `Symbol` becomes mathematics.
    """
    return symbol(text) if isinstance(text, Symbol) else escape(text)
