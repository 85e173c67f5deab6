"""Symbols of the inputs, outputs and parameters of laws in LaTeX."""

from __future__ import annotations

import re

GREEK = {"alpha", "beta", "gamma", "eta", "zeta"}
SYMBOLS = {  # names whose symbol does not follow from their parts
    "epsilon": r"\varepsilon",
    "eps_inf": r"\varepsilon_\infty",
    "eps_0": r"\varepsilon_0",
    "lam": r"\lambda",
    "lr": r"\eta",
    "step": "t",
    "Nopt": "N^*",
    "Dopt": "D^*",
    "RN_star": "R_N^*",
    "RD_star": "R_D^*",
    "B_star": "B_*",
    "E_start": r"E_{\text{start}}",
    "E_max": r"E_{\text{max}}",
}
_PARTS = re.compile(r"(alpha|beta|gamma|eta|zeta|[A-Za-z])(?:_?([A-Za-z]|\d+))?")


def symbol(name: str) -> str:
    """Returns the symbol of an input, output or parameter of a law.

    Args:
        name: Its name in Python, such as "alphaN", "Nc" or "c0".
    """
    if name in SYMBOLS:
        return SYMBOLS[name]
    parts = _PARTS.fullmatch(name)
    if parts is None:
        return rf"\mathrm{{{name}}}"
    base = "\\" + parts[1] if parts[1] in GREEK else parts[1]
    return base if parts[2] is None else f"{base}_{parts[2]}"
