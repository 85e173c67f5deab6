"""Terms of the schedules of learning rates that the laws of loss curves use: sums of rates, and changes of the rate.

Key: n rows, m pairs of a row and an earlier change of the rate, S sets of parameters; S1 sum of rates up to a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from analysis.laws.law import Array

GAUSS_NODES = 0.5 - np.sqrt(1 / 12), 0.5 + np.sqrt(1 / 12)  # Gauss-Legendre, two nodes between rows
MAX_ELEMENTS = 4_000_000  # largest number of elements of an array
WARMUP_ROWS = 16  # rows added for the rise before the first row
LINE = 1e-4  # share of the largest rate up to which a row of a schedule lies on the line between others
MIN_RATE = 1e-30  # lower limit of the rate before taking the logarithm


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
        """Returns the rate (n,) at steps of a curve: linear between rows, except for jumps.

        Args:
            curve: Number of the curve.
            step: Steps (n,).
        """
        steps, rates = self.curves[curve]
        end = np.clip(np.searchsorted(steps, step), 1, len(steps) - 1)
        held = np.r_[False, _jumps(np.diff(rates))][end] & (step < steps[end])
        return np.where(held, rates[end - 1], np.interp(step, steps, rates))

    def contains(self, curve: float, step: np.ndarray, lr: np.ndarray) -> bool:
        """Returns whether rows are of the schedule of a curve, and not of another curve with its number.

        Args:
            curve: Number of the curve.
            step: Step of each row (n,).
            lr: Learning rate at each row (n,).
        """
        if curve not in self.curves:
            return False
        return bool(np.abs(self.rates(curve, step) - lr).max() <= 2 * LINE * self.curves[curve][1].max())

    def simplified(self, tolerance: float = LINE) -> Schedules:
        """Returns the schedules without rows on the line between others, within a share of the largest rate."""
        return Schedules({curve: _simplified(*rows, tolerance) for curve, rows in self.curves.items()})


def _simplified(steps: np.ndarray, rates: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    kept, parts = {0, len(steps) - 1}, [(0, len(steps) - 1)]
    for k in np.flatnonzero(_jumps(np.diff(rates))):  # the rows that make a jump a jump
        kept |= {max(int(k) - 1, 0), int(k), int(k) + 1, min(int(k) + 2, len(steps) - 1)}
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
        steps, rates, index = step[rows], lr[rows], np.arange(len(rows))
        if schedules is not None and schedules.contains(name, steps, rates):
            steps = np.union1d(schedules.curves[name][0], steps)
            rates, index = schedules.rates(name, steps), np.searchsorted(steps, step[rows])
        S1[rows], pairs = _curve_terms(rows, index, steps, rates)
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


def loss_reduction(terms: ScheduleTerms, C: Array, beta: Array, gamma: Array) -> np.ndarray:
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


def annealing_area(terms: ScheduleTerms, lam: Array) -> np.ndarray:
    """S2 = Σ_k (η_{k−1} − η_k)·(1 − λ^(t − k)) / (1 − λ), (S, n), or (n,) for scalars."""
    is_scalar, lam = not np.ndim(lam), np.reshape(lam, (-1, 1))
    parts = []
    for sets in _slices(len(lam), len(terms.change)):
        with np.errstate(divide="ignore"):
            decay = np.expm1(np.log(lam[sets]) * terms.steps)
            parts.append(terms.sum_by_row(terms.change * decay / (1 - lam[sets])))
    return parts[0][0] if is_scalar else np.concatenate(parts)
