"""Points: parameters, tokens, FLOPs and loss of runs. The only place where a counting convention is chosen.

Key: N parameters, D tokens, C training FLOPs, L loss in nats a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import DataError
from analysis.laws.law import Law

__all__ = ["Curve", "DataError", "Points", "load"]


@dataclass(frozen=True)
class Curve:
    """Loss along one run: tokens seen and FLOPs spent (m,), loss (m,) in nats a token; held: on held-out text."""

    name: str
    N: float
    D: np.ndarray
    C: np.ndarray
    L: np.ndarray
    held: bool


@dataclass(frozen=True)
class Points:
    """Runs as arrays (n,), float64. An array of an input that the source does not have is all NaN, and notes say so.

    more: inputs and outputs of laws beyond N, D, C and L, by letter. `points["U"]` gives any of them.
    """

    N: np.ndarray
    D: np.ndarray
    C: np.ndarray
    L: np.ndarray
    names: list[str]
    budgets: np.ndarray | None = None  # planned FLOPs: the key of an isoFLOP group
    groups: list[str] | None = None
    weights: np.ndarray | None = None
    source: str = "arrays"
    notes: tuple[str, ...] = ()
    convention: str = "as given"
    curves: tuple[Curve, ...] | None = None
    shared: np.ndarray | None = None  # whether a run began on another's trajectory
    more: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("N", "D", "C", "L"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        object.__setattr__(self, "more", {k: np.asarray(v, np.float64) for k, v in self.more.items()})
        for name in ("N", "D", "C", "L", *self.more):
            if self[name].shape != (len(self.names),):
                raise DataError(
                    f"points: {name} has shape {self[name].shape}, names has {len(self.names)} entries: "
                    "all must be one-dimensional and equally long"
                )

    def __getitem__(self, letter: str) -> np.ndarray:
        """An input or output by its letter (n,); all NaN where there is none. M is D / N unless it was given."""
        if letter in ("N", "D", "C", "L"):
            return np.asarray(getattr(self, letter))
        if letter in self.more:
            return self.more[letter]
        return self.D / self.N if letter == "M" else np.full(len(self.names), np.nan)

    def __len__(self) -> int:
        return len(self.L)

    def where(self, mask: np.ndarray) -> Points:
        """The points that `mask` (n,) keeps, in order; also takes indices."""
        chosen = np.arange(len(self))[mask]
        changed: dict[str, object] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, np.ndarray):
                changed[one.name] = value[chosen]
            elif isinstance(value, list):
                changed[one.name] = [value[i] for i in chosen]
            elif isinstance(value, dict):
                changed[one.name] = {letter: array[chosen] for letter, array in value.items()}
        return replace(self, **changed)  # type: ignore[arg-type]


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
    """Points of a store's runs that are done, of a file (analysis/files.py), a DataFrame, arrays by name or rows.

    law: says which letters are wanted (N, D, C and L where None). columns: {"N": "column", ...} for those, and budget,
    name, group, weight; y stands for the law's output; the rest is guessed from common names, and notes say what was
    guessed. units: {"N": "billions", "L": "bits", ...} (analysis/units.py). where: rows to keep (analysis/where.py).
    drop_bad: rows with a cell that cannot be are left out, and named in notes. flops: for a store 6nd (default),
    6nd-nonembedding, exact or exact-full-attention; for a file its own column C, else (or on "6nd") 6·N·D. params:
    total or nonembedding. curves: read a store's learning curves as well. Raises DataError (one line).
    """
    from analysis import files, reading, runpoints, sources

    sources.choice("params", params, sources.PARAMS)
    wanted = reading.Wanted(law, columns, units, where, drop_bad, flops, params)
    if not isinstance(source, str | Path):
        return reading.points_of(files.from_memory(source), wanted)
    path = Path(source)
    if path.is_dir():
        return runpoints.points_of(path, wanted, curves)
    if not path.exists():
        raise DataError(f"{path}: not there: a source is {files.KINDS}")
    return reading.points_of(files.read(path), wanted)


def duplicates(points: Points) -> list[str]:
    """Rows that are the same in all inputs and outputs as an earlier one: "later = earlier"."""
    first: dict[tuple[float, ...], str] = {}
    twins = []
    rows = np.nan_to_num(np.stack([points.N, points.D, points.C, points.L, *points.more.values()], -1)).tolist()
    for row, name in zip(rows, points.names, strict=True):
        seen = first.setdefault(tuple(row), name)
        if seen is not name:
            twins.append(f"{name} = {seen}")
    return twins
