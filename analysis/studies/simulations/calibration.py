"""Calibration of intervals and predictive distributions over a prior of laws: coverage, and PIT of new runs.

Key: L loss; B samples, T targets, S sweeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from analysis import laws
from analysis.errors import FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.parametric import make_problem
from analysis.fitting.result import Fit
from analysis.laws.loss.chinchilla import CHINCHILLA, chinchilla
from analysis.solver.objective import make_objective
from analysis.solver.problem import Problem
from analysis.studies.forecast.calibration import calibrate
from analysis.studies.forecast.forecast import mix_laws
from analysis.studies.forecast.options import LAWS
from analysis.studies.forecast.target import Target
from analysis.studies.simulations.coverage import FLOPS_PER_TOKEN
from analysis.studies.simulations.law_prior import MULTIPLES, Kind, Sweep, draw_sweep
from analysis.uncertainty.intervals import percentile_interval
from analysis.uncertainty.new_run import new_run_interval
from analysis.uncertainty.posterior.posterior import CLUSTERED, DataSet, Posterior, sample_data_sets
from analysis.uncertainty.posterior.priors import weak_prior
from analysis.uncertainty.profile import Axis, profile_axes
from analysis.uncertainty.resampling.bootstrap import choose_resampling, point_labels

PARAMETERS = ("E", "alpha", "beta")
LAW_AT = tuple(f"law at {multiple:g}×" for multiple in MULTIPLES)
NEW_RUN_AT = tuple(f"new run at {multiple:g}×" for multiple in MULTIPLES)
QUANTITIES = (*PARAMETERS, "a", *LAW_AT, *NEW_RUN_AT)
BOOTSTRAP = 400
CHAINS = (4, 300, 300)  # chains, steps of warm-up and draws: enough for the ends of an interval

Interval = tuple[float, float]


@dataclass(frozen=True)
class Answer:
    """What one method says of one sweep.

    Attributes:
        inside: Whether the interval of each quantity contains the truth.
        width: Width of each interval; that of a loss relative to the loss.
        pit: Probability that the method gave to smaller losses of the new run at each target (T,); NaN without a
            distribution.
    """

    inside: dict[str, bool]
    width: dict[str, float]
    pit: np.ndarray


@dataclass(frozen=True)
class Coverage:
    """Coverage of one quantity over sweeps.

    Attributes:
        share: Share of the intervals that contain the truth.
        error: Two standard errors of the share.
        width: Median width of the intervals.
        sweeps: Number of sweeps.
    """

    share: float
    error: float
    width: float
    sweeps: int


def coverage(answers: Sequence[Answer], name: str) -> Coverage:
    """Returns the coverage of a quantity.

    Args:
        answers: Answers of one method.
        name: One of QUANTITIES.
    """
    inside = np.array([answer.inside[name] for answer in answers])
    share, count = float(inside.mean()), len(inside)
    error = 2 * float(np.sqrt(max(share * (1 - share), 1 / count) / count))
    return Coverage(share, error, float(np.median([answer.width[name] for answer in answers])), count)


def draw_sweeps(kind: Kind, count: int, seed: int, runs: int) -> list[Sweep]:
    """Returns sweeps with one kind of noise.

    Args:
        kind: The kind.
        count: Number of sweeps.
        seed: Seed of the random generator.
        runs: Number of runs of a sweep.
    """
    rng = np.random.default_rng(seed)
    return [draw_sweep(kind, rng, runs) for _ in range(count)]


def true_values(sweep: Sweep) -> dict[str, float]:
    """Returns the true value of each of QUANTITIES."""
    true = {name: sweep.truth[name] for name in PARAMETERS}
    true["a"] = sweep.truth["beta"] / (sweep.truth["alpha"] + sweep.truth["beta"])
    losses = zip((*LAW_AT, *NEW_RUN_AT), (*sweep.losses, *sweep.new_losses), strict=True)
    return true | {name: float(loss) for name, loss in losses}


def _answer(sweep: Sweep, intervals: dict[str, Interval], pit: np.ndarray) -> Answer:
    true = true_values(sweep)
    return Answer(
        {name: bool(low <= true[name] <= high) for name, (low, high) in intervals.items()},
        {name: float(high - low) / (true[name] if "×" in name else 1.0) for name, (low, high) in intervals.items()},
        pit,
    )


def _from_samples(sweep: Sweep, samples: dict[str, np.ndarray], scatter_B: np.ndarray, level: float) -> Answer:
    """Percentile intervals of samples of the parameters (B,), and of new runs."""
    columns = {name: value[:, None] for name, value in samples.items()}
    with np.errstate(all="ignore"):  # draws far from the law, and those of chains that failed, overflow to infinity
        law_BT = chinchilla(**sweep.targets, **columns)
        values = {name: samples[name] for name in PARAMETERS} | {
            "a": samples["beta"] / (samples["alpha"] + samples["beta"])
        }
        new_BT = law_BT * np.exp(scatter_B[:, None])
    values |= dict(zip(LAW_AT, law_BT.T, strict=True)) | dict(zip(NEW_RUN_AT, new_BT.T, strict=True))
    pit = (np.sum(new_BT < sweep.new_losses, 0) + 0.5) / (len(new_BT) + 1)
    return _answer(sweep, {name: percentile_interval(value, level) for name, value in values.items()}, np.asarray(pit))


def _by_profile(sweep: Sweep, result: Fit, problem: Problem, u_P: np.ndarray) -> Answer:
    """Intervals as `fit --intervals profile` makes them, of the compared quantities only."""

    def loss(t: int, p: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(chinchilla(sweep.targets["N"][t], sweep.targets["D"][t], **p))

    axes = {name: Axis(partial(_parameter, name), name != "E") for name in PARAMETERS}
    axes["a"] = Axis(lambda p: p["beta"] / (p["alpha"] + p["beta"]), False)
    axes |= {name: Axis(partial(loss, t), False) for t, name in enumerate(LAW_AT)}
    profiles = profile_axes(problem, u_P, result.level, axes)
    intervals = {name: curve.interval for name, curve in profiles.items()}
    assert result.scatter is not None
    for t, name in enumerate(NEW_RUN_AT):
        value = float(result.predict(**{letter: x[t] for letter, x in sweep.targets.items()}))
        intervals[name] = new_run_interval(
            value, np.empty(0), result.scatter, result.level, profiled=intervals[LAW_AT[t]]
        )
    return _answer(sweep, intervals, np.full(len(MULTIPLES), np.nan))


def _parameter(name: str, params: dict[str, np.ndarray]) -> np.ndarray:
    return params[name]


def compare_methods(sweeps: Sequence[Sweep], methods: Sequence[str], level: float = 0.95) -> dict[str, list[Answer]]:
    """Fits Chinchilla's law to sweeps with several methods of intervals, with one search for each sweep.

    Args:
        sweeps: The sweeps, of one kind of noise and one number of runs.
        methods: "bootstrap", "profile" and "posterior", as of `FitOptions.intervals`.
        level: Coverage of the intervals.

    Returns:
        Answers of each method; a sweep that cannot be fitted is left out.
    """
    answers: dict[str, list[Answer]] = {method: [] for method in methods}
    fits: list[tuple[Sweep, DataSet]] = []
    objective = make_objective(CHINCHILLA.objective)
    for number, sweep in enumerate(sweeps):
        try:
            result = fit(sweep.points, "chinchilla", FitOptions(BOOTSTRAP, level, number, checks=False))
        except FitError:
            continue
        problem = make_problem(result.points, CHINCHILLA, objective)
        u_P = problem.coordinates({name: np.array([value]) for name, value in result.params.items()})[0]
        assert result.scatter is not None
        if "bootstrap" in methods:
            answers["bootstrap"].append(_from_samples(sweep, result.samples, result.scatter, level))
        if "profile" in methods:
            answers["profile"].append(_by_profile(sweep, result, problem, u_P))
        resampling = choose_resampling("auto", sweep.points)
        labels = point_labels(sweep.points, resampling) if resampling in CLUSTERED else None
        fits.append((sweep, DataSet(problem, [u_P], labels, weak_prior(problem))))
    if "posterior" in methods:
        posteriors = sample_each([data for _, data in fits])
        for (sweep, data), posterior in zip(fits, posteriors, strict=True):
            samples = data.problem.params(posterior.u)
            answers["posterior"].append(_from_samples(sweep, samples, posterior.scatter, level))
    return answers


def sample_each(sets: Sequence[DataSet], count: int = CHAINS[0] * CHAINS[2]) -> list[Posterior]:
    """Samples the posterior of each data set with CHAINS; the seed is its number.

    Args:
        sets: The data sets.
        count: Number of draws to keep of each.
    """
    return [sample_data_sets([data], count, number, CHAINS)[0] for number, data in enumerate(sets)]


def score_forecasts(sweeps: Sequence[Sweep], level: float = 0.95) -> list[Answer]:
    """Makes the mixture of `analysis forecast` for the targets of sweeps, and compares it with the new runs.

    Args:
        sweeps: The sweeps.
        level: Coverage of the intervals.

    Returns:
        An answer for each sweep to which a law can be fitted.
    """
    answers = []
    for number, sweep in enumerate(sweeps):
        options = FitOptions(BOOTSTRAP, level, number, checks=False)
        fits = []
        for name in LAWS:
            try:
                fits.append(fit(sweep.points, name, options))
            except FitError:
                continue
        if not fits:
            continue
        names = [result.law for result in fits]
        calibration = calibrate(sweep.points, names, [laws.LAWS[name] for name in names], options)
        intervals, pit = {}, []
        for t, quantity in enumerate(NEW_RUN_AT):
            N, D = (float(sweep.targets[letter][t]) for letter in "ND")
            predictive, _ = mix_laws(fits, Target(N, D, FLOPS_PER_TOKEN * N * D), calibration)
            intervals[quantity] = predictive.interval(level)
            pit.append(float(predictive.cdf(float(sweep.new_losses[t]))))
        answers.append(_answer(sweep, intervals, np.array(pit)))
    return answers
