"""The page of an audit: one HTML file without other files, which prints on one or two sheets."""

from __future__ import annotations

from pathlib import Path

from analysis.format import plural
from analysis.report.html import Table, render
from analysis.studies.audit import findings
from analysis.studies.audit.compute import DIFFERS, VERDICTS
from analysis.studies.audit.findings import Audit, BudgetRow, budget_cells, column_cells, count_cells
from scaling.store.files import write_atomic
from scaling.store.origin.commit import code_commit
from scaling.store.origin.paths import public_path

MAX_BUDGETS = 14  # rows of the table of budgets, so that the page prints on two sheets
MAX_COLUMNS = 14


def write_audit(audit: Audit, path: Path) -> None:
    """Writes the page of an audit.

    Args:
        audit: The audit.
        path: File to write.
    """
    write_atomic(path, page(audit).encode())


def page(audit: Audit) -> str:
    """Returns the page of an audit as HTML."""
    facts = {
        "source": public_path(audit.source),
        **audit.facts,
        "commit of the checks": code_commit() or "not recorded",
    }
    context = {
        "title": f"Audit: {Path(audit.source).name}",
        "audit": audit,
        "facts": facts,
        "topics": findings.TOPICS,
        "severities": findings.SEVERITIES,
        "tables": _tables(audit),
    }
    return render("audit.html.j2", context)


def _tables(audit: Audit) -> dict[str, Table]:
    """Tables of the page by their titles."""
    tables = {}
    if audit.columns:
        columns = audit.columns[:MAX_COLUMNS]
        caption = _first_of(len(audit.columns), MAX_COLUMNS, "column")
        tables["Columns"] = Table(findings.COLUMN_HEAD, "tctnnnnn", [column_cells(c) for c in columns], caption)
    if audit.sizes:
        sizes = [count_cells(count) for count in audit.sizes]
        tables["Counts of parameters"] = Table(findings.COUNT_HEAD, "tnnnnn", sizes, "Parameters divided by N.")
    if audit.counts:
        caption = f"FLOPs of the runs by each convention, divided by {audit.reference}."
        tables["Counting conventions"] = Table(
            findings.COUNT_HEAD, "tnnnnn", [count_cells(count) for count in audit.counts], caption
        )
    if audit.budgets:
        listed = _listed(audit.budgets)
        present = dict.fromkeys(row.verdict for row in listed)
        caption = "Recomputed FLOPs of the runs of each printed value. " + "; ".join(
            f"{verdict}: {VERDICTS[verdict]}" for verdict in VERDICTS if verdict in present
        )
        caption += f". {_first_of(len(audit.budgets), MAX_BUDGETS, 'value')}"
        tables["FLOPs, printed and recomputed"] = Table(
            findings.BUDGET_HEAD, "nnnnnnw", [budget_cells(row) for row in listed], caption
        )
    return tables


def _listed(budgets: tuple[BudgetRow, ...]) -> list[BudgetRow]:
    """The printed values that the page lists: those that differ most come first if there are too many."""
    if len(budgets) <= MAX_BUDGETS:
        return list(budgets)
    worst = sorted(budgets, key=lambda row: (row.verdict != DIFFERS, -abs(row.ratio - 1)))[:MAX_BUDGETS]
    return sorted(worst, key=lambda row: row.printed)


def _first_of(number: int, limit: int, noun: str) -> str:
    return f"{limit} of {plural(number, noun)}." if number > limit else ""
