"""Points: parameters, tokens, FLOPs and loss of runs. The only place where a counting convention is chosen.

Key: N parameters, D tokens, C training FLOPs, L loss in nats a token.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np

from analysis.errors import DataError

TOLERANCE = 0.1  # C within 10% is one budget where a source names none


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


def group(points: Points) -> list[tuple[float, np.ndarray]]:
    """Budgets in rising order, each with the indices of its runs: planned ones, else C within TOLERANCE."""
    if points.budgets is not None:
        known = np.unique(points.budgets[np.isfinite(points.budgets)])
        return [(float(key), np.flatnonzero(points.budgets == key)) for key in known]
    order = np.argsort(points.C)
    cuts = np.flatnonzero(np.diff(np.log(points.C[order])) > np.log1p(TOLERANCE)) + 1
    return [(float(np.median(points.C[at])), np.sort(at)) for at in np.split(order, cuts)]
