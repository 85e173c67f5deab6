"""Usual names of columns, and what the name of a column can mean.

Names are normalised (`normalise`) to lower-case words joined by underscores. A letter has a list of usual names, most
likely first; counts and losses are also recognised by their words, so that `val_nll_final` or `total_n_params` need no
entry.

Key: N parameters, D tokens, C training FLOPs, L loss, U unique tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from analysis.data.table import Table, parse_column
from analysis.data.units import parse_unit, split_unit
from analysis.errors import DataError
from analysis.laws.law import Law

COLUMN_NAMES = {  # usual names of the columns of Points, most likely first
    "N": "n params parameters n_params num_params param_count parameter_count total_params params_total n_parameters "
    "num_parameters total_parameters total_parameter_count model_size n_total nparams model_params model_parameters "
    "parameters_count params_count num_total_params trainable_params num_trainable_params nb_params size",
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
    "epochs": "epochs n_epochs num_epochs num_train_epochs train_epochs training_epochs epochs_trained data_epochs "
    "total_epochs epoch repeats n_repeats num_repeats data_repeats data_repetitions repetitions passes n_passes "
    "num_passes data_passes max_epochs",
    "U": "u unique_tokens n_unique_tokens num_unique_tokens unique_train_tokens unique_training_tokens tokens_unique "
    "distinct_tokens unique unique_data corpus_tokens dataset_tokens data_tokens subset_tokens pool_tokens",
    "name": "run_id run name id run_name model model_name display_name",
    "group": "group sweep config",
    "weight": "weight weights",
    "error": "",  # standard error of the output: only as the user names it
}
OPTIONAL_LETTERS = ("budget", "epochs", "U", "weight", "error")  # letters that no law of N, D and C needs
LAW_COLUMN_NAMES = {  # usual names of inputs and outputs of laws; Law.columns of a law comes first
    "x": "x seen_examples examples n_examples train_set_size dataset_size samples steps step",
    "M": "m token_multiplier tokens_per_parameter tokens_per_param",
    "S": "s steps step n_steps",
    "y": "y",
}
PREFIXES = (  # first parts of nested names that trackers add; they do not describe the value
    *("config", "summary", "summary_metrics", "hparams", "hyperparameters", "args", "cfg", "metrics", "metric"),
    *("model", "data", "optimizer", "schedule", "training", "throughput", "perf", "performance", "progress", "stats"),
    *("counters", "trainer", "info", "run", "learning"),
)
OTHER_VALUES = frozenset(
    ["eval", "val", "valid", "validation", "test", "batch", "tokenizer", "vocab", "embedding", "embeddings", "active"]
)
COUNT_WORDS = frozenset(["n", "num", "nb", "number", "of", "total", "count", "the", "all"])
NAME_WORDS = {  # words of which one must occur in the name of a count, and further words that may
    "N": ("param params parameter parameters", "model trainable size dense"),
    "D": ("token tokens", "train training trained pretrain pretraining seen consumed processed used"),
    "C": ("flop flops flos compute", "train training pretrain pretraining used model spent cumulative final estimated"),
}
BUDGET_WORDS = frozenset(["budget", "isoflop", "isoflops"])
PLAN_WORDS = frozenset(["target", "planned", "nominal", "iso", "bucket", "bin", "group", "class", "level"])
COMPUTE_WORDS = frozenset(["flop", "flops", "flos", "compute", "c"])
# Words in names of rates, shares and durations, which are no FLOPs of a run.
RATE_WORDS = frozenset((
    "per", "sec", "second", "seconds", "s", "throughput", "utilization", "util", "mfu", "hfu", "hours", "hour", "days",
    "gpu", "gpus", "device", "node", "rate", "peak",
))  # fmt: skip
NONEMBEDDING = re.compile(
    r"(?:^|_)(?:non|no|wo|w_o|without|excl|excluding|exclude|minus)_?"
    r"(?:emb|embd|embed|embeds|embedding|embeddings|vocab)(?:_|$)"
)
NONEMBEDDING_WORDS = COUNT_WORDS | {"param", "params", "parameter", "parameters", "model", "size"}
LOSS_WORDS = frozenset((
    "loss", "losses", "ce", "xent", "nll", "crossentropy", "perplexity", "ppl", "bpb", "bpc", "bpt", "bits", "nats",
    "l",
))  # fmt: skip
LOSS_TERMS = {"held_out": "heldout", "cross_entropy": "crossentropy", "log_perplexity": "nll", "log_ppl": "nll"}
LOSS_UNIT_WORDS = frozenset(
    ["per", "token", "tokens", "byte", "bytes", "char", "chars", "character", "characters", "word", "words", "in"]
)
SPLITS = {  # words of the split that a loss was measured on, in order of preference
    **dict.fromkeys(["val", "valid", "validation", "eval", "evaluation", "dev", "heldout"], 0),
    "test": 1,
    **dict.fromkeys(["train", "training", "tr"], 3),
}
PLAIN_SPLIT, UNKNOWN_WORDS = 2, 2.5  # ranks of a loss of no stated split, and of a held-out loss with other words
AGGREGATES = {"final": 0, "last": 0, "end": 0, "lm": 0, "mean": 1, "avg": 1, "average": 1, "best": 2, "min": 2}
NOT_LOSSES = re.compile(  # words of values that are no loss: errors, limits, positions, parts of an objective
    r"(?:std|stdev|stddev|stderr|sem|se|sd|err|error|uncertainty|var|variance|ci|low|lower|lo|hi|high|upper|delta|diff|"
    r"ratio|gap|step|steps|epoch|epochs|time|weight|scale|fn|type|target|predicted|pred|fitted|aux|z|balance|router|kl|"
    r"reward|n|count|max|spike|spikes|task|rc|acc)\d*|\d+shots?"
)
UNIT_COLUMNS = ("loss_unit", "loss_units", "unit_of_loss", "val_loss_unit", "unit", "units")  # of cells with a unit
ERROR_SUFFIXES = [
    "stderr",
    "std_err",
    "sem",
    "se",
    "std_error",
    "standard_error",
    "error",
    "err",
    "std",
    "stdev",
    "stddev",
    "sd",
    "sigma",
    "uncertainty",
]


@dataclass(frozen=True)
class Candidate:
    """A column that a letter can have.

    Attributes:
        column: Name of the column.
        unit: Unit in its name; None if there is none.
        rank: Smaller is better; the first number of a loss is the rank of its split.
        has_numbers: Whether any of its first cells is a number.
    """

    column: str
    unit: str | None
    rank: tuple[float, ...]
    has_numbers: bool = True


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


def is_nonembedding(column: str) -> bool:
    """Returns whether the name of a column means parameters without embeddings, such as params_no_embed or N_no_emb."""
    return any(_is_nonembedding(reading) for reading in name_readings(column))


def is_active(column: str) -> bool:
    """Returns whether the name of a column means active parameters, such as N_active or activated_params."""
    words = set(normalise(column).split("_"))
    return bool(words & {"active", "activated"}) and words <= NONEMBEDDING_WORDS | {"active", "activated"}


def _is_nonembedding(reading: str) -> bool:
    words = set(NONEMBEDDING.sub("_", reading).strip("_").split("_"))
    return bool(NONEMBEDDING.search(reading)) and words <= NONEMBEDDING_WORDS | {""}


def candidate_columns(table: Table, letter: str, params: str = "total", law: Law | None = None) -> list[Candidate]:
    """Returns the columns that a letter can have by their names, most likely first.

    Args:
        table: Rows of the source.
        letter: A letter of `COLUMN_NAMES` or of the law.
        params: What N counts: total or nonembedding.
        law: The law; the names in `Law.columns` replace the usual names.
    """
    candidates = []
    for column in table.frame.columns:
        ranks = [
            (rank, unit or (loss_unit(reading) if letter == "L" else None))
            for reading, unit in name_readings(column).items()
            if (unit is None or _has_unit(letter, unit)) and (rank := _rank(reading, letter, params, law)) is not None
        ]
        ranks = ranks or _nested_ranks(column, letter, params, law)
        if ranks:
            rank, unit = min(ranks, key=lambda pair: pair[0])
            is_text = letter in ("name", "group", *(law.labels if law else ()))
            has_numbers = is_text or _has_numbers(table, column, letter != "L")
            candidates.append(Candidate(column, unit, (*rank, 0.0 if unit is None else 1.0), has_numbers))
    return sorted(candidates, key=lambda candidate: candidate.rank)


def _nested_ranks(column: str, letter: str, params: str, law: Law | None) -> list[tuple[tuple[float, ...], str | None]]:
    """Rank and unit of the last part of a nested name with an unknown first part, such as gpt/val_loss."""
    first, _, last = re.sub(r"\.", "/", column).rpartition("/")
    if letter not in "NDCL" or not first or set(normalise(first).split("_")) & OTHER_VALUES:
        return []
    ranks = []
    for reading, unit in name_readings(last).items():
        rank = _rank(reading, letter, params, law)
        is_specific = "_" in reading and (letter != "L" or (rank and rank[0] != PLAIN_SPLIT))
        if rank is not None and is_specific and (unit is None or _has_unit(letter, unit)):
            ranks.append((rank, unit or (loss_unit(reading) if letter == "L" else None)))
    return ranks


def _rank(reading: str, letter: str, params: str, law: Law | None) -> tuple[float, ...] | None:
    """Rank of a reading of a name for a letter, smaller is better; None if it does not mean the letter."""
    law_names = law.columns.get(letter) if law else None
    usual = (law_names or COLUMN_NAMES.get(letter) or LAW_COLUMN_NAMES.get(letter, letter)).split()
    if letter == "N" and not law_names:
        if _is_nonembedding(reading):
            return (0.0,) if params == "nonembedding" else (2.0,)
        if params == "nonembedding":
            return None
    if letter == "L" and not law_names:
        return _loss_rank(reading)
    if reading in usual:
        return (0.0, float(usual.index(reading)))
    names = [name.lower() for name in usual]
    if reading in names:
        return (0.0, float(names.index(reading)))
    has_words = not law_names and (_is_budget(reading) if letter == "budget" else _has_words(reading, letter))
    return (1.0,) if has_words else None


def _is_budget(reading: str) -> bool:
    """Whether a name consists of words for a planned compute, such as C_target, flops_bucket or iso_flop."""
    words = set(reading.split("_"))
    known = BUDGET_WORDS | PLAN_WORDS | COMPUTE_WORDS | COUNT_WORDS | {"train", "training"}
    return words <= known and bool(words & BUDGET_WORDS or (words & PLAN_WORDS and words & COMPUTE_WORDS))


def may_be_compute(column: str) -> bool:
    """Returns whether the name of a column has a word for the FLOPs of a run, and none for a rate, share or time."""
    words = set(normalise(column).split("_")) | set(normalise(column.lower()).split("_"))
    return bool(words & (BUDGET_WORDS | COMPUTE_WORDS - {"c"})) and not words & (RATE_WORDS | {"token", "tokens"})


def _has_words(reading: str, letter: str) -> bool:
    """Whether a name consists of words for a count of a letter."""
    if letter not in NAME_WORDS:
        return False
    needed, others = (set(words.split()) for words in NAME_WORDS[letter])
    words = set(reading.split("_"))
    return bool(words & needed) and words <= needed | others | COUNT_WORDS


def _loss_rank(reading: str) -> tuple[float, ...] | None:
    """Rank of the name of a loss by its split and unit: held-out, test, no stated split, training.

    A held-out loss whose name has other words, such as that of a corpus, comes after a loss of no stated split.
    """
    words = _loss_words(reading)
    if not words & LOSS_WORDS or any(NOT_LOSSES.fullmatch(word) for word in words):
        return None
    splits = {SPLITS[word] for word in words if word in SPLITS}
    known = LOSS_WORDS | LOSS_UNIT_WORDS | set(SPLITS) | set(AGGREGATES)
    split: float = min(splits, default=PLAIN_SPLIT)
    if not words <= known:
        if split >= PLAIN_SPLIT:
            return None
        split = UNKNOWN_WORDS
    elif words in ({"bits"}, {"nats"}):
        return None
    in_nats = loss_unit(reading) is None
    return split, 0.0 if in_nats else 1.0, float(max((AGGREGATES.get(word, 0) for word in words), default=0))


def may_be_loss(column: str) -> bool:
    """Returns whether the name of a column has a word for a loss and none for a training loss or another value."""
    words = _loss_words(normalise(column))
    is_training = any(SPLITS.get(word, 0) > PLAIN_SPLIT for word in words)
    return bool(words & LOSS_WORDS) and not is_training and not any(NOT_LOSSES.fullmatch(word) for word in words)


def _loss_words(reading: str) -> set[str]:
    """Words of a normalised name, with the terms of several words as one."""
    for term, word in LOSS_TERMS.items():
        reading = reading.replace(term, word)
    return set(reading.split("_"))


def loss_unit(reading: str) -> str | None:
    """Returns the unit of a loss from the words in its normalised name; None if they name none (nats per token)."""
    words = _loss_words(reading)
    kinds = {"byte": "byte bytes", "char": "char chars character characters", "word": "word words"}
    kind = next((kind for kind, names in kinds.items() if words & set(names.split())), None)
    for name in ("bpb", "bpc", "bpt"):
        if name in words:
            return name
    quantity = "perplexity" if words & {"perplexity", "ppl"} else "bits" if "bits" in words else None
    if kind:
        return f"{quantity or 'nats'}/{kind}"
    return quantity


def unit_in_name(column: str, letter: str) -> str | None:
    """Unit in the name of the column of a letter."""
    units = [unit for _, unit in split_unit(column) if unit and _has_unit(letter, unit)]
    return units[0] if units else loss_unit(normalise(column)) if letter == "L" else None


def error_column(table: Table, column: str) -> str | None:
    """Returns the column of the standard errors of a column by its name, such as val_loss_stderr; None if none."""
    names = {normalise(other): other for other in table.frame.columns if other != column}
    stem = normalise(column)
    patterns = [f"{stem}_{suffix}" for suffix in ERROR_SUFFIXES] + [f"{suffix}_{stem}" for suffix in ERROR_SUFFIXES]
    return next((names[pattern] for pattern in patterns if pattern in names), None)


def _has_numbers(table: Table, column: str, counts: bool) -> bool:
    numbers = parse_column(table.frame[column].head(100), counts, table.decimal_comma)
    return bool(np.isfinite(numbers.values).any())


def _has_unit(letter: str, unit: str) -> bool:
    """Whether the column of a letter can have that unit."""
    try:
        parse_unit(letter, unit)
    except DataError:
        return False
    return letter not in ("name", "group", "weight", "error", "epochs")
