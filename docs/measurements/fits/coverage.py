"""Coverage of the 95% intervals: how often they contain the true value on simulated sweeps of a known law."""

from __future__ import annotations

from typing import Any

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session

# Designs of approach 2 whose minima lean or lie off the middle of their sizes: truth, budgets, sizes per budget, half
# range in ln N, shift in ln N at the smallest and the largest budget, noise.
HOFFMANN = "E=1.69,A=406.4,B=410.7,alpha=0.34,beta=0.28"
STEEP, FLAT, UNEVEN = (
    "E=1.8,A=4000,B=100,alpha=0.5,beta=0.25",
    "E=1.8,A=100,B=4000,alpha=0.25,beta=0.45",
    "E=1.8,A=30,B=60000,alpha=0.2,beta=0.55",
)
LEANING = [
    (HOFFMANN, 4, 5, 1.1, "0.4,-0.4", 0.003),
    (HOFFMANN, 4, 5, 1.1, "0,0", 0.003),
    (FLAT, 6, 7, 1.5, "0,0.6", 0.002),
    (STEEP, 8, 9, 2.0, "-0.8,0", 0.0005),
    (UNEVEN, 8, 9, 2.0, "-0.1,0.9", 0.001),
    (STEEP, 5, 6, 1.3, "0.3,0.3", 0.001),
]
VARIANTS = {  # other ways to make the intervals: flags of `simulate`
    "residuals": ["--resampling", "residuals"],
    "profile likelihood": ["--intervals", "profile"],
    "64 runs, resampled runs": ["--runs", "64", "--resampling", "cases"],
    "64 runs, least squares, parametric": ["--runs", "64", "--resampling", "parametric", "--objective", "mse-log"],
}
DRAWS = {"main": 1000, "variants": 200, "approach2": 200}


def spread(study: dict[str, Any]) -> list[float]:
    """Returns the lowest and the highest coverage of a study's quantities."""
    values = [row["coverage"] for row in study["rows"]]
    return [min(values), max(values)]


def measure(session: Session) -> Results:
    """Simulates sweeps by the default fit, by other intervals, and by approach 2 in designs that are not centred."""
    draws = dict.fromkeys(DRAWS, 4) if session.small else DRAWS
    fewer = ["--bootstrap", "100"] if session.small else []

    def simulate(count: int, *words: str) -> dict[str, Any]:
        return session.json("analysis", "simulate", "--draws", str(count), *words, *fewer, "--json", "-")

    study = simulate(draws["main"])
    rows = [
        [row[key] for key in ("name", "true", "mean", "std", "mean_interval_width", "coverage", "coverage_error")]
        for row in study["rows"]
    ]
    number = ".4g"
    main = Table(
        [Column("quantity"), Column("true", number), Column("mean", number), Column("standard deviation", ".2g"),
         Column("mean interval width", ".2g"), Column("coverage", ".1%"), Column("± (two standard errors)", ".1%")],
        rows,
    )  # fmt: skip
    bounds = [Column("sweeps"), Column("lowest coverage", ".1%"), Column("highest coverage", ".1%")]
    variants = [
        [text, draws["variants"], *spread(simulate(draws["variants"], *words))]
        for text, words in ([] if session.small else VARIANTS.items())
    ]
    designs = []
    for truth, budgets, sizes, half_range, shift, noise in [] if session.small else LEANING:
        words = ["--law", "chinchilla-2", "--truth", truth, "--budgets", str(budgets), "--runs", str(budgets * sizes)]
        words += ["--half-range", str(half_range), f"--shift={shift}", "--noise", str(noise)]
        result = simulate(draws["approach2"], *words)
        designs.append([truth, f"{budgets} × {sizes}", shift, noise, draws["approach2"], *spread(result)])
    design = [Column("law"), Column("budgets × sizes"), Column("shift in ln N"), Column("noise", ".2%")]
    return Results(
        {
            "main": main,
            "variants": Table([Column("intervals"), *bounds], variants),
            "approach2": Table([*design, *bounds], designs),
        },
        {"converged": Value(study["verdicts"].get("converged", 0.0), ".1%"), "sweeps": Value(study["sweeps"], ",")},
    )
