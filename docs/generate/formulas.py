"""Formulas in MathML, which browsers draw without a script."""

from __future__ import annotations

import html as escapes
import re

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_DISPLAY = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)


def to_mathml(html: str) -> str:
    r"""Replaces the formulas that arithmatex has marked, `\(...\)` and `\[...\]`, by MathML.

    Args:
        html: Content of a page.
    """
    html = _DISPLAY.sub(lambda match: f'<div class="formula">{mathml(match[1], display="block")}</div>', html)
    return _INLINE.sub(lambda match: mathml(match[1]), html)


def mathml(latex: str, display: str = "inline") -> str:
    """Returns a formula in LaTeX, in which HTML characters may be escaped, as a MathML element.

    Args:
        latex: The formula without dollar signs.
        display: "inline" or "block".

    Raises:
        PluginError: The formula has a command that cannot be converted.
    """
    source = " ".join(escapes.unescape(latex).split())
    element = convert(source, display=display)
    if unknown := re.search(r">(\\[A-Za-z]+)<", element):
        raise PluginError(f"formula ${source}$: {unknown[1]} is not known to latex2mathml; use another command")
    return element.replace("<math ", f'<math alttext="{escapes.escape(source)}" ', 1)
