"""Labels of rows: columns of text with few values, such as a corpus or an architecture, whose groups may differ."""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np
import pandas as pd

from analysis.data.columns.names import name_readings
from analysis.data.rows.factors import table_factors
from analysis.data.table import cell_texts, parse_column

MAX_LABELS = 20  # largest number of values of a column of labels
LABEL_NAME = re.compile(  # numbers in columns of these names are labels
    r"(.*_)?(corpus|dataset|data|tokenizer|vocab|context|seq|seqlen|sequence|group|recipe|arch|architecture|experts?)"
    r"(_(id|index|no|size|length|len|version|mix|mixture))?"
)


def text_labels(frame: pd.DataFrame, used: Collection[str]) -> dict[str, list[str]]:
    """Returns the label of each row (n,) by column.

    Not labels are columns of numbers (except of a corpus, a vocabulary or similar), names of runs, states, and other
    circumstances of a run.

    Args:
        frame: Rows (n,).
        used: Columns that are read as numbers, names or groups of points.
    """
    labels = {}
    for name in table_factors(frame, used).others:
        is_number = frame[name].dtype != bool and np.isfinite(parse_column(frame[name], True).values).any()
        if is_number and not any(LABEL_NAME.fullmatch(reading) for reading in name_readings(str(name))):
            continue
        texts = [text.strip() for text in cell_texts(frame[name])]
        if 1 < len(set(texts)) <= MAX_LABELS:
            labels[str(name)] = texts
    return labels
