"""Where the losses of one budget are least in ln N: by a parabola through them, or by an Akima curve.

Key: N parameters, D tokens, L nats a token; B draws, K budgets, n runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.data.points import Points
from analysis.uncertainty import bootstrap

CELLS = 25  # of the grid in ln N between two sizes, where an Akima curve is read (Porian 2024)
BLOCK = 2_000_000  # numbers of one array of curves


@dataclass(frozen=True)
class Minimum:
    """coefficients (3,) of the parabola in ln N about its mean; best: ln N of the minimum, NaN where there is none;
    lowest: the loss there; draws (B,) of best."""

    coefficients: np.ndarray
    best: float
    lowest: float
    draws: np.ndarray


def of(
    points: Points, used: list[tuple[float, np.ndarray]], count: int, seed: int, kind: str
) -> tuple[list[Minimum], float]:
    """The minimum of each budget (its key and its runs), and the parabolas' sum of squared residuals, nats²."""
    bases = [_basis(points.N[at]) for _, at in used]
    L = [points.L[at] for _, at in used]
    fits = [inverse @ y for (_, inverse), y in zip(bases, L, strict=True)]
    residuals = [y - X @ c for (X, _), y, c in zip(bases, L, fits, strict=True)]
    value = float(sum(np.sum(r**2) for r in residuals))
    rng = np.random.default_rng(seed)
    found = []
    if kind == "akima":
        for (_, at), c, new in zip(used, fits, _rough(points, used, count, rng), strict=True):
            x = np.log(points.N[at])
            best, lowest = akima(x, points.L[at][None])
            found.append(Minimum(c, float(best[0]), float(lowest[0]), akima(x, points.L[at] + new)[0]))
        return found, value
    for (_, at), (X, inverse), c, new in zip(used, bases, fits, _drawn(bases, residuals, count, rng), strict=True):
        middle = float(np.log(points.N[at]).mean())
        with np.errstate(all="ignore"):
            lowest = c[0] - c[1] ** 2 / (4 * c[2])
        drawn = _vertex((X @ c + new) @ inverse.T, middle)
        found.append(Minimum(c, float(_vertex(c, middle)), float(lowest), drawn))
    return found, value


def centres(points: Points, used: list[tuple[float, np.ndarray]], kind: str) -> np.ndarray:
    """ln N of each minimum (K,), for losses without noise."""
    if kind == "akima":
        return np.array([akima(np.log(points.N[at]), points.L[at][None])[0][0] for _, at in used])
    return np.array(
        [_vertex(_basis(points.N[at])[1] @ points.L[at], float(np.log(points.N[at]).mean())) for _, at in used]
    )


def akima(x_n: np.ndarray, L_Bn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln N (B,) and L (B,) where Akima's curve through ln L, at sizes ln N, is least on a grid between the sizes.

    Runs of one size count as their mean. Akima 1970; the grid and ln L as in Porian 2024 (section 3.2 and its code's
    data): steps of 1/25 of the mean spacing.
    """
    from scipy.interpolate import Akima1DInterpolator

    sizes, which = np.unique(x_n, return_inverse=True)
    mean = np.zeros((len(sizes), len(x_n)))
    mean[which, np.arange(len(x_n))] = 1
    y = np.log(L_Bn) @ (mean / mean.sum(1, keepdims=True)).T
    grid = np.linspace(sizes[0], sizes[-1], CELLS * (len(sizes) - 1))
    best, lowest = np.empty(len(y)), np.empty(len(y))
    step = max(1, BLOCK // len(grid))
    for start in range(0, len(y), step):
        curve = Akima1DInterpolator(sizes, y[start : start + step].T)(grid)
        at = curve.argmin(0)
        best[start : start + step] = grid[at]
        lowest[start : start + step] = np.exp(curve[at, np.arange(curve.shape[1])])
    return best, lowest


def ln_tokens(points: Points, ln_n: np.ndarray | float) -> np.ndarray:
    """ln D of runs of ln N at the budget of `points`: N·D interpolated in ln N between its runs, level beyond them."""
    product = points.N * points.D if np.isfinite(points.D).all() else points.C / 6
    sizes, which = np.unique(np.log(points.N), return_inverse=True)
    y = np.bincount(which, np.log(product)) / np.bincount(which)
    return np.asarray(np.interp(ln_n, sizes, y) - ln_n)


def _basis(N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1, x and x² of x = ln N about its mean (n, 3), and its pseudo-inverse."""
    x = np.log(N)
    X = np.stack([np.ones_like(x), x - x.mean(), (x - x.mean()) ** 2], -1)
    return X, np.linalg.pinv(X)


def _vertex(c: np.ndarray, centre: float) -> np.ndarray:
    """ln N at the minimum of parabolas (..., 3); NaN where concave."""
    with np.errstate(all="ignore"):
        return np.where(c[..., 2] > 0, centre - c[..., 1] / (2 * c[..., 2]), np.nan)


def _drawn(
    bases: list[tuple[np.ndarray, np.ndarray]], residuals: list[np.ndarray], count: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """New residuals (B, n) of each budget's parabola."""
    leverage = np.concatenate([np.einsum("np,pn->n", X, inverse) for X, inverse in bases])
    noise, free = _noise([np.sum(r**2) for r in residuals], [len(r) - 3 for r in residuals])
    # Runs on an exact parabola (leverage 1) leave no residual to draw from: they take those of the others.
    told = leverage < 1 - 1e-9
    if not told.any():
        return [np.zeros((count, len(r))) for r in residuals]
    unit = np.concatenate([r / s for r, s in zip(residuals, noise, strict=True)])
    return [
        s * bootstrap.resample(unit, leverage, d, count, rng, told)[:, : len(r)]
        for r, s, d in zip(residuals, noise, free, strict=True)
    ]


def _rough(
    points: Points, used: list[tuple[float, np.ndarray]], count: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """New noise (B, n) of each budget: normal, as large as what three neighbours' parabola leaves of the next run.

    A curve through all runs leaves no residual. Four neighbours have one combination that no parabola has a part in;
    its square is the noise's variance (Gasser, Sroka and Jennen-Steinmetz 1986, with a parabola for their line).
    """
    square, free = [], []
    for _, at in used:
        order = at[np.argsort(points.N[at], kind="stable")]
        left = []
        for i in range(len(order) - 3):
            four = order[i : i + 4]
            X = np.vander(np.log(points.N[four] / points.N[four[0]]), 3)
            left.append(np.linalg.svd(X)[0][:, -1] @ points.L[four])
        square.append(float(np.sum(np.square(left))))
        free.append(len(left))
    noise, free_K = _noise(square, free)
    out = []
    for (_, at), s, d in zip(used, noise, free_K, strict=True):
        scale = s * np.sqrt(d / rng.chisquare(d, size=(count, 1)))
        out.append(scale * rng.standard_normal((count, len(at))))
    return out


def _noise(square: list[float], freedom: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation of the losses about each curve (K,), and its degrees of freedom."""
    free = np.array(freedom)
    variance, free = bootstrap.moderated(np.array(square) / np.maximum(free, 1), free)
    return np.maximum(np.sqrt(variance), 1e-12), free
