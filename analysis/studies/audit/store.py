"""The audit of a store: states of runs, counting conventions, and planned budgets.

A record is compared with a recount from its config, and with its curve, wherever it is read
(scaling/store/verification): one that differs is a damaged file.

Key: N parameters, D tokens, C training FLOPs; n runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from analysis.data.from_store import STORE_COLUMNS, run_notes
from analysis.data.options import ReadOptions
from analysis.data.record_cache import StoreSnapshot, as_snapshot, read_facts
from analysis.data.rows.saes import MODELS, select_runs
from analysis.data.runs import DEFAULT_FLOPS, FLOP_COUNTS, PARAM_COUNTS, count_runs, read_runs
from analysis.data.table import Table
from analysis.errors import DataError
from analysis.format import plural
from analysis.laws.law import Law
from analysis.studies.audit.compute import EQUAL_RATIO, budget_rows
from analysis.studies.audit.conventions import compare_counts
from analysis.studies.audit.findings import ERROR, NOTE, WARNING, Audit, Count, Finding, in_order
from analysis.studies.audit.replicates import audit_replicates
from analysis.studies.audit.rows import read_rows, summarise_columns
from analysis.studies.audit.values import audit_values

DONE = "done"
SHORT_ID = 12  # characters of a run id in findings


def audit_store(source: str | Path | StoreSnapshot, options: ReadOptions, law: Law | None) -> Audit:
    """Audits the runs of a store.

    Args:
        source: The store, or its folder.
        options: Rows and counting convention.
        law: Law whose columns are audited; None stands for laws of the loss in N, D and C.

    Raises:
        DataError: The store has no runs.
    """
    store = as_snapshot(source)
    runs = read_runs(store, options.flops, options.params)
    if not len(runs):
        raise DataError(f"{store}: no runs in this store: give the folder that runs were trained into")
    findings = [*_states(runs, store), *(Finding(NOTE, "states", note) for note in runs.attrs["notes"])]
    findings.append(Finding(NOTE, "compute", f"counts of {plural(len(runs), 'run')} agree with their configs"))
    done = runs[runs["status"] == DONE].reset_index(drop=True)
    facts = {"runs": str(len(runs)), "finished": str(len(done))}
    if not len(done):
        findings.append(Finding(ERROR, "states", "no run is finished", "Train the runs."))
        return Audit(str(store), "store", facts, in_order(findings))
    options = replace(options, units={"L": "nats", **options.units})  # records hold nats per token
    rows = read_rows(Table(done, str(store), label_column="run_id"), options, law, STORE_COLUMNS)
    findings += [*rows.findings, *audit_values(rows), *audit_replicates(rows, rows_are_runs=True)]
    findings += [Finding(WARNING, "replicates", note) for note in run_notes(done)]
    reference = options.flops or DEFAULT_FLOPS
    counts, sizes = _conventions(store, reference, options.params)
    findings += _count_findings(counts, reference)
    budgets = budget_rows(done["budget"].to_numpy(float), done["C"].to_numpy(float))
    for row in budgets:
        if abs(row.ratio - 1) > EQUAL_RATIO:
            text = f"runs of the budget {row.printed:g} have {row.median:.4g} FLOPs by the convention {reference}"
            findings.append(Finding(NOTE, "compute", text))
    columns = summarise_columns(rows)
    return Audit(str(store), "store", facts, in_order(findings), columns, counts, reference, budgets, sizes)


def _states(runs: pd.DataFrame, store: StoreSnapshot) -> Iterator[Finding]:
    """Runs that are not finished, by their status and error, and damaged files."""
    others = runs[runs["status"] != DONE]
    for (status, error), part in others.fillna({"error": ""}).groupby(["status", "error"]):
        reason = f" ({error})" if error else ""
        text = f"{plural(len(part), 'run')} with status {status}{reason}: not fitted"
        yield Finding(WARNING, "states", text, "Say so, or train them.", _short(part["run_id"]))
    if store.damaged:
        text = f"{plural(len(store.damaged), 'damaged file')}: not read"
        problems = tuple(f"{path}: {problem}" for path, problem in sorted(store.damaged.items()))
        yield Finding(ERROR, "states", text, "Their runs are missing from every fit.", problems)


def _conventions(store: StoreSnapshot, flops: str, params: str) -> tuple[tuple[Count, ...], tuple[Count, ...]]:
    """FLOPs and parameters of the finished runs by each convention, relative to those that are used."""
    facts = select_runs(read_facts(store)[0], MODELS)[0]
    facts = facts[facts["status"] == DONE]
    C = {name: count_runs(facts, name, "total")[2] for name in FLOP_COUNTS}
    named = {f"{name}: {FLOP_COUNTS[name]}": values for name, values in C.items()}
    N = {name: count_runs(facts, flops, name)[0] for name in PARAM_COUNTS}
    sizes = {f"{name}: {PARAM_COUNTS[name]}": values for name, values in N.items()}
    return compare_counts(named, C[flops]), compare_counts(sizes, N[params])


def _count_findings(counts: Sequence[Count], reference: str) -> Iterator[Finding]:
    wide = [count for count in counts if count.high > 1.1 * count.low]
    if wide:
        texts = ", ".join(f"{count.name.partition(':')[0]} {count.low:.3g} to {count.high:.3g} times" for count in wide)
        text = f"the convention changes C relative to {reference} by another factor at each size: {texts}"
        yield Finding(WARNING, "counts", text, "State the count; the command conventions fits under each.")


def _short(ids: pd.Series) -> tuple[str, ...]:
    return tuple(str(run)[:SHORT_ID] for run in ids)
