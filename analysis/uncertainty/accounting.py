"""Checks of what the points count: repeated data, stated budgets, and runs of one budget that differ in compute.

Key: N parameters, D tokens, C FLOPs; K budgets, n points.
"""

from __future__ import annotations

import numpy as np

from analysis.data.points import Points, group_by_budget
from analysis.format import join_names
from analysis.laws.law import Law
from analysis.uncertainty.verdicts import warning

REPEATED = 1.01  # epochs above which a run repeats its data
MIN_BUDGETS, MIN_SIZES = 3, 3  # budgets, and sizes of a budget, from which a rounded budget can be seen
SIZE_DEGREE = 3  # degree of the polynomial in ln N that describes the FLOPs per token
MIN_ROUNDING = 0.02  # smallest standard deviation of ln C that counts as rounding; printing 2 digits of C gives 0.01
EXPLAINED = 0.25  # largest share of that deviation that is left once budgets are recomputed
PLAIN_RATIO = 0.05  # deviation of 6·N·D from the recomputed budgets up to which --flops 6nd recomputes them
MAX_BUDGET_SPREAD = 1.25  # ratio of the largest to the smallest C of a budget from which it is warned of


def check_repetition(points: Points, law: Law | None) -> list[str]:
    """Warns if runs repeat their data and the law counts repeated tokens like new ones.

    Args:
        points: The points.
        law: The law; None for approaches 1 and 2.
    """
    if points.epochs is None or (law is not None and (law.output != "L" or "U" in law.inputs)):
        return []
    repeated = points.epochs > REPEATED
    if not repeated.any():
        return []
    low, high = points.epochs[repeated].min(), points.epochs.max()
    sentence = (
        f"{repeated.sum()} of {len(points)} runs repeat their data ({low:.3g} to {high:.3g} epochs), and this law "
        "counts repeated tokens like new ones: use --law data-constrained, or leave them out with --where"
    )
    return [warning("repeated-data", sentence)]


def check_compute(points: Points, law: Law | None) -> list[str]:
    """Warns if stated budgets differ from the compute of their runs, for fits that depend on C.

    Args:
        points: The points.
        law: The law; None for approaches 1 and 2.
    """
    if law is not None and law.optimum is None and "C" not in law.inputs:
        return []
    implied = implied_budgets(points)
    if implied is None:
        return []
    pairs = [f"{stated:.3g} for {C:.3g}" for stated, C in implied.items() if abs(np.log(C / stated)) > MIN_ROUNDING / 2]
    ratio = 6 * points.N * points.D / np.array([implied[C] for C in points.C])
    plain = np.abs(np.log(ratio)).max() < PLAIN_RATIO
    advice = "--flops 6nd recomputes them" if plain else "state the exact ones"
    sentence = f"stated budgets are not the compute of their runs, but rounded: {join_names(pairs, 6)}: {advice}"
    return [warning("rounded-budgets", sentence)]


def check_budget_spread(points: Points) -> list[str]:
    """Warns if the runs of a budget differ in compute, which tilts the losses of the budget."""
    groups = [(budget, points.C[rows]) for budget, rows in group_by_budget(points) if len(rows)]
    spread = {budget: float(C.max() / C.min()) for budget, C in groups}
    mixed = {budget: ratio for budget, ratio in spread.items() if ratio > MAX_BUDGET_SPREAD}
    if not mixed:
        return []
    texts = join_names([f"{ratio:.3g} times at {budget:.3g}" for budget, ratio in mixed.items()], 5)
    return [warning("mixed-budgets", f"the runs of one budget differ in C: {texts}")]


def implied_budgets(points: Points) -> dict[float, float] | None:
    """Estimates the compute of each stated C from the tokens and sizes of its runs.

    C / D is a smooth function of N, the FLOPs per token. A stated C that was rounded moves all of its runs off this
    function by the same factor.

    Returns:
        The implied compute by stated C; None if the stated C are not rounded, or the points cannot show it.
    """
    if not (np.isfinite(points.C).all() and np.isfinite(points.N).all() and np.isfinite(points.D).all()):
        return None
    stated, index_n = np.unique(points.C, return_inverse=True)
    sizes = np.array([len(np.unique(points.N[index_n == k])) for k in range(len(stated))])
    if len(stated) < MIN_BUDGETS or sizes.min() < MIN_SIZES:
        return None
    y = np.log(points.C / points.D)
    x = np.log(points.N)
    x = (x - x.mean()) / max(float(np.ptp(x)), 1e-9)
    basis = x[:, None] ** np.arange(SIZE_DEGREE + 1)
    offsets = (index_n[:, None] == np.arange(1, len(stated))).astype(float)
    smooth = _residual(basis, y)
    with_offsets = np.hstack([basis, offsets])
    rest = _residual(with_offsets, y)
    rounding = float(np.std(smooth))
    if rounding < MIN_ROUNDING or float(np.std(rest)) > EXPLAINED * rounding:
        return None
    solution = np.linalg.lstsq(with_offsets, y, rcond=None)[0]
    offset_K = np.append(0.0, solution[basis.shape[1] :])
    ratios = [np.log(6 * points.N * points.D / points.C)[index_n == k] for k in range(len(stated))]
    if max(np.ptp(ratio) for ratio in ratios) < PLAIN_RATIO:  # C is 6·N·D up to the rounding
        offset_K = -np.array([np.median(ratio) for ratio in ratios])
    else:
        offset_K = offset_K - np.median(offset_K)
    return {float(C): float(C * np.exp(-offset)) for C, offset in zip(stated, offset_K, strict=True)}


def _residual(basis: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(y - basis @ np.linalg.lstsq(basis, y, rcond=None)[0])
