"""analysis.data.load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.data.points import Points
from analysis.errors import DataError
from analysis.laws.law import Law


def load(
    source: Any,
    *,
    law: Law | None = None,
    columns: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    where: str | None = None,
    drop_bad: bool = False,
    flops: str | None = None,
    params: str = "total",
    curves: bool = False,
) -> Points:
    """Points of a store's runs that are done, of a file (analysis/data/readers.py), a DataFrame, arrays by name or
    rows.

    law: says which letters are wanted (N, D, C and L where None). columns: {"N": "column", ...} for those, and budget,
    name, group, weight; y stands for the law's output; the rest is guessed from common names, and notes say what was
    guessed. units: {"N": "billions", "L": "bits", ...} (analysis/data/units.py). where: rows to keep
    (analysis/data/filter.py).
    drop_bad: rows with a cell that cannot be are left out, and named in notes. flops: for a store 6nd (default),
    6nd-nonembedding, exact or exact-full-attention; for a file its own column C, else (or on "6nd") 6·N·D. params:
    total or nonembedding. curves: read a store's learning curves as well. Raises DataError (one line).
    """
    from analysis.data import from_store, from_table, readers, runs

    runs.choice("params", params, runs.PARAMS)
    wanted = from_table.Wanted(law, columns, units, where, drop_bad, flops, params)
    if not isinstance(source, str | Path):
        return from_table.points_of(readers.from_memory(source), wanted)
    path = Path(source)
    if path.is_dir():
        return from_store.points_of(path, wanted, curves)
    if not path.exists():
        raise DataError(f"{path}: not there: a source is {readers.KINDS}")
    return from_table.points_of(readers.read(path), wanted)
