"""Points (parameters, tokens, FLOPs and loss of runs), the input of every fit.

Key: N parameters, D tokens, C training FLOPs, L loss; n points, m steps of a curve.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace

import numpy as np
import pandas as pd

from analysis.data.units import LOSS_UNIT
from analysis.errors import DataError, FitError
from analysis.laws.compute_cost import ComputeCost, estimate_cost
from analysis.laws.curve.schedule_terms import Schedules

MAX_CHAIN = 2.0  # largest ratio of C within a budget that is found by grouping neighbouring runs
BUDGET_TOLERANCE = 0.1  # relative difference in C up to which neighbouring runs share a budget, without a column


@dataclass(frozen=True)
class TrainingCurve:
    """Loss along one run.

    Attributes:
        name: Id of the run.
        N: Parameters.
        D: Tokens seen at each step (m,).
        C: FLOPs spent at each step (m,).
        L: Loss at each step (m,), in the unit of the points.
        held_out: Whether the loss was measured on held-out text, otherwise on training batches.
    """

    name: str
    N: float
    D: np.ndarray
    C: np.ndarray
    L: np.ndarray
    held_out: bool


@dataclass(frozen=True)
class Points:
    """Runs as float64 arrays (n,). `points["U"]` returns an input or output by its letter.

    Attributes:
        N: Parameters. N, D, C and L are NaN if the source does not contain them.
        D: Training tokens.
        C: Training FLOPs.
        L: Loss in `loss_unit`.
        names: Label of each row.
        budgets: Planned FLOPs, equal for the runs of one isoFLOP group.
        groups: Group of each run, such as its sweep.
        weights: Weight of each run in the objective.
        source: Name of the source.
        notes: Guesses, conversions and left-out rows of the reading, one line each.
        convention: What N and C count.
        curves: Training curves of the runs; None if they were not read.
        shared_prefix: Whether a run started from the checkpoint of another run.
        extra: Inputs and outputs of laws other than N, D, C and L, by letter.
        loss_unit: Unit of L, as it is printed.
        epochs: Passes over the unique tokens of each run; None if they are not known.
        runs: Run of each row, if rows can be checkpoints of one run; None if each row is a run.
        schedules: Whole schedules of the curves of the rows, if they were read.
        labels: Label of each row by column: the column of groups, and columns of text with few values, such as a corpus
            or an architecture.
    """

    N: np.ndarray
    D: np.ndarray
    C: np.ndarray
    L: np.ndarray
    names: list[str]
    budgets: np.ndarray | None = None
    groups: list[str] | None = None
    weights: np.ndarray | None = None
    source: str = "arrays"
    notes: tuple[str, ...] = ()
    convention: str = "as given"
    curves: tuple[TrainingCurve, ...] | None = None
    shared_prefix: np.ndarray | None = None
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    loss_unit: str = LOSS_UNIT
    epochs: np.ndarray | None = None
    runs: list[str] | None = None
    schedules: Schedules | None = None
    labels: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Converts the arrays to float64 and checks that they have the same length."""
        for name in ("N", "D", "C", "L"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        extra = {letter: np.asarray(values, np.float64) for letter, values in self.extra.items()}
        object.__setattr__(self, "extra", extra)
        for name, values in (("N", self.N), ("D", self.D), ("C", self.C), ("L", self.L), *extra.items()):
            if values.shape != (len(self.names),):
                raise DataError(
                    f"points: {name} has shape {values.shape}, names has {len(self.names)} entries: "
                    "all must be one-dimensional and of the same length"
                )

    def __getitem__(self, letter: str) -> np.ndarray:
        """Returns an input or output (n,) by its letter, NaN if it was not read. M defaults to D / N."""
        if letter in ("N", "D", "C", "L"):
            return np.asarray(getattr(self, letter))
        if letter in self.extra:
            return self.extra[letter]
        return self.D / self.N if letter == "M" else np.full(len(self.names), np.nan)

    def __len__(self) -> int:
        """Returns the number of points."""
        return len(self.L)

    @property
    def compute_cost(self) -> ComputeCost:
        """C as a function of N and D, 6·N·D if C was computed so."""
        return estimate_cost(self.N, self.D, self.C)

    def select(self, rows: np.ndarray) -> Points:
        """Returns the points selected by `rows`, a mask (n,) or indices."""
        indices = np.arange(len(self))[rows]
        changes: dict[str, object] = {}
        for member in fields(self):
            value = getattr(self, member.name)
            if isinstance(value, np.ndarray | list):
                changes[member.name] = _select(value, indices)
            elif isinstance(value, dict):
                changes[member.name] = {key: _select(values, indices) for key, values in value.items()}
        return replace(self, **changes)  # type: ignore[arg-type]


def _select(values: np.ndarray | list[str], indices: np.ndarray) -> np.ndarray | list[str]:
    return values[indices] if isinstance(values, np.ndarray) else [values[i] for i in indices]


def duplicate_rows(points: Points) -> list[str]:
    """Returns the rows equal to an earlier row in all inputs and outputs, as texts "later = earlier"."""
    code_n = combination_codes(
        np.nan_to_num(x_n) for x_n in (points.N, points.D, points.C, points.L, *points.extra.values())
    )
    first_n = np.unique(code_n, return_index=True)[1][code_n]
    later = np.flatnonzero(first_n < np.arange(len(points)))
    return [f"{points.names[row]} = {points.names[first_n[row]]}" for row in later]


def combination_codes(columns: Iterable[np.ndarray | list[str]]) -> np.ndarray:
    """Returns codes (n,) of the combinations of the values of columns, from 0 in order of appearance.

    Args:
        columns: Numbers or texts (n,) of each column; at least one.
    """
    codes: np.ndarray | None = None
    for column in columns:
        new = pd.factorize(np.array(column, object) if isinstance(column, list) else column)[0]
        codes = new if codes is None else pd.factorize(codes * (new.max() + 1) + new)[0]
    assert codes is not None
    return np.asarray(codes)


def separate_budgets(points: Points, name: str) -> tuple[list[tuple[float, np.ndarray]], list[str]]:
    """Groups runs by compute budget, without chains of runs that span a range of compute.

    Args:
        points: Runs with C.
        name: Name of the law for messages.

    Returns:
        As `group_by_budget`, and notes.

    Raises:
        FitError: The runs have no budgets: their C varies without gaps.
    """
    budgets = group_by_budget(points)
    if points.budgets is not None:
        return budgets, []
    chains = [(key, rows) for key, rows in budgets if points.C[rows].max() > MAX_CHAIN * points.C[rows].min()]
    texts = [f"{points.C[rows].min():.2g} to {points.C[rows].max():.2g} FLOPs ({len(rows)} runs)" for _, rows in chains]
    if len(chains) == len(budgets) or sum(len(rows) for _, rows in chains) > len(points) / 2:
        raise FitError(
            f"{name}: these runs are not grouped by budget: C varies without gaps from {' and from '.join(texts)}: use "
            "a law of N and D (chinchilla), or name the column of planned budgets with --columns budget=NAME"
        )
    notes = [
        "No budget column: runs are grouped by neighbouring compute, which can chain distinct budgets. Check, or pass "
        "--columns budget=NAME."
    ]
    if chains:
        notes.append(f"left out, because C varies without gaps: {', '.join(texts)}")
    return [(key, rows) for key, rows in budgets if not any(rows is chain for _, chain in chains)], notes


def group_by_budget(points: Points) -> list[tuple[float, np.ndarray]]:
    """Groups runs by compute budget.

    Returns:
        Budgets in increasing order, each with the indices of its runs. Without planned budgets, runs whose
        neighbouring C differ by at most `BUDGET_TOLERANCE` form a budget.
    """
    if points.budgets is not None:
        planned = np.unique(points.budgets[np.isfinite(points.budgets)])
        return [(float(budget), np.flatnonzero(points.budgets == budget)) for budget in planned]
    order = np.argsort(points.C)
    cuts = np.flatnonzero(np.diff(np.log(points.C[order])) > np.log1p(BUDGET_TOLERANCE)) + 1
    return [(float(np.median(points.C[rows])), np.sort(rows)) for rows in np.split(order, cuts)]
