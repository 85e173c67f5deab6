"""Irreducible loss: the fitted E on text whose entropy rate is known exactly."""

from __future__ import annotations

from docs.measurements.results import Column, Results, Table
from docs.measurements.session import Session
from scaling.store.record import Store


def measure(session: Session) -> Results:
    """Trains the sweep on a Markov chain and fits approach 3, by default and with errors taken as independent."""
    session.train("sweeps", "launch", "markov", "--store", "STORE")
    words = ("analysis", "fit", "STORE", "--law", "chinchilla", "--json", "-")
    fit, independent = session.json(*words), session.json(*words, "--resampling", "residuals")
    records = list(Store(session.store).records())
    [rate] = {record.about["corpus_facts"]["entropy_rate"] for record in records}
    cost = session.json("sweeps", "plan", "markov", "--store", "STORE", "--json")["cost"]
    low, high = fit["intervals"]["E"]
    rows = [
        ["entropy rate of the chain", rate],
        ["fitted E [95% interval], sizes resampled (default)", [fit["params"]["E"], low, high]],
        ["fitted E [95% interval], residuals resampled", [independent["params"]["E"], *independent["intervals"]["E"]]],
        ["lowest loss of a run", min(record.final["loss"] for record in records)],
        ["runs", f"{len(records)}"],
        ["FLOPs trained", f"{cost['flops']:.2g}"],
        ["entropy rate inside the default interval", "yes" if low <= rate <= high else "no"],
        ["verdict of the fit", "; ".join(fit["verdict"])],
    ]
    return Results({"main": Table([Column("quantity"), Column("nats per symbol", ".4f")], rows)})
