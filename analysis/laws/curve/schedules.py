"""Laws of a loss curve under its learning-rate schedule: fitted to a few curves, they give the whole curve of another.

A row is one measurement: step, learning rate there, and which curve it is of. Rows of a curve tell its schedule: the
rate is linear between them, but a lone change between two flat stretches is a jump at the row that shows it, and before
the first row the rate rises from 0 at step 0.

Key: n rows, m pairs of a row and a change of rate before it, S parameter sets; S1 sum of rates up to a step.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from analysis.laws.law import Array, Law

SPOTS = 0.5 - np.sqrt(1 / 12), 0.5 + np.sqrt(1 / 12)  # Gauss's two places in an interval between rows
LARGEST = 4_000_000  # numbers of one array
WARM = 16  # rows that tell a rise before the first row
KEPT = 12  # starts that are searched from, of all that are tried


@dataclass(frozen=True)
class Schedule:
    """What the laws need of the rows: S1 (n,), and of each pair (m,) its change of rate, the rate after it, the sum of
    rates and the steps since; `first`: where the pairs of each row in `rows` begin."""

    S1: np.ndarray
    change: np.ndarray
    rate: np.ndarray
    since: np.ndarray
    steps: np.ndarray
    rows: np.ndarray
    first: np.ndarray

    def total(self, value_Sm: np.ndarray) -> np.ndarray:
        """Sum over the pairs of each row (S, n)."""
        out = np.zeros((len(value_Sm), len(self.S1)))
        if len(self.rows):
            out[:, self.rows] = np.add.reduceat(value_Sm, self.first, axis=-1)
        return out


def schedule(step: np.ndarray, lr: np.ndarray, curve: np.ndarray) -> Schedule:
    """The schedule that rows (n,) tell, worked out once for each set of rows."""
    return _schedule(*(np.ascontiguousarray(x, np.float64).tobytes() for x in (step, lr, curve)))


@lru_cache(maxsize=16)
def _schedule(*raw: bytes) -> Schedule:
    step, lr, curve = (np.frombuffer(one) for one in raw)
    S1 = np.zeros(len(step))
    parts: list[np.ndarray] = []  # (6, pairs): row, change, rate, since, steps
    for name in np.unique(curve):
        at = np.flatnonzero(curve == name)
        at = at[np.argsort(step[at], kind="stable")]
        S1[at], pairs = _one(at, step[at], lr[at])
        parts.append(pairs)
    row, change, rate, since, steps = np.concatenate(parts, -1)
    order = np.argsort(row, kind="stable")
    rows, first = np.unique(row[order].astype(int), return_index=True)
    return Schedule(S1, change[order], rate[order], since[order], steps[order], rows, first)


def _one(at: np.ndarray, step: np.ndarray, lr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """S1 of the rows of one curve, and each row with each change before it: row, change, rate, sum since, steps since.

    The rise before the first row is told by WARM rows of its own.
    """
    rise = np.arange(WARM)[: WARM if step[0] > 0 else 0] / WARM
    when, rates = np.r_[rise * step[0], step], np.r_[rise * lr[0], lr]
    length, change = np.diff(when), np.diff(rates)
    flat = np.r_[False, change == 0, False]
    jump = (change != 0) & flat[:-2] & flat[2:]
    sums = np.r_[0, np.cumsum(length * np.where(jump, rates[:-1], (rates[1:] + rates[:-1]) / 2))]
    own = np.arange(len(at)) + len(rise)
    found = []
    for k, spot, share in ((change != 0) & ~jump, SPOTS[0], 0.5), ((change != 0) & ~jump, SPOTS[1], 0.5), (jump, 1, 1):
        before = np.flatnonzero(k)
        i, j = np.nonzero(own[:, None] > before)
        k = before[j]
        rate = rates[k] + spot * change[k]
        # A rate holds for the whole of its step, so that the first step counts: half of it where rates glide.
        since = (
            sums[own[i]]
            - sums[k]
            - spot * length[k] * np.where(jump[k], rates[k], (rates[k] + rate) / 2)
            + share * rate
        )
        steps = when[own[i]] - when[k] - spot * length[k] + share
        found.append(np.stack([at[i], share * change[k], rate, since, steps]))
    return sums[own], np.concatenate(found, -1)


def _by_rows(sets: int, pairs: int) -> list[slice]:
    """Slices of the parameter sets, few enough at once."""
    part = max(1, LARGEST // max(pairs, 1))
    return [slice(i, i + part) for i in range(0, sets, part)]


def _reduction(told: Schedule, C: Array, beta: Array, gamma: Array) -> np.ndarray:
    """Σ_k (η_k − η_{k−1})·(1 − (1 + C·η_k^−γ·(S1(t) − S1(k)))^−β): below 0 where the rate has fallen.

    (S, n), or (n,) of plain numbers.
    """
    single = not any(np.ndim(v) for v in (C, beta, gamma))
    C, beta, gamma = np.broadcast_arrays(*(np.reshape(v, (-1, 1)) for v in (C, beta, gamma)))
    out = []
    logs = np.log(np.maximum(told.rate, 1e-30))
    for rows in _by_rows(len(C), len(told.change)):
        grown = C[rows] * np.exp(-gamma[rows] * logs) * told.since
        out.append(told.total(-told.change * np.expm1(-beta[rows] * np.log1p(grown))))
    return out[0][0] if single else np.concatenate(out)


def _annealed(told: Schedule, lam: Array) -> np.ndarray:
    """S2 = Σ_k (η_{k−1} − η_k)·(1 − λ^(t − k)) / (1 − λ), (S, n), or (n,) of plain numbers."""
    single, lam = not np.ndim(lam), np.reshape(lam, (-1, 1))
    out = []
    for rows in _by_rows(len(lam), len(told.change)):
        with np.errstate(divide="ignore"):
            out.append(told.total(told.change * np.expm1(np.log(lam[rows]) * told.steps) / (1 - lam[rows])))
    return out[0][0] if single else np.concatenate(out)


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
    """L0 + A·S1^−α + B·Σ_k (η_k − η_{k−1})·(1 − (1 + C·η_k^−γ·Σ_{k..t} η)^−β) (Luo 2025, equations 1 to 3)."""
    told = schedule(step, lr, curve)
    out = L0 + A * told.S1**-alpha
    return out + B * _reduction(told, C, beta, gamma) if np.any(B) else out


def tissue(step: Array, lr: Array, curve: Array, *, L0: Array, A: Array, alpha: Array, C: Array, lam: Array) -> Array:
    """L0 + A·S1^−α − C·S2, S2 the annealing area with momentum λ (Tissue 2024, equation 1; λ = 0.999 there)."""
    told = schedule(step, lr, curve)
    out = L0 + A * told.S1**-alpha
    return out - C * _annealed(told, lam) if np.any(C) else out


ALPHAS = (0.2, 0.5, 1.0)


def _best(told: Schedule, y: np.ndarray, columns: np.ndarray) -> list[tuple[float, int]]:
    """Of each α and each last column (K, n), the KEPT pairs under which a linear fit of y leaves the least."""
    scored = []
    for alpha, k in itertools.product(ALPHAS, range(len(columns))):
        X = np.stack([np.ones(len(y)), told.S1**-alpha, columns[k]], -1)
        size = np.maximum(np.abs(X).max(0), 1e-300)
        solved = np.linalg.lstsq(X / size, y, rcond=None)[0]
        scored.append((float(np.sum((X / size @ solved - y) ** 2)), alpha, k))
    return [(alpha, k) for _, alpha, k in sorted(scored)[:KEPT]]


def _multi_power_seeds(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
    """C so that a change of the greatest rate is felt at once, or over the whole curve; exponents up to 1."""
    told = schedule(*inputs)
    grid = np.array(list(itertools.product((1.0, 10.0, 100.0, 1000.0), (0.3, 0.6, 1.0), (0.3, 0.6, 1.0))))
    C = grid[:, 0] * inputs[1].max() ** grid[:, 2] / told.S1.max()
    best = _best(told, y, _reduction(told, C, grid[:, 1], grid[:, 2]))
    at = [k for _, k in best]
    return {"alpha": np.array([a for a, _ in best]), "C": C[at], "beta": grid[at, 1], "gamma": grid[at, 2]}


def _tissue_seeds(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
    """1/(1 − λ) from 10 steps to the length of the curves."""
    told = schedule(*inputs)
    lam = 1 - 1 / np.geomspace(10, max(float(inputs[0].max()), 100.0), 8)
    best = _best(told, y, _annealed(told, lam))
    return {"alpha": np.array([a for a, _ in best]), "lam": lam[[k for _, k in best]]}


_COLUMNS = {
    "step": "step steps iteration",
    "lr": "lr learning_rate rate",
    "curve": "curve run_id run schedule",
}
_UNITS = {"step": "steps", "lr": "rate a step", "L": "nats a token", "L0": "nats a token"}

MULTI_POWER = Law(
    multi_power,
    "Luo 2025, multi-power law",
    {},
    ("L0", "A", "B"),
    {"alpha": (1e-2, 5.0), "C": (1e-9, 1e9), "beta": (1e-2, 10.0), "gamma": (1e-3, 5.0)},
    constants=("L0",),
    units=_UNITS,
    columns=_COLUMNS,
    signed=("lr",),
    labels=("curve",),
    seeds=_multi_power_seeds,
)
TISSUE = Law(
    tissue,
    "Tissue 2024, equation 1",
    {},
    ("L0", "A", "C"),
    {"alpha": (1e-2, 5.0), "lam": (0.5, 1 - 1e-7)},
    constants=("L0",),
    units={**_UNITS, "lam": "of momentum, a step"},
    columns=_COLUMNS,
    signed=("lr",),
    labels=("curve",),
    seeds=_tissue_seeds,
)
