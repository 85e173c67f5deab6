"""Weakly informative priors of the parameters and of the noise of a law, in the coordinates of the solver.

Each prior only fixes an order of magnitude. One rule for every law:

- A linear coordinate, which is the contribution of its term to the output at the geometric mean of the inputs, is
  half-normal with the mean absolute output as its scale: no term is expected to be much larger than the output.
- A nonlinear coordinate is normal: the starting values of the law (`Law.starts`), which span the values in the
  literature, are the central 95%. For Chinchilla's exponents these are 0.05 to 1.2, in the logarithm. A coordinate with
  one starting value has a standard deviation of LOG_STD or REAL_STD. Bounds of the law truncate a prior.
- The noise of a single run on the scale of the objective's link has a log-normal scale with the median NOISE_MEDIAN, of
  the logarithm of the output or relative to the output, whose central 95% are 0.03% to 9%.
- For robust objectives the noise is Student's t, with 1 + Gamma(2, rate 0.1) degrees of freedom (Juárez and Steel
  2010), of the order of 20; for least squares it is normal.
- Runs of one group, size or trunk share an effect whose standard deviation is half-normal with the scale EFFECT_SCALE;
  effects and noise are then normal.

Key: P coordinates, n points, S draws, G groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import truncnorm

from analysis.solver.identifiability import start_spread
from analysis.solver.objective import Objective
from analysis.solver.problem import Problem

NOISE_MEDIAN, NOISE_LOG_STD = 0.005, 1.5
DOF_SHAPE, DOF_RATE = 2.0, 0.1
EFFECT_SCALE = 0.01


@dataclass(frozen=True)
class Prior:
    """Priors of the coordinates of a law and of its noise.

    Attributes:
        location: Location of each coordinate (P,).
        scale: Scale of each coordinate (P,).
        noise_unit: Unit of the noise on the link: 1 for a logarithm, else the mean absolute output.
    """

    location: np.ndarray
    scale: np.ndarray
    noise_unit: float


def is_robust(objective: Objective) -> bool:
    """Returns whether the noise is Student's t: for objectives that limit the influence of single points."""
    return objective.threshold is not None


def weak_prior(problem: Problem) -> Prior:
    """Returns the priors of a law on points.

    Args:
        problem: The law on points, whose output only gives the order of magnitude of linear parameters.
    """
    law, unit = problem.law, problem.output_scale()
    location, scale = np.zeros(len(problem.names)), np.full(len(problem.names), unit)
    first = len(law.linear)
    location[first:], scale[first:] = start_spread(problem)
    return Prior(location, scale, unit if problem.objective.link == "identity" else 1.0)


@dataclass(frozen=True)
class PriorDraw:
    """Draws from a prior.

    Attributes:
        u: Coordinates (S, P).
        sigma: Scale of the noise (S,).
        nu: Degrees of freedom of the noise (S,); infinite for normal noise.
        tau: Standard deviation of the effects of groups (S,).
    """

    u: np.ndarray
    sigma: np.ndarray
    nu: np.ndarray
    tau: np.ndarray


def draw_prior(
    problem: Problem, prior: Prior, count: int, rng: np.random.Generator, *, grouped: bool = False
) -> PriorDraw:
    """Draws from a prior.

    Args:
        problem: The law on points.
        prior: The prior.
        count: Number of draws.
        rng: Random generator.
        grouped: Whether points of a group share an effect, so that the noise is normal.
    """
    low, high = problem.bounds()
    a, b = (low - prior.location) / prior.scale, (high - prior.location) / prior.scale
    u = truncnorm.rvs(a, b, prior.location, prior.scale, size=(count, len(a)), random_state=rng)
    sigma = prior.noise_unit * NOISE_MEDIAN * np.exp(NOISE_LOG_STD * rng.standard_normal(count))
    robust = is_robust(problem.objective) and not grouped
    nu = 1 + rng.gamma(DOF_SHAPE, 1 / DOF_RATE, count) if robust else np.full(count, np.inf)
    tau = prior.noise_unit * EFFECT_SCALE * np.abs(rng.standard_normal(count))
    return PriorDraw(u, sigma, nu, tau)


def draw_points(
    problem: Problem, draw: PriorDraw, rng: np.random.Generator, labels_n: np.ndarray | None = None
) -> np.ndarray:
    """Draws outputs of all points, on the link, for each draw of the prior (S, n).

    Args:
        problem: The law on points, with their weights.
        draw: Draws of the prior.
        rng: Random generator.
        labels_n: Group of each point; None without effects of groups.
    """
    mean = problem.objective.transform(problem.model(draw.u))
    normal = rng.standard_normal(mean.shape)
    if np.isfinite(draw.nu).all():
        normal = normal / np.sqrt(rng.chisquare(draw.nu[:, None], mean.shape) / draw.nu[:, None])
    y = mean + draw.sigma[:, None] * normal / np.sqrt(problem.weights)
    if labels_n is not None:
        y = y + draw.tau[:, None] * rng.standard_normal((len(y), int(labels_n.max()) + 1))[:, labels_n]
    return np.asarray(y)


def prior_std(problem: Problem, prior: Prior) -> np.ndarray:
    """Returns the standard deviation of the prior of each coordinate (P,), with its truncation."""
    low, high = problem.bounds()
    a, b = (low - prior.location) / prior.scale, (high - prior.location) / prior.scale
    return np.asarray(truncnorm.std(a, b, prior.location, prior.scale))
