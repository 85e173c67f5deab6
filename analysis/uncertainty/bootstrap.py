"""Doubt: bootstrap draws whose percentiles cover what they claim, and what a fit says against itself.

Key: B draws, P coordinates, n points.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from analysis.data.points import Points
from analysis.errors import FitError
from analysis.solver.minimise import hessian, minimise
from analysis.solver.problem import Problem

KINDS = ("auto", "residuals", "cases", "groups", "sizes", "parametric")
SIZES = 5  # groups, or sizes that share their beginnings, from which on they are drawn together
MANY = 60  # runs from which on `auto` draws cases
LINEAR = 4000  # runs from which on a draw is one Newton step from the optimum
LARGEST = 20_000_000  # numbers of one block of draws


def resample(
    residual_n: np.ndarray,
    leverage_n: np.ndarray,
    free: int | np.ndarray,
    count: int,
    rng: np.random.Generator,
    told_n: np.ndarray | None = None,
) -> np.ndarray:
    """New residuals (B, n) for a fit with `free` degrees of freedom left.

    Residuals divided by √(1 − leverage), centred, drawn with replacement (of `told_n` alone, where given), smoothed
    (half of Silverman's bandwidth, variance kept); and each draw is scaled by √(free / χ²(free)). That scale is the
    doubt about the noise itself: with it, percentile intervals of 20 points cover as Student's t would.
    """
    scaled = residual_n / np.sqrt(1 - np.clip(leverage_n, 0, 0.98))
    pool = scaled if told_n is None else scaled[told_n]
    pool = pool - pool.mean()
    spread = max(float(pool.std()), 1e-300)
    width = 0.53 * len(pool) ** -0.2 * spread
    shape = (count, len(residual_n))
    drawn = (rng.choice(pool, size=shape) + width * rng.standard_normal(shape)) * (spread / np.hypot(spread, width))
    return drawn * np.sqrt(free / rng.chisquare(free, size=(count, 1)))


def moderated(variance_K: np.ndarray, free_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Noise variances (K,) of groups with few degrees of freedom each, drawn to a common one, and the freedom gained.

    Empirical Bayes (Smyth 2004, sections 3 and 6.2): when the groups differ no more than chance lets them, the common
    one is taken and its freedom is that of all; groups without freedom take the common one.
    """
    told = (free_K > 0) & (variance_K > 0)
    pooled = np.sum(variance_K * free_K) / max(np.sum(free_K), 1)
    total = np.full(len(free_K), float(np.sum(free_K)))
    if told.sum() < 2:
        return np.full(len(free_K), pooled), total
    half = free_K[told] / 2
    e = np.log(variance_K[told]) - digamma(half) + np.log(half)
    excess = np.var(e, ddof=1) - np.mean(polygamma(1, half))
    if excess <= 1e-6:
        return np.full(len(free_K), pooled), total
    prior = 2 * brentq(lambda x: polygamma(1, x) - excess, 1e-6, 1e7)
    common = np.exp(e.mean() + digamma(prior / 2) - np.log(prior / 2))
    free = np.where(told, free_K, 0)
    return (prior * common + free * np.where(told, variance_K, 0)) / (prior + free), np.minimum(prior + free, total)


def resolved(kind: str, points: Points) -> str:
    """What `auto` means: sizes where runs share their beginnings and there are SIZES of them, else cases from MANY runs
    on, else residuals."""
    if kind != "auto":
        return kind
    if points.shared is not None and points.shared.any() and len(np.unique(points.N)) >= SIZES:
        return "sizes"
    return "cases" if len(points) >= MANY else "residuals"


def draws(problem: Problem, u_P: np.ndarray, points: Points, count: int, seed: int, kind: str) -> dict[str, np.ndarray]:
    """Parameters (B,) fitted again to `count` bootstrap sets.

    residuals: the runs as they were planned, their residuals drawn anew (`resample`); takes the noise to be even.
    cases: runs drawn with replacement, within each budget where there are budgets; takes nothing, but is too wide on
    20 runs. groups, sizes: the residuals of a group (of a size) stay together (`_together`); for noise that the runs of
    a group share. parametric: normal noise as wide as the residuals say (`_normal`). auto: `resolved`. Beyond LINEAR
    runs cases are one Newton step each. Raises FitError where groups are asked for and there are too few.
    """
    kind = resolved(kind, points)
    if kind == "cases" and len(points) > LINEAR:
        return _linear(problem, u_P, count, seed)
    rng, n = np.random.default_rng(seed), len(points)
    block = max(1, LARGEST // n)
    new = {"residuals": _redrawn, "parametric": _normal, "groups": _together, "sizes": _together}
    labels = _labels(points, kind)
    found: list[np.ndarray] = []
    for start in range(0, count, block):
        shape = (min(block, count - start), n)
        if kind == "cases":
            again = problem.again(problem.y, problem.weights * _cases(points, shape, rng))
        else:
            again = problem.again(new[kind](problem, u_P, shape, rng, labels), problem.weights)
        found.append(minimise(again, np.tile(u_P, (shape[0], 1)), iterations=60, tolerance=1e-7)[0])
    return problem.params(np.concatenate(found))


def _labels(points: Points, kind: str) -> np.ndarray:
    """Which group each run is of (n,), as small integers."""
    if kind == "groups":
        if points.groups is None:
            raise FitError("kind groups: no column says which group a run is of: name one with --columns group=...")
        labels = np.unique(np.array(points.groups), return_inverse=True)[1]
    elif kind == "sizes":
        labels = np.unique(np.round(np.log(points.N), 6), return_inverse=True)[1]
    else:
        return np.zeros(len(points), int)
    if labels.max() < SIZES - 1:
        raise FitError(f"kind {kind}: {labels.max() + 1} of them: it takes {SIZES} to tell how they differ")
    return np.asarray(labels)


def _linear(problem: Problem, u_P: np.ndarray, count: int, seed: int) -> dict[str, np.ndarray]:
    """Draws of a Bayesian bootstrap over cases (Rubin 1981), each one Newton step from the optimum.

    A step is off by the order of 1/n, which for thousands of points is far below the spread of the draws.
    """
    rng, n = np.random.default_rng(seed), problem.y.shape[-1]
    low, high = problem.limits()
    pull = problem.jacobian(u_P[None])[0] * problem.weights * problem.objective.slope(problem.residual(u_P[None])[0])
    free = (u_P > low) & (u_P < high)
    steps = np.zeros((count, len(u_P)))
    block = max(1, LARGEST // n)
    for start in range(0, count, block):
        weights = rng.standard_exponential((min(block, count - start), n)) - 1
        steps[start : start + block, free] = weights @ pull[free].T
    steps[:, free] = np.linalg.lstsq(hessian(problem, u_P)[np.ix_(free, free)], steps[:, free].T, rcond=None)[0].T
    return problem.params(np.clip(u_P - steps, low, high))


def _left(problem: Problem, u_P: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measured less fitted (n,), √weights, and an orthonormal basis of the fit's directions (n, P), both weighted."""
    residual = -problem.residual(u_P[None])[0]
    root = np.sqrt(problem.weights)
    return residual, root, np.linalg.qr((problem.jacobian(u_P[None])[0] * root).T)[0]


def _redrawn(
    problem: Problem, u_P: np.ndarray, shape: tuple[int, int], rng: np.random.Generator, labels: np.ndarray
) -> np.ndarray:
    residual, root, q = _left(problem, u_P)
    new = resample(residual * root, np.sum(q**2, -1), shape[1] - len(u_P), shape[0], rng)
    return problem.y - residual + new / root


def _normal(
    problem: Problem, u_P: np.ndarray, shape: tuple[int, int], rng: np.random.Generator, labels: np.ndarray
) -> np.ndarray:
    """Normal noise on the fitted law: √(RSS / (n − P)) wide under least squares, and else, because Huber's objective
    does not look at how far an outlier is, 1.4826 times the median of the residuals corrected for leverage."""
    residual, root, q = _left(problem, u_P)
    free = max(shape[1] - len(u_P), 1)
    if problem.objective.turn is None:
        scale = float(np.sqrt(np.sum((residual * root) ** 2) / free))
    else:
        scaled = residual * root / np.sqrt(1 - np.clip(np.sum(q**2, -1), 0, 0.98))
        scale = 1.4826 * float(np.median(np.abs(scaled)))
    new = scale * rng.standard_normal(shape) * np.sqrt(free / rng.chisquare(free, size=(shape[0], 1)))
    return problem.y - residual + new / root


def _together(
    problem: Problem, u_P: np.ndarray, shape: tuple[int, int], rng: np.random.Generator, labels: np.ndarray
) -> np.ndarray:
    """Each group's residuals times one random factor: the wild cluster bootstrap (Cameron, Gelbach and Miller 2008).

    They are first given back what the fit took of them, (I − H)^(-1/2) of the group's own block (CR2: Bell and
    McCaffrey 2002). The factor is normal, times √(free / χ²(free)) for the number of groups less the P − 1 that a law
    can spend on telling them apart, at least 2.
    """
    residual, root, q = _left(problem, u_P)
    groups = int(labels.max()) + 1
    block = np.zeros(shape[1])
    for group in range(groups):
        at = np.flatnonzero(labels == group)
        u, s, _ = np.linalg.svd(q[at], full_matrices=False)
        gain = 1 / np.sqrt(1 - np.clip(s**2, 0, 0.98)) - 1
        e = residual[at] * root[at]
        block[at] = e + u @ (gain * (u.T @ e))
    free = max(groups - len(u_P) + 1, 2)
    scale = np.sqrt(free / rng.chisquare(free, size=(shape[0], 1)))
    factor = rng.standard_normal((shape[0], groups)) * scale
    return problem.y - residual + block * factor[:, labels] / root


def _cases(points: Points, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """How often each run is drawn (B, n)."""
    keys = np.zeros(shape[1]) if points.budgets is None else np.nan_to_num(points.budgets)
    out = np.zeros(shape)
    for key in np.unique(keys):
        at = np.flatnonzero(keys == key)
        out[:, at] = rng.multinomial(len(at), np.full(len(at), 1 / len(at)), size=shape[0])
    return out
