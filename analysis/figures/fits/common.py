"""Shared functions of the figures of fits: axis labels, logarithmic scales, and the line style of a fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis import laws
from analysis.figures import style
from analysis.laws.law import LOSS_UNIT
from analysis.uncertainty.verdicts import has_warnings

LOG_RATIO = 3.0  # smallest ratio of the largest to the smallest value of a logarithmic axis
LABELS = {"N": style.N_LABEL, "D": style.D_LABEL, "C": style.C_LABEL}
USUAL_UNITS = (None, "parameters", "tokens", "FLOPs")


def axis_label(law: laws.Law, letter: str) -> str:
    """Returns the label of an axis: the quantity and its unit.

    Args:
        law: The law whose units are used.
        letter: Letter of an input, of the output, or C.
    """
    unit = law.units.get(letter)
    if letter == "L":
        return style.loss_label(unit or LOSS_UNIT)
    if letter in LABELS and unit in USUAL_UNITS:
        return LABELS[letter]
    name = f"${letter}$" if len(letter) == 1 else letter.replace("_", " ")
    return f"{name} ({unit})" if unit else name


def is_log(law: laws.Law, letter: str, values: np.ndarray) -> bool:
    """Returns whether an axis is logarithmic.

    Args:
        law: The law.
        letter: Letter of an input or of the output.
        values: Values on the axis.
    """
    return letter not in law.signed and bool(values.min() > 0 and values.max() > LOG_RATIO * values.min())


def linestyle(verdict: Sequence[str]) -> str:
    """Returns the line style of a fit: solid, or dashed if its verdict has warnings."""
    return "--" if has_warnings(verdict) else "-"
