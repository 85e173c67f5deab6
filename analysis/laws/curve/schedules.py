"""Laws of loss curves under learning-rate schedules: fitted to a few curves, they predict curves of other schedules.

A row is one measurement: step, learning rate, and curve. The rows of a curve define its schedule, or a separate table
does (`Schedules`). The rate is linear between rows, except that a single change between two constant parts is a jump at
its row. Before the first row, the rate rises linearly from 0 at step 0.

Key: n rows, m pairs of a row and an earlier change of the rate, S sets of parameters; S1 sum of rates up to a step.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from analysis.laws.law import Array, Law

GAUSS_NODES = 0.5 - np.sqrt(1 / 12), 0.5 + np.sqrt(1 / 12)  # Gauss-Legendre, two nodes between rows
MAX_ELEMENTS = 4_000_000  # largest number of elements of an array
WARMUP_ROWS = 16  # rows added for the rise before the first row
MAX_STARTS = 12  # number of starts that are kept, those with the smallest residuals
MIN_RATE = 1e-30  # lower limit of the rate before taking the logarithm
START_ALPHAS = (0.2, 0.5, 1.0)


@dataclass(frozen=True)
class ScheduleTerms:
    """Terms of the schedules of rows, which the laws use.

    Attributes:
        S1: Sum of the rates up to each row (n,).
        change: Change of the rate of each pair (m,).
        rate: Rate after the change (m,).
        rate_sum: Sum of the rates since the change (m,).
        steps: Steps since the change (m,).
        rows: Indices of the rows that have pairs.
        first: Index of the first pair of each row in `rows`.
    """

    S1: np.ndarray
    change: np.ndarray
    rate: np.ndarray
    rate_sum: np.ndarray
    steps: np.ndarray
    rows: np.ndarray
    first: np.ndarray

    def sum_by_row(self, values_Sm: np.ndarray) -> np.ndarray:
        """Sums values of pairs over the pairs of each row (S, n)."""
        sums = np.zeros((len(values_Sm), len(self.S1)))
        if len(self.rows):
            sums[:, self.rows] = np.add.reduceat(values_Sm, self.first, axis=-1)
        return sums


@dataclass(frozen=True, eq=False)
class Schedules:
    """Learning rates of whole schedules, for curves whose losses are known at few steps.

    Attributes:
        curves: Steps (k,), increasing, and rates (k,) of each curve by its number.
    """

    curves: dict[float, tuple[np.ndarray, np.ndarray]]

    def rates(self, curve: float, step: np.ndarray) -> np.ndarray:
        """Returns the rate (n,) at steps (n,) of a curve: linear between rows, except for jumps."""
        steps, rates = self.curves[curve]
        end = np.clip(np.searchsorted(steps, step), 1, len(steps) - 1)
        held = np.r_[False, _jumps(np.diff(rates))][end] & (step < steps[end])
        return np.where(held, rates[end - 1], np.interp(step, steps, rates))

    def simplified(self, tolerance: float = 1e-4) -> Schedules:
        """Returns the schedules without rows that lie on the line between others, within a share of the largest rate."""
        return Schedules({curve: _simplified(*rows, tolerance) for curve, rows in self.curves.items()})


def _simplified(steps: np.ndarray, rates: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    kept, parts = {0, len(steps) - 1}, [(0, len(steps) - 1)]
    for k in np.flatnonzero(_jumps(np.diff(rates))):  # the rows that make a jump a jump
        kept |= {max(k - 1, 0), k, k + 1, min(k + 2, len(steps) - 1)}
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        line = np.interp(steps[first + 1 : last], steps[[first, last]], rates[[first, last]])
        distance = np.abs(rates[first + 1 : last] - line)
        middle = first + 1 + int(distance.argmax())
        if distance.max() > tolerance * rates.max():
            kept.add(middle)
            parts += [(first, middle), (middle, last)]
    rows = np.array(sorted(kept))
    return steps[rows], rates[rows]


def _jumps(change: np.ndarray) -> np.ndarray:
    """Whether each change of the rate is a jump: a single change between two constant parts."""
    is_constant = np.r_[False, change == 0, False]
    return (change != 0) & is_constant[:-2] & is_constant[2:]


def schedule_terms(
    step: np.ndarray, lr: np.ndarray, curve: np.ndarray, schedules: Schedules | None = None
) -> ScheduleTerms:
    """Computes the terms of the schedules of rows, with a cache.

    Args:
        step: Step of each row (n,).
        lr: Learning rate at each row (n,).
        curve: Number of the curve of each row (n,).
        schedules: Whole schedules of some of the curves, which replace the rates of their rows.
    """
    return _cached_terms(schedules, *(np.ascontiguousarray(x, np.float64).tobytes() for x in (step, lr, curve)))


@lru_cache(maxsize=16)
def _cached_terms(schedules: Schedules | None, *buffers: bytes) -> ScheduleTerms:
    step, lr, curve = (np.frombuffer(buffer) for buffer in buffers)
    S1 = np.zeros(len(step))
    parts: list[np.ndarray] = []
    for name in np.unique(curve):
        rows = np.flatnonzero(curve == name)
        rows = rows[np.argsort(step[rows], kind="stable")]
        steps, rates = step[rows], lr[rows]
        if schedules is not None and name in schedules.curves:
            steps = np.union1d(schedules.curves[name][0], steps)
            rates = schedules.rates(name, steps)
        S1[rows], pairs = _curve_terms(rows, np.searchsorted(steps, step[rows]), steps, rates)
        parts.append(pairs)
    row, change, rate, rate_sum, steps = np.concatenate(parts, -1)
    order = np.argsort(row, kind="stable")
    unique_rows, first = np.unique(row[order].astype(int), return_index=True)
    return ScheduleTerms(S1, change[order], rate[order], rate_sum[order], steps[order], unique_rows, first)


def _curve_terms(
    rows: np.ndarray, index: np.ndarray, step: np.ndarray, lr: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """S1 of the rows of one curve, and (5, pairs): row, change, rate, sum of rates and steps since the change.

    index: index of each row in the schedule (step, lr).
    """
    warmup = np.arange(WARMUP_ROWS)[: WARMUP_ROWS if step[0] > 0 else 0] / WARMUP_ROWS
    all_steps, rates = np.r_[warmup * step[0], step], np.r_[warmup * lr[0], lr]
    length, change = np.diff(all_steps), np.diff(rates)
    is_jump = _jumps(change)
    mean_rate = np.where(is_jump, rates[:-1], (rates[1:] + rates[:-1]) / 2)
    sums = np.r_[0, np.cumsum(length * mean_rate)]
    position = index + len(warmup)
    is_linear = (change != 0) & ~is_jump
    pairs = []
    for mask, node, share in ((is_linear, GAUSS_NODES[0], 0.5), (is_linear, GAUSS_NODES[1], 0.5), (is_jump, 1, 1)):
        changes = np.flatnonzero(mask)
        i, j = np.nonzero(position[:, None] > changes)
        k = changes[j]
        rate = rates[k] + node * change[k]
        # A rate applies to its whole step, so the first step counts: half of it if the rate is linear.
        until_node = node * length[k] * np.where(is_jump[k], rates[k], (rates[k] + rate) / 2)
        rate_sum = sums[position[i]] - sums[k] - until_node + share * rate
        steps = all_steps[position[i]] - all_steps[k] - node * length[k] + share
        pairs.append(np.stack([rows[i], share * change[k], rate, rate_sum, steps]))
    return sums[position], np.concatenate(pairs, -1)


def _slices(sets: int, pairs: int) -> list[slice]:
    """Slices of the sets of parameters that limit the size of arrays to MAX_ELEMENTS."""
    size = max(1, MAX_ELEMENTS // max(pairs, 1))
    return [slice(start, start + size) for start in range(0, sets, size)]


def _loss_reduction(terms: ScheduleTerms, C: Array, beta: Array, gamma: Array) -> np.ndarray:
    """Σ_k (η_k − η_{k−1})·(1 − (1 + C·η_k^−γ·(S1(t) − S1(k)))^−β), (S, n), or (n,) for scalars.

    It is negative if the rate has decreased.
    """
    is_scalar = not any(np.ndim(value) for value in (C, beta, gamma))
    C, beta, gamma = np.broadcast_arrays(*(np.reshape(value, (-1, 1)) for value in (C, beta, gamma)))
    log_rate = np.log(np.maximum(terms.rate, MIN_RATE))
    parts = []
    for sets in _slices(len(C), len(terms.change)):
        growth = C[sets] * np.exp(-gamma[sets] * log_rate) * terms.rate_sum
        parts.append(terms.sum_by_row(-terms.change * np.expm1(-beta[sets] * np.log1p(growth))))
    return parts[0][0] if is_scalar else np.concatenate(parts)


def _annealing_area(terms: ScheduleTerms, lam: Array) -> np.ndarray:
    """S2 = Σ_k (η_{k−1} − η_k)·(1 − λ^(t − k)) / (1 − λ), (S, n), or (n,) for scalars."""
    is_scalar, lam = not np.ndim(lam), np.reshape(lam, (-1, 1))
    parts = []
    for sets in _slices(len(lam), len(terms.change)):
        with np.errstate(divide="ignore"):
            decay = np.expm1(np.log(lam[sets]) * terms.steps)
            parts.append(terms.sum_by_row(terms.change * decay / (1 - lam[sets])))
    return parts[0][0] if is_scalar else np.concatenate(parts)


def multi_power(
    step: Array,
    lr: Array,
    curve: Array,
    *,
    L0: Array,
    A: Array,
    alpha: Array,
    B: Array,
    C: Array,
    beta: Array,
    gamma: Array,
) -> Array:
    """L0 + A·S1^−α + B·Σ_k (η_k − η_{k−1})·(1 − (1 + C·η_k^−γ·Σ_{k..t} η)^−β) (Luo 2025, equations 1 to 3).

    Published, for 25M parameters: L0 = 3.04045406, A = 0.52468604, α = 0.50786857, B = 363.78751622, C = 2.06560812,
    β = 0.58279013, γ = 0.64142257.

    Args:
        step: Step of each row (n,).
        lr: Learning rate η at each row (n,).
        curve: Number of the curve of each row (n,).
        L0: Irreducible loss in nats per token.
        A: Factor of the sum of rates.
        alpha: Exponent of the sum of rates.
        B: Factor of the reduction by changes of the rate.
        C: Speed of the reduction.
        beta: Exponent of the reduction.
        gamma: Exponent of the rate in the reduction.
    """
    terms = schedule_terms(step, lr, curve)
    loss = L0 + A * terms.S1**-alpha
    return loss + B * _loss_reduction(terms, C, beta, gamma) if np.any(B) else loss


def tissue(step: Array, lr: Array, curve: Array, *, L0: Array, A: Array, alpha: Array, C: Array, lam: Array) -> Array:
    """L0 + A·S1^−α − C·S2, S2 the annealing area with momentum λ (Tissue 2024, equation 1; λ = 0.999 there).

    Args:
        step: Step of each row (n,).
        lr: Learning rate at each row (n,).
        curve: Number of the curve of each row (n,).
        L0: Irreducible loss in nats per token.
        A: Factor of the sum of rates.
        alpha: Exponent of the sum of rates.
        C: Factor of the annealing area.
        lam: Momentum per step.
    """
    terms = schedule_terms(step, lr, curve)
    loss = L0 + A * terms.S1**-alpha
    return loss - C * _annealing_area(terms, lam) if np.any(C) else loss


def _best_columns(terms: ScheduleTerms, y: np.ndarray, columns_Kn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The MAX_STARTS pairs of α and a last column whose linear fit of y has the smallest residuals."""
    scored = []
    for alpha, k in itertools.product(START_ALPHAS, range(len(columns_Kn))):
        X = np.stack([np.ones(len(y)), terms.S1**-alpha, columns_Kn[k]], -1)
        X = X / np.maximum(np.abs(X).max(0), 1e-300)
        solution = np.linalg.lstsq(X, y, rcond=None)[0]
        scored.append((float(np.sum((X @ solution - y) ** 2)), alpha, k))
    best = sorted(scored)[:MAX_STARTS]
    return np.array([alpha for _, alpha, _ in best]), np.array([k for *_, k in best], int)


def _multi_power_starts(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
    """Starting values of `multi_power`: C for immediate changes up to changes over the whole curve."""
    terms = schedule_terms(*inputs)
    speed, beta, gamma = np.array(
        list(itertools.product((1.0, 10.0, 100.0, 1000.0), (0.3, 0.6, 1.0), (0.3, 0.6, 1.0)))
    ).T
    C = speed * inputs[1].max() ** gamma / terms.S1.max()
    alpha, rows = _best_columns(terms, y, _loss_reduction(terms, C, beta, gamma))
    return {"alpha": alpha, "C": C[rows], "beta": beta[rows], "gamma": gamma[rows]}


def _tissue_starts(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
    """Starting values of `tissue`: 1/(1 − λ) from 10 steps to the length of the curves."""
    terms = schedule_terms(*inputs)
    lam = 1 - 1 / np.geomspace(10, max(float(inputs[0].max()), 100.0), 8)
    alpha, rows = _best_columns(terms, y, _annealing_area(terms, lam))
    return {"alpha": alpha, "lam": lam[rows]}


COLUMNS = {
    "step": "step steps iteration",
    "lr": "lr learning_rate rate",
    "curve": "curve run_id run schedule",
}
UNITS = {"step": "steps", "lr": "rate per step", "L": "nats per token", "L0": "nats per token"}
ALPHA = (1e-2, 5.0)  # bounds of alpha

MULTI_POWER = Law(
    multi_power,
    "Luo 2025, multi-power law",
    {},
    ("L0", "A", "B"),
    {"alpha": ALPHA, "C": (1e-9, 1e9), "beta": (1e-2, 10.0), "gamma": (1e-3, 5.0)},
    constants=("L0",),
    units=UNITS,
    columns=COLUMNS,
    signed=("lr",),
    labels=("curve",),
    starts_from_data=_multi_power_starts,
)
TISSUE = Law(
    tissue,
    "Tissue 2024, equation 1",
    {},
    ("L0", "A", "C"),
    {"alpha": ALPHA, "lam": (0.5, 1 - 1e-7)},
    constants=("L0",),
    units={**UNITS, "lam": "momentum per step"},
    columns=COLUMNS,
    signed=("lr",),
    labels=("curve",),
    starts_from_data=_tissue_starts,
)
