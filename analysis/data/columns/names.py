"""Usual names of columns, and what the name of a column can mean.

Key: N parameters, D tokens, C training FLOPs, L loss.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from analysis.data.table import Table, parse_column
from analysis.data.units import parse_unit, split_unit
from analysis.errors import DataError
from analysis.laws.law import Law

COLUMN_NAMES = {  # usual names of the columns of Points, most likely first
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

NONEMBEDDING_NAMES = (
    "n_nonembedding params_nonembedding params_no_embed n_params_nonemb params_non_embedding non_embedding_params "
    "nonembedding_params params_nonemb non_emb_params n_params_no_embed non_embedding_parameters n_non_embedding "
    "num_non_embedding_params"
)

FALLBACK_NAMES = {  # used only if no name above exists: they imply another unit or count, which a note states
    "N": NONEMBEDDING_NAMES,
    "L": "perplexity ppl val_ppl val_perplexity validation_perplexity eval_ppl eval_perplexity test_ppl "
    "test_perplexity loss_bits val_bits bpb bits_per_byte val_bpb",
}

LAW_COLUMN_NAMES = {  # usual names of inputs and outputs of laws; Law.columns of a law comes first
    "x": "x seen_examples examples n_examples train_set_size dataset_size samples steps step",
    "M": "m token_multiplier tokens_per_parameter tokens_per_param",
    "U": "u unique_tokens unique unique_data",
    "S": "s steps step n_steps",
    "y": "y",
}

PREFIXES = (  # first parts of nested names that trackers add; they do not describe the value
    *("config", "summary", "summary_metrics", "hparams", "hyperparameters", "args", "cfg", "metrics"),
    *("model", "data", "optimizer", "schedule", "training"),
)


def usual_names(letter: str, params: str, law: Law | None) -> list[str]:
    """Usual names of a letter's column, most likely first: normalised names, then the names in lower case."""
    if letter == "N" and params == "nonembedding":
        names = NONEMBEDDING_NAMES
    else:
        law_names = law.columns.get(letter) if law else None
        names = COLUMN_NAMES.get(letter) or law_names or LAW_COLUMN_NAMES.get(letter, letter)
    joined = [normalise(name) for name in f"{names} {FALLBACK_NAMES.get(letter, '')}".split()]
    return joined + [name.lower() for name in names.split()]


def normalise(name: str) -> str:
    """A normalised name: lower case, without punctuation, words joined by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")


def name_readings(column: str) -> dict[str, str | None]:
    """Normalised names that the name of a column can mean, each with the unit that this reading implies."""
    readings: dict[str, str | None] = {}
    for stem, unit in split_unit(column):
        parts = re.split(r"[./]", stem)
        while parts:
            name = "_".join(parts)
            for reading in (normalise(name), normalise(name.lower())):
                readings.setdefault(reading, unit)
            if parts[0].lower() not in PREFIXES:
                break
            parts = parts[1:]
    return readings


def candidate_columns(
    table: Table, readings: Mapping[str, Mapping[str, str | None]], letter: str, usual: list[str]
) -> list[tuple[str, str | None]]:
    """Candidate columns of a letter, most likely first, each with the unit in its name."""
    ranked: list[tuple[int, str, str | None]] = []
    for column, units in readings.items():
        ranks = [
            (usual.index(reading), column, unit or _loss_unit(letter, reading))
            for reading, unit in units.items()
            if reading in usual and (unit is None or _has_unit(letter, unit))
        ]
        if ranks:
            ranked.append(min(ranks, key=lambda rank: rank[0]))
    ranked.sort(key=lambda rank: rank[0])
    if letter not in ("name", "group"):  # a column without numbers is the last resort
        ranked = [rank for rank in ranked if _has_numbers(table, rank[1])] or ranked
    return [(column, unit) for _, column, unit in ranked]


def _has_numbers(table: Table, column: str) -> bool:
    numbers = parse_column(table.frame[column].head(100), True, table.decimal_comma)
    return bool(np.isfinite(numbers.values).any())


def _has_unit(letter: str, unit: str) -> bool:
    """Whether the column of a letter can have that unit."""
    try:
        parse_unit(letter, unit)
    except DataError:
        return False
    return letter not in ("name", "group", "weight")


def _loss_unit(letter: str, reading: str) -> str | None:
    """Unit of a loss, from the words in the name of its column."""
    if letter != "L":
        return None
    words = set(reading.split("_"))
    if words & {"perplexity", "ppl"}:
        return "perplexity"
    if "bpb" in words or {"bits", "byte"} <= words:
        return "bits/byte"
    return "bits" if "bits" in words else None


def unit_in_name(column: str, letter: str) -> str | None:
    """Unit in the name of the column of a letter."""
    units = [unit for _, unit in split_unit(column) if unit and _has_unit(letter, unit)]
    return units[0] if units else _loss_unit(letter, normalise(column))
