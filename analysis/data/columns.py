"""Which column of a source is N, D, C or L, and what follows from C = 6·N·D where one is missing.

Key: N parameters, D tokens, C training FLOPs, L loss in nats a token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.data import units
from analysis.data.table import Table, listed, parse
from analysis.errors import DataError
from analysis.laws.law import Law

COMMON = {
    "N": "n params parameters n_params num_params param_count parameter_count total_params params_total n_parameters "
    "num_parameters total_parameters total_parameter_count model_size n_total nparams model_params model_parameters "
    "parameters_count params_count num_total_params trainable_params num_trainable_params size",
    "D": "d tokens n_tokens num_tokens train_tokens training_tokens total_tokens tokens_seen seen_tokens d_tokens "
    "ntokens token_count tokens_trained trained_tokens tokens_processed num_train_tokens n_train_tokens "
    "consumed_tokens tokens_consumed pretraining_tokens pretraining_data_size training_data_size dataset_tokens",
    "C": "c flops training_flop training_flops train_flops total_flops flop compute n_flops training_compute flops_6nd "
    "num_flops flops_used total_compute train_compute training_compute_flop total_training_flops pretraining_flops",
    "L": "l loss val_loss validation_loss valid_loss eval_loss final_loss test_loss final_val_loss loss_val "
    "cross_entropy val_nll nll dev_loss heldout_loss held_out_loss best_val_loss min_val_loss loss_eval loss_valid "
    "loss_validation final_eval_loss final_test_loss val_cross_entropy test_cross_entropy eval_cross_entropy val_ce "
    "lm_loss training_loss train_loss loss_train final_train_loss",
    "budget": "budget flop_budget flops_budget compute_budget planned_flops budget_flops target_flops isoflop_budget",
    "name": "run_id run name id run_name model model_name display_name",
    "group": "group sweep config",
    "weight": "weight weights",
}
NONEMBEDDING = (
    "n_nonembedding params_nonembedding params_no_embed n_params_nonemb params_non_embedding non_embedding_params "
    "nonembedding_params params_nonemb non_emb_params n_params_no_embed non_embedding_parameters n_non_embedding "
    "num_non_embedding_params"
)
OTHERWISE = {  # where none of the above is there: another unit, or another count, which is said
    "N": NONEMBEDDING,
    "L": "perplexity ppl val_ppl val_perplexity validation_perplexity eval_ppl eval_perplexity test_ppl "
    "test_perplexity loss_bits val_bits bpb bits_per_byte val_bpb",
}
MORE = {  # of laws' other letters
    "x": "x seen_examples examples n_examples train_set_size dataset_size samples steps step",
    "M": "m token_multiplier tokens_per_parameter tokens_per_param",
    "U": "u unique_tokens unique",
    "S": "s steps step n_steps",
    "y": "y",
}
PREFIXES = (  # of nested names: where a value was kept, not what it is
    *("config", "summary", "summary_metrics", "hparams", "hyperparameters", "args", "cfg", "metrics"),
    *("model", "data", "optimizer", "schedule", "training"),
)


def extra(law: Law | None) -> tuple[str, ...]:
    """Letters of a law beyond N, D, C and L."""
    return () if law is None else tuple(k for k in (*law.inputs, law.output) if k not in ("N", "D", "C", "L"))


@dataclass(frozen=True)
class Choice:
    """Column behind each letter (named: those a person chose), and the unit that its name says."""

    names: dict[str, str]
    named: frozenset[str]
    units: dict[str, str]
    notes: tuple[str, ...]


def _plain(name: str) -> str:
    """A name without case and punctuation: words joined by _."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")


def _meanings(name: str) -> dict[str, str | None]:
    """What a column's name may say, as plain words, and the unit it names."""
    found: dict[str, str | None] = {}
    for stem, unit in units.in_name(name):
        parts = re.split(r"[./]", stem)
        while parts:
            for words in (_plain("_".join(parts)), re.sub(r"[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")):
                found.setdefault(words, unit)
            if parts[0].lower() not in PREFIXES:
                break
            parts = parts[1:]
    return found


def _match(table: Table, letter: str, params: str, law: Law | None) -> list[tuple[str, str | None]]:
    """Columns that may be a letter's, with their units, the likeliest first."""
    common = COMMON.get(letter) or (law.columns.get(letter) if law else None) or MORE.get(letter, letter)
    if letter == "N" and params == "nonembedding":
        common = NONEMBEDDING
    wanted = [_plain(word) for word in f"{common} {OTHERWISE.get(letter, '')}".split()]
    wanted += [word.lower() for word in common.split()]
    found: dict[str, tuple[int, str | None]] = {}
    for column in table.frame.columns:
        for words, unit in _meanings(column).items():
            if words not in wanted or (unit is not None and not _known(letter, unit)):
                continue
            rank = wanted.index(words)
            if column not in found or rank < found[column][0]:
                found[column] = (rank, unit or _implied(letter, words))
    order = sorted(found, key=lambda column: found[column][0])
    if letter not in ("name", "group"):  # a column of words is no number's, if there is another
        order = [column for column in order if _has_numbers(table, column)] or order
    return [(column, found[column][1]) for column in order]


def _has_numbers(table: Table, column: str) -> bool:
    return bool(np.isfinite(parse(table.frame[column].head(100), True, table.comma).values).any())


def _known(letter: str, unit: str) -> bool:
    try:
        units.unit(letter, unit)
    except DataError:
        return False
    return letter not in ("name", "group", "weight")


def _implied(letter: str, words: str) -> str | None:
    """The unit of a loss by the name of its kind."""
    if letter != "L":
        return None
    said = set(words.split("_"))
    if said & {"perplexity", "ppl"}:
        return "perplexity"
    if "bpb" in said or {"bits", "byte"} <= said:
        return "bits/byte"
    return "bits" if "bits" in said else None


def letters_of(law: Law | None) -> tuple[str, ...]:
    """Letters that a column can be named for."""
    return (*extra(law), *COMMON)  # what the law takes has the first choice: its n is not N


def lettered(given: Mapping[str, str] | None, law: Law | None) -> dict[str, str]:
    """What a person gave by letter; y stands for the law's output, x for its only input."""
    found, letters = dict(given or {}), letters_of(law)
    if "y" in found and "y" not in letters:
        found[law.output if law else "L"] = found.pop("y")
    if "x" in found and "x" not in letters and law and len(law.inputs) == 1:
        found[law.inputs[0]] = found.pop("x")
    return found


def choose(
    table: Table, columns: Mapping[str, str] | None, params: str, law: Law | None, usual: dict[str, str]
) -> Choice:
    """Column behind each letter: those a person names, then `usual`, then guesses by common names, which notes say."""
    given, letters, notes = lettered(columns, law), letters_of(law), []
    unknown = sorted(set(given) - set(letters))
    if unknown:
        raise DataError(f"columns {', '.join(unknown)}: allowed are {', '.join(letters)}")
    for letter, name in given.items():
        if name not in table.frame.columns:
            raise DataError(f"{table.name}: no column {name!r} (for {letter}): it has {listed(table.frame.columns)}")
    chosen, said = {**usual, **given}, {letter: _said(name, letter) for letter, name in given.items()}
    if law and "x" in law.inputs and "x" not in chosen:  # a curve's one input may be any of the three
        one = [letter for letter in ("N", "D", "C") if letter in given]
        one = one or [letter for letter in ("N", "D", "C") if _match(table, letter, params, law)]
        if len(one) == 1:
            chosen["x"], said["x"] = given.get(one[0]) or _match(table, one[0], params, law)[0][0], None
            notes.append(f"x taken from column {chosen['x']}")
    for letter in extra(law) if usual else letters:
        found = [(name, unit) for name, unit in _match(table, letter, params, law) if name not in chosen.values()]
        if letter in chosen or not found:
            continue
        chosen[letter], said[letter] = found[0]
        others = f" (not {', '.join(name for name, _ in found[1:])})" if len(found) > 1 else ""
        if letter not in ("name", "group"):
            notes.append(f"{letter} taken from column {found[0][0]}{others}")
    for letter, name in chosen.items():
        if name in table.twice:
            raise DataError(f"{table.name}: two columns are called {name!r} (for {letter}): rename one")
    return Choice(chosen, frozenset(given), {k: v for k, v in said.items() if v}, tuple(notes))


def _said(name: str, letter: str) -> str | None:
    """The unit that the name of a column says."""
    meant = [unit for _, unit in units.in_name(name) if unit and _known(letter, unit)]
    return meant[0] if meant else _implied(letter, _plain(name))


def sufficient(table: Table, chosen: Mapping[str, str], law: Law | None) -> None:
    """DataError where a column is missing that nothing else gives."""
    has = f"it has {listed(table.frame.columns)}"
    output = law.output if law else "L"
    if output not in chosen:
        said = "L (loss)" if output == "L" else output
        raise DataError(f"{table.name}: no column for {said}: say which with {output}=..., {has}")
    known = {"N", "D", "C"} & set(chosen)
    if law is None:
        if not known:
            raise DataError(f"{table.name}: no column for N, D or C: say which with N=..., {has}")
        return
    got = set(chosen)
    if len(known) >= 2:  # C = 6·N·D gives the third
        got |= {"N", "D", "C", "M"}
    if "budget" in chosen:
        got.add("C")
    missing = [letter for letter in law.inputs if letter not in got]
    if missing:
        raise DataError(f"{table.name}: no column for {', '.join(missing)}: say which with {missing[0]}=..., {has}")


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
    bare = params == "nonembedding" or _plain(chosen.get("N", "")) in NONEMBEDDING.split()
    counted_n = f"N: {'without embedding' if bare else 'as'} in column {chosen.get('N', '(none)')}"
    return f"{counted_n}; {counted}", notes
