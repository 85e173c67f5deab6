"""Printed FLOPs against FLOPs that are recomputed from parameters and tokens, with rounded budgets recognised.

Key: N parameters, D tokens, C training FLOPs; n rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.data.columns.compute import CONSTANT_RATIO, MAX_MISMATCH, SAME_RATIO
from analysis.format import plural
from analysis.studies.audit.conventions import compare_counts, flops_by_convention
from analysis.studies.audit.findings import ERROR, NOTE, WARNING, BudgetRow, Count, Finding
from analysis.studies.audit.rows import Rows

EQUAL, ROUNDED, NEAR, DIFFERS = "equal", "rounded", "near", "differs"
VERDICTS = {  # meaning of the verdict of a budget
    EQUAL: "recomputed FLOPs agree within 1%",
    ROUNDED: "the printed budget is the recomputed one, rounded to one or two digits",
    NEAR: "within 5%, the most that whole steps and sizes usually cause",
    DIFFERS: "another count of parameters, another unit or another number of tokens",
}
EQUAL_RATIO = 0.01
ROUND_DIGITS = 2  # largest number of digits of a budget that counts as rounded
MAX_BUDGETS = 0.5  # largest number of distinct printed values per row that are budgets
EXACT = 1e-6  # relative difference up to which C was computed as 6·N·D
CLEARER = 0.5  # a convention explains printed FLOPs better if it leaves at most this share of the difference
FACTORS = {1 / 3: "2·N·D, a forward pass alone", 1 / 6: "N·D", 4 / 3: "8·N·D, with recomputed activations"}


def audit_compute(rows: Rows) -> tuple[list[Finding], tuple[Count, ...], str, tuple[BudgetRow, ...]]:
    """Compares printed with recomputed FLOPs.

    Args:
        rows: Rows of a table (n,).

    Returns:
        Findings, FLOPs by convention, the reference of these, and the printed budgets.
    """
    conventions = flops_by_convention(rows)
    printed = next((letter for letter in ("budget", "C") if rows.has(letter)), None)
    if printed is None or not conventions:
        findings = [] if printed or not conventions else [Finding(NOTE, "compute", "no printed FLOPs: C is 6·N·D")]
        reference = next(iter(conventions), "")
        counts = compare_counts(conventions, conventions[reference]) if len(conventions) > 1 else ()
        return [*findings, *_spread_findings(counts, reference)], counts, reference if counts else "", ()
    C = rows.values[printed]
    name = rows.columns.names[printed]
    used = rows.columns.names.get("N")
    counts = compare_counts(conventions, C)
    budgets = budget_rows(C, next(iter(conventions.values())))
    findings = list(_ratio_findings(rows, conventions, C, name))
    if any(row.verdict == ROUNDED for row in budgets) and all(row.verdict != DIFFERS for row in budgets):
        findings = []  # rounding explains every ratio
    findings += _better_convention(conventions, C, f"6·{used}·D", name)
    findings += _budget_findings(budgets, name)
    if printed == "budget" and rows.has("C"):
        findings += _both_columns(rows)
    return findings, counts, name, budgets


def significant_digits(value: float) -> int:
    """Returns the number of significant digits of a printed number, such as 1 for 2e18 and 2 for 1.8e19."""
    return len(f"{value:.14e}".partition("e")[0].replace(".", "").rstrip("0")) or 1


def round_to_digits(value: float, digits: int) -> float:
    """Rounds a positive number to a number of significant digits."""
    return float(f"{value:.{digits - 1}e}")


def budget_verdict(printed: float, recomputed: np.ndarray) -> str:
    """Returns what the difference between a printed budget and recomputed FLOPs is, a key of `VERDICTS`.

    Printed 2e18 is 2.15e18 rounded to one digit; printed 2.2e18 is not.

    Args:
        printed: Printed FLOPs.
        recomputed: FLOPs of the runs (m,).
    """
    median = float(np.median(recomputed))
    difference = abs(median / printed - 1)
    if difference <= EQUAL_RATIO:
        return EQUAL
    if difference <= SAME_RATIO:
        return NEAR
    digits = significant_digits(printed)
    if digits <= ROUND_DIGITS and np.isclose(round_to_digits(median, digits), printed, rtol=EXACT):
        return ROUNDED
    return DIFFERS


def budget_rows(printed: np.ndarray, recomputed: np.ndarray) -> tuple[BudgetRow, ...]:
    """Returns the printed budgets in increasing order; none if printed FLOPs differ in most rows.

    Args:
        printed: Printed FLOPs (n,), NaN where missing.
        recomputed: Recomputed FLOPs (n,).
    """
    known = np.isfinite(printed) & np.isfinite(recomputed)
    budgets = np.unique(printed[known])
    if not len(budgets) or len(budgets) > MAX_BUDGETS * known.sum():
        return ()
    result = []
    for budget in budgets:
        C = recomputed[known & (printed == budget)]
        ends = (float(C.min()), float(np.median(C)), float(C.max()))
        result.append(BudgetRow(float(budget), len(C), *ends, budget_verdict(float(budget), C)))
    return tuple(result)


def _ratio_findings(rows: Rows, conventions: dict[str, np.ndarray], C: np.ndarray, name: str) -> Iterator[Finding]:
    """How printed FLOPs compare with the first convention."""
    convention, recomputed = next(iter(conventions.items()))
    with np.errstate(all="ignore"):
        ratio = C / recomputed
    known = np.isfinite(ratio)
    if not known.any():
        return
    low, median, high = (float(np.quantile(ratio[known], q)) for q in (0, 0.5, 1))
    advice = "State the count; --flops 6nd uses 6·N·D instead."
    thousands = round(np.log(median) / np.log(1000))
    in_thousands = bool(thousands) and abs(median / 1000.0**thousands - 1) <= SAME_RATIO and high <= 2 * low
    if in_thousands or not 1 / MAX_MISMATCH < median < MAX_MISMATCH:
        scale = " (thousands, millions or billions)" if in_thousands else ""
        text = f"column {name} is {median:.2g} times {convention}: one of the columns has another unit{scale}"
        yield Finding(ERROR, "compute", text, "Name the unit with --units.")
    elif max(abs(low - 1), abs(high - 1)) <= EXACT:
        text = (
            f"column {name} is {convention} to {EXACT:g} in every row: one of the columns was computed from the others"
        )
        yield Finding(NOTE, "compute", text, "Its convention is that of the computation, not a measurement.")
    elif max(abs(low - 1), abs(high - 1)) <= SAME_RATIO:
        yield Finding(NOTE, "compute", f"column {name} agrees with {convention} within {SAME_RATIO:.0%} in every row")
    elif high <= CONSTANT_RATIO * low:
        factor = next((text for factor, text in FACTORS.items() if abs(median / factor - 1) <= SAME_RATIO), "")
        text = f"column {name} is {median:.3g} times {convention} in every row{f': that is {factor}' if factor else ''}"
        yield Finding(WARNING, "compute", text, advice)
    else:
        trend = _trend(ratio[known], recomputed[known], rows, known)
        far = known & (np.abs(ratio - 1) > SAME_RATIO)
        text = (
            f"column {name} is {low:.3g} to {high:.3g} times {convention} (median {median:.3g}); "
            f"{plural(int(far.sum()), 'row')} of {int(known.sum())} differ by more than {SAME_RATIO:.0%}{trend}"
        )
        yield Finding(WARNING, "compute", text, advice, rows.name_rows(far) if far.sum() < known.sum() else ())


def _trend(ratio: np.ndarray, recomputed: np.ndarray, rows: Rows, known: np.ndarray) -> str:
    """Says whether the ratio of FLOPs follows the size of the model, as another count of parameters does."""
    if not rows.has("N"):
        return ""
    N = rows.values["N"][known]
    if np.ptp(np.log(N)) == 0 or np.ptp(np.log(ratio)) == 0:
        return ""
    slope = float(np.polyfit(np.log(N), np.log(ratio), 1)[0])
    correlation = float(np.corrcoef(np.log(N), np.log(ratio))[0, 1])
    if abs(correlation) < 0.8:
        return ""
    direction = "grows" if slope > 0 else "falls"
    return f"; the ratio {direction} with N as N^{slope:.2f}, as where C counts other parameters than N"


def _better_convention(conventions: dict[str, np.ndarray], C: np.ndarray, used: str, name: str) -> list[Finding]:
    """A finding if another convention than the one of N explains the printed FLOPs clearly better."""
    differences = {}
    for convention, recomputed in conventions.items():
        with np.errstate(all="ignore"):
            log_ratio = np.abs(np.log(C / recomputed))
        if np.isfinite(log_ratio).any():
            differences[convention] = float(np.median(log_ratio[np.isfinite(log_ratio)]))
    if used not in differences or len(differences) < 2:
        return []
    best = min(differences, key=lambda convention: differences[convention])
    if differences[used] <= EQUAL_RATIO or differences[best] > CLEARER * differences[used]:
        return []
    text = (
        f"column {name} counts as {best} does (median difference {differences[best]:.2g}), not as {used} "
        f"({differences[used]:.2g})"
    )
    return [Finding(WARNING, "counts", text, "Fit N and C of one count: --columns N=... or --flops 6nd.")]


def _budget_findings(budgets: tuple[BudgetRow, ...], name: str) -> Iterator[Finding]:
    """What the printed budgets are: rounded, near, or of another count."""
    by_verdict = {verdict: [row for row in budgets if row.verdict == verdict] for verdict in VERDICTS}
    rounded, differing = by_verdict[ROUNDED], by_verdict[DIFFERS]
    if rounded:
        examples = ", ".join(f"{row.printed:g} is {row.median:.3g}" for row in rounded[:4])
        text = f"{len(rounded)} of {plural(len(budgets), 'budget')} in column {name} are rounded: {examples}"
        yield Finding(WARNING, "compute", text, "Fit the recomputed FLOPs (--flops 6nd), not the printed ones.")
    if differing:
        examples = ", ".join(f"{row.printed:g} is {row.median:.3g}" for row in differing[:4])
        budgets_text = f"{len(differing)} of {plural(len(budgets), 'budget')} in column {name}"
        text = f"{budgets_text} differ and are not rounded: {examples}"
        yield Finding(WARNING, "compute", text, "Find out what the budgets count before they group runs.")
    wide = [row for row in budgets if row.high > (1 + 2 * SAME_RATIO) * row.low]
    if wide:
        examples = ", ".join(f"{row.printed:g}: {row.low:.3g} to {row.high:.3g}" for row in wide[:4])
        of_all = f"{len(wide)} of {plural(len(budgets), 'budget')}"
        text = f"in {of_all} the recomputed FLOPs of the runs differ by more than 10%: {examples}"
        yield Finding(WARNING, "compute", text, "A parabola through these runs mixes sizes with compute.")


def _both_columns(rows: Rows) -> list[Finding]:
    """A finding if the column of C and the column of budgets differ."""
    C, budget = rows.values["C"], rows.values["budget"]
    with np.errstate(all="ignore"):
        ratio = C / budget
    far = np.isfinite(ratio) & (np.abs(ratio - 1) > SAME_RATIO)
    names = f"columns {rows.columns.names['C']} and {rows.columns.names['budget']}"
    if not far.any():
        return [Finding(NOTE, "compute", f"{names} agree within {SAME_RATIO:.0%}")]
    text = f"{names} differ by more than {SAME_RATIO:.0%} in {plural(int(far.sum()), 'row')}"
    return [Finding(WARNING, "compute", text, "Runs are grouped by the budget and fitted at C.", rows.name_rows(far))]


def _spread_findings(counts: tuple[Count, ...], reference: str) -> list[Finding]:
    """A finding on conventions that change C by another factor at each size."""
    wide = [count for count in counts if count.high > (1 + 2 * SAME_RATIO) * count.low]
    if not wide:
        return []
    texts = ", ".join(f"{count.name} {count.low:.3g} to {count.high:.3g} times" for count in wide)
    advice = "State the count; the command conventions fits under each."
    return [Finding(WARNING, "counts", f"the convention changes C relative to {reference}: {texts}", advice)]
