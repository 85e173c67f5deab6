"""Simulation-based calibration of the posterior of a law (Talts 2018): ranks of the truth among posterior draws.

Parameters and noise are drawn from the prior, points from them, and the posterior of the points is sampled. If sampler,
priors and likelihood are those that are documented, the rank of a true value among independent posterior draws is
uniform. The draws of the prior and of the points (`priors.draw_prior`) share no code with the sampled density.

Key: S data sets, T draws, P coordinates, n points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, kolmogorov

from analysis.laws.loss.chinchilla import CHINCHILLA, chinchilla
from analysis.solver.objective import make_objective
from analysis.solver.problem import Problem
from analysis.studies.simulations.calibration import sample_each
from analysis.uncertainty.posterior.posterior import DataSet, Posterior
from analysis.uncertainty.posterior.priors import PriorDraw, draw_points, draw_prior, weak_prior

RANKS = 99  # posterior draws among which a truth is ranked, so that ranks are 0 to 99
BINS = 10
SIZES, TOKENS = np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 4)  # 24 points in the middle of what is usual
TWO_TOKENS = np.geomspace(1e9, 1e11, 2)  # with these, a range of E, B and β fits equally well
TARGET = {"N": 1e10, "D": 1e12}  # a prediction that is ranked too, and a new run there
MIXED = 1.05  # largest R-hat of chains of this length that count as mixed
TYPICAL_LOSS = 3.0  # nats per token: the prior of linear parameters must not depend on the simulated losses


@dataclass(frozen=True)
class Uniformity:
    """Test of the uniformity of the ranks of one quantity.

    Attributes:
        chi_squared_p: p-value of the chi-squared test with BINS bins.
        kolmogorov_p: p-value of the largest distance of the distribution function from uniform.
        mean: Mean of rank / RANKS, 1/2 for uniform ranks.
        extremes: Share of ranks in the outer tenth, 1/10 for uniform ranks.
    """

    chi_squared_p: float
    kolmogorov_p: float
    mean: float
    extremes: float


def uniformity(rank_S: np.ndarray) -> Uniformity:
    """Tests whether ranks of 0 to RANKS are uniform.

    Args:
        rank_S: The ranks.
    """
    count, values = len(rank_S), RANKS + 1
    observed = np.bincount(rank_S * BINS // values, minlength=BINS)
    statistic = float(np.sum((observed - count / BINS) ** 2) * BINS / count)
    distance = np.abs(
        np.searchsorted(np.sort(rank_S), np.arange(values), "right") / count - np.arange(1, values + 1) / values
    )
    tail = max(1, values // 20)
    return Uniformity(
        float(chdtrc(BINS - 1, statistic)),
        float(kolmogorov(np.sqrt(count) * distance.max())),
        float(rank_S.mean() / RANKS),
        float(np.mean((rank_S < tail) | (rank_S >= values - tail))),
    )


@dataclass(frozen=True)
class RankStudy:
    """Ranks of simulation-based calibration.

    Attributes:
        ranks: Rank of the truth of each quantity (S,).
        r_hat: Largest R-hat of each data set (S,).
        divergent: Share of divergent transitions of each data set (S,).
    """

    ranks: dict[str, np.ndarray]
    r_hat: np.ndarray
    divergent: np.ndarray

    def tests(self, *, mixed: bool = False) -> dict[str, Uniformity]:
        """Returns the test of each quantity.

        Args:
            mixed: Whether to only count data sets whose R-hat is at most MIXED. Ranks are uniform among those too,
                because R-hat depends on the points and not on the truth.
        """
        counted = self.r_hat <= MIXED if mixed else np.ones(len(self.r_hat), bool)
        return {name: uniformity(rank[counted]) for name, rank in self.ranks.items()}


Sampler = Callable[[list[DataSet], int], list[Posterior]]


def rank_study(
    count: int,
    seed: int,
    *,
    objective: str = "huber-log",
    grouped: bool = False,
    tokens: np.ndarray = TOKENS,
    sampler: Sampler = sample_each,
) -> RankStudy:
    """Ranks the truths of data sets from the prior among the draws of their posteriors.

    Args:
        count: Number of data sets S.
        seed: Seed of the data sets.
        objective: Objective of the fit, which decides between normal noise and Student's t.
        grouped: Whether runs of one size share an effect.
        tokens: Tokens D with which each size is trained.
        sampler: Function of data sets and of the number of draws to keep of each.
    """
    rng = np.random.default_rng(seed)
    N, D = np.repeat(SIZES, len(tokens)), np.tile(tokens, len(SIZES))
    law = make_objective(objective)
    typical = law.transform(np.full(len(N), TYPICAL_LOSS))
    problem = Problem(CHINCHILLA, (N, D), typical, np.ones(len(N)), law)
    prior, labels = weak_prior(problem), np.repeat(np.arange(len(SIZES)), len(tokens)) if grouped else None
    truth = draw_prior(problem, prior, count, rng, grouped=grouped)
    y_Sn = draw_points(problem, truth, rng, labels)
    sets = [
        DataSet(problem.with_data(y, problem.weights), [u], labels, prior) for y, u in zip(y_Sn, truth.u, strict=True)
    ]
    posteriors = sampler(sets, RANKS)
    new_S = draw_scatter(truth, rng, grouped=grouped)
    ranks: dict[str, list[int]] = {}
    for s, posterior in enumerate(posteriors):
        true = _quantities(problem, truth.u[s : s + 1], truth.sigma[s : s + 1], new_S[s : s + 1])
        for name, draws in _quantities(problem, posterior.u, posterior.sigma, posterior.scatter).items():
            ranks.setdefault(name, []).append(int(np.sum(draws < true[name][0])))
    return RankStudy(
        {name: np.array(values) for name, values in ranks.items()},
        np.array([max(posterior.r_hat.values()) for posterior in posteriors]),
        np.array([posterior.divergent for posterior in posteriors]),
    )


def draw_scatter(truth: PriorDraw, rng: np.random.Generator, *, grouped: bool) -> np.ndarray:
    """Returns deviations of a new run from each law (S,), of a size of its own where sizes share an effect.

    Args:
        truth: Draws of the prior.
        rng: Random generator.
        grouped: Whether runs of one size share an effect.
    """
    scatter = truth.sigma * rng.standard_normal(len(truth.sigma))
    if np.isfinite(truth.nu).all():
        scatter = scatter / np.sqrt(rng.chisquare(truth.nu) / truth.nu)
    return np.asarray(scatter + truth.tau * rng.standard_normal(len(scatter)) if grouped else scatter)


def _quantities(
    problem: Problem, u_TP: np.ndarray, sigma_T: np.ndarray, scatter_T: np.ndarray
) -> dict[str, np.ndarray]:
    """Ranked quantities (T,): coordinates, noise, exponent of the optimum, a prediction, and a new run."""
    params = problem.params(u_TP)
    values = dict(zip(problem.names, u_TP.T, strict=True)) | {"noise": sigma_T}
    values["a"] = params["beta"] / (params["alpha"] + params["beta"])
    values["prediction"] = np.asarray(chinchilla(**TARGET, **params))
    values["new run"] = values["prediction"] * np.exp(scatter_T)
    return values
