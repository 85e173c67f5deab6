"""Which column of a file is N, D, C or L, and what follows from C = 6·N·D where one is missing.

Key: N parameters, D tokens, C training FLOPs, L loss in nats a token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.laws.law import Law
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


MORE = {  # of laws' other letters
    "x": "x seen_examples examples n_examples train_set_size dataset_size samples steps step",
    "M": "m token_multiplier tokens_per_parameter tokens_per_param",
    "U": "u unique_tokens unique",
    "S": "s steps step n_steps",
    "y": "y",
}


def extra(law: Law | None) -> tuple[str, ...]:
    """Letters of a law beyond N, D, C and L."""
    return () if law is None else tuple(k for k in (*law.inputs, law.output) if k not in ("N", "D", "C", "L"))


def _match(frame: pd.DataFrame, letter: str, params: str, law: Law | None) -> list[str]:
    common = COMMON.get(letter) or (law.columns.get(letter) if law else None) or MORE.get(letter, letter.lower())
    if letter == "N" and params == "nonembedding":
        common = NONEMBEDDING
    by_lower: dict[str, str] = {}
    for column in frame.columns:
        by_lower.setdefault(str(column).lower(), str(column))
    return [by_lower[name] for name in common.split() if name in by_lower]


def choose(
    frame: pd.DataFrame, columns: Mapping[str, str] | None, params: str, path: Path, law: Law | None = None
) -> tuple[dict[str, str], list[str]]:
    """Column behind each letter, and what was guessed."""
    given = dict(columns or {})
    letters = (*extra(law), *COMMON)  # what the law takes has the first choice: its n is not N
    if "y" in given and "y" not in letters:
        given[law.output if law else "L"] = given.pop("y")
    if "x" in given and "x" not in letters and law and len(law.inputs) == 1:
        given[law.inputs[0]] = given.pop("x")
    unknown = sorted(set(given) - set(letters))
    if unknown:
        raise DataError(f"columns {', '.join(unknown)}: allowed are {', '.join(letters)}")
    for letter, name in given.items():
        if name not in frame.columns:
            raise DataError(f"{path}: no column {name!r} (for {letter}): it has {listed(frame.columns)}")
    chosen, notes = dict(given), []
    if law and "x" in law.inputs and "x" not in chosen:  # a curve's one input may be any of the three
        one = [letter for letter in ("N", "D", "C") if letter in chosen]
        one = one or [letter for letter in ("N", "D", "C") if _match(frame, letter, params, law)]
        if len(one) == 1:
            chosen["x"] = chosen.get(one[0]) or _match(frame, one[0], params, law)[0]
            notes.append(f"x taken from column {chosen['x']}")
    for letter in letters:
        found = [name for name in _match(frame, letter, params, law) if name not in chosen.values()]
        if letter in chosen or not found:
            continue
        chosen[letter] = found[0]
        others = f" (not {', '.join(found[1:])})" if len(found) > 1 else ""
        if letter not in ("name", "group"):
            notes.append(f"{letter} taken from column {found[0]}{others}")
    return chosen, notes


def sufficient(frame: pd.DataFrame, chosen: Mapping[str, str], path: Path, law: Law | None) -> None:
    """DataError where a column is missing that nothing else gives."""
    has = f"it has {listed(frame.columns)}"
    output = law.output if law else "L"
    if output not in chosen:
        said = "L (loss)" if output == "L" else output
        raise DataError(f"{path}: no column for {said}: say which with {output}=..., {has}")
    known = {"N", "D", "C"} & set(chosen)
    if law is None:
        if not known:
            raise DataError(f"{path}: no column for N, D or C: say which with N=..., {has}")
        return
    got = set(chosen)
    if len(known) >= 2:  # C = 6·N·D gives the third
        got |= {"N", "D", "C", "M"}
    if "budget" in chosen:
        got.add("C")
    missing = [letter for letter in law.inputs if letter not in got]
    if missing:
        raise DataError(f"{path}: no column for {', '.join(missing)}: say which with {missing[0]}=..., {has}")


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
