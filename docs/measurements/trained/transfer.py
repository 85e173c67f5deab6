"""Transfer of the learning rate over widths, under the standard parametrisation and under muP."""

from __future__ import annotations

from analysis.studies.learning.rates import rate_curves
from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session
from scaling.store.record import Store


def measure(session: Session) -> Results:
    """Trains the sweep and compares the best learning rate of the widths."""
    session.train("sweeps", "launch", "transfer-check", "--store", "STORE")
    session.figure("transfer")
    records = list(Store(session.store).records())
    curves = rate_curves(records, "transfer-check")
    rows, shifts = [], []
    for curve in curves:
        rate, loss = curve.best
        rows.append([curve.parametrization, curve.width, rate, loss, "yes" if curve.inside else "no"])
    for name in dict.fromkeys(curve.parametrization for curve in curves):
        widths = sorted((curve.width, curve.best[0]) for curve in curves if curve.parametrization == name)
        shifts.append([name, widths[-1][0] / widths[0][0], widths[-1][1] / widths[0][1]])
    columns = [
        Column("parametrisation"),
        Column("width"),
        Column("best learning rate", ".3g"),
        Column("loss there, nats", ".4f"),
        Column("inside the grid"),
    ]
    change = [Column("parametrisation"), Column("ratio of the widths", ".3g")]
    change.append(Column("best rate of the largest width, relative to the smallest", ".2g"))
    return Results({"main": Table(change, shifts), "rates": Table(columns, rows)}, {"runs": Value(len(records))})
