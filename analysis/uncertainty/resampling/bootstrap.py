"""Bootstrap samples of the parameters of a fit.

Key: B samples, P coordinates, n points, K groups. u coordinates, r residuals, q orthonormal basis of the weighted
∂r/∂u.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from analysis.data.points import Points
from analysis.errors import FitError
from analysis.solver.identifiability import equal_optima
from analysis.solver.minimise import hessian, minimise
from analysis.solver.problem import Problem
from analysis.solver.robust import robust_std
from analysis.uncertainty.resampling.score_noise import JEFFREYS, estimate_noise

MIN_GROUPS = 5  # smallest number of groups, sizes or runs for resampling by group, size or run
MIN_PAIRS = 12  # smallest number of runs that are drawn with replacement, with all of their rows
MIN_CASES = 60  # smallest number of runs for which "auto" resamples cases
MAX_REFITTED = 4000  # largest number of runs with refits; with more runs a sample is one Newton step
MAX_ELEMENTS = 20_000_000  # largest number of elements of the arrays of a block of samples
MAX_LEVERAGE = 0.98  # residuals are divided by √(1 − leverage)
BANDWIDTH = 0.53  # half of Silverman's normal kernel bandwidth, 1.06·n^(-1/5)·σ


def resample_residuals(
    residual_n: np.ndarray,
    leverage_n: np.ndarray,
    dof: int | np.ndarray,
    count: int,
    rng: np.random.Generator,
    pool_n: np.ndarray | None = None,
) -> np.ndarray:
    """Resamples the residuals of a fit.

    Residuals are divided by √(1 − leverage), centred, drawn with replacement and smoothed (half of Silverman's
    bandwidth, constant variance). Each sample is scaled by √(dof / χ²(dof)) for the uncertainty of the variance, so
    that percentile intervals of 20 points have the coverage of Student's t.

    Args:
        residual_n: Residuals.
        leverage_n: Leverage of each point.
        dof: Residual degrees of freedom of the fit.
        count: Number of samples.
        rng: Random generator.
        pool_n: Mask of the residuals to draw from; None uses all.

    Returns:
        New residuals (B, n).
    """
    scaled = residual_n / np.sqrt(1 - np.clip(leverage_n, 0, MAX_LEVERAGE))
    pool = scaled if pool_n is None else scaled[pool_n]
    pool = pool - pool.mean()
    spread = max(float(pool.std()), 1e-300)
    width = BANDWIDTH * len(pool) ** -0.2 * spread
    shape = (count, len(residual_n))
    new_Bn = (rng.choice(pool, size=shape) + width * rng.standard_normal(shape)) * (spread / np.hypot(spread, width))
    return new_Bn * _chi_scale(dof, count, rng)


def _chi_scale(dof: int | np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """√(dof / χ²(dof)) of each sample (B, 1): the uncertainty of the standard deviation."""
    return np.sqrt(dof / rng.chisquare(dof, size=(count, 1)))


def moderate_variances(variance_K: np.ndarray, dof_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shrinks the noise variances of groups with few degrees of freedom towards a common variance.

    Empirical Bayes (Smyth 2004, sections 3 and 6.2). If the groups do not differ by more than chance, all have the
    common variance with the total degrees of freedom, as have groups without degrees of freedom.

    Args:
        variance_K: Variance of each group.
        dof_K: Degrees of freedom of each group.

    Returns:
        The moderated variances and their degrees of freedom.
    """
    informative = (dof_K > 0) & (variance_K > 0)
    pooled = np.sum(variance_K * dof_K) / max(np.sum(dof_K), 1)
    total = np.full(len(dof_K), float(np.sum(dof_K)))
    if informative.sum() < 2:
        return np.full(len(dof_K), pooled), total
    half = dof_K[informative] / 2
    e = np.log(variance_K[informative]) - digamma(half) + np.log(half)
    excess = np.var(e, ddof=1) - np.mean(polygamma(1, half))
    if excess <= 1e-6:
        return np.full(len(dof_K), pooled), total
    prior = 2 * brentq(lambda x: polygamma(1, x) - excess, 1e-6, 1e7)
    common = np.exp(e.mean() + digamma(prior / 2) - np.log(prior / 2))
    dof = np.where(informative, dof_K, 0)
    moderated = (prior * common + dof * np.where(informative, variance_K, 0)) / (prior + dof)
    return moderated, np.minimum(prior + dof, total)


def choose_resampling(resampling: str, points: Points) -> str:
    """Returns the bootstrap scheme, chosen by the points for "auto".

    Args:
        resampling: "auto" or a scheme of `sample_parameters`.
        points: The points. "auto" chooses "runs" if points are checkpoints of MIN_GROUPS runs or more, "sizes" if runs
            share prefixes and there are MIN_GROUPS sizes, else "cases" for MIN_CASES runs or more, else "residuals".
    """
    if resampling != "auto":
        return resampling
    if points.runs is not None and len(set(points.runs)) >= MIN_GROUPS:
        return "runs"
    if points.shared_prefix is not None and points.shared_prefix.any() and len(np.unique(points.N)) >= MIN_GROUPS:
        return "sizes"
    return "cases" if len(points) >= MIN_CASES else "residuals"


def sample_parameters(
    problem: Problem, u_P: np.ndarray, points: Points, count: int, seed: int, resampling: str
) -> dict[str, np.ndarray]:
    """Refits the law to bootstrap samples of the points, from the optimum, or from `equal_optima` if there are several.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        points: The points, with budgets and groups if available.
        count: Number of samples.
        seed: Seed of the random generator.
        resampling: Bootstrap scheme.
            "residuals": fixed design, resampled residuals (`resample_residuals`); assumes equal variances.
            "cases": runs drawn with replacement, within each budget if there are budgets; no assumptions, but too wide
            for 20 runs. With more than MAX_REFITTED runs each sample is one Newton step.
            "groups", "sizes": wild cluster bootstrap by group or size (`_wild_cluster`), for correlated errors.
            "runs": for checkpoints, whose errors are correlated within a run: runs drawn with replacement, with all of
            their rows; for fewer than MIN_PAIRS runs a wild cluster bootstrap (`_wild_runs`). With more than
            MAX_REFITTED rows each sample is one Newton step.
            "parametric": normal noise with the standard deviation of the residuals (`_normal`).
            "binomial": for shares of correct answers, or of errors, of points with numbers of items ("items" in
            `extra`, NaN for points without noise): scatter and binomial noise (`score_noise`).
            "auto": `choose_resampling`.

    Returns:
        Samples of each parameter (B,).

    Raises:
        FitError: The points have no groups or runs, or too few.
    """
    resampling = choose_resampling(resampling, points)
    labels_n = point_labels(points, resampling)
    draws_cases = resampling == "cases" or (resampling == "runs" and labels_n.max() + 1 >= MIN_PAIRS)
    if len(points) > MAX_REFITTED and draws_cases:
        return _newton_samples(problem, u_P, count, seed, labels_n)
    rng, n = np.random.default_rng(seed), len(points)
    block = max(1, MAX_ELEMENTS // n)
    optima = equal_optima(problem, u_P)  # from one of them, refits would not reach the others
    start_BP = optima[np.random.default_rng(seed).integers(len(optima), size=count)]
    u_BP: list[np.ndarray] = []
    for start in range(0, count, block):
        shape = (min(block, count - start), n)
        if draws_cases:
            counts_Bn = _case_counts(points, labels_n, shape[0], rng)
            resampled = problem.with_data(problem.y, problem.weights * counts_Bn)
        else:
            y_Bn = _outputs(problem, u_P, points, shape, rng, resampling, labels_n)
            resampled = problem.with_data(y_Bn, problem.weights)
        u_BP.append(minimise(resampled, start_BP[start : start + block], iterations=60, tolerance=1e-7)[0])
    return problem.params(np.concatenate(u_BP))


def _outputs(
    problem: Problem,
    u_P: np.ndarray,
    points: Points,
    shape: tuple[int, int],
    rng: np.random.Generator,
    resampling: str,
    labels_n: np.ndarray,
) -> np.ndarray:
    """Outputs with new errors (B, n), for a scheme that does not draw cases."""
    if resampling == "binomial":
        return _drawn_scores(problem, u_P, points["items"], shape, rng)
    draw = {"residuals": _redrawn, "parametric": _normal, "runs": _wild_runs}.get(resampling, _wild_cluster)
    return draw(problem, u_P, shape, rng, labels_n)


def point_labels(points: Points, resampling: str) -> np.ndarray:
    """Returns the group of each point (n,) as integers; its row for cases, 0 if the scheme has no groups.

    Args:
        points: The points.
        resampling: Bootstrap scheme of `sample_parameters`.

    Raises:
        FitError: The points have no groups or runs, or too few.
    """
    if resampling == "groups":
        if points.groups is None:
            raise FitError("resampling groups: there is no column of groups: name one with --columns group=...")
        labels = np.unique(np.array(points.groups), return_inverse=True)[1]
    elif resampling == "runs":
        if points.runs is None:
            raise FitError("resampling runs: each row is a run: name the columns that name runs with --runs")
        labels = np.unique(np.array(points.runs), return_inverse=True)[1]
    elif resampling == "sizes":
        labels = np.unique(np.round(np.log(points.N), 6), return_inverse=True)[1]
    else:
        return np.arange(len(points)) if resampling == "cases" else np.zeros(len(points), int)
    if labels.max() < MIN_GROUPS - 1:
        raise FitError(f"resampling {resampling}: there are only {labels.max() + 1}, but {MIN_GROUPS} are needed")
    return np.asarray(labels)


def _newton_samples(
    problem: Problem, u_P: np.ndarray, count: int, seed: int, labels_n: np.ndarray
) -> dict[str, np.ndarray]:
    """Bayesian bootstrap over cases or runs (Rubin 1981), each sample one Newton step from the optimum.

    The error of a step is of order 1/n, which for thousands of points is far below the spread of the samples.
    """
    rng, n = np.random.default_rng(seed), problem.y.shape[-1]
    low, high = problem.bounds()
    residual = problem.residual(u_P[None])[0]
    score_Pn = problem.jacobian(u_P[None])[0] * problem.weights * problem.objective.psi(residual)
    free = (u_P > low) & (u_P < high)
    steps = np.zeros((count, len(u_P)))
    block = max(1, MAX_ELEMENTS // n)
    for start in range(0, count, block):
        weights = rng.standard_exponential((min(block, count - start), int(labels_n.max()) + 1))[:, labels_n] - 1
        steps[start : start + block, free] = weights @ score_Pn[free].T
    steps[:, free] = np.linalg.lstsq(hessian(problem, u_P)[np.ix_(free, free)], steps[:, free].T, rcond=None)[0].T
    return problem.params(np.clip(u_P - steps, low, high))


def _linearised(problem: Problem, u_P: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measured minus fitted (n,), √weights, and the orthonormal basis q of the weighted ∂r/∂u (n, P)."""
    residual = -problem.residual(u_P[None])[0]
    root = np.sqrt(problem.weights)
    return residual, root, np.linalg.qr((problem.jacobian(u_P[None])[0] * root).T)[0]


def _redrawn(
    problem: Problem, u_P: np.ndarray, shape: tuple[int, int], rng: np.random.Generator, labels_n: np.ndarray
) -> np.ndarray:
    """Outputs with resampled residuals (B, n)."""
    residual, root, q = _linearised(problem, u_P)
    new = resample_residuals(residual * root, np.sum(q**2, -1), shape[1] - len(u_P), shape[0], rng)
    return problem.y - residual + new / root


def _normal(
    problem: Problem, u_P: np.ndarray, shape: tuple[int, int], rng: np.random.Generator, labels_n: np.ndarray
) -> np.ndarray:
    """Outputs with normal noise on the fitted law (B, n).

    The standard deviation is √(RSS / (n − P)) for least squares, and otherwise the robust standard deviation of the
    residuals corrected for leverage, because Huber's objective limits the influence of outliers.
    """
    residual, root, q = _linearised(problem, u_P)
    dof = max(shape[1] - len(u_P), 1)
    if problem.objective.threshold is None:
        scale = float(np.sqrt(np.sum((residual * root) ** 2) / dof))
    else:
        scale = robust_std(residual * root / np.sqrt(1 - np.clip(np.sum(q**2, -1), 0, MAX_LEVERAGE)))
    new = scale * rng.standard_normal(shape) * _chi_scale(dof, shape[0], rng)
    return problem.y - residual + new / root


def _drawn_scores(
    problem: Problem, u_P: np.ndarray, items_n: np.ndarray, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Outputs with drawn scores on the fitted law (B, n): scatter of the residuals, and at least binomial noise."""
    has_items = np.isfinite(items_n)
    if not has_items.any():
        raise FitError("resampling binomial: the points have no numbers of items: choose another")
    items = items_n[has_items]
    measured, fitted = (problem.objective.inverse(y) for y in (problem.y, problem.y + problem.residual(u_P[None])[0]))
    noise = estimate_noise(measured[has_items], fitted[has_items], items, len(u_P))
    hits = items * noise.draw(np.tile(fitted[has_items], (shape[0], 1)), items, rng)
    y_Bn = np.tile(problem.y, (shape[0], 1))
    y_Bn[:, has_items] = problem.objective.transform((hits + JEFFREYS) / (items + 2 * JEFFREYS))
    return y_Bn


def _wild_cluster(
    problem: Problem, u_P: np.ndarray, shape: tuple[int, int], rng: np.random.Generator, labels_n: np.ndarray
) -> np.ndarray:
    """Wild cluster bootstrap: outputs with the residuals of each group times one random factor (B, n).

    Cameron, Gelbach and Miller 2008. Residuals are first corrected for leverage by (I − H)^(-½) of the block of the
    group (CR2: Bell and McCaffrey 2002). The factor is normal, times √(dof / χ²(dof)), where dof is the number of
    groups minus the P − 1 degrees of freedom that a law can use for differences between groups, at least 2.
    """
    scale = _cluster_scale(u_P, labels_n, shape[0], rng)
    factor = rng.standard_normal((shape[0], int(labels_n.max()) + 1)) * scale
    return _with_factors(problem, u_P, factor, labels_n, 0.5)


def _wild_runs(
    problem: Problem, u_P: np.ndarray, shape: tuple[int, int], rng: np.random.Generator, labels_n: np.ndarray
) -> np.ndarray:
    """Wild cluster bootstrap for few runs of many checkpoints (B, n).

    As `_wild_cluster`, but residuals are corrected by (I − H)^(-1) (CR3, the jackknife) and their signs are drawn. The
    size of the residuals is unchanged, which matters to robust objectives.
    """
    scale = _cluster_scale(u_P, labels_n, shape[0], rng)
    sign = rng.choice([-1.0, 1.0], size=(shape[0], int(labels_n.max()) + 1))
    return _with_factors(problem, u_P, sign * scale, labels_n, 1.0)


def _cluster_scale(u_P: np.ndarray, labels_n: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return _chi_scale(max(int(labels_n.max()) + 2 - len(u_P), 2), count, rng)


def _with_factors(
    problem: Problem, u_P: np.ndarray, factor_BK: np.ndarray, labels_n: np.ndarray, power: float
) -> np.ndarray:
    """Outputs with the residuals of each group, corrected by (I − H)^(-power), times its factor (B, n)."""
    residual, root, q = _linearised(problem, u_P)
    corrected = np.zeros(len(labels_n))
    for group in range(factor_BK.shape[1]):
        rows = np.flatnonzero(labels_n == group)
        u, s, _ = np.linalg.svd(q[rows], full_matrices=False)
        gain = (1 - np.clip(s**2, 0, MAX_LEVERAGE)) ** -power - 1
        e = residual[rows] * root[rows]
        corrected[rows] = e + u @ (gain * (u.T @ e))
    return problem.y - residual + corrected * factor_BK[:, labels_n] / root


def _case_counts(points: Points, labels_n: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Number of draws of each row (B, n), where rows with one label are drawn together, within each budget."""
    first = np.unique(labels_n, return_index=True)[1]
    keys = np.zeros(len(first)) if points.budgets is None else np.nan_to_num(points.budgets)[first]
    counts_BK = np.zeros((count, len(first)))
    for key in np.unique(keys):
        cases = np.flatnonzero(keys == key)
        counts_BK[:, cases] = rng.multinomial(len(cases), np.full(len(cases), 1 / len(cases)), size=count)
    return counts_BK[:, labels_n]
