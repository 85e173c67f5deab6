"""The audit of a table or store."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from analysis.data.from_store import STORE_COLUMNS, is_run_table
from analysis.data.options import ReadOptions
from analysis.data.sources.readers import is_store, read_table
from analysis.laws.law import Law
from analysis.studies.audit.compute import audit_compute
from analysis.studies.audit.conventions import compare_counts, size_columns
from analysis.studies.audit.findings import Audit, in_order
from analysis.studies.audit.replicates import audit_replicates
from analysis.studies.audit.rows import read_rows, summarise_columns
from analysis.studies.audit.store import audit_store
from analysis.studies.audit.values import audit_loss_unit, audit_values

BLOCK = 1 << 20  # bytes that are hashed at a time


def audit_source(source: Any, options: ReadOptions = ReadOptions(), law: Law | None = None) -> Audit:
    """Audits a source of runs: what it contains, what is missing, and which of its numbers contradict each other.

    Args:
        source: Any source of `analysis.data.load.load`.
        options: Columns, units and rows. `drop_bad` has no effect: invalid rows are findings.
        law: Law whose columns are audited; None stands for laws of the loss in N, D and C.

    Raises:
        DataError: The source cannot be read, or a column or unit of the options does not exist.
    """
    if is_store(source):
        return audit_store(source, options, law)
    table = read_table(source, options, "loss" if law is None or law.output == "L" else law.output)
    rows = read_rows(table, options, law, STORE_COLUMNS if is_run_table(table) else {})
    compute_findings, counts, reference, budgets = audit_compute(rows)
    findings = [*rows.findings, *compute_findings, *audit_values(rows), *audit_replicates(rows, is_run_table(table))]
    findings += audit_loss_unit(rows)
    facts = {
        "rows": str(len(table.frame)),
        "rows read": str(len(rows.table.frame)),
        "columns": str(table.frame.shape[1]),
    }
    facts |= _hash(source)
    sizes = size_columns(rows)
    compared = compare_counts(sizes, next(iter(sizes.values()))) if len(sizes) > 1 else ()
    columns, ordered = summarise_columns(rows), in_order(findings)
    return Audit(str(table.name), "table", facts, ordered, columns, counts, reference, budgets, compared)


def _hash(source: Any) -> dict[str, str]:
    """SHA-256 of a file, by name; nothing for other sources."""
    if not isinstance(source, str | Path) or not Path(source).is_file():
        return {}
    digest = hashlib.sha256()
    with Path(source).open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return {"SHA-256": digest.hexdigest()}
