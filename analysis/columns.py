"""Which column of a file is N, D, C or L, and what follows from C = 6·N·D where one is missing.

Key: N parameters, D tokens, C training FLOPs, L loss in nats a token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.where import DataError

COMMON = {
    "N": "n params parameters n_params num_params param_count parameter_count total_params params_total n_parameters "
    "num_parameters total_parameters total_parameter_count model_size n_total",
    "D": "d tokens n_tokens num_tokens train_tokens training_tokens total_tokens tokens_seen seen_tokens d_tokens",
    "C": "c flops training_flop training_flops train_flops total_flops flop compute n_flops training_compute flops_6nd",
    "L": "l loss val_loss validation_loss valid_loss eval_loss final_loss test_loss final_val_loss loss_val "
    "cross_entropy val_nll nll",
    "budget": "budget flop_budget flops_budget compute_budget planned_flops budget_flops target_flops",
    "name": "run_id run name id run_name model",
    "group": "group sweep config",
    "weight": "weight weights",
}
NONEMBEDDING = (
    "n_nonembedding params_nonembedding params_no_embed n_params_nonemb params_non_embedding non_embedding_params"
)


def _match(frame: pd.DataFrame, letter: str, params: str) -> list[str]:
    common = COMMON[letter]
    if letter == "N" and params == "nonembedding":
        common = NONEMBEDDING
    by_lower: dict[str, str] = {}
    for column in frame.columns:
        by_lower.setdefault(str(column).lower(), str(column))
    return [by_lower[name] for name in common.split() if name in by_lower]


def choose(
    frame: pd.DataFrame, columns: Mapping[str, str] | None, params: str, path: Path
) -> tuple[dict[str, str], list[str]]:
    """Column behind each letter, and what was guessed."""
    given = dict(columns or {})
    unknown = sorted(set(given) - set(COMMON))
    if unknown:
        raise DataError(f"columns {', '.join(unknown)}: allowed are {', '.join(COMMON)}")
    for letter, name in given.items():
        if name not in frame.columns:
            raise DataError(f"{path}: no column {name!r} (for {letter}): it has {listed(frame.columns)}")
    chosen, notes = dict(given), []
    for letter in COMMON:
        found = [name for name in _match(frame, letter, params) if name not in chosen.values()]
        if letter in chosen or not found:
            continue
        chosen[letter] = found[0]
        others = f" (not {', '.join(found[1:])})" if len(found) > 1 else ""
        if letter in "NDCL" or letter in ("budget", "weight"):
            notes.append(f"{letter} taken from column {found[0]}{others}")
    return chosen, notes


def listed(names: Iterable[object], most: int = 20) -> str:
    """The first names and how many more there are."""
    known = [str(name) for name in names]
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")


def complete(
    have: dict[str, np.ndarray], chosen: Mapping[str, str], flops: str | None, params: str, count: int
) -> tuple[str, list[str]]:
    """Fills in what follows from C = 6·N·D; the convention in words, and what was done."""
    notes = []
    if "C" not in have and not {"N", "D"} <= set(have) and "budget" in have:
        have["C"] = have["budget"]
        notes.append("C taken to be the planned budget")
    counted = f"C: as in column {chosen.get('C', chosen.get('budget'))}" if "C" in have else "C: none"
    if "N" in have and "D" in have and ("C" not in have or flops == "6nd"):
        have["C"] = 6 * have["N"] * have["D"]
        counted = "C: 6·N·D"
        notes.append("C computed as 6·N·D")
    elif "C" in have:
        for letter, other in (("D", "N"), ("N", "D")):
            if letter not in have and other in have:
                have[letter] = have["C"] / (6 * have[other])
                notes.append(f"{letter} computed as C / (6·{other})")
        if not notes and "N" in have and "D" in have:
            ratio = have["C"] / (6 * have["N"] * have["D"])
            if ratio.max() > 1.05 or ratio.min() < 0.95:
                notes.append(f"C is {ratio.min():.3g} to {ratio.max():.3g} times 6·N·D")
    for letter in "NDC":
        if letter not in have:
            have[letter] = np.full(count, np.nan)
            notes.append(f"no {letter} in this source")
    counted_n = f"N: {'without embedding' if params == 'nonembedding' else 'as'} in column {chosen.get('N', '(none)')}"
    return f"{counted_n}; {counted}", notes
