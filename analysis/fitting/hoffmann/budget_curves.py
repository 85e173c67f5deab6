"""Chinchilla's curve at a fixed budget: L = c + A·N^-α + B·N^β, with exponents α and β that all budgets share.

Chinchilla's law at fixed N·D has this form. Its limit for small exponents is a parabola in ln N; with α ≠ β it leans,
which moves the minimum away from that of a parabola. The curve does not need a law of the loss across budgets.

The exponents have a weak normal prior, so that few or noisy runs do not give a curve that is far from a parabola. The
bootstrap draws the centre of the prior too (randomise, then optimise: Bardsley 2014), so that the samples contain the
uncertainty of the exponents.

Key: N parameters, L loss; B bootstrap samples, K budgets, n runs of a budget. x = ln N about its mean, X the basis of
the curve (n, 3), c its coefficients, s the shape (ln(α + β), (β − α) / (α + β)).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.data.points import Points
from analysis.fitting.hoffmann.minima import Minimum, akima_minimum, difference_contrasts, noise_std, parabola_minima
from analysis.uncertainty.resampling import bootstrap

# Prior of the shape: (α, β) of Hoffmann 2022 (.34, .28), Besiroglu 2024 (.35, .37), Gadre 2024 (.24, .24), Clark 2022
# and Kaplan 2020 (.08, .10 without E, .34 and .26 with it) are within one standard deviation.
PRIOR_MEAN = np.array([np.log(0.65), 0.0])
PRIOR_STD = np.array([0.5, 0.35])
SHAPE_LOW = np.array([np.log(0.1), -0.95])
SHAPE_HIGH = np.array([np.log(4.0), 0.95])
SCAN_NODES = (9, 13)  # shapes of the scan that starts the search, along each axis
MARGIN = 0.5  # distance beyond the runs, in spans of ln N, up to which the minimum of a curve is used
CHANCE = 0.01  # p-value below which residuals are a lack of fit
MIN_AKIMA = 5  # smallest number of sizes of an Akima curve
SHAPE_STEP = 1e-5  # step of central differences in a shape
NOISE_PASSES = 6  # largest number of alternations between the noise of the losses and the shape


@dataclass(frozen=True)
class BudgetCurves:
    """The curves of all budgets.

    Attributes:
        alpha: Shared exponent α.
        beta: Shared exponent β.
        ln_N: ln N at the minimum of each budget (K,); NaN if a curve has no minimum.
        loss: Loss at the minimum (K,).
        samples_BK: Bootstrap samples of ln_N; NaN if a sample has no minimum.
        parabolas_RK: ln N at the minimum of the parabolas through the same losses: of the curve, then of the samples.
        reach: For each budget, lowest and highest ln N of a usable minimum (K, 2).
        losses: For each budget, losses of the curve (1 + B, n) at the sizes of the runs: the estimate, then the
            curve of each bootstrap sample.
        value: Sum of squared residuals.
        lack_of_fit: p-value of the residuals of the curves against the differences of neighbouring runs.
        misfit_BK: Error of the minima that a misfit causes, contained in all samples: 0 without a lack of fit.
    """

    alpha: float
    beta: float
    ln_N: np.ndarray
    loss: np.ndarray
    samples_BK: np.ndarray
    parabolas_RK: np.ndarray
    reach: np.ndarray
    losses: list[np.ndarray]
    value: float
    lack_of_fit: float
    misfit_BK: np.ndarray

    @property
    def usable_RK(self) -> np.ndarray:
        """Whether the estimate and each sample have a minimum not far from the runs."""
        ln_N = np.vstack([self.ln_N, self.samples_BK])
        return (self.reach[:, 0] <= ln_N) & (ln_N <= self.reach[:, 1])

    def corrected(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns minima of parabolas without their bias: the estimate (K,), and the samples (B, K).

        These are the minima of the curves. Where a curve has none near the runs, it is that of the parabola, minus the
        bias of the estimate if that is known.
        """
        usable = self.usable_RK
        bias = np.where(usable[0], self.parabolas_RK[0] - self.ln_N, 0.0)
        ln_N = np.where(usable, np.vstack([self.ln_N, self.samples_BK]), self.parabolas_RK - bias)
        return ln_N[0], ln_N[1:] + self.misfit_BK

    def minima(self, parabolas: list[Minimum]) -> list[Minimum]:
        """Returns the minima of the curves, with the coefficients of the parabolas of the same budgets."""
        columns = zip(parabolas, self.ln_N, self.loss, (self.samples_BK + self.misfit_BK).T, strict=True)
        return [replace(parabola, ln_N=float(x), loss=loss, samples=samples) for parabola, x, loss, samples in columns]

    def select(self, budgets: list[int]) -> BudgetCurves:
        """Returns the curves of some budgets."""
        return replace(
            self,
            ln_N=self.ln_N[budgets],
            loss=self.loss[budgets],
            samples_BK=self.samples_BK[:, budgets],
            misfit_BK=self.misfit_BK[:, budgets],
            parabolas_RK=self.parabolas_RK[:, budgets],
            reach=self.reach[budgets],
            losses=[self.losses[k] for k in budgets],
        )


@dataclass(frozen=True)
class _Shape:
    """The shape that fits all budgets best.

    Attributes:
        s: ln(α + β) and (β − α) / (α + β).
        std_K: Standard deviation of the losses of each budget.
        dof_K: Its degrees of freedom.
        J: Derivatives of the standardised residuals of all runs, then of the prior, by s (runs + 2, 2).
    """

    s: np.ndarray
    std_K: np.ndarray
    dof_K: np.ndarray
    J: np.ndarray

    @property
    def gain(self) -> np.ndarray:
        """Product of the covariance of the shape with the transpose of J (2, runs + 2)."""
        return np.asarray(np.linalg.solve(self.J.T @ self.J, self.J.T))

    @property
    def leverage(self) -> np.ndarray:
        """Leverage of each run on the shape (runs,)."""
        return np.asarray(np.einsum("np,pn->n", self.J, self.gain)[:-2])


def fit_curves(parts: list[Points], count: int, seed: int) -> BudgetCurves:
    """Fits the curves of all budgets.

    Args:
        parts: Runs of each budget.
        count: Number of bootstrap samples.
        seed: Seed of the bootstrap.
    """
    centres = [float(np.log(points.N).mean()) for points in parts]
    means = [float(points.L.mean()) for points in parts]
    x = [np.log(points.N) - centre for points, centre in zip(parts, centres, strict=True)]
    y = [points.L - mean for points, mean in zip(parts, means, strict=True)]
    shape = _fit_shape(x, y)
    residuals = [_residual(x_n, y_n, shape.s) for x_n, y_n in zip(x, y, strict=True)]
    noise = _resample(x, residuals, shape, count, np.random.default_rng(seed))
    shapes = _sample_shapes(shape, noise, np.random.default_rng(seed + 1))
    ln_N, losses, parabolas, lowest, sample_residuals = [], [], [], [], []
    for x_n, y_n, residual, noise_Bn, centre, mean in zip(x, y, residuals, noise, centres, means, strict=True):
        y_Rn = np.vstack([y_n - residual, y_n - residual + noise_Bn])
        X, c = _coefficients(x_n, y_Rn, shapes)
        x_minimum = _minimum(c, shapes)
        ln_N.append(centre + x_minimum)
        curve_Rn = (X @ c[..., None])[..., 0]
        losses.append(mean + curve_Rn)
        sample_residuals.append((y_Rn - curve_Rn)[1:])
        parabolas.append(parabola_minima(centre + x_n, y_Rn))
        lowest.append(mean + float((_basis(x_minimum[:1], shapes[0]) @ c[0])[0]))
    alpha, beta = (float(exponent) for exponent in _exponents(shape.s))
    minima_RK = np.stack(ln_N, -1)
    curves = BudgetCurves(
        alpha=alpha,
        beta=beta,
        ln_N=minima_RK[0],
        loss=np.array(lowest),
        samples_BK=minima_RK[1:],
        parabolas_RK=np.stack(parabolas, -1),
        reach=np.array([_reach(points.N) for points in parts]),
        losses=losses,
        value=float(sum(np.sum(r**2) for r in residuals)),
        lack_of_fit=_lack_of_fit(x, residuals, sample_residuals, shape.std_K),
        misfit_BK=np.zeros(minima_RK[1:].shape),
    )
    return curves if curves.lack_of_fit > CHANCE else replace(curves, misfit_BK=_misfit(parts, curves, seed))


def _misfit(parts: list[Points], curves: BudgetCurves, seed: int) -> np.ndarray:
    """Errors (B, K): a normal factor of each sample, times the distance to the minima of Akima curves."""
    distance = []
    for points, ln_N in zip(parts, curves.corrected()[0], strict=True):
        enough = len(np.unique(points.N)) >= MIN_AKIMA
        distance.append(akima_minimum(np.log(points.N), points.L[None])[0][0] - ln_N if enough else 0.0)
    factor = np.random.default_rng(seed + 2).standard_normal((len(curves.samples_BK), 1))
    return factor * np.nan_to_num(distance)


def _lack_of_fit(
    x: list[np.ndarray], residuals: list[np.ndarray], samples: list[np.ndarray], std_K: np.ndarray
) -> float:
    """p-value of the ratio of squared residuals to squared differences of neighbours, by the samples (B, n).

    Residuals of neighbouring runs that are alike are a misfit of the curve, not noise.
    """
    ratios = []
    for groups in (samples, [r[None] for r in residuals]):
        total, differences = 0.0, 0.0
        for x_n, r_Sn, std in zip(x, groups, std_K, strict=True):
            contrasts = difference_contrasts(x_n)
            if len(contrasts) > 1:
                total = total + np.sum(r_Sn**2, 1) / std**2
                differences = differences + np.sum((r_Sn @ contrasts.T) ** 2, 1) / std**2
        ratios.append(np.asarray(total) / np.maximum(differences, 1e-300))
    return float(np.mean(ratios[0] >= ratios[1])) if np.size(ratios[0]) > 1 else 1.0


def _reach(N: np.ndarray) -> tuple[float, float]:
    """Range of ln N of the runs, extended on either side by MARGIN of it."""
    low, high = float(np.log(N.min())), float(np.log(N.max()))
    return low - MARGIN * (high - low), high + MARGIN * (high - low)


def _exponents(s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """α and β (...,) of shapes (..., 2)."""
    total = np.exp(s[..., 0])
    return total * (1 - s[..., 1]) / 2, total * (1 + s[..., 1]) / 2


def _basis(x_n: np.ndarray, s: np.ndarray) -> np.ndarray:
    """X (..., n, 3) of shapes (..., 2): 1, and combinations of 1, N^-α and N^β that tend to x and x²."""
    alpha, beta = (exponent[..., None] for exponent in _exponents(s))
    up, down = np.expm1(beta * x_n), np.expm1(-alpha * x_n)
    square = 2 * (alpha * up + beta * down) / (alpha * beta * (alpha + beta))
    return np.stack([np.ones_like(up), (up - down) / (alpha + beta), square], -1)


def _coefficients(x_n: np.ndarray, y_Sn: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """X (S, n, 3) of shapes (S, 2), and the coefficients (S, 3) of the best curves through y."""
    X = _basis(x_n, s)
    transposed = X.swapaxes(-1, -2)
    return X, np.linalg.solve(transposed @ X, transposed @ y_Sn[..., None])[..., 0]


def _minimum(c: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Value of x (S,) at the minima of curves with coefficients (S, 3) and shapes (S, 2), NaN without a minimum."""
    alpha, beta = _exponents(s)
    with np.errstate(all="ignore"):
        x = np.log((2 * c[:, 2] - alpha * c[:, 1]) / (2 * c[:, 2] + beta * c[:, 1])) / (alpha + beta)
    return np.where((c[:, 2] > 0) & np.isfinite(x), x, np.nan)


def _residual(x_n: np.ndarray, y_n: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Residuals (..., n) of the best curves of shapes (..., 2): exactly 0 for three runs, without rounding errors."""
    if len(x_n) <= 3:
        return np.zeros((*s.shape[:-1], len(x_n)))
    q = np.linalg.qr(_basis(x_n, s))[0]
    return np.asarray(y_n - (q @ (q.swapaxes(-1, -2) @ y_n[:, None]))[..., 0])


def _fit_shape(x: list[np.ndarray], y: list[np.ndarray]) -> _Shape:
    """The shape with the lowest weighted sum of squared residuals and prior, with weights of the budgets' noise."""
    from scipy.optimize import least_squares

    runs = np.array([len(x_n) for x_n in x])

    def squares(s: np.ndarray) -> np.ndarray:
        return np.stack([np.sum(_residual(x_n, y_n, s) ** 2, -1) for x_n, y_n in zip(x, y, strict=True)], -1)

    def standardised(s: np.ndarray) -> np.ndarray:
        parts = [_residual(x_n, y_n, s) / std for x_n, y_n, std in zip(x, y, std_K, strict=True)]
        return np.concatenate([*parts, (s - PRIOR_MEAN) / PRIOR_STD], -1)

    def jacobian(s: np.ndarray) -> np.ndarray:
        ends = standardised(s + SHAPE_STEP * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]))
        return np.asarray((ends[:2] - ends[2:]).T / (2 * SHAPE_STEP))

    axes = [
        mean + std * np.linspace(-2.5, 2.5, nodes)
        for mean, std, nodes in zip(PRIOR_MEAN, PRIOR_STD, SCAN_NODES, strict=True)
    ]
    scan = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
    squares_SK = squares(scan)
    std_K, dof_K = noise_std(squares_SK[squares_SK.sum(1).argmin()], runs - 3.0)
    s = scan[(squares_SK @ std_K**-2 + np.sum(((scan - PRIOR_MEAN) / PRIOR_STD) ** 2, 1)).argmin()]
    for _ in range(NOISE_PASSES):
        solution = least_squares(standardised, s, jacobian, (SHAPE_LOW, SHAPE_HIGH), x_scale=PRIOR_STD, xtol=1e-14)
        shape = _Shape(solution.x, std_K, dof_K, jacobian(solution.x))
        s, previous = shape.s, std_K
        shares = np.add.reduceat(shape.leverage, np.cumsum([0, *runs[:-1]]))
        std_K, dof_K = noise_std(squares(s), runs - 3 - shares)
        if np.allclose(std_K, previous, rtol=1e-3, atol=0):
            break
    return shape


def _resample(
    x: list[np.ndarray], residuals: list[np.ndarray], shape: _Shape, count: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """New residuals (B, n) of each budget. If all budgets have one variance, a sample scales all of them alike."""
    bases = [_basis(x_n, shape.s) for x_n in x]
    leverage = np.concatenate([np.einsum("np,pn->n", X, np.linalg.pinv(X)) for X in bases]) + shape.leverage
    informative = leverage < 1 - 1e-9  # budgets of three sizes have no residuals
    if not informative.any():
        return [np.zeros((count, len(r))) for r in residuals]
    unit = np.concatenate([r / std for r, std in zip(residuals, shape.std_K, strict=True)])
    ends = np.cumsum([len(r) for r in residuals])[:-1]
    if np.ptp(shape.dof_K) == 0:
        drawn = bootstrap.resample_residuals(unit, leverage, shape.dof_K[0], count, rng, informative)
        return [std * part for std, part in zip(shape.std_K, np.split(drawn, ends, axis=1), strict=True)]
    return [
        std * bootstrap.resample_residuals(unit, leverage, dof, count, rng, informative)[:, : len(r)]
        for r, std, dof in zip(residuals, shape.std_K, shape.dof_K, strict=True)
    ]


def _sample_shapes(shape: _Shape, noise: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Shapes (1 + B, 2), the estimate first: one Gauss-Newton step for new losses and a new centre of the prior."""
    unit = [noise_Bn / std for noise_Bn, std in zip(noise, shape.std_K, strict=True)]
    prior = rng.standard_normal((len(unit[0]), 2))
    steps = np.concatenate([*unit, -prior], 1) @ shape.gain.T
    return np.clip(np.vstack([shape.s, shape.s - steps]), SHAPE_LOW, SHAPE_HIGH)
