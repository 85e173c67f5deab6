"""Choice of the columns that contain N, D, C and L, and completion of a missing one by C = 6·N·D.

Key: N parameters, D tokens, C training FLOPs, L loss in nats per token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.data.options import ReadOptions
from analysis.data.table import Table, parse_column
from analysis.data.units import Unit, parse_unit, parse_units, split_unit
from analysis.errors import DataError
from analysis.format import join_names
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


@dataclass(frozen=True)
class ColumnChoice:
    """Column and unit of each letter.

    Attributes:
        names: Column by letter.
        explicit: Letters whose column the user named.
        units: Unit by letter; values of other letters are not converted.
        guessed_units: Letters whose unit was guessed from the column's name.
        notes: One line for each guessed column.
    """

    names: dict[str, str]
    explicit: frozenset[str]
    units: dict[str, Unit]
    guessed_units: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def law_letters(law: Law | None) -> tuple[str, ...]:
    """Returns the letters of the inputs and the output of a law other than N, D, C and L."""
    return () if law is None else tuple(k for k in (*law.inputs, law.output) if k not in ("N", "D", "C", "L"))


def choose_columns(
    table: Table, options: ReadOptions, law: Law | None, store_columns: Mapping[str, str]
) -> ColumnChoice:
    """Chooses the column of each letter: as the user named it, else as a store defines it, else guessed by its name.

    Args:
        table: Rows of the source.
        options: Columns and units that the user named.
        law: Law whose inputs and output are read.
        store_columns: Columns of a store, by letter; empty for other sources.

    Raises:
        DataError: A named letter, column or unit does not exist, or a column's name is ambiguous.
    """
    letters = (*law_letters(law), *COLUMN_NAMES)  # the law's letters first: its n is not N
    units = parse_units(_by_letter(options.units, law, letters), letters)
    named = _by_letter(options.columns, law, letters)
    _check_named(table, named, letters)
    names, notes = {**store_columns, **named}, []
    units_by_name = {letter: _unit_in_name(name, letter) for letter, name in named.items()}
    readings = {column: _readings(column) for column in table.frame.columns}

    def candidates(letter: str) -> list[tuple[str, str | None]]:
        return _candidates(table, readings, letter, _usual_names(letter, options.params, law))

    if law and "x" in law.inputs and "x" not in names:  # the input of a curve can be N, D or C
        inputs = [k for k in ("N", "D", "C") if k in named] or [k for k in ("N", "D", "C") if candidates(k)]
        if len(inputs) == 1:
            names["x"] = named.get(inputs[0]) or candidates(inputs[0])[0][0]
            notes.append(f"x taken from column {names['x']}")
    for letter in law_letters(law) if store_columns else letters:
        if letter in names:
            continue
        columns = [(name, unit) for name, unit in candidates(letter) if name not in names.values()]
        if not columns:
            continue
        names[letter], units_by_name[letter] = columns[0]
        if letter not in ("name", "group"):
            others = f" (not {', '.join(name for name, _ in columns[1:])})" if len(columns) > 1 else ""
            notes.append(f"{letter} taken from column {names[letter]}{others}")
    for letter, name in names.items():
        if name in table.duplicate_columns:
            raise DataError(f"{table.name}: two columns are called {name!r} (for {letter}): rename one")
    guessed = {k: parse_unit(k, unit) for k, unit in units_by_name.items() if unit and k not in units}
    return ColumnChoice(names, frozenset(named), units | guessed, frozenset(guessed), tuple(notes))


def _by_letter(named: Mapping[str, str], law: Law | None, letters: tuple[str, ...]) -> dict[str, str]:
    """Columns or units of the user by letter, where y is replaced by the output of the law and x by its only input."""
    result = dict(named)
    if "y" in result and "y" not in letters:
        result[law.output if law else "L"] = result.pop("y")
    if "x" in result and "x" not in letters and law and len(law.inputs) == 1:
        result[law.inputs[0]] = result.pop("x")
    return result


def _check_named(table: Table, named: Mapping[str, str], letters: tuple[str, ...]) -> None:
    unknown = sorted(set(named) - set(letters))
    if unknown:
        raise DataError(f"columns {', '.join(unknown)}: allowed are {', '.join(letters)}")
    for letter, name in named.items():
        if name not in table.frame.columns:
            names = join_names(table.frame.columns)
            raise DataError(f"{table.name}: no column {name!r} (for {letter}): it has {names}")


def _usual_names(letter: str, params: str, law: Law | None) -> list[str]:
    """Usual names of a letter's column, most likely first: normalised names, then the names in lower case."""
    if letter == "N" and params == "nonembedding":
        names = NONEMBEDDING_NAMES
    else:
        law_names = law.columns.get(letter) if law else None
        names = COLUMN_NAMES.get(letter) or law_names or LAW_COLUMN_NAMES.get(letter, letter)
    joined = [_plain(name) for name in f"{names} {FALLBACK_NAMES.get(letter, '')}".split()]
    return joined + [name.lower() for name in names.split()]


def _plain(name: str) -> str:
    """A normalised name: lower case, without punctuation, words joined by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")


def _readings(column: str) -> dict[str, str | None]:
    """Normalised names that the name of a column can mean, each with the unit that this reading implies."""
    readings: dict[str, str | None] = {}
    for stem, unit in split_unit(column):
        parts = re.split(r"[./]", stem)
        while parts:
            name = "_".join(parts)
            for reading in (_plain(name), _plain(name.lower())):
                readings.setdefault(reading, unit)
            if parts[0].lower() not in PREFIXES:
                break
            parts = parts[1:]
    return readings


def _candidates(
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


def _unit_in_name(column: str, letter: str) -> str | None:
    """Unit in the name of the column of a letter."""
    units = [unit for _, unit in split_unit(column) if unit and _has_unit(letter, unit)]
    return units[0] if units else _loss_unit(letter, _plain(column))


def check_sufficient(table: Table, names: Mapping[str, str], law: Law | None) -> None:
    """Checks that the inputs and the output of a law have a column or can be computed from other columns.

    Args:
        table: Rows of the source.
        names: Column by letter.
        law: Law whose inputs and output are read; None requires L and at least one of N, D and C.

    Raises:
        DataError: A column is missing.
    """
    columns = f"it has {join_names(table.frame.columns)}"
    output = law.output if law else "L"
    if output not in names:
        missing = "L (loss)" if output == "L" else output
        raise DataError(f"{table.name}: no column for {missing}: name one with {output}=..., {columns}")
    sizes = {"N", "D", "C"} & set(names)
    if law is None:
        if not sizes:
            raise DataError(f"{table.name}: no column for N, D or C: name one with N=..., {columns}")
        return
    available = set(names)
    if len(sizes) >= 2:  # C = 6·N·D gives the third
        available |= {"N", "D", "C", "M"}
    if "budget" in names:
        available.add("C")
    absent = [letter for letter in law.inputs if letter not in available]
    if absent:
        raise DataError(f"{table.name}: no column for {', '.join(absent)}: name one with {absent[0]}=..., {columns}")


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
    nonembedding = options.params == "nonembedding" or _plain(names.get("N", "")) in NONEMBEDDING_NAMES.split()
    counted = f"N: {'without embedding' if nonembedding else 'as'} in column {names.get('N', '(none)')}"
    return result, f"{counted}; {convention}", notes
