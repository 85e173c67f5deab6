"""Calibration of intervals and forecasts over a prior of laws, designs and kinds of noise, by three methods."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from scipy.special import kolmogorov

from analysis.studies.simulations.calibration import (
    LAW_AT,
    NEW_RUN_AT,
    QUANTITIES,
    Answer,
    compare_methods,
    coverage,
    draw_sweeps,
    score_forecasts,
)
from analysis.studies.simulations.law_prior import KINDS, RUNS, Kind
from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session

METHODS = ("bootstrap", "profile", "posterior")
SWEEPS = {"bootstrap": 80, "profile": 20, "posterior": 20, "forecast": 8, "few": 12, "few_bootstrap": 60}
TWO_TOKENS = "two token counts"
FEW = {
    "6": (6, "independent"),
    "9": (9, "independent"),
    "12": (12, "independent"),
    f"12, {TWO_TOKENS}": (12, TWO_TOKENS),
}
NOMINAL = (0.93, 0.97)
GROUPS = {"parameters": QUANTITIES[:4], "law": LAW_AT, "new run": NEW_RUN_AT}


def share(answers: Sequence[Answer], name: str) -> list[float]:
    """Returns the coverage of a quantity with an interval of two standard errors."""
    result = coverage(answers, name)
    return [result.share, max(result.share - result.error, 0.0), min(result.share + result.error, 1.0)]


def width(answers: Sequence[Answer], name: str) -> float | None:
    """Returns the median width of the intervals of a quantity; None if more than half of them are open."""
    value = coverage(answers, name).width
    return value if np.isfinite(value) else None


def pit_row(name: str, method: str, pit_S: np.ndarray) -> list[object]:
    """Returns the row of a table of PIT: mean, spread, tails, and the p-value of a test of uniformity."""
    ordered, count = np.sort(pit_S), len(pit_S)
    above = np.max(np.arange(1, count + 1) / count - ordered)
    distance = max(float(above), float(np.max(ordered - np.arange(count) / count)))
    tails = float(np.mean(ordered < 0.05)), float(np.mean(ordered > 0.95))
    p = float(kolmogorov(np.sqrt(count) * distance))
    return [name, method, count, float(pit_S.mean()), float(pit_S.std() * np.sqrt(12)), *tails, p]


def judge(answers: dict[str, dict[str, list[Answer]]], method: str, *, inside: bool) -> str:
    """Returns the kinds and quantities whose coverage is within NOMINAL, or is not by more than chance."""
    found = []
    for kind, by_method in answers.items():
        for group, names in GROUPS.items():
            shares = [coverage(by_method[method], name) for name in names]
            pooled = float(np.mean([one.share for one in shares]))
            error = shares[0].error  # the quantities of one sweep are correlated: that of one of them
            within = pooled + error >= NOMINAL[0] and pooled - error <= NOMINAL[1]
            if within is inside:
                found.append(f"{kind}, {group} ({pooled:.0%} ± {error:.0%})")
    return "; ".join(found) or "none"


def measure(session: Session) -> Results:
    """Draws sweeps of each kind of noise, fits them by each method, and counts."""
    counts = dict.fromkeys(SWEEPS, 2) if session.small else SWEEPS
    kinds = dict(list(KINDS.items())[:1]) if session.small else KINDS
    methods = METHODS[:2] if session.small else METHODS
    began, clock = datetime.now(UTC), time.monotonic()
    answers: dict[str, dict[str, list[Answer]]] = {}
    forecasts: dict[str, list[Answer]] = {}
    for seed, (name, kind) in enumerate(kinds.items()):
        sweeps = draw_sweeps(kind, counts["bootstrap"], seed, RUNS)
        answers[name] = {}
        for method in methods:
            answers[name] |= compare_methods(sweeps[: counts[method]], [method])
        forecasts[name] = score_forecasts(sweeps[: counts["forecast"]])
    few = {
        label: measure_few(KINDS[kind], runs, counts, methods)
        for label, (runs, kind) in (list(FEW.items())[:1] if session.small else FEW.items())
    }
    session.log("python -m docs.measurements calibration", began, time.monotonic() - clock)
    rows = [
        [kind, name, *(share(by_method[method], name) for method in methods)]
        for kind, by_method in answers.items()
        for name in QUANTITIES
    ]
    cells = [Column(method, ".0%") for method in methods]
    tables = {
        "main": Table([Column("noise"), Column("quantity"), *cells], rows),
        "forecast": Table(
            [Column("noise"), Column("sweeps"), *(Column(name, ".0%") for name in NEW_RUN_AT),
             *(Column(f"width at {name.split()[-1]}", ".2%") for name in NEW_RUN_AT)],
            [[kind, len(result), *(share(result, name) for name in NEW_RUN_AT),
              *(width(result, name) for name in NEW_RUN_AT)] for kind, result in forecasts.items()],
        ),
        "pit": pit_table(answers, forecasts),
        "few": few_table(few, methods),
    }  # fmt: skip
    values = {f"{method}_{word}": Value(judge(answers, method, inside=word == "within"))
              for method in methods for word in ("within", "outside")}  # fmt: skip
    values |= {f"sweeps_{method}": Value(counts[method], ",") for method in SWEEPS}
    return Results(tables, values)


def measure_few(kind: Kind, runs: int, counts: dict[str, int], methods: Sequence[str]) -> dict[str, list[Answer]]:
    """Compares the methods on sweeps of few runs, of which the bootstrap has more than the slower methods."""
    sweeps = draw_sweeps(kind, counts["few_bootstrap"], 100 + runs, runs)
    answers = compare_methods(sweeps, methods[:1])
    return answers | compare_methods(sweeps[: counts["few"]], methods[1:])


def pit_table(answers: dict[str, dict[str, list[Answer]]], forecasts: dict[str, list[Answer]]) -> Table:
    """Returns the table of PIT of new runs, over the kinds of noise that the methods know, and for two token counts."""
    rows = []
    known = [kind for kind in answers if "not known" not in kind and kind != TWO_TOKENS]
    for suffix, kinds in (("", known), (f", {TWO_TOKENS}", [kind for kind in answers if kind == TWO_TOKENS])):
        for t, name in enumerate(NEW_RUN_AT if kinds else ()):
            sources = {
                method: [answer for kind in kinds for answer in answers[kind][method]]
                for method in ("bootstrap", "posterior")
                if method in answers[kinds[0]]
            }
            sources["mixture of `forecast`"] = [answer for kind in kinds for answer in forecasts[kind]]
            for method, pooled in sources.items():
                rows.append(pit_row(name + suffix, method, np.array([answer.pit[t] for answer in pooled])))
    titles = [Column("quantity"), Column("method"), Column("sweeps", ","), Column("mean", ".2f")]
    titles += [Column("standard deviation × √12", ".2f"), Column("below 5%", ".0%"), Column("above 95%", ".0%")]
    return Table([*titles, Column("p of uniformity", ".2g")], rows)


def few_table(few: dict[str, dict[str, list[Answer]]], methods: Sequence[str]) -> Table:
    """Returns the table of sweeps of few runs: coverage and median width of each method."""
    rows = []
    for runs, by_method in few.items():
        for name in ("E", "alpha", "a", LAW_AT[0], NEW_RUN_AT[0]):
            cells = [cell for m in methods for cell in (share(by_method[m], name), width(by_method[m], name))]
            rows.append([runs, name, *cells])
    titles = [title for m in methods for title in (Column(m, ".0%"), Column("median width", ".2g"))]
    return Table([Column("runs"), Column("quantity"), *titles], rows)
