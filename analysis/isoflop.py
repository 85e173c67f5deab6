"""Approach 2: a parabola in ln N through the losses of each budget, and power laws through the minima (Hoffmann 2022).

Key: N parameters, D tokens, C FLOPs, L nats a token; B draws, K budgets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis import doubt
from analysis.points import Points
from analysis.solve import FitError

WEIGHTINGS = ("noise", "equal")
REACH = 5.0  # spans of ln N from the middle of a budget's runs at which a flat parabola's minimum is cut off
TOLERANCE = 0.1  # C within 10% is one budget where a source names none


@dataclass(frozen=True)
class Parabola:
    """L = c0 + c1·x + c2·x², x = ln N, at one budget.

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
    tokens: float  # N·D, the median of its runs

    def predict(self, N: np.ndarray | float) -> np.ndarray:
        """L at N."""
        x = np.log(N)
        c0, c1, c2 = self.coefficients
        return np.asarray(c0 + c1 * x + c2 * x * x)

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


def group(points: Points) -> list[tuple[float, np.ndarray]]:
    """Budgets in rising order, each with the indices of its runs: planned ones, else C within TOLERANCE."""
    if points.budgets is not None:
        known = np.unique(points.budgets[np.isfinite(points.budgets)])
        return [(float(key), np.flatnonzero(points.budgets == key)) for key in known]
    order = np.argsort(points.C)
    cuts = np.flatnonzero(np.diff(np.log(points.C[order])) > np.log1p(TOLERANCE)) + 1
    return [(float(np.median(points.C[at])), np.sort(at)) for at in np.split(order, cuts)]


def isoflop(
    points: Points, *, bootstrap: int = 1000, seed: int = 0, level: float = 0.95, weighting: str = "noise"
) -> IsoFlop:
    """Parabolas for each budget with at least three sizes, with draws from their residuals.

    weighting of the minima: equal, or noise (by the inverse square of their error). Raises FitError where no budget has
    three sizes.
    """
    if not (np.isfinite(points.N).all() and np.isfinite(points.C).all()):
        raise FitError(f"chinchilla-2 needs N and C, which {points.source} does not have")
    if weighting not in WEIGHTINGS:
        raise FitError(f"weighting {weighting!r}: known are {', '.join(WEIGHTINGS)}")
    groups, notes = group(points), []
    used = [(key, at) for key, at in groups if len(np.unique(points.N[at].round())) >= 3]
    few = len(groups) - len(used)
    if few:
        notes.append(f"{few} of {len(groups)} budgets left out: fewer than three sizes")
    if not used:
        raise FitError("chinchilla-2: no budget has three model sizes: a parabola needs three")
    if points.budgets is None:
        notes.append(
            f"no planned budgets in this source: runs with C within {TOLERANCE:.0%} of the next are one budget"
        )
    fitted, drawn, value = _parabolas(points, used, bootstrap, seed)
    budgets = [
        _parabola(points.where(at), key, c, d, level) for (key, at), c, d in zip(used, fitted, drawn, strict=True)
    ]
    params, verdict = _lines(budgets, seed, level, weighting)
    return IsoFlop(budgets, level, params, verdict, value, tuple(notes))


def _parabolas(
    points: Points, used: list[tuple[float, np.ndarray]], count: int, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray], float]:
    """Coefficients (3,) in x = ln N about its mean for each budget, draws of them (B, 3), and the residuals' square."""
    residuals, leverage, maps, fits = [], [], [], []
    for _, at in used:
        x = np.log(points.N[at])
        X = np.stack([np.ones_like(x), x - x.mean(), (x - x.mean()) ** 2], -1)
        inverse = np.linalg.pinv(X)
        c = inverse @ points.L[at]
        fits.append(c)
        maps.append((X, inverse))
        residuals.append(points.L[at] - X @ c)
        leverage.append(np.einsum("np,pn->n", X, inverse))
    noise, free = _noise(residuals)
    rng = np.random.default_rng(seed)
    # Runs on an exact parabola (leverage 1) leave no residual to draw from: they take those of the others.
    told = np.concatenate(leverage) < 1 - 1e-9
    if not told.any():
        return fits, [np.tile(c, (count, 1)) for c in fits], 0.0
    unit = np.concatenate([r / s for r, s in zip(residuals, noise, strict=True)])
    drawn = []
    for (X, inverse), c, s, d in zip(maps, fits, noise, free, strict=True):
        new = doubt.resample(unit, np.concatenate(leverage), d, count, rng, told)[:, : len(X)]
        drawn.append((X @ c + s * new) @ inverse.T)
    return fits, drawn, float(sum(np.sum(r**2) for r in residuals))


def _noise(residuals: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation of the losses about each parabola (K,), and its degrees of freedom."""
    free = np.array([len(r) - 3 for r in residuals])
    square = np.array([np.sum(r**2) for r in residuals])
    variance, free = doubt.moderated(square / np.maximum(free, 1), free)
    return np.maximum(np.sqrt(variance), 1e-12), free


def _minimum(c: np.ndarray, centre: float) -> np.ndarray:
    """ln N at the minimum of parabolas (..., 3); NaN where concave."""
    with np.errstate(all="ignore"):
        return np.where(c[..., 2] > 0, centre - c[..., 1] / (2 * c[..., 2]), np.nan)


def _parabola(points: Points, key: float, c: np.ndarray, drawn: np.ndarray, level: float) -> Parabola:
    x = np.log(points.N)
    m = float(x.mean())
    best = float(_minimum(c, m))
    concave = bool(np.isnan(best))
    reach = float(np.ptp(x))
    draws = np.exp(np.clip(_minimum(drawn, m), m - REACH * reach, m + REACH * reach))
    tokens = float(np.median(points.N * points.D)) if np.isfinite(points.D).all() else float(np.median(points.C)) / 6
    N = None if concave else float(np.exp(np.clip(best, m - 50, m + 50)))
    return Parabola(
        budget=key,
        C=float(np.median(points.C)),
        points=points,
        coefficients=(float(c[0] - c[1] * m + c[2] * m * m), float(c[1] - 2 * c[2] * m), float(c[2])),
        N_opt=N,
        D_opt=None if N is None else tokens / N,
        L_opt=None if concave else float(c[0] - c[1] ** 2 / (4 * c[2])),
        interval=None if concave else _open_interval(draws, level),
        inside=not concave and bool(x.min() < best < x.max()),
        concave=concave,
        count=len(points),
        draws=draws,
        tokens=tokens,
    )


def _open_interval(draws: np.ndarray, level: float) -> tuple[float, float] | None:
    """Interval of a minimum; None where too many draws have none, because then it has no end."""
    return None if np.isnan(draws).mean() > (1 - level) / 2 else doubt.interval(draws, level)


def _lines(
    budgets: list[Parabola], seed: int, level: float, weighting: str
) -> tuple[dict[str, np.ndarray] | None, tuple[str, ...]]:
    """Least squares of ln N* and ln D* on ln C over the sound minima; what to doubt about them."""
    sound, said = [one for one in budgets if one.sound], _doubts(budgets)
    if len(sound) < 2:
        return None, said
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
    ln_d = np.log([one.tokens for one in sound]) - ln_n
    a, n0 = _line(x, ln_n, weight)
    b, d0 = _line(x, ln_d, weight)
    with np.errstate(over="ignore"):
        return {"a": a, "b": b, "G_N": np.exp(n0), "G_D": np.exp(d0)}, said


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
        elif one.interval[0] < one.points.N.min() or one.interval[1] > one.points.N.max():
            said.append(f"edge-minimum: {at} the interval of the minimum reaches beyond its runs")
    sound = sum(one.sound for one in budgets)
    if sound < 2:
        said.append(f"too-few-budgets: {sound} with a minimum between its runs, and a power law takes two")
    elif sound == 2:
        said.append("too-few-budgets: a line through two minima leaves nothing to tell its error")
    return tuple(said) or ("converged",)


def _line(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
    slope, start = _line(x, y[None], weight)
    off, free = y - (start + slope * x), len(x) - 2
    if noise.max() <= 1e-9:  # three sizes a budget: the scatter about the line is all there is to go by
        rng = np.random.default_rng(seed)
        scale = np.sqrt(np.sum(off**2) / free * free / rng.chisquare(free, size=(len(drawn), 1)))
        return y + scale * rng.standard_normal(drawn.shape)
    ratio = np.sqrt(np.sum((off / np.maximum(noise, 1e-9)) ** 2) / free)
    return y + (drawn - y) * max(float(ratio), 1.0)
