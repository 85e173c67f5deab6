"""What rows of one set of inputs differ in: seeds, hyper-parameters, or other factors such as the corpus."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.data.columns.names import name_readings
from analysis.data.table import cell_texts, parse_column

SEED_NAME = re.compile(r"(.*_)?(seeds?|seed_id|trial|repeat|replicate|replica|rep|repetition)(_(id|index|number|no))?")
RUN_INDEX_NAMES = {"run", "run_index", "run_idx", "run_number", "run_no", "no"}  # seeds, if they are small and recur
HYPERPARAMETER_NAME = re.compile(
    r"(.*_)?(lrs?|learning_rates?|eta|batch(_?size)?|bsz?|gbsz?|weight_decay|wd|warm_?up|cool_?down|decay|floor|momentum"
    r"|dropout|clip|clipping|max_grad_norm|betas?|beta_?[12]|b1|b2|eps|epsilon|z_?loss|init_(std|scale|gain)"
    r"|initializer_range|label_smoothing|grad_accum|accumulation|timescale)(_.*)?"
)
METHOD_NAME = re.compile(r"(.*_)?(schedule|scheduler|type|policy|kind|name|shape)(_.*)?")  # lr_schedule is no number
SIDE_NAME = re.compile(  # consequences and circumstances of a run, which no law takes as an input
    r"(.*_)?(loss|ppl|perplexity|nll|bpb|bpc|bits|acc|accuracy|score|errors?|err|f1|em|bleu|reward|entropy|flops?|mfu"
    r"|steps?|iterations?|iters?|updates|time|timestamp|runtime|duration|seconds|minutes|hours?|days?|date|created|updated"
    r"|host|hostname|nodes?|gpus?|tpus?|devices?|cores|chips|machine|cluster|region|zone|user|author|owner|url|link"
    r"|tags?|notes?|comments?|description|commit|git|status|state|throughput|memory|cost|price|index|ids?|uuid"
    r"|epochs?_done)(_.*)?"
)
STORE_SIDE_COLUMNS = frozenset(  # columns of a store with what a run did and how it was counted
    (
        "status",
        "computed_in",
        "shared_steps",
        "seconds",
        "error",
        "budget",
        "steps",
        "N_counts",
        "C_counts",
    )
)
MAX_VALUES = 10  # largest number of values of a factor whose cells are fractions


@dataclass(frozen=True)
class Factors:
    """Columns in which rows of one set of inputs can differ, each as codes (n,) of its cells in increasing order.

    Attributes:
        seeds: Columns of seeds.
        hyperparameters: Columns of hyper-parameters, of which the best value counts.
        others: Other columns with few values, such as a corpus or an architecture.
    """

    seeds: dict[str, np.ndarray]
    hyperparameters: dict[str, np.ndarray]
    others: dict[str, np.ndarray]

    def select(self, rows: np.ndarray) -> Factors:
        """Returns the factors of the rows that `rows`, a mask (n,) or indices, selects."""
        parts = (self.seeds, self.hyperparameters, self.others)
        return Factors(*({name: codes[rows] for name, codes in part.items()} for part in parts))


def table_factors(frame: pd.DataFrame, used: Collection[str]) -> Factors:
    """Classifies the columns of a table by their names and cells.

    Args:
        frame: Rows (n,).
        used: Columns that are read as numbers, names or groups of points.
    """
    factors = Factors({}, {}, {})
    for name in frame.columns:
        readings = name_readings(str(name))
        is_index = bool(RUN_INDEX_NAMES & set(readings)) and _is_index(frame[name])
        if (name in used and not is_index) or name in STORE_SIDE_COLUMNS or str(name).startswith("eval."):
            continue
        codes = _cell_codes(frame[name])
        if codes.min() == codes.max():
            continue
        if is_index or any(SEED_NAME.fullmatch(reading) for reading in readings):
            factors.seeds[name] = codes
        elif any(HYPERPARAMETER_NAME.fullmatch(r) and not METHOD_NAME.fullmatch(r) for r in readings):
            factors.hyperparameters[name] = codes
        elif any(SIDE_NAME.fullmatch(r) and not METHOD_NAME.fullmatch(r) for r in readings):
            continue
        elif _has_few_values(frame[name], codes):
            factors.others[name] = codes
    return factors


def _cell_codes(column: pd.Series) -> np.ndarray:
    """Codes (n,) of the cells in increasing order of their numbers or texts, from 0."""
    try:
        codes, values = pd.factorize(column.to_numpy(object))  # each value is converted once; -1 is a missing cell
    except TypeError:  # lists cannot be compared
        codes, values = pd.factorize(np.array(cell_texts(column), object))
    unique = pd.Series([*values, *([""] if (codes < 0).any() else [])], dtype=object)
    numbers = parse_column(unique, False).values
    cells = numbers if np.isfinite(numbers).all() else np.array(cell_texts(unique), object)
    return np.asarray(pd.factorize(cells, sort=True)[0][codes])


def _is_index(column: pd.Series) -> bool:
    """Whether cells number the runs of each set of inputs, such as 0, 1 and 2."""
    numbers = parse_column(column, False).values
    return bool(np.isfinite(numbers).all() and np.isin(numbers, np.arange(len(numbers) // 2 + 1)).all())


def _has_few_values(column: pd.Series, codes_n: np.ndarray) -> bool:
    """Whether the values of a column recur, as those of a factor do; measurements and labels do not."""
    values = int(codes_n.max()) + 1
    numbers = parse_column(column.iloc[np.unique(codes_n, return_index=True)[1]], False).values
    is_fraction = np.isfinite(numbers).any() and not np.array_equal(numbers, np.round(numbers), equal_nan=True)
    return 2 * values <= len(codes_n) and (values <= MAX_VALUES or not is_fraction)
