"""Findings of an audit, and the audit as JSON and as text.

Key: N parameters, D tokens, C training FLOPs, L loss; n rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from analysis.format import aligned, join_names, json_ready, plural, three_digits

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = {  # meaning of each severity, the most severe first
    ERROR: "a value is missing or invalid, or contradicts other values: correct it before a fit",
    WARNING: "a fit depends on a choice here: state the choice",
    NOTE: "a fact about the source",
}
TOPICS = {  # title of each topic, in the order of the page
    "columns": "Columns",
    "missing": "Missing and invalid values",
    "units": "Units",
    "compute": "FLOPs, printed and recomputed",
    "counts": "Counting conventions",
    "agreement": "Agreement of columns",
    "states": "Unfinished and excluded runs",
    "repeated": "Repeated rows",
    "replicates": "Checkpoints and replicates",
    "groups": "Groups and budgets",
}
MAX_ROWS = 8  # rows that a finding names in text; the JSON has all


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        severity: A key of `SEVERITIES`.
        topic: A key of `TOPICS`.
        text: What was found.
        advice: What to do; "" if nothing needs to be done.
        rows: Names of the rows that it is about; empty if it is about a column or the whole source.
    """

    severity: str
    topic: str
    text: str
    advice: str = ""
    rows: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.severity in SEVERITIES and self.topic in TOPICS

    @property
    def rows_text(self) -> str:
        """The first rows that the finding is about, as text; "" if it is about none."""
        return join_names(self.rows, MAX_ROWS)


@dataclass(frozen=True)
class ColumnSummary:
    """A column that is read.

    Attributes:
        letter: Letter of the column (N, D, C, L, budget, ...).
        column: Its name in the source.
        unit: Unit of its cells before conversion; "" if it is not converted.
        values: Number of valid values.
        missing: Number of missing or invalid values.
        low: Smallest valid value after conversion; NaN without values. So are the others.
        median: Median.
        high: Largest.
    """

    letter: str
    column: str
    unit: str
    values: int
    missing: int
    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Count:
    """FLOPs or parameters by one counting convention, relative to a reference.

    Attributes:
        name: The convention.
        runs: Number of runs for which it is known.
        low: Smallest ratio to the reference over the runs.
        median: Median ratio.
        high: Largest ratio.
        near: Share of the runs within 5% of the reference.
    """

    name: str
    runs: int
    low: float
    median: float
    high: float
    near: float


@dataclass(frozen=True)
class BudgetRow:
    """Runs of one printed budget.

    Attributes:
        printed: The printed FLOPs.
        runs: Number of runs.
        low: Smallest recomputed FLOPs of the runs.
        median: Median.
        high: Largest.
        verdict: What the difference is: "equal", "rounded", "near" or "differs" (`compute.budget_verdict`).
    """

    printed: float
    runs: int
    low: float
    median: float
    high: float
    verdict: str

    @property
    def ratio(self) -> float:
        """Recomputed (median) relative to printed."""
        return self.median / self.printed


@dataclass(frozen=True)
class Audit:
    """The audit of a source.

    Attributes:
        source: Path or name of the source.
        kind: "table" or "store".
        facts: Number of rows, hash of the file and other facts, by name.
        findings: The findings, the most severe first.
        columns: The columns that are read.
        counts: FLOPs by each counting convention.
        reference: The convention to which `counts` are relative.
        budgets: Printed budgets and recomputed FLOPs; empty if the source prints none.
        sizes: Parameters by each count, relative to N.
    """

    source: str
    kind: str
    facts: dict[str, str]
    findings: tuple[Finding, ...]
    columns: tuple[ColumnSummary, ...] = ()
    counts: tuple[Count, ...] = ()
    reference: str = ""
    budgets: tuple[BudgetRow, ...] = ()
    sizes: tuple[Count, ...] = ()

    def number(self, severity: str) -> int:
        """Returns the number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def summary(self) -> str:
        """The numbers of findings by severity as text."""
        return ", ".join(plural(self.number(severity), severity) for severity in SEVERITIES)

    def to_json(self) -> dict[str, Any]:
        """Returns the audit in types of JSON."""
        data = asdict(replace(self, budgets=()))
        data["budgets"] = [{**asdict(row), "ratio": row.ratio} for row in self.budgets]
        data["summary"] = {severity: self.number(severity) for severity in SEVERITIES}
        return dict(json_ready(data))


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Returns findings with the most severe first, then in the order of topics."""
    severities, topics = list(SEVERITIES), list(TOPICS)
    return tuple(sorted(findings, key=lambda f: (severities.index(f.severity), topics.index(f.topic))))


def column_cells(summary: ColumnSummary) -> tuple[str, ...]:
    """Returns the cells of a column in tables of text and of the page."""
    ends = (summary.low, summary.median, summary.high)
    numbers = [f"{end:.4g}" if np.isfinite(end) else "" for end in ends]
    return (summary.letter, summary.column, summary.unit, str(summary.values), str(summary.missing), *numbers)


def count_cells(count: Count) -> tuple[str, ...]:
    """Returns the cells of a counting convention."""
    return (
        count.name,
        str(count.runs),
        *(f"{x:.3g}" for x in (count.low, count.median, count.high)),
        f"{count.near:.0%}",
    )


def budget_cells(row: BudgetRow) -> tuple[str, ...]:
    """Returns the cells of a printed budget."""
    ends = (f"{row.low:.4g}", f"{row.median:.4g}", f"{row.high:.4g}")
    return (f"{row.printed:.6g}", str(row.runs), *ends, three_digits(row.ratio), row.verdict)


COLUMN_HEAD = ("letter", "column", "unit", "values", "missing", "smallest", "median", "largest")
COUNT_HEAD = ("convention", "runs", "smallest", "median", "largest", "within 5%")
BUDGET_HEAD = ("printed", "runs", "smallest", "median", "largest", "ratio", "verdict")


def describe(audit: Audit, budgets: int = 20) -> str:
    """Returns an audit as text.

    Args:
        audit: The audit.
        budgets: Largest number of printed budgets that are listed.
    """
    lines = [f"{audit.source}: {'; '.join(f'{name} {value}' for name, value in audit.facts.items())}", audit.summary]
    for finding in audit.findings:
        lines += ["", f"{finding.severity}: {TOPICS[finding.topic]}: {finding.text}"]
        lines += [f"  rows: {finding.rows_text}"] if finding.rows else []
        lines += [f"  {finding.advice}"] if finding.advice else []
    if audit.columns:
        lines += ["", "Columns", aligned([COLUMN_HEAD, *map(column_cells, audit.columns)])]
    if audit.sizes:
        lines += ["", "Parameters by count, relative to N", aligned([COUNT_HEAD, *map(count_cells, audit.sizes)])]
    if audit.counts:
        title = f"FLOPs by convention, relative to {audit.reference}"
        lines += ["", title, aligned([COUNT_HEAD, *map(count_cells, audit.counts)])]
    if audit.budgets:
        lines += [
            "",
            "Printed and recomputed FLOPs",
            aligned([BUDGET_HEAD, *map(budget_cells, audit.budgets[:budgets])]),
        ]
        lines += [f"and {len(audit.budgets) - budgets} more: --json has all"] if len(audit.budgets) > budgets else []
    return "\n".join(lines)
