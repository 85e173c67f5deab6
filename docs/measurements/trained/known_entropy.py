"""Irreducible loss: the fitted E on text whose entropy rate is known exactly."""

from __future__ import annotations

from docs.measurements.results import Column, Results, Table
from docs.measurements.session import Session
from scaling.store.record import Store


def measure(session: Session) -> Results:
    """Trains the sweep on a Markov chain and fits approach 3."""
    session.train("sweeps", "launch", "markov", "--store", "STORE")
    fit = session.json("analysis", "fit", "STORE", "--law", "chinchilla", "--json", "-")
    records = list(Store(session.store).records())
    [rate] = {record.about["corpus_facts"]["entropy_rate"] for record in records}
    flops = sum(run["C"] for run in session.json("sweeps", "plan", "markov", "--store", "STORE", "--json")["runs"])
    low, high = fit["intervals"]["E"]
    rows = [
        ["entropy rate of the chain", rate],
        ["fitted E [95% interval]", [fit["params"]["E"], low, high]],
        ["lowest loss of a run", min(record.final["loss"] for record in records)],
        ["runs", f"{len(records)}"],
        ["FLOPs of the runs", f"{flops:.2g}"],
        ["entropy rate inside the interval", "yes" if low <= rate <= high else "no"],
        ["verdict of the fit", "; ".join(fit["verdict"])],
    ]
    return Results({"main": Table([Column("quantity"), Column("nats per symbol", ".4f")], rows)})
