"""Minimum of the losses of one budget in ln N, from a parabola or an Akima curve.

Key: N parameters, D tokens, L nats per token; B bootstrap samples, K budgets, n runs. x = ln N about its mean, X the
parabola's basis 1, x, x² (n, 3), c its coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.data.points import Points
from analysis.uncertainty.resampling import bootstrap

AKIMA_CELLS = 25  # grid cells in ln N between two sizes for the minimum of an Akima curve (Porian 2024)
MIN_STD = 1e-12  # smallest standard deviation of a loss, which noiseless losses have
MAX_ELEMENTS = 2_000_000  # largest number of elements of an array of curves

Budgets = list[tuple[float, np.ndarray]]  # key (planned FLOPs) and indices of the runs of each


@dataclass(frozen=True)
class Minimum:
    """The minimum of one budget.

    Attributes:
        coefficients: Coefficients of the parabola in ln N about its mean (3,).
        ln_N: ln N at the minimum; NaN if there is none.
        loss: Loss at the minimum.
        samples: Bootstrap samples of ln_N (B,).
    """

    coefficients: np.ndarray
    ln_N: float
    loss: float
    samples: np.ndarray


def fit_minima(points: Points, budgets: Budgets, count: int, seed: int, kind: str) -> tuple[list[Minimum], float]:
    """Fits the minimum of each budget.

    Args:
        points: The runs.
        budgets: Key and indices of each budget.
        count: Number of bootstrap samples.
        seed: Seed of the bootstrap.
        kind: "parabola" or "akima".

    Returns:
        The minima, and the sum of squared residuals of the parabolas in nats².
    """
    bases = [_basis(points.N[rows]) for _, rows in budgets]
    losses = [points.L[rows] for _, rows in budgets]
    coefficients = [inverse @ y for (_, inverse), y in zip(bases, losses, strict=True)]
    residuals = [y - X @ c for (X, _), y, c in zip(bases, losses, coefficients, strict=True)]
    value = float(sum(np.sum(r**2) for r in residuals))
    rng = np.random.default_rng(seed)
    minima = []
    if kind == "akima":
        noise = _difference_noise(points, budgets, count, rng)
        for (_, rows), c, noise_Bn in zip(budgets, coefficients, noise, strict=True):
            x = np.log(points.N[rows])
            ln_N, loss = akima_minimum(x, points.L[rows][None])
            samples = akima_minimum(x, points.L[rows] + noise_Bn)[0]
            minima.append(Minimum(c, float(ln_N[0]), float(loss[0]), samples))
        return minima, value
    noise = _parabola_noise(bases, residuals, count, rng)
    for (_, rows), (X, inverse), c, noise_Bn in zip(budgets, bases, coefficients, noise, strict=True):
        centre = float(np.log(points.N[rows]).mean())
        with np.errstate(all="ignore"):
            lowest = c[0] - c[1] ** 2 / (4 * c[2])
        samples = _vertex((X @ c + noise_Bn) @ inverse.T, centre)
        minima.append(Minimum(c, float(_vertex(c, centre)), float(lowest), samples))
    return minima, value


def minima_of_curves(parts: list[Points], losses: list[np.ndarray], kind: str) -> np.ndarray:
    """Returns ln N of the minima (R, K) of losses at the sizes of the runs, without bootstrap.

    Args:
        parts: Runs of each budget.
        losses: Losses (R, n) of each budget.
        kind: "parabola" or "akima".
    """
    columns = []
    for points, L_Rn in zip(parts, losses, strict=True):
        x = np.log(points.N)
        if kind == "akima":
            columns.append(akima_minimum(x, L_Rn)[0])
        else:
            columns.append(parabola_minima(x, L_Rn))
    return np.stack(columns, -1)


def parabola_minima(x_n: np.ndarray, L_Rn: np.ndarray) -> np.ndarray:
    """Returns ln N (R,) at the minimum of the parabolas by least squares through losses, NaN if concave.

    Args:
        x_n: ln N of the runs.
        L_Rn: Losses, one row per parabola.
    """
    return _vertex(L_Rn @ _basis(np.exp(x_n))[1].T, float(x_n.mean()))


def akima_minimum(x_n: np.ndarray, L_Bn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns ln N (B,) and L (B,) at the minimum of Akima's curve through ln L, on a grid between the sizes.

    Akima 1970; the grid and ln L as in Porian 2024 (section 3.2 and its code's data): steps of 1/25 of the mean
    spacing. Runs of one size are averaged.

    Args:
        x_n: ln N of the runs.
        L_Bn: Losses, one row per curve; the minimum of a row with losses that are not positive is NaN.
    """
    from scipy.interpolate import Akima1DInterpolator

    sizes, which = np.unique(x_n, return_inverse=True)
    mean = np.zeros((len(sizes), len(x_n)))
    mean[which, np.arange(len(x_n))] = 1
    valid_B = (L_Bn > 0).all(-1)  # noise as large as the loss gives samples without a logarithm
    y = np.log(L_Bn[valid_B]) @ (mean / mean.sum(1, keepdims=True)).T
    grid = np.linspace(sizes[0], sizes[-1], AKIMA_CELLS * (len(sizes) - 1))
    ln_N_B, loss_B = np.empty(len(y)), np.empty(len(y))
    step = max(1, MAX_ELEMENTS // len(grid))
    for start in range(0, len(y), step):
        curve = Akima1DInterpolator(sizes, y[start : start + step].T)(grid)
        index = curve.argmin(0)
        ln_N_B[start : start + step] = grid[index]
        loss_B[start : start + step] = np.exp(curve[index, np.arange(curve.shape[1])])
    results = np.full((2, len(L_Bn)), np.nan)
    results[:, valid_B] = ln_N_B, loss_B
    return results[0], results[1]


def ln_tokens(points: Points, ln_n: np.ndarray | float) -> np.ndarray:
    """Returns ln D of runs at a budget: N·D interpolated in ln N between its runs, constant beyond them.

    Args:
        points: The runs of the budget.
        ln_n: ln N, of any shape.
    """
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
    """Value of ln N at the minimum of parabolas with coefficients (..., 3), NaN if concave."""
    with np.errstate(all="ignore"):
        return np.where(c[..., 2] > 0, centre - c[..., 1] / (2 * c[..., 2]), np.nan)


def _parabola_noise(
    bases: list[tuple[np.ndarray, np.ndarray]], residuals: list[np.ndarray], count: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """New residuals (B, n) of each budget's parabola."""
    leverage = np.concatenate([np.einsum("np,pn->n", X, inverse) for X, inverse in bases])
    noise, dof_K = noise_std(np.array([np.sum(r**2) for r in residuals]), np.array([len(r) - 3 for r in residuals]))
    # Runs with leverage 1 have no residual to resample; residuals of the other runs are used.
    informative = leverage < 1 - 1e-9
    if not informative.any():
        return [np.zeros((count, len(r))) for r in residuals]
    unit = np.concatenate([r / s for r, s in zip(residuals, noise, strict=True)])
    return [
        s * bootstrap.resample_residuals(unit, leverage, dof, count, rng, informative)[:, : len(r)]
        for r, s, dof in zip(residuals, noise, dof_K, strict=True)
    ]


def _difference_noise(points: Points, budgets: Budgets, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Normal noise (B, n) of each budget, with a variance estimated from differences of neighbouring runs.

    A curve through all runs has no residuals.
    """
    squares, dof = [], []
    for _, rows in budgets:
        contrasts = difference_contrasts(np.log(points.N[rows]))
        squares.append(float(np.sum(np.square(contrasts @ points.L[rows]))))
        dof.append(len(contrasts))
    noise, dof_K = noise_std(np.array(squares), np.array(dof))
    new = []
    for (_, rows), s, d in zip(budgets, noise, dof_K, strict=True):
        scale = s * np.sqrt(d / rng.chisquare(d, size=(count, 1)))
        new.append(scale * rng.standard_normal((count, len(rows))))
    return new


def difference_contrasts(x_n: np.ndarray) -> np.ndarray:
    """Returns a combination of each four neighbouring runs that is orthogonal to all parabolas (n - 3, n).

    Its square estimates the variance of the losses (Gasser, Sroka and Jennen-Steinmetz 1986, with a parabola instead
    of a line).

    Args:
        x_n: ln N of the runs.
    """
    order = np.argsort(x_n, kind="stable")
    contrasts = np.zeros((max(len(x_n) - 3, 0), len(x_n)))
    for i, row in enumerate(contrasts):
        four = order[i : i + 4]
        row[four] = np.linalg.svd(np.vander(x_n[four] - x_n[four[0]], 3))[0][:, -1]
    return contrasts


def noise_std(squares_K: np.ndarray, dof_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the standard deviation of the losses of each budget (K,), and its degrees of freedom (K,).

    Args:
        squares_K: Sum of squared residuals of the losses of each budget.
        dof_K: Degrees of freedom of the residuals.
    """
    variance_K = squares_K / np.where(dof_K > 0, dof_K, 1)
    variance_K, dof_K = bootstrap.moderate_variances(variance_K, dof_K)
    return np.maximum(np.sqrt(variance_K), MIN_STD), dof_K
