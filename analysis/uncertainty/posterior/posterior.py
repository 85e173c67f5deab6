"""Posterior of a law: draws of its parameters and of a new run, with the diagnostics of the chains.

Key: P coordinates, B kept draws, R chains, T draws of a chain, n points, S data sets, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.data.points import Points
from analysis.errors import DataError
from analysis.solver.problem import Problem
from analysis.uncertainty.posterior.priors import Prior, is_robust, prior_std, weak_prior
from analysis.uncertainty.resampling.bootstrap import point_labels
from analysis.uncertainty.verdicts import warning

CHAINS = 4
WARMUP = 500
LEAST_DRAWS = 500  # draws of each chain, so that diagnostics are reliable
MAX_R_HAT = 1.01  # Vehtari 2021
MIN_EFFECTIVE = 400.0  # effective draws, at which the ends of a 95% interval vary by a tenth of its half width
MAX_DIVERGENT = 0.01  # share of divergent transitions from which the posterior is not explored
DOMINATED = 0.5  # ratio of the standard deviations of posterior and prior from which the prior decides
INSIDE = 1e-3  # distance of the starts of chains from a bound, as a share of the scale of the prior
CLUSTERED = ("runs", "sizes", "groups")  # resampling schemes whose groups of points share an effect
MISSING = "--intervals posterior needs the [bayes] extra: pip install 'scaling[bayes]'"


@dataclass(frozen=True)
class Posterior:
    """Draws from the posterior of a law on points.

    Attributes:
        u: Draws of the coordinates (B, P).
        scatter: Draws of the deviation of a new run from the law, on the link (B,), each of the noise of its draw.
        sigma: Draws of the scale of the noise (B,).
        r_hat: Split R-hat of each coordinate and of the noise.
        effective: Number of effective draws of each.
        divergent: Share of transitions that diverged.
        chains: Number of chains, and of draws of each.
        prior: Prior of the coordinates.
        groups: Number of groups whose points share an effect; 0 for independent points.
    """

    u: np.ndarray
    scatter: np.ndarray
    sigma: np.ndarray
    r_hat: dict[str, float]
    effective: dict[str, float]
    divergent: float
    chains: tuple[int, int]
    prior: Prior
    groups: int

    def to_json(self) -> dict[str, Any]:
        """Returns the diagnostics in types of JSON."""
        return {
            "chains": self.chains[0],
            "draws": self.chains[1],
            "r_hat": max(self.r_hat.values()),
            "effective_draws": min(self.effective.values()),
            "divergent": self.divergent,
            "noise": float(np.median(self.sigma)),
            "groups": self.groups,
        }


@dataclass(frozen=True)
class DataSet:
    """What one posterior is sampled from.

    Attributes:
        problem: The law on points.
        starts: Coordinates at which chains start: the optimum, then other minima.
        labels: Group of each point (n,); None for independent points.
        prior: Prior of the coordinates.
    """

    problem: Problem
    starts: Sequence[np.ndarray]
    labels: np.ndarray | None
    prior: Prior


def sample_posterior(
    problem: Problem, starts: Sequence[np.ndarray], points: Points, count: int, seed: int, resampling: str
) -> Posterior:
    """Samples the posterior of a law.

    Args:
        problem: The law on points.
        starts: Coordinates of the optimum, then of other minima, at which chains start.
        points: The points.
        count: Number of draws to keep.
        seed: Seed of the chains.
        resampling: Bootstrap scheme, for the groups of points that share an effect.

    Raises:
        DataError: NumPyro is not installed, or an option does not apply.
    """
    if problem.objective.undertuned != 0.5:
        raise DataError("--intervals posterior: does not apply to --undertuned, whose weights are not of a noise")
    if resampling == "binomial":
        raise DataError("--intervals posterior: does not apply to --resampling binomial: use --intervals bootstrap")
    labels = point_labels(points, resampling) if resampling in CLUSTERED else None
    data = DataSet(problem, starts, labels, weak_prior(problem))
    return sample_data_sets([data], count, seed)[0]


def sample_data_sets(
    sets: Sequence[DataSet], count: int, seed: int, chains: tuple[int, int, int] | None = None
) -> list[Posterior]:
    """Samples the posteriors of data sets of one law and one shape at once.

    Args:
        sets: Data sets with the same number of points and of groups.
        count: Number of draws to keep of each.
        seed: Seed of the chains.
        chains: Number of chains, steps of warm-up, and draws of each chain; None for CHAINS, WARMUP and at least
            LEAST_DRAWS draws.

    Raises:
        DataError: NumPyro is not installed.
    """
    try:
        from analysis.uncertainty.posterior import density, nuts  # here, because they import JAX
    except ImportError:
        raise DataError(MISSING) from None
    number, warmup, draws = chains or (CHAINS, WARMUP, max(LEAST_DRAWS, -(-count // CHAINS)))
    labels = sets[0].labels
    model = density.make_model(sets[0].problem, 0 if labels is None else int(labels.max()) + 1)
    arrays = [_arrays(model.groups, data, number) for data in sets]
    stacked = {name: _stack([array[name] for array in arrays]) for name in arrays[0]}
    drawn = nuts.run_chains(model, stacked, (warmup, draws), seed)
    rng = np.random.default_rng(seed)
    return [_posterior({k: v[s] for k, v in drawn.items()}, data, count, rng) for s, data in enumerate(sets)]


def _stack(values: list[Any]) -> Any:
    if isinstance(values[0], dict):
        return {name: np.stack([value[name] for value in values]) for name in values[0]}
    if isinstance(values[0], tuple):
        return tuple(np.stack(column) for column in zip(*values, strict=True))
    return np.stack(values)


def _arrays(groups: int, data: DataSet, chains: int) -> dict[str, Any]:
    """Arrays of one data set for `nuts.run_chains`, without the leading axis."""
    problem, prior = data.problem, data.prior
    low, high = problem.bounds()
    margin = INSIDE * prior.scale
    starts_RP = np.clip(
        np.stack([data.starts[r % len(data.starts)] for r in range(chains)]), low + margin, high - margin
    )
    residual = problem.residual(starts_RP[:1])[0] * np.sqrt(problem.weights)
    dof = max(len(residual) - len(low), 1)
    sigma = max(float(np.sqrt(np.sum(residual**2) / dof)), 1e-9) if np.isfinite(residual).all() else 0.05
    starts: dict[str, np.ndarray] = {name: starts_RP[:, p] for p, name in enumerate(problem.names)}
    starts["noise.sigma"] = np.full(chains, sigma)
    if groups:
        starts["noise.tau"] = np.full(chains, sigma)
    elif is_robust(problem.objective):
        starts["noise.nu"] = np.full(chains, 10.0)
    return {
        "inputs": tuple(np.asarray(x, np.float64) for x in problem.inputs),
        "y": problem.y,
        "weights": problem.weights,
        "location": prior.location,
        "scale": prior.scale,
        "noise_unit": np.float64(prior.noise_unit),
        "labels": np.zeros(len(problem.y), int) if data.labels is None else data.labels,
        "starts": starts,
        "elsewhere": np.arange(chains) % len(data.starts) > 0,
    }


def _posterior(drawn: dict[str, np.ndarray], data: DataSet, count: int, rng: np.random.Generator) -> Posterior:
    """Draws of one data set, with `count` of them kept at even distances."""
    from numpyro.diagnostics import effective_sample_size, split_gelman_rubin  # here, because it imports JAX

    problem = data.problem
    watched = [*problem.names, "noise.sigma", *(["noise.tau"] if data.labels is not None else [])]
    chains, draws = drawn["diverging"].shape
    kept = np.linspace(0, chains * draws - 1, count).round().astype(int)
    flat = {name: value.reshape(-1)[kept] for name, value in drawn.items()}
    low, high = problem.bounds()
    normal, sigma = rng.standard_normal(count), flat["noise.sigma"]
    if "noise.nu" in flat:
        nu = 1 + flat["noise.nu"]
        normal = normal / np.sqrt(rng.chisquare(nu) / nu)
    scatter = sigma * normal
    if "noise.tau" in flat:
        scatter = scatter + flat["noise.tau"] * rng.standard_normal(count)
    return Posterior(
        u=np.clip(np.stack([flat[name] for name in problem.names], -1), low, high),
        scatter=scatter,
        sigma=sigma,
        r_hat={name: float(split_gelman_rubin(drawn[name])) for name in watched},
        effective={name: float(effective_sample_size(drawn[name])) for name in watched},
        divergent=float(drawn["diverging"].mean()),
        chains=(chains, draws),
        prior=data.prior,
        groups=0 if data.labels is None else int(data.labels.max()) + 1,
    )


def check_posterior(problem: Problem, posterior: Posterior) -> list[str]:
    """Warns of chains that have not explored the posterior, and of coordinates that the prior decides.

    Args:
        problem: The law on points.
        posterior: Its posterior.
    """
    warnings = []
    name, r_hat = max(posterior.r_hat.items(), key=lambda item: np.nan_to_num(item[1], nan=np.inf))
    least = min(posterior.effective, key=lambda key: np.nan_to_num(posterior.effective[key]))
    if not (r_hat <= MAX_R_HAT and posterior.effective[least] >= MIN_EFFECTIVE):
        sentence = f"the {posterior.chains[0]} chains disagree on {name} (R-hat {r_hat:.3f}), and have "
        sentence += f"{posterior.effective[least]:.0f} effective draws of {least}"
        warnings.append(warning("unmixed-chains", sentence))
    if posterior.divergent > MAX_DIVERGENT:
        sentence = f"{posterior.divergent:.1%} of the transitions of the chains diverged"
        warnings.append(warning("divergent-transitions", sentence))
    ratio = posterior.u.std(0) / prior_std(problem, posterior.prior)
    decided = [f"{name} ({ratio[p]:.0%})" for p, name in enumerate(problem.names) if ratio[p] > DOMINATED]
    if decided:
        sentence = f"the posterior is hardly narrower than the prior in {', '.join(decided)}"
        warnings.append(warning("prior-dominated", sentence))
    return warnings
