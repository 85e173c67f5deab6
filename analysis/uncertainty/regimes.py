"""A change of regime: a changepoint along C in the residuals of a law.

The test is for a step and a change of slope of the residuals at an unknown value of C (or of the first input of the law
if C is not known). The largest F statistic over all values (Andrews 1993) is compared with its simulated distribution
under equal variances on the same points, because asymptotic p-values are too small for few points. The checkpoints of
a run count as one point, with their mean residual.

Key: P coordinates, n points, K candidate changepoints, S simulations. u coordinates, r residuals, J ∂r/∂u,
Q orthonormal basis of the weighted J, Z orthonormal step and bend, F the statistic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.data.points import Points
from analysis.solver.minimise import minimise
from analysis.solver.problem import Problem
from analysis.solver.robust import robust_std
from analysis.uncertainty.resampling import clusters
from analysis.uncertainty.verdicts import warning

CHANCE = 0.01  # probability of a false warning
SIMULATIONS = 999
MIN_SHARE = 0.15  # smallest share of the points on either side (Andrews 1993)
MIN_POINTS = 4  # smallest number of points on either side
MAX_CANDIDATES = 40
MAX_POINTS = 1000  # larger sets of points are sampled for the test
CLIP = 2.5  # robust standard deviations at which residuals are clipped, because an outlier is no change of regime
EXACT = 1e-9  # residuals below this share of the output are rounding errors


@dataclass(frozen=True)
class RegimeChange:
    """A changepoint in the residuals.

    Attributes:
        letter: Input of the changepoint: C, or the first input of the law.
        value: Value of the input at the changepoint.
        F: Largest F statistic.
        p: p-value of F.
        below: Nonlinear parameters fitted to the points below; None for too few points.
        above: Nonlinear parameters fitted to the points above; None for too few points.
    """

    letter: str
    value: float
    F: float
    p: float
    below: dict[str, float] | None
    above: dict[str, float] | None

    @property
    def sentence(self) -> str:
        """Sentence for a verdict."""
        sides = [
            f"{', '.join(f'{name} = {value:.3g}' for name, value in params.items())} {side} it"
            for params, side in ((self.below, "below"), (self.above, "above"))
            if params
        ]
        fits = "; ".join(sides) or "too few points on either side to fit each"
        return f"the residuals have a changepoint at {self.letter} = {self.value:.3g} (p = {self.p:.2g}): {fits}"


def find_regime_change(problem: Problem, u_P: np.ndarray, points: Points) -> RegimeChange | None:
    """Finds the changepoint with the largest F statistic, for any p-value.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        points: The points.

    Returns:
        The changepoint; None for too few points or values, or for points without noise.
    """
    letter, x = _axis(points, problem.law.inputs[0])
    labels_n = clusters.run_labels(points)
    x_n, root = (clusters.mean_by_run(values, labels_n) for values in (np.log(x), np.sqrt(problem.weights)))
    r, J = clusters.linearised_runs(problem, u_P, points)
    if len(x_n) > MAX_POINTS:
        rows = np.sort(np.random.default_rng(0).choice(len(x_n), MAX_POINTS, replace=False))
        x_n, root, r, J = x_n[rows], root[rows], r[rows], J[rows]
    scale = robust_std(r)
    candidates = _candidates(x_n)
    dof = len(r) - len(u_P) - 2
    if dof < 3 or not len(candidates) or scale < EXACT * max(float(np.abs(problem.y).mean()), 1e-300):
        return None
    Q = np.linalg.qr(J)[0]
    directions = [Z for Z in (_step_and_bend(x_n, cut, root, Q) for cut in candidates) if Z is not None]
    if not directions:
        return None
    Z = np.stack(directions)
    F_observed, index = _largest_F(np.clip(r, -CLIP * scale, CLIP * scale)[None], Q, Z, dof)
    rng = np.random.default_rng(0)
    F_null = _largest_F(np.clip(rng.standard_normal((SIMULATIONS, len(r))), -CLIP, CLIP), Q, Z, dof)[0]
    F = float(F_observed[0])
    p = (1 + int(np.sum(F_null >= F))) / (1 + SIMULATIONS)
    value = float(np.exp(candidates[int(index[0])]))
    below, above = (_fit_side(problem, u_P, side) for side in (x <= value, x > value))
    return RegimeChange(letter, value, F, p, below, above)


def check_regimes(problem: Problem, u_P: np.ndarray, points: Points) -> list[str]:
    """Warns of a changepoint whose p-value is at most CHANCE.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        points: The points.
    """
    change = find_regime_change(problem, u_P, points)
    return [warning("regime-change", change.sentence)] if change is not None and change.p <= CHANCE else []


def _axis(points: Points, first: str) -> tuple[str, np.ndarray]:
    if np.isfinite(points.C).all():
        return "C", points.C
    x = points[first]
    return first, x - x.min() + 1.0 if x.min() <= 0 else x


def _candidates(x_n: np.ndarray) -> np.ndarray:
    """Cuts (K,) in ln x between neighbouring values with enough points on either side."""
    values = np.unique(np.round(x_n, 9))
    margin = max(MIN_POINTS, int(np.ceil(MIN_SHARE * len(x_n))))
    cuts = (values[1:] + values[:-1]) / 2
    below = np.searchsorted(np.sort(x_n), cuts)
    cuts = cuts[(below >= margin) & (len(x_n) - below >= margin)]
    if len(cuts) <= MAX_CANDIDATES:
        return cuts
    return cuts[np.linspace(0, len(cuts) - 1, MAX_CANDIDATES).round().astype(int)]


def _step_and_bend(x_n: np.ndarray, cut: float, root: np.ndarray, Q: np.ndarray) -> np.ndarray | None:
    """A step and a bend at the cut (n, 2), orthonormal and orthogonal to Q; None if they are in the span of Q."""
    above = x_n > cut
    raw = np.stack([above, np.where(above, x_n - cut, 0.0)], -1) * root[:, None]
    raw = raw / np.linalg.norm(raw, axis=0)
    rest = raw - Q @ (Q.T @ raw)
    u, s, _ = np.linalg.svd(rest - Q @ (Q.T @ rest), full_matrices=False)
    return u if s[-1] > 1e-6 else None


def _largest_F(r_Sn: np.ndarray, Q: np.ndarray, Z: np.ndarray, dof: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest F of each row over the candidates (S,), and the index of its candidate (S,)."""
    r = r_Sn - (r_Sn @ Q) @ Q.T
    explained = np.stack([np.sum((r @ z) ** 2, -1) for z in Z], -1)
    rest = np.sum(r**2, -1)[:, None] - explained
    F = (explained / 2) / np.maximum(rest / dof, 1e-300)
    return F.max(-1), F.argmax(-1)


def _fit_side(problem: Problem, u_P: np.ndarray, side: np.ndarray) -> dict[str, float] | None:
    """Nonlinear parameters fitted to one side; None for too few points."""
    if side.sum() <= len(u_P):
        return None
    part = problem.select_points(np.flatnonzero(side))
    params = part.params(minimise(part, part.coordinates(problem.params(u_P[None])))[0])
    return {name: float(params[name][0]) for name in problem.law.nonlinear}
