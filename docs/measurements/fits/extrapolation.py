"""Extrapolation: laws fitted to the beginning of learning curves, compared with their ends (backtests)."""

from __future__ import annotations

import pandas as pd

from docs.measurements.results import Column, Results, Table
from docs.measurements.session import Session

LAWS = ("m1", "m2", "m3", "m4", "bnsl")
PARTS = {  # the public half of the benchmark of Alabdulmohsin 2022: file, columns that name a curve
    "translation": ("lang_nmt.csv", "Model"),
    "vision": ("vision_birds_cifar100.csv", "Task,Model"),
}
AUTHORS = "alabdulmohsin2022/reference_m1_m4.csv"  # output of the authors' code for the curves of both files


def measure(session: Session) -> Results:
    """Fits each curve to the rows of the authors' training split and predicts the others."""
    reference = pd.read_csv(session.path(f"DATA/{AUTHORS}"))
    rows, scores = [], []
    for part, (file, group) in PARTS.items():
        language = reference["domain"] == "NMT"
        theirs = reference[language if part == "translation" else ~language].groupby("method")["rmsle"].mean()
        result = session.json(
            "analysis", "backtest", f"DATA/alabdulmohsin2022/{file}", "--law", ",".join(LAWS), "--holdout",
            "Training==0", "--group", group, "--columns", "x=Seen Examples", "--json", "-",
        )  # fmt: skip
        count = f"{part}, {result['groups']} curves"
        by_law = {score["law"]: score for score in result["scores"]}
        authors = [float(theirs[law.upper()]) if law.upper() in theirs else None for law in LAWS]
        rows.append([f"{count}, authors' code", *authors, None])
        rows.append([f"{count}, here", *(by_law[law]["rmsle"] for law in (*LAWS, "combined"))])
        for law, score in by_law.items():
            scores.append([part, law, score["coverage"], score.get("ensemble_weight")])
    names = ["M1", "M2", "M3", "M4", "broken power law", "combined"]
    return Results(
        {
            "main": Table([Column("RMSLE of the held-out rows"), *(Column(name, ".4f") for name in names)], rows),
            "intervals": Table(
                [Column("curves"), Column("law"), Column("held-out rows in their 95% interval", ".0%"),
                 Column("mean weight in the combination", ".2f")],
                scores,
            ),
        }
    )  # fmt: skip
