"""Approach 2: the size of least loss at each budget, and power laws through these minima (Hoffmann 2022).

Key: N parameters, D tokens, C FLOPs, L nats a token; B draws, K budgets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.data.points import TOLERANCE, Points, group
from analysis.errors import FitError
from analysis.fitting import minima
from analysis.uncertainty import intervals

WEIGHTINGS = ("noise", "equal")
MINIMA = ("parabola", "akima")
REACH = 5.0  # spans of ln N from the middle of a budget's runs at which a flat parabola's minimum is cut off


@dataclass(frozen=True)
class Parabola:
    """L = c0 + c1·x + c2·x², x = ln N, at one budget; the minimum is its own, or an Akima curve's (minima.akima).

    budget: its key (planned FLOPs); C: what its runs spent (median). N_opt, D_opt, L_opt: the minimum, None where the
    parabola is concave; interval: of N_opt, None with it. inside: the minimum lies between the smallest and
    largest N of the runs. draws: N_opt (B,), NaN where a draw has no minimum.
    """

    budget: float
    C: float
    points: Points
    coefficients: tuple[float, float, float]
    N_opt: float | None
    D_opt: float | None
    L_opt: float | None
    interval: tuple[float, float] | None
    inside: bool
    concave: bool
    count: int
    draws: np.ndarray

    def predict(self, N: np.ndarray | float) -> np.ndarray:
        """L at N."""
        x = np.log(N)
        c0, c1, c2 = self.coefficients
        return np.asarray(c0 + c1 * x + c2 * x * x)

    def tokens(self, N: np.ndarray | float) -> np.ndarray:
        """D of a run of N at this budget: N·D as its runs have it, interpolated in ln N (constant under C = 6·N·D)."""
        return np.exp(minima.ln_tokens(self.points, np.log(N)))

    @property
    def sound(self) -> bool:
        """A minimum between its runs."""
        return self.inside and not self.concave


@dataclass(frozen=True)
class IsoFlop:
    """Parabolas in order of budget, and N*(C) = G_N·C^a, D*(C) = G_D·C^b through the sound ones.

    params: a, b, G_N, G_D, each (1 + B,): the estimate, then the draws; None where fewer than two minima are sound.
    """

    budgets: list[Parabola]
    level: float
    params: dict[str, np.ndarray] | None
    verdict: tuple[str, ...]
    value: float  # sum of squared residuals of the parabolas, nats²
    notes: tuple[str, ...] = ()
    weights: np.ndarray | None = None  # of the sound minima, as the lines took them
    minimum: str = "parabola"

    def path(self, C: np.ndarray | float, of: str = "N") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """N*(C) (or of="D") and its interval: estimate, low, high, in the shape of C."""
        if self.params is None:
            raise FitError("chinchilla-2: fewer than two budgets have a minimum inside their grid")
        scale, exponent = ("G_N", "a") if of == "N" else ("G_D", "b")
        C = np.asarray(C, np.float64)
        axes = (slice(None), *(None,) * C.ndim)
        values = np.exp(np.log(self.params[scale])[axes] + self.params[exponent][axes] * np.log(C))
        low, high = np.nanquantile(values[1:], [(1 - self.level) / 2, (1 + self.level) / 2], axis=0)
        return values[0], low, high


def isoflop(
    points: Points,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    weighting: str = "noise",
    minimum: str = "parabola",
) -> IsoFlop:
    """Minima of each budget with at least three sizes, with draws from their residuals, and the lines through them.

    weighting of the minima: equal, or noise (by the inverse square of their error). minimum: that of a parabola by
    least squares, or of an Akima curve through all runs (Porian 2024). Raises FitError where no budget has enough
    sizes: three, or five for Akima.
    """
    if not (np.isfinite(points.N).all() and np.isfinite(points.C).all()):
        raise FitError(f"chinchilla-2 needs N and C, which {points.source} does not have")
    for name, asked, known in (("weighting", weighting, WEIGHTINGS), ("minimum", minimum, MINIMA)):
        if asked not in known:
            raise FitError(f"{name} {asked!r}: known are {', '.join(known)}")
    used, notes = _used(points, 3 if minimum == "parabola" else 5)
    found, value = minima.of(points, used, bootstrap, seed, minimum)
    budgets = [_parabola(points.where(at), key, one, level) for (key, at), one in zip(used, found, strict=True)]
    params, weights, verdict = _lines(budgets, seed, level, weighting)
    return IsoFlop(budgets, level, params, verdict, value, tuple(notes), weights, minimum)


def _used(points: Points, least: int) -> tuple[list[tuple[float, np.ndarray]], list[str]]:
    """The budgets that have enough sizes, and what was left out."""
    groups, notes = group(points), []
    used = [(key, at) for key, at in groups if len(np.unique(points.N[at].round())) >= least]
    words = {3: "three", 5: "five"}[least]
    if len(used) < len(groups):
        notes.append(f"{len(groups) - len(used)} of {len(groups)} budgets left out: fewer than {words} sizes")
    if not used:
        curve = "a parabola needs three" if least == 3 else "an Akima curve needs five"
        raise FitError(f"chinchilla-2: no budget has {words} model sizes: {curve}")
    if points.budgets is None:
        notes.append(
            f"no planned budgets in this source: runs with C within {TOLERANCE:.0%} of the next are one budget"
        )
    return used, notes


def _parabola(points: Points, key: float, found: minima.Minimum, level: float) -> Parabola:
    x, c, best = np.log(points.N), found.coefficients, found.best
    m = float(x.mean())
    concave = bool(np.isnan(best))
    reach = float(np.ptp(x))
    draws = np.exp(np.clip(found.draws, m - REACH * reach, m + REACH * reach))
    N = None if concave else float(np.exp(np.clip(best, m - 50, m + 50)))
    return Parabola(
        budget=key,
        C=float(np.median(points.C)),
        points=points,
        coefficients=(float(c[0] - c[1] * m + c[2] * m * m), float(c[1] - 2 * c[2] * m), float(c[2])),
        N_opt=N,
        D_opt=None if N is None else float(np.exp(minima.ln_tokens(points, np.log(N)))),
        L_opt=None if concave else found.lowest,
        interval=None if concave else _open_interval(draws, level),
        inside=not concave and bool(x.min() < best < x.max()),
        concave=concave,
        count=len(points),
        draws=draws,
    )


def _open_interval(draws: np.ndarray, level: float) -> tuple[float, float] | None:
    """Interval of a minimum; None where too many draws have none, because then it has no end."""
    return None if np.isnan(draws).mean() > (1 - level) / 2 else intervals.interval(draws, level)


def _lines(
    budgets: list[Parabola], seed: int, level: float, weighting: str
) -> tuple[dict[str, np.ndarray] | None, np.ndarray | None, tuple[str, ...]]:
    """Least squares of ln N* and ln D* on ln C over the sound minima, their weights, what to doubt about them."""
    sound, said = [one for one in budgets if one.sound], _doubts(budgets)
    if len(sound) < 2:
        return None, None, said
    x = np.log([one.C for one in sound])
    y = np.log([one.N_opt for one in sound])  # type: ignore[arg-type]
    drawn = np.log(np.stack([one.draws for one in sound], -1))
    # A draw without a minimum could have had it anywhere: one end of its budget's reach or the other.
    reach = np.log([[one.points.N.min(), one.points.N.max()] for one in sound]).T
    ends = np.random.default_rng(seed + 1).integers(2, size=drawn.shape)
    drawn = np.where(np.isnan(drawn), y + (2 * ends - 1) * REACH * np.ptp(reach, axis=0), drawn)
    noise = np.diff(np.quantile(drawn, [0.1587, 0.8413], axis=0), axis=0)[0] / 2
    weight = 1 / np.maximum(noise, 1e-9) ** 2 if weighting == "noise" else np.ones(len(x))
    drawn = _scattered(x, y, drawn, noise, weight, seed)
    ln_n = np.vstack([y, drawn])
    ln_d = np.stack([minima.ln_tokens(one.points, column) for one, column in zip(sound, ln_n.T, strict=True)], -1)
    a, n0 = line(x, ln_n, weight)
    b, d0 = line(x, ln_d, weight)
    with np.errstate(over="ignore"):
        return {"a": a, "b": b, "G_N": np.exp(n0), "G_D": np.exp(d0)}, weight, said


def _doubts(budgets: list[Parabola]) -> tuple[str, ...]:
    said = []
    for one in budgets:
        at = f"at C = {one.budget:.3g}"
        if one.concave:
            said.append(f"concave: {at} the losses have no minimum in N: left out")
        elif not one.inside:
            said.append(f"edge-minimum: {at} the minimum, N = {one.N_opt:.3g}, is outside its runs: left out")
        elif one.interval is None:
            said.append(
                f"edge-minimum: {at} the interval of the minimum is open: the parabola is too flat for its noise"
            )
        elif one.interval[0] <= one.points.N.min() or one.interval[1] >= one.points.N.max():
            said.append(f"edge-minimum: {at} the interval of the minimum reaches beyond its runs")
    sound = sum(one.sound for one in budgets)
    if sound < 2:
        said.append(f"too-few-budgets: {sound} with a minimum between its runs, and a power law takes two")
    elif sound == 2:
        said.append("too-few-budgets: a line through two minima leaves nothing to tell its error")
    return tuple(said) or ("converged",)


def line(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept of each row of y (B, K) on x (K,)."""
    weight = weight / weight.sum()
    middle = weight @ x
    slope = y @ (weight * (x - middle)) / (weight @ (x - middle) ** 2)
    return slope, y @ weight - slope * middle


def _scattered(
    x: np.ndarray, y: np.ndarray, drawn: np.ndarray, noise: np.ndarray, weight: np.ndarray, seed: int
) -> np.ndarray:
    """Draws (B, K) spread wider where the minima scatter about their line more than the noise of the losses explains.

    The ratio of the two spreads is Birge's (1932); below 1 it is left at 1.
    """
    if len(x) < 3:
        return drawn
    slope, start = line(x, y[None], weight)
    off, free = y - (start + slope * x), len(x) - 2
    if noise.max() <= 1e-9:  # three sizes a budget: the scatter about the line is all there is to go by
        rng = np.random.default_rng(seed)
        scale = np.sqrt(np.sum(off**2) / free * free / rng.chisquare(free, size=(len(drawn), 1)))
        return y + scale * rng.standard_normal(drawn.shape)
    ratio = np.sqrt(np.sum((off / np.maximum(noise, 1e-9)) ** 2) / free)
    return y + (drawn - y) * max(float(ratio), 1.0)
