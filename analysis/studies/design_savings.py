"""How much compute a design needs for the interval of an isoFLOP grid: sweeps of known laws, both ways.

The grid is `simulate.sweep`'s, centred on the truth. The design begins with the runs of the grid's PILOT least budgets,
the noise in them the same, and then asks `nextruns.pick` ROUNDS times, fitting in between: no run larger than the
grid's largest, tokens a parameter as `next` allows them, at most so many runs. Both are fitted alike.

Key: N parameters, D tokens, C FLOPs; R draws of the noise, F shares of the grid's FLOPs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis import laws
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.fitting.result import Fit
from analysis.planning.next_runs import WIDER, Target, interval, pick
from analysis.studies.coverage import BUDGETS, HOFFMANN, sweep

# Gemstones: McLeish 2025, approach 3 on the cooled-down runs, as their code keeps it (E, A and B by their logarithms).
GEMSTONES = {
    "E": float(np.exp(0.7458889548)),
    "A": float(np.exp(5.3627962101)),
    "B": float(np.exp(14.9717677508)),
    "alpha": 0.2970133066,
    "beta": 0.6903991635,
}
KAPLAN = {"Nc": 6.4e13, "Dc": 1.8e13, "alphaN": 0.076, "alphaD": 0.103}  # Kaplan 2020, table 2
TRUTHS: dict[str, tuple[str, dict[str, float]]] = {
    "chinchilla": ("chinchilla", HOFFMANN),
    "kaplan": ("kaplan-nd", KAPLAN),
    "gemstones": ("chinchilla", GEMSTONES),
}
SHARES = (0.5, 0.35, 0.25, 0.18, 0.125)  # of the grid's FLOPs, the pilot's included; falling
PILOT = 2  # least budgets of the grid
ROUNDS = 3
FIRST = 0.25  # of what is left to spend, and half of the runs that are left: a round but the last
COLUMNS = 5  # ln of estimate, low and high; the width that came to the one promised; runs
FAR = 100.0  # times the grid's largest budget: where both foretell


@dataclass(frozen=True)
class Way:
    """What one way of choosing runs foretells over all draws. share: of the grid's FLOPs.

    runs: median. width: median of the intervals' widths, in ln; spread: standard deviation of ln of the estimate;
    off: root mean square of its ln over the truth; coverage: share of the intervals that hold the truth. failed: draws
    with no fit.
    """

    share: float
    runs: float
    width: float
    spread: float
    off: float
    coverage: float
    failed: int


@dataclass(frozen=True)
class Fewer:
    """The grid, the design at each share, and what share the grid's interval takes.

    enough: median over draws of the least share at which, as at all larger ones, the design's interval is no wider than
    the grid's of that draw (infinite where no share is enough). promised: median of the width that the last round came
    to, to the one promised.
    """

    truth: str
    target: str
    true: float
    flops: float
    draws: int
    grid: Way
    designs: tuple[Way, ...]
    enough: float
    promised: float

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "grid": vars(self.grid), "designs": [vars(way) for way in self.designs]}


def study(
    truth: str = "chinchilla",
    *,
    of: str = "L",
    draws: int = 50,
    noise: float = 0.003,
    runs: int = 20,
    shares: Sequence[float] = SHARES,
    bootstrap: int = 300,
    seed: int = 0,
    largest: float = 1.0,
    most: float = 2.0,
    said: Callable[[int], None] = lambda done: None,
) -> Fewer:
    """Both ways over `draws` draws of the noise, one of TRUTHS.

    of: L, N or D of the optimum at FAR times the largest budget. noise: standard deviation of ln L. runs: of the grid.
    largest: FLOPs of one run at most, to the grid's largest. most: runs of a design at most, to the grid's. Raises
    DataError for an unknown truth.
    """
    if truth not in TRUTHS:
        raise DataError(f"truth {truth!r}: known are {', '.join(TRUTHS)}")
    law, params = TRUTHS[truth]
    clean = sweep(law, params, "isoflop", runs)
    flops, most_flops = float(clean.C.sum()), float(clean.C.max())
    asked = _Asked(
        law,
        params,
        Target(C=FAR * most_flops, what=of),
        noise,
        bootstrap,
        most_flops * largest,
        round(most * len(clean)),
    )
    shares = sorted(shares, reverse=True)
    told = np.full((draws, 1 + len(shares), COLUMNS), np.nan)
    for draw in range(draws):
        random = np.random.default_rng([seed, draw])
        grid = asked.made(clean.N, clean.D, random)
        told[draw, 0] = asked.told(grid)
        cheap = np.sort(clean.C)[len(clean) * PILOT // BUDGETS - 1]
        for at, share in enumerate(shares, 1):
            told[draw, at] = _designed(asked, grid.where(cheap * 1.001 > grid.C), share * flops, [seed, draw, at])
        said(draw + 1)
    true = float(asked.target.value(laws.find(law), {k: np.asarray(v) for k, v in params.items()}, 6.0))
    ways = [_way(told[:, at], share, np.log(true)) for at, share in enumerate((1.0, *shares))]
    return Fewer(
        truth, str(asked.target), true, flops, draws, ways[0], tuple(ways[1:]), _enough(told, shares), _kept(told)
    )


@dataclass(frozen=True)
class _Asked:
    """What stays the same over draws."""

    law: str
    params: dict[str, float]
    target: Target
    noise: float
    bootstrap: int
    largest: float
    runs: int

    def made(self, N: np.ndarray, D: np.ndarray, random: np.random.Generator) -> Points:
        L = laws.find(self.law).function(N, D, **self.params) * np.exp(self.noise * random.standard_normal(len(N)))
        return Points(N, D, 6 * N * D, L, [f"run {i}" for i in range(len(N))], source="simulated")

    def fit(self, points: Points) -> Fit:
        return fit(points, self.law, bootstrap=self.bootstrap)

    def told(self, points: Points) -> np.ndarray:
        """A row of COLUMNS, nothing promised; all none where there is no fit."""
        try:
            value, (low, high) = interval(self.fit(points), self.target)
        except FitError:
            return np.full(COLUMNS, np.nan)
        with np.errstate(all="ignore"):
            return np.append(np.log([value, low, high]), [np.nan, len(points)])


def _designed(asked: _Asked, have: Points, budget: float, seed: list[int]) -> np.ndarray:
    """What the design foretells that starts from `have` and spends `budget` in all."""
    random, before, promised = np.random.default_rng(seed), np.nan, np.nan
    seen = have.D / have.N
    ratios = (float(seen.min()) / WIDER, float(seen.max()) * WIDER)
    for turn in range(ROUNDS):
        last = turn == ROUNDS - 1
        left, open_ = budget - float(have.C.sum()), asked.runs - len(have)
        spend, most = (left, open_) if last else (FIRST * left, open_ // 2)
        try:
            found = asked.fit(have)
            N, D, promised = pick(found, asked.target, spend, largest=asked.largest, most=most, ratios=ratios)
            before = float(np.diff(np.log(interval(found, asked.target)[1]))[0])
        except FitError:
            return np.full(COLUMNS, np.nan)
        have = _joined(have, asked.made(N, D, random))
    told = asked.told(have)
    told[3] = (told[2] - told[1]) / before / promised
    return told


def _joined(one: Points, other: Points) -> Points:
    N, D, C, L = (np.append(one[letter], other[letter]) for letter in "NDCL")
    return Points(N, D, C, L, [f"run {i}" for i in range(len(N))], source="simulated")


def _way(told: np.ndarray, share: float, true: float) -> Way:
    sound = told[np.isfinite(told[:, :3]).all(1)]
    if len(sound) < 2:
        return Way(share, *(float("nan"),) * 5, len(told))
    value, low, high = sound[:, :3].T
    off = float(np.sqrt(np.mean((value - true) ** 2)))
    held = float(np.mean((low <= true) & (true <= high)))
    width, spread = float(np.median(high - low)), float(value.std(ddof=1))
    return Way(share, float(np.median(sound[:, 4])), width, spread, off, held, len(told) - len(sound))


def _enough(told: np.ndarray, shares: Sequence[float]) -> float:
    """Median over draws of the least share whose interval is no wider than the grid's."""
    width = told[:, :, 2] - told[:, :, 1]
    good = np.logical_and.accumulate(width[:, 1:] <= width[:, :1], axis=1)  # a draw without a fit is not good
    return float(np.median(np.where(good, np.asarray(shares), np.inf).min(1)))


def _kept(told: np.ndarray) -> float:
    kept = told[:, 1:, 3]
    return float(np.median(kept[np.isfinite(kept)]))
