"""Speed of the search: processor time of the Chinchilla fit and its bootstrap, compared with plain SciPy."""

from __future__ import annotations

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session

POINTS = ("DATA/besiroglu2024_chinchilla/chinchilla_points_245.csv", "--where", "not excluded_in_paper")


def measure(session: Session) -> Results:
    """Times both on the 240 points of Besiroglu 2024, in one process each."""
    result = session.json("analysis", "bench", *POINTS, "--json", "-")
    package, scipy = result["package"], result["scipy"]
    rows = [
        [f"search ({scipy['starts']:,} starts in SciPy)", package["search"]["cpu_s"], scipy["search"]["cpu_s"]],
        [f"{package['draws']:,} bootstrap fits", package["bootstrap"]["cpu_s"], scipy["bootstrap"]["cpu_s"]],
        ["both", result["seconds"]["package"]["cpu_s"], result["seconds"]["scipy"]["cpu_s"]],
    ]
    columns = [
        Column("processor seconds"),
        Column("here", ".2f"),
        Column("SciPy", ",.0f"),
        Column("ratio", ",.0f"),
    ]
    return Results(
        {"main": Table(columns, [[*row, row[2] / row[1]] for row in rows])},
        {
            "bound": Value(result["bound"]["share"], ".0%"),
            "starts_timed": Value(scipy["starts_timed"]),
            "draws_timed": Value(scipy["draws_timed"]),
            "points": Value(result["points"]),
            "objective": Value(package["objective"], ".9e"),
            "objective_scipy": Value(scipy["objective"], ".9e"),
            "lowest": Value("not above" if result["lowest"] else "above"),
        },
    )
