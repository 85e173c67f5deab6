"""Double descent: test error over width, data and epochs with noisy labels, and the height of each peak."""

from __future__ import annotations

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session


def measure(session: Session) -> Results:
    """Trains the sweep and judges each peak."""
    session.train("sweeps", "launch", "double-descent", "--store", "STORE")
    result = session.json("analysis", "double-descent", "STORE", "--json", "-")
    session.figure("double-descent")
    columns = [
        Column("test error over"),
        Column("at fixed"),
        Column("seeds"),
        Column("peak at", ",.4g"),
        Column("height above the higher minimum, points", ".1f"),
        Column("training data fitted from", ",.4g"),
        Column("verdict"),
    ]
    rows, curves = [], []
    for profile in result["profiles"]:
        height = profile.get("height")
        points = [100 * height["value"], *(100 * end for end in height["interval"])] if height else None
        peak = [profile["peak"]["at"], *profile["peak"]["at_interval"]] if "peak" in profile else None
        rows.append([profile["axis"], profile["fixed"], profile["seeds"], peak, points,
                     profile.get("interpolation"), profile["verdict"]])  # fmt: skip
        if profile["axis"] == "width":
            errors = zip(profile["x"], profile["test_error"], profile.get("train_error", []), strict=False)
            curves += [[width, test, train] for width, test, train in errors]
    widths = Table([Column("width", "g"), Column("test error", ".3f"), Column("training error", ".3f")], curves)
    return Results(
        {"main": Table(columns, rows), "widths": widths},
        {f"verdict_{axis}": Value(verdict) for axis, verdict in result["verdict"].items()},
    )
