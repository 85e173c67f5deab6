"""Checks of values: units that the size of values suggests, repeated rows, excluded rows, and columns that disagree.

Key: N parameters, D tokens, C training FLOPs, L loss, U unique tokens; n rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.data.columns.names import LAW_COLUMN_NAMES, candidate_columns, is_nonembedding, name_readings
from analysis.data.points import combination_codes
from analysis.data.table import cell_texts, parse_column
from analysis.data.units import LOSS_UNIT, parse_unit
from analysis.format import join_names, plural
from analysis.studies.audit.conventions import SHAPES, named_column, size_columns
from analysis.studies.audit.findings import ERROR, NOTE, WARNING, Finding
from analysis.studies.audit.rows import Rows

SAME = 0.01  # relative difference up to which two columns agree
SMALL_LOSS = 1.0  # nats per token below which a loss of text is unusual
EXCLUDED = re.compile(
    r"(.*_)?(excluded?|exclusion|outliers?|dropped|ignored?|invalid|removed|filtered|discarded)(_.*)?"
)
HELD_OUT = re.compile(r"(.*_)?(split|subset|fold|mode|used_for_fit|for_fit|is_train|training|hold_?out|held_?out)")
MARKS = {"true", "yes", "1", "1.0"}
NO_MARKS = {"false", "no", "0", "0.0", ""}
MAX_PARTS = 6  # largest number of values of a column that splits rows into fitted and held-out
PER_PARAMETER = (*LAW_COLUMN_NAMES["M"].split(), "tokens_per_n", "d_over_n", "tpp")
CHINCHILLA = ("chinchilla_multiplier", "chinchilla_ratio")  # of 20 tokens per parameter
STEPS = ["steps", "step", "n_steps", "num_steps", "total_steps", "train_steps", "max_steps", "iterations"]
BATCHES = ["batch", "batch_size", "global_bs", "global_batch_size", "gbsz", "gbs", "bs", "bsz", "batch_tokens"]
TOKENS_PER_PARAMETER = (0.01, 1e5)  # published sweeps have 0.02 to 2e4
MAX_MISSING = 12  # columns with empty cells that a finding names


def audit_values(rows: Rows) -> Iterator[Finding]:
    """Yields findings on missing cells, repeated and excluded rows, and columns that disagree."""
    yield from _empty_cells(rows)
    yield from _repeated_rows(rows)
    yield from _marked_rows(rows)
    yield from _disagreements(rows)


def audit_loss_unit(rows: Rows) -> Iterator[Finding]:
    """Yields a finding if the source names no unit of the loss: a warning if its size suggests another one."""
    if not rows.has("L") or rows.loss_unit:
        return
    median = float(np.nanmedian(rows.values["L"]))
    name = rows.columns.names["L"]
    text = f"L: the source names no unit for column {name}: read as {LOSS_UNIT}"
    if median < SMALL_LOSS:
        text += f", but its median is {median:.3g}: that is small for text"
        yield Finding(
            WARNING, "units", text, "If it is per byte or character, say so: --units L=nats/byte or L=bits/byte."
        )
    else:
        yield Finding(NOTE, "units", text)


def _empty_cells(rows: Rows) -> Iterator[Finding]:
    """A note on the empty cells of columns that are not read."""
    frame = rows.table.frame.drop(columns=[name for name in rows.columns.names.values() if name in rows.table.frame])
    empty = {name: sum(not text or text.lower() == "nan" for text in cell_texts(frame[name])) for name in frame.columns}
    partly = {name: number for name, number in empty.items() if 0 < number < len(frame)}
    if partly:
        texts = join_names([f"{name} ({number})" for name, number in partly.items()], MAX_MISSING)
        yield Finding(NOTE, "missing", f"empty cells in columns that are not read: {texts}")


def _repeated_rows(rows: Rows) -> Iterator[Finding]:
    """Rows that are equal in every column, or only in the columns that are read."""
    frame, names = rows.table.frame, rows.names
    if len(frame) < 2:
        return
    whole = combination_codes([cell_texts(frame[name]) for name in frame.columns])
    inputs = [letter for letter in (rows.law.inputs if rows.law else "NDC") if letter in rows.values]
    first = _first_rows(whole)
    later = np.flatnonzero(first < np.arange(len(first)))
    if len(later):
        yield _repeated(names, later, first, "repeat an earlier row in every column")
    if rows.output not in rows.values or (rows.law is None and len(inputs) < 2):
        return
    first = _first_rows(combination_codes([np.nan_to_num(rows.values[letter]) for letter in (*inputs, rows.output)]))
    later = np.flatnonzero((first < np.arange(len(first))) & (whole != whole[first]))
    if len(later):
        letters = f"have the {join_names((*inputs, rows.output))} of an earlier row, but differ in other columns"
        yield _repeated(names, later, first, letters)
    yield from _repeated_names(rows)


def _first_rows(codes: np.ndarray) -> np.ndarray:
    """The first row (n,) with the code of each row."""
    return np.asarray(np.unique(codes, return_index=True)[1][codes])


def _repeated(names: list[str], later: np.ndarray, first: np.ndarray, what: str) -> Finding:
    pairs = tuple(f"{names[row]} = {names[first[row]]}" for row in later)
    text = f"{plural(len(later), 'row')} {what}"
    return Finding(WARNING, "repeated", text, "Fits count each of them; remove copies.", pairs)


def _repeated_names(rows: Rows) -> Iterator[Finding]:
    """Runs of one name that have several sizes."""
    if "name" not in rows.columns.names or not rows.has("N"):
        return
    labels = cell_texts(rows.table.frame[rows.columns.names["name"]])
    sizes = pd.Series(rows.values["N"]).groupby(pd.Series(labels)).nunique()
    several = [str(label) for label, number in sizes.items() if number > 1 and label]
    if several and len(several) < len(set(labels)) / 2:
        text = f"{plural(len(several), 'name')} in column {rows.columns.names['name']} has rows of several N"
        yield Finding(WARNING, "repeated", text, "A name should be of one run.", tuple(several))


def _marked_rows(rows: Rows) -> Iterator[Finding]:
    """Rows that the source marks as excluded or as held out, which are fitted unless they are selected."""
    used = {name for letter, name in rows.columns.names.items() if letter != "group"}
    for name in [name for name in rows.table.frame.columns if name not in used]:
        cells = [cell.lower() for cell in cell_texts(rows.table.frame[name])]
        readings = name_readings(str(name))
        expression = name if str(name).isidentifier() else f'col("{name}")'
        if any(EXCLUDED.fullmatch(reading) for reading in readings) and set(cells) <= MARKS | NO_MARKS:
            marked = np.array([cell in MARKS for cell in cells], bool)
            if marked.any():
                text = f"{int(marked.sum())} of {plural(len(cells), 'row')} are marked in column {name}, and are fitted"
                advice = f"--where 'not {expression}' leaves them out; say why they are excluded."
                yield Finding(WARNING, "states", text, advice, rows.name_rows(marked))
        elif any(HELD_OUT.fullmatch(reading) for reading in readings) and 1 < len(set(cells)) <= MAX_PARTS:
            parts = join_names(f"{cell or 'empty'} ({number})" for cell, number in Counter(cells).most_common())
            text = f"column {name} divides the rows: {parts}; all of them are fitted"
            yield Finding(
                WARNING, "states", text, f"--where with {expression} selects the rows that the authors fitted."
            )


def divides_rows(column: str) -> bool:
    """Returns whether the name of a column means that it marks excluded or held-out rows, such as outlier or split."""
    return any(EXCLUDED.fullmatch(name) or HELD_OUT.fullmatch(name) for name in name_readings(column))


def _disagreements(rows: Rows) -> Iterator[Finding]:
    """Relations that columns should satisfy."""
    sizes, values = size_columns(rows), rows.values
    inner = {name: N for name, N in sizes.items() if is_nonembedding(name)}
    for name, N in inner.items():
        for other, total in sizes.items():
            larger = np.isfinite(N) & np.isfinite(total) & (total * (1 + SAME) < N)
            if other not in inner and larger.any():
                text = f"{name} is larger than {other} in {plural(int(larger.sum()), 'row')}"
                yield Finding(ERROR, "agreement", text, "One of them has another meaning.", rows.name_rows(larger))
    if rows.has("D") and sizes:
        D = values["D"]
        for names, scale in ((PER_PARAMETER, 1.0), (CHINCHILLA, 20.0)):
            if column := named_column(rows.table, names):
                prefix = f"{scale:g}·" if scale != 1 else ""
                products = {f"{prefix}{column[0]}·{name}": scale * column[1] * N for name, N in sizes.items()}
                yield from _compare(rows, f"D ({rows.columns.names['D']})", D, products)
    if rows.has("D"):
        yield from _compare_steps(rows)
    if rows.has("N", "D"):
        yield from _tokens_per_parameter(rows)
    if rows.has("D", "U"):
        larger = values["U"] > values["D"] * (1 + SAME)
        if larger.any():
            text = f"unique tokens are more than all tokens in {plural(int(larger.sum()), 'row')}"
            yield Finding(ERROR, "agreement", text, "Name the columns: --columns D=..,U=..", rows.name_rows(larger))
        if rows.has("epochs"):
            product = {f"{rows.columns.names['U']}·{rows.columns.names['epochs']}": values["U"] * values["epochs"]}
            yield from _compare(rows, f"D ({rows.columns.names['D']})", values["D"], product)
    yield from _compare_losses(rows)


def _tokens_per_parameter(rows: Rows) -> Iterator[Finding]:
    """A warning if D/N is not that of any usual run, as where one of them is in thousands or billions."""
    ratio = float(np.nanmedian(rows.values["D"] / rows.values["N"]))
    low, high = TOKENS_PER_PARAMETER
    if not low <= ratio <= high:
        text = f"D/N has the median {ratio:.3g} tokens per parameter: usual are {low:g} to {high:g}"
        yield Finding(WARNING, "units", text, "If N or D is in thousands, millions or billions, name it with --units.")


def _compare_steps(rows: Rows) -> Iterator[Finding]:
    """Tokens against steps × batch (× length)."""
    steps, batch = named_column(rows.table, STEPS), named_column(rows.table, BATCHES)
    if not steps or not batch:
        return
    products = {f"{steps[0]}·{batch[0]}": steps[1] * batch[1]}
    if length := named_column(rows.table, SHAPES["context"].split()):
        products[f"{steps[0]}·{batch[0]}·{length[0]}"] = steps[1] * batch[1] * length[1]
    yield from _compare(rows, f"D ({rows.columns.names['D']})", rows.values["D"], products)


def _compare(rows: Rows, name: str, values: np.ndarray, products: dict[str, np.ndarray]) -> Iterator[Finding]:
    """Compares values (n,) with the nearest of some products."""
    known = {}
    for product, numbers in products.items():
        with np.errstate(all="ignore"):
            log_ratio = np.log(values / numbers)
        if np.isfinite(log_ratio).any():
            known[product] = log_ratio
    if not known:
        return
    product = min(known, key=lambda key: float(np.nanmedian(np.abs(known[key]))))
    log_ratio = known[product]
    center = float(np.nanmedian(log_ratio))
    far = np.isfinite(log_ratio) & (np.abs(log_ratio - center) > SAME)
    factor = "" if abs(center) <= SAME else f"{np.exp(center):.4g} times "
    if not far.any():
        yield Finding(NOTE, "agreement", f"{name} is {factor}{product} in every row")
        return
    text = f"{name} is {factor}{product} in most rows, but not in {plural(int(far.sum()), 'row')} (by more than 1%)"
    yield Finding(WARNING, "agreement", text, "One of the columns is wrong there.", rows.name_rows(far))


def _compare_losses(rows: Rows) -> Iterator[Finding]:
    """Perplexity and bits per token against the loss that is read."""
    if not rows.has("L") or not rows.columns.names.get("L"):
        return
    own = rows.columns.units.get("L")
    if own is not None and own.loss_unit != LOSS_UNIT:
        return
    table = rows.table
    for candidate in candidate_columns(table, "L"):
        if candidate.column == rows.columns.names["L"] or not candidate.unit or not candidate.has_numbers:
            continue
        unit = parse_unit("L", candidate.unit)
        if unit.loss_unit == LOSS_UNIT and not unit.is_identity and candidate.rank[0] == 0:
            L = unit.convert(parse_column(table.frame[candidate.column], False, table.decimal_comma).values)
            yield from _compare(
                rows, f"L ({rows.columns.names['L']})", rows.values["L"], {f"that of {candidate.column}": L}
            )
