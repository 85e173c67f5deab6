"""Completion of a missing N, D or C by C = 6·N·D, and of unique tokens by the number of epochs.

Key: N parameters, D tokens, C training FLOPs, L loss, U unique tokens; n rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.data.columns.names import is_nonembedding, normalise
from analysis.data.options import ReadOptions
from analysis.errors import DataError

FLOPS_PER_TOKEN = 6.0  # training FLOPs per parameter and token: forward 2, backward 4 (Kaplan 2020, section 2.1)
SAME_RATIO = 0.05  # relative deviation of C / (6·N·D) from 1 up to which it is not mentioned
CONSTANT_RATIO = 1.02  # largest ratio of the largest to the smallest C / (6·N·D) that is constant
MAX_MISMATCH = 1e3  # factor between C and 6·N·D beyond which one of them has another unit
SAME_SIZE = 0.02  # relative difference of N or D up to which two rows have the same
SAME_EPOCHS = 1.01  # smallest ratio of epochs between rows that differ in epochs
UNIQUE_SLOPE = -0.005  # ∂ ln L/∂ ln epochs at equal N and tokens, below which the tokens are unique tokens
UNIQUE_NAMES = ("dataset_tokens", "corpus_tokens", "data_tokens")  # names of D that mean unique tokens beside epochs
TOTAL_WORDS = frozenset(["total", "seen", "consumed", "processed", "trained", "training", "train"])


def complete_compute(
    values: Mapping[str, np.ndarray], names: Mapping[str, str], options: ReadOptions
) -> tuple[dict[str, np.ndarray], str, list[str]]:
    """Computes a missing N, D or C from the two others by C = 6·N·D, and epochs, U or D from the two others.

    A stated C, else a stated budget, is C unless `options.flops` is "6nd".

    Args:
        values: Values (n,) by letter.
        names: Column by letter.
        options: What N and C count.

    Returns:
        The values including N, D and C (NaN if unknown), the counting convention as text, and notes.

    Raises:
        DataError: `options.flops` is "6nd" and N or D is not known.
    """
    result, notes = complete_tokens(values, names, options)
    if options.flops == "6nd":
        missing = [letter for letter in ("N", "D") if letter not in result]
        if missing:
            raise DataError(
                f"flops 6nd: 6·N·D takes N and D: no column for {', '.join(missing)}: name it with --columns"
            )
        result.pop("C", None)
    else:
        notes += _state_compute(result, names, options)
    if "C" in result:
        convention = f"C: as in column {names.get('C', names.get('budget', 'C'))}"
        for letter, other in (("D", "N"), ("N", "D")):
            if letter not in result and other in result:
                result[letter] = result["C"] / (FLOPS_PER_TOKEN * result[other])
                notes.append(f"{letter} computed as C / (6·{other})")
                break
    elif "N" in result and "D" in result:
        result["C"] = FLOPS_PER_TOKEN * result["N"] * result["D"]
        convention = "C: 6·N·D"
        notes.append("C computed as 6·N·D")
    else:
        convention = ""
    _complete_epochs(result)
    unknown = [letter for letter in "NDC" if letter not in result]
    n = len(next(iter(values.values())))
    result |= {letter: np.full(n, np.nan) for letter in unknown}
    notes += [f"no {letter} in this source" for letter in unknown]
    return result, "; ".join(filter(None, (_count_of_parameters(names, options), convention))), notes


def _count_of_parameters(names: Mapping[str, str], options: ReadOptions) -> str:
    if "N" not in names:
        return ""
    nonembedding = options.params == "nonembedding" or is_nonembedding(names["N"])
    return f"N: {'without embedding' if nonembedding else 'as'} in column {names['N']}"


def _state_compute(values: dict[str, np.ndarray], names: Mapping[str, str], options: ReadOptions) -> list[str]:
    """Sets C to the planned budget if there is no other column of C; returns notes on C and its ratio to 6·N·D.

    A column whose ratio shows that it has another unit is not used, unless the user named it.
    """
    notes: list[str] = []
    letter = "C" if "C" in values else "budget"
    if letter not in values:
        return notes
    values["C"] = values[letter]
    if letter == "budget":
        notes.append("C set to the planned budget")
    if not {"N", "D"} <= set(values):
        return notes
    ratio = values["C"] / (FLOPS_PER_TOKEN * values["N"] * values["D"])
    low, median, high = float(ratio.min()), float(np.median(ratio)), float(ratio.max())
    if not 1 / MAX_MISMATCH < median < MAX_MISMATCH:
        sentence = (
            f"column {names.get(letter, letter)} is {median:.2g} times 6·N·D: one of the columns has another unit"
        )
        if letter in options.columns:
            return [*notes, f"{sentence}? (--units C=... names it)"]
        del values["C"]
        return [f"C not used: {sentence} (--units C=... names it)"]
    if high <= CONSTANT_RATIO * low:
        return notes + ([] if abs(median - 1) <= SAME_RATIO else [f"C is {median:.3g} times 6·N·D"])
    if high <= 1 + SAME_RATIO and low >= 1 - SAME_RATIO:
        return notes
    return [*notes, f"C is {low:.3g} to {high:.3g} times 6·N·D (--flops 6nd uses 6·N·D instead)"]


def complete_tokens(
    values: Mapping[str, np.ndarray], names: Mapping[str, str], options: ReadOptions
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Decides whether tokens beside epochs are total or unique tokens, and computes D from unique tokens.

    Args:
        values: Values (n,) by letter; "epochs" are passes over the unique tokens.
        names: Column by letter.
        options: Columns that the user named.

    Returns:
        The values with D as the total number of tokens, and notes.
    """
    result, notes = dict(values), list[str]()
    if "epochs" not in result:
        return result, notes
    epochs = np.maximum(result["epochs"], 1.0)
    if "U" in result and "D" not in result:
        result["D"] = result["U"] * epochs
        return result, ["D computed as unique tokens × epochs"]
    if "D" not in result or epochs.max() <= SAME_EPOCHS:
        return result, notes
    if "U" in result:
        if "D" not in options.columns and np.allclose(result["D"], result["U"], rtol=SAME_SIZE):
            result["D"] = result["U"] * epochs
            notes.append(f"column {names['D']} has the unique tokens: D computed as unique tokens × epochs")
        return result, notes
    unique, reason = (False, "as named") if "D" in options.columns else _are_unique(result, epochs, names["D"])
    if unique:
        result |= {"U": result["D"], "D": result["D"] * epochs}
        notes.append(f"{names['D']} are unique tokens ({reason}): D computed as {names['D']} × epochs")
    else:
        notes.append(f"{names['D']} are total tokens ({reason}): unique tokens U computed as {names['D']} / epochs")
    return result, notes


def _complete_epochs(values: dict[str, np.ndarray]) -> None:
    """Adds U or epochs where the other and D are known."""
    if "D" not in values:
        return
    if "U" in values:
        values["epochs"] = values["D"] / np.minimum(values["U"], values["D"])
    elif "epochs" in values:
        values["U"] = values["D"] / np.maximum(values["epochs"], 1.0)


def _are_unique(values: Mapping[str, np.ndarray], epochs: np.ndarray, name: str) -> tuple[bool, str]:
    """Whether the tokens beside epochs are unique tokens, and why: by their name, by C, or by the losses."""
    if normalise(name) in UNIQUE_NAMES:
        return True, "by their name"
    if set(normalise(name).split("_")) & TOTAL_WORDS:
        return False, "by their name"
    C = values.get("C", values.get("budget"))
    if C is not None and "N" in values and epochs.max() > SAME_EPOCHS * epochs.min():
        slope = np.polyfit(np.log(epochs), np.log(C / (values["N"] * values["D"])), 1)[0]
        return bool(slope > 0.5), f"C / (N·tokens) {'grows' if slope > 0.5 else 'does not grow'} with epochs"
    if "L" in values and "N" in values:
        slopes = _slopes_at_equal_tokens(values["N"], values["D"], np.log(values["L"]), np.log(epochs))
        if slopes:
            unique = bool(np.mean(slopes) < UNIQUE_SLOPE)
            return unique, f"at equal N and tokens the loss {'falls' if unique else 'does not fall'} with epochs"
    return False, "the usual meaning; --columns U=NAME for unique tokens"


def _slopes_at_equal_tokens(N: np.ndarray, D: np.ndarray, ln_L: np.ndarray, ln_epochs: np.ndarray) -> list[float]:
    """∂ ln L/∂ ln epochs between the fewest and the next epochs of rows with the same N and tokens."""
    slopes: list[float] = []
    remaining = set(range(len(N)))
    while remaining:
        first = min(remaining)
        rows = [i for i in remaining if max(abs(N[i] / N[first] - 1), abs(D[i] / D[first] - 1)) <= SAME_SIZE]
        remaining -= set(rows)
        rows.sort(key=lambda i: ln_epochs[i])
        later = [i for i in rows if ln_epochs[i] - ln_epochs[rows[0]] > np.log(SAME_EPOCHS)]
        if later:
            run = ln_epochs[later[0]] - ln_epochs[rows[0]]
            slopes.append(float((ln_L[later[0]] - ln_L[rows[0]]) / run))
    return slopes
