"""Which runs to add: FLOPs that designs of `next` need for the interval of an isoFLOP grid, on known laws."""

from __future__ import annotations

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session

DRAWS = "50"


def measure(session: Session) -> Results:
    """Simulates sweeps of three known laws."""
    studies = session.json("analysis", "simulate-next", "--draws", DRAWS, "--json", "-")["studies"]
    rows, sufficient = [], []
    for study in studies:
        grid = study["grid"]
        sufficient.append(
            [study["truth"], study["target"], study.get("sufficient_share"), study.get("width_to_expected")]
        )
        for design in study["designs"]:
            ratios = (design["width"] / grid["width"], design["rmse"] / grid["rmse"])
            rows.append([study["truth"], design["share"], design["runs"], *ratios, design["coverage"]])
    columns = [
        Column("law"),
        Column("FLOPs, share of the grid's", ".0%"),
        Column("runs", ".0f"),
        Column("interval, relative to the grid's", ".2f"),
        Column("error, relative to the grid's", ".2f"),
        Column("coverage of the 95% interval", ".0%"),
    ]
    shares = [
        Column("law"),
        Column("quantity"),
        Column("smallest share of the grid's FLOPs with its interval", ".0%"),
        Column("width of the interval, relative to the expected width", ".2f"),
    ]
    return Results(
        {"main": Table(shares, sufficient), "designs": Table(columns, rows)},
        {"draws": Value(studies[0]["draws"]), "runs": Value(studies[0]["grid"]["runs"], ".0f")},
    )
