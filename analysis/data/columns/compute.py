"""Completion of a missing N, D or C by C = 6·N·D.

Key: N parameters, D tokens, C training FLOPs, L loss.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.data.columns.names import NONEMBEDDING_NAMES, normalise
from analysis.data.options import ReadOptions


def complete_compute(
    values: Mapping[str, np.ndarray], names: Mapping[str, str], options: ReadOptions
) -> tuple[dict[str, np.ndarray], str, list[str]]:
    """Computes a missing N, D or C from the two others by C = 6·N·D.

    Args:
        values: Values (n,) by letter.
        names: Column by letter.
        options: What N and C count.

    Returns:
        The values including N, D and C (NaN if unknown), the counting convention as text, and notes.
    """
    result, notes = dict(values), []
    if "C" not in result and not {"N", "D"} <= set(result) and "budget" in result:
        result["C"] = result["budget"]
        notes.append("C set to the planned budget")
    convention = f"C: as in column {names.get('C', names.get('budget'))}" if "C" in result else "C: none"
    if "N" in result and "D" in result and ("C" not in result or options.flops == "6nd"):
        result["C"] = 6 * result["N"] * result["D"]
        convention = "C: 6·N·D"
        notes.append("C computed as 6·N·D")
    elif "C" in result:
        for letter, other in (("D", "N"), ("N", "D")):
            if letter not in result and other in result:
                result[letter] = result["C"] / (6 * result[other])
                notes.append(f"{letter} computed as C / (6·{other})")
        if not notes and "N" in result and "D" in result:
            ratio = result["C"] / (6 * result["N"] * result["D"])
            if ratio.max() > 1.05 or ratio.min() < 0.95:
                notes.append(f"C is {ratio.min():.3g} to {ratio.max():.3g} times 6·N·D")
    unknown = [letter for letter in "NDC" if letter not in result]
    n = len(next(iter(values.values())))
    result |= {letter: np.full(n, np.nan) for letter in unknown}
    notes += [f"no {letter} in this source" for letter in unknown]
    nonembedding = options.params == "nonembedding" or normalise(names.get("N", "")) in NONEMBEDDING_NAMES.split()
    counted = f"N: {'without embedding' if nonembedding else 'as'} in column {names.get('N', '(none)')}"
    return result, f"{counted}; {convention}", notes
