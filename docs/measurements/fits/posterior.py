"""The Bayesian fit: simulation-based calibration, and its intervals beside those of bootstrap and profile on data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from analysis.data.options import ReadOptions
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.studies.simulations.posterior_ranks import MIXED, TWO_TOKENS, RankStudy, rank_study
from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session

METHODS = ("bootstrap", "profile", "posterior")
STUDIES: dict[str, dict[str, Any]] = {
    "Student's t": {},
    "normal, shared by sizes": {"grouped": True},
    "Student's t, two token counts": {"tokens": TWO_TOKENS},
}
SETS = 200
LEVEL = 0.01  # of the p-values of all quantities together
DATA = {
    "Chinchilla's 240 points (Besiroglu 2024)": (
        "besiroglu2024_chinchilla/chinchilla_points_245.csv",
        ReadOptions(where="not excluded_in_paper"),
    ),
    "Llama 3's isoFLOPs, digitised": ("llama3_isoflop/isoflop_digitised.csv", ReadOptions()),
    "xLSTM paper's Transformers, isoFLOPs": ("xlstm2025_isoflop/runs_llama.csv", ReadOptions()),
}


def rank_rows(name: str, study: RankStudy) -> Iterator[list[Any]]:
    """Yields the row of each quantity of a study of ranks."""
    mixed = study.tests(mixed=True)
    for quantity, test in study.tests().items():
        figures = [test.mean, test.extremes, test.chi_squared_p, test.kolmogorov_p]
        yield [name, quantity, len(study.ranks[quantity]), *figures, mixed[quantity].mean, mixed[quantity].kolmogorov_p]


def comparison_rows(data: str, fits: dict[str, Fit]) -> Iterator[list[Any]]:
    """Yields a row per quantity: the estimate, and its interval by each method."""
    first = fits["bootstrap"]
    for name, value in first.params.items():
        yield [data, name, value, *(_ends(value, result.intervals[name]) for result in fits.values())]
    if first.optimum is None:
        return
    yield [
        data,
        "a",
        first.optimum.a,
        *(_ends(first.optimum.a, r.optimum.intervals["a"]) for r in fits.values() if r.optimum),
    ]
    entries = [r.optimum.at(10 * r.optimum.largest) for r in fits.values() if r.optimum is not None]
    for title, key in (("L* at 10×", "intervals"), ("new run at 10×", "new_run_intervals")):
        yield [data, title, entries[0]["L"], *(_ends(entries[0]["L"], entry[key]["L"]) for entry in entries)]


def _ends(value: float, interval: tuple[float, float]) -> list[float | None]:
    return [value, *(float(end) if np.isfinite(end) else None for end in interval)]


def measure(session: Session) -> Results:
    """Samples posteriors of data sets from the prior, and of published data."""
    count, studies = (10, {"Student's t": {}}) if session.small else (SETS, STUDIES)
    began, clock = datetime.now(UTC), time.monotonic()
    ranks = {name: rank_study(count, seed, **options) for seed, (name, options) in enumerate(studies.items())}
    rows = [row for name, study in ranks.items() for row in rank_rows(name, study)]
    p_values = np.array([min(row[5], row[6]) for row in rows])
    p_mixed = np.array([row[8] for row in rows])
    compared, verdicts = [], []
    for data, (path, reading) in ({} if session.small else DATA).items():
        options = {method: FitOptions(intervals=method) for method in METHODS}
        fits = {m: fit(session.path(f"DATA/{path}"), "chinchilla", options[m], reading) for m in METHODS}
        compared += list(comparison_rows(data, fits))
        chains = fits["posterior"].to_json()["posterior"]
        figures = [chains[name] for name in ("r_hat", "effective_draws", "divergent", "noise")]
        verdicts.append([data, len(fits["posterior"].points), *figures, "; ".join(fits["posterior"].verdict)])
    session.log("python -m docs.measurements posterior", began, time.monotonic() - clock)
    ranked = [
        Column("noise"),
        Column("quantity"),
        Column("data sets", ","),
        Column("mean rank", ".3f"),
        Column("in the outer tenth", ".0%"),
        Column("p (chi-squared)", ".2g"),
        Column("p (Kolmogorov)", ".2g"),
        Column("mean rank, mixed", ".3f"),
        Column("p (Kolmogorov), mixed", ".2g"),
    ]
    checks = [Column("data"), Column("points", ","), Column("R-hat", ".4f"), Column("effective draws", ",.0f"),
              Column("divergent", ".1%"), Column("noise", ".2%"), Column("verdict")]  # fmt: skip
    intervals = [Column(f"{method} [95% interval]", ".4g") for method in METHODS]
    smallest = float(p_values.min())
    return Results(
        {
            "main": Table(ranked, rows),
            "data": Table([Column("data"), Column("quantity"), Column("estimate", ".4g"), *intervals], compared),
            "chains": Table(checks, verdicts),
        },
        {
            "sets": Value(count),
            "smallest_p": Value(smallest, ".2g"),
            "tests": Value(2 * len(rows)),
            "expected_p": Value(1 / (2 * len(rows)), ".2g"),
            "uniform": Value("not rejected" if smallest * 2 * len(rows) > LEVEL else "rejected"),
            "smallest_mixed": Value(float(p_mixed.min()), ".2g"),
            "unmixed": Value(float(np.mean([np.mean(study.r_hat > MIXED) for study in ranks.values()])), ".1%"),
            "unmixed_each": Value(
                "; ".join(f"{np.mean(study.r_hat > MIXED):.0%} ({name})" for name, study in ranks.items())
            ),
        },
    )
