"""Checkpoints of one run, replicates of one set of inputs, groups, and budgets of an isoFLOP sweep.

Key: N parameters, D tokens, C training FLOPs, L loss; n rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.data.columns.compute import complete_compute
from analysis.data.points import Points, separate_budgets
from analysis.data.rows.checkpoints import final_rows, runs_of_rows
from analysis.data.rows.labels import text_labels
from analysis.data.rows.replicates import select_replicates
from analysis.data.table import cell_texts
from analysis.errors import DataError, FitError
from analysis.format import join_names, plural
from analysis.studies.audit.findings import NOTE, WARNING, Finding
from analysis.studies.audit.rows import Rows
from analysis.studies.audit.values import divides_rows

MIN_PARABOLA = 3  # runs of one budget that determine a parabola
MIN_BUDGETS = 2  # budgets with so many runs make an isoFLOP sweep


def audit_replicates(rows: Rows, rows_are_runs: bool) -> Iterator[Finding]:
    """Yields findings on checkpoints, replicates, groups and budgets.

    Args:
        rows: Rows (n,).
        rows_are_runs: Whether each row is known to be a run, as in a store.
    """
    points, valid = _points(rows)
    if points is None:
        return
    frame = rows.table.frame[valid]
    used = frozenset(rows.columns.names.values())
    runs = None if rows_are_runs else runs_of_rows(frame, points, rows.columns.names, rows.options.run_columns)
    if runs is not None and len(set(runs)) < len(runs):
        last = final_rows(runs, points, frame)
        text = f"{plural(len(points), 'row')} are checkpoints of {plural(len(last), 'run')}"
        advice = (
            "Rows of one run have correlated errors: laws of final losses use the last row of each; laws of curves "
            "resample whole runs (--runs, --checkpoints)."
        )
        yield Finding(WARNING, "replicates", text, advice)
        points, frame = points.select(last), frame.iloc[last]
    try:
        selection = select_replicates(points, frame, used, rows.law, rows.options.replicates)
    except DataError as error:
        yield Finding(WARNING, "replicates", str(error))
    else:
        yield from (Finding(WARNING, "replicates", note, "State the choice.") for note in selection.notes)
    yield from _groups(rows, frame)
    yield from _budgets(points)


def _points(rows: Rows) -> tuple[Points | None, np.ndarray]:
    """The rows whose N, D, C and output are valid as points, and their mask (n,); None without any."""
    letters = [letter for letter in dict.fromkeys((*"NDC", rows.output)) if letter in rows.values]
    valid = np.ones(len(rows.table.frame), bool)
    for letter in letters:
        valid &= np.isfinite(rows.values[letter])
    if not letters or not valid.any():
        return None, valid
    known = {letter: x[valid] for letter, x in rows.values.items() if np.isfinite(x[valid]).all()}
    if not known:
        return None, valid
    values = complete_compute(known, rows.columns.names, rows.options)[0]
    n = int(valid.sum())
    group = rows.columns.names.get("group")
    groups = cell_texts(rows.table.frame[group][valid]) if group else None
    x = {letter: values.get(letter, np.full(n, np.nan)) for letter in "NDCL"}
    inputs = rows.law.inputs if rows.law else ()
    points = Points(
        N=x["N"],
        D=x["D"],
        C=x["C"],
        L=x["L"],
        names=list(rows.name_rows(valid)),
        budgets=values.get("budget"),
        groups=groups,
        extra={letter: values[letter] for letter in inputs if letter in values and letter not in x},
        epochs=values.get("epochs"),
    )
    return points, valid


def _groups(rows: Rows, frame: pd.DataFrame) -> Iterator[Finding]:
    """Columns of few texts, such as a corpus or an architecture, whose rows a fit pools."""
    labels = text_labels(frame, frozenset(rows.columns.names.values()))
    if group := rows.columns.names.get("group"):
        texts = cell_texts(frame[group])
        if len(set(texts)) > 1:
            labels = {group: texts, **labels}
    for name, texts in labels.items():
        if divides_rows(name):
            continue
        counts = join_names([f"{text or 'empty'} ({n})" for text, n in Counter(texts).most_common()], 6)
        yield Finding(WARNING, "groups", f"column {name} has {len(set(texts))} values: {counts}",
                      f"A fit pools them; --by {name} fits each.")  # fmt: skip


def _budgets(points: Points) -> Iterator[Finding]:
    """Budgets of an isoFLOP sweep with too few runs, or whose smallest loss is at the end of the sizes."""
    if not (np.isfinite(points.C).all() and np.isfinite(points.N).all() and np.isfinite(points.L).all()):
        return
    try:
        budgets = separate_budgets(points, "budgets")[0]
    except FitError:
        return  # compute varies without gaps
    full = [(budget, rows) for budget, rows in budgets if len(np.unique(points.N[rows])) >= MIN_PARABOLA]
    if len(full) < MIN_BUDGETS or sum(len(rows) for _, rows in full) < len(points) / 2:
        return
    how = "planned" if points.budgets is not None else "found by neighbouring compute"
    yield Finding(NOTE, "groups", f"{plural(len(full), 'budget')} ({how}) with {MIN_PARABOLA} or more sizes, of "
                  f"{_range([len(rows) for _, rows in full])} runs each")  # fmt: skip
    at_end = []
    for budget, rows in full:
        best = points.N[rows][np.argmin(points.L[rows])]
        if best in (points.N[rows].min(), points.N[rows].max()):
            at_end.append(f"{budget:.3g}")
    if at_end:
        text = f"the lowest loss is at the smallest or largest size in {len(at_end)} of {plural(len(full), 'budget')}"
        advice = "The minimum lies outside these sizes: a parabola extrapolates to it."
        yield Finding(WARNING, "groups", f"{text}: {join_names(at_end, 6)}", advice)


def _range(numbers: list[int]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else f"{min(numbers)} to {max(numbers)}"
