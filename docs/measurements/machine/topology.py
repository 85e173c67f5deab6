"""Topology checks: memory of each shape of a sweep on a TPU slice, as compiled by libtpu without a TPU."""

from __future__ import annotations

from docs.measurements.results import Cell, Column, Results, Table, Value
from docs.measurements.session import Session

SLICES = ("v5e-16", "v5p-32")
SWEEPS = {  # name of the table -> sweep and flags
    "main": ["quickstart", "--place", "tensor=2"],
    "isoflop": ["isoflop", "--tokenizer", "sentencepiece:32000", "--place", "data=1", "--place", "fsdp=16",
                "--place", "remat=full"],
}  # fmt: skip
CHECKED = (0, 1)  # exit statuses: all shapes fit, some do not


def measure(session: Session) -> Results:
    """Compiles the shapes of two sweeps for two slices."""
    tables, values = {}, {}
    for name, (sweep, *flags) in SWEEPS.items():
        rows: dict[str, list[Cell]] = {}
        for topology in SLICES:
            words = ["sweeps", "check", sweep, "--store", "STORE", "--topology", topology, *flags, "--json"]
            shapes = session.json(*words, statuses=CHECKED)["shapes"]
            for shape in shapes:
                title = f"{shape['width']} × {shape['layers']}, {shape['batch']} × {shape['length']}"
                memory = shape["memory"]
                spare = (memory["hbm"] - memory["total"]) / 1e9
                rows.setdefault(title, [title, shape["runs"]]).extend(
                    ["fits" if shape["fits"] else "does not fit", spare]
                )
            short = topology.replace("-", "_")
            values[f"{name}_{short}"] = Value(f"{sum(shape['fits'] for shape in shapes)} of {len(shapes)}")
        columns = [Column("width × layers, batch"), Column("runs")]
        for topology in SLICES:
            columns += [Column(topology), Column("spare GB per chip", ".2f")]
        tables[name] = Table(columns, list(rows.values()))
    return Results(tables, values)
