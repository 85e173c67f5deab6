"""Calibration of intervals and predictive distributions over a prior of laws: coverage, and PIT of new runs.

Key: L loss; B samples, T targets, S sweeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from analysis import laws
from analysis.errors import FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.studies.forecast.calibration import calibrate
from analysis.studies.forecast.forecast import mix_laws
from analysis.studies.forecast.options import LAWS
from analysis.studies.forecast.target import Target
from analysis.studies.simulations.law_prior import MULTIPLES, Kind, Sweep, draw_sweep
from analysis.uncertainty.intervals import percentile_band

PARAMETERS = ("E", "alpha", "beta")


@dataclass(frozen=True)
class Answer:
    """What one method says of one sweep.

    Attributes:
        inside: Whether the interval of each quantity contains the truth.
        width: Width of each interval; that of a prediction relative to the loss.
        pit: Probability that the method gave to smaller losses of the new run at each target (T,); NaN without a
            distribution.
    """

    inside: dict[str, bool]
    width: dict[str, float]
    pit: np.ndarray


def answer_by_fit(sweep: Sweep, options: FitOptions) -> Answer:
    """Fits Chinchilla's law and compares its intervals with the truth.

    Args:
        sweep: The sweep.
        options: Options of the fit.

    Raises:
        FitError: The law cannot be fitted.
    """
    result = fit(sweep.points, "chinchilla", options)
    assert result.optimum is not None and result.scatter is not None
    true = {name: sweep.truth[name] for name in PARAMETERS}
    true["a"] = sweep.truth["beta"] / (sweep.truth["alpha"] + sweep.truth["beta"])
    intervals = {name: result.intervals[name] for name in PARAMETERS} | {"a": result.optimum.intervals["a"]}
    samples_BT = result.predict_samples(**sweep.targets)
    new_BT = samples_BT * np.exp(result.scatter[:, None])
    for t, multiple in enumerate(MULTIPLES):
        inputs = {letter: float(x[t]) for letter, x in sweep.targets.items()}
        law = f"law at {multiple:g}×"
        intervals[law] = _law_interval(result, inputs, samples_BT[:, t], options.level)
        new_run = result.new_run_interval(**inputs)
        assert new_run is not None
        intervals[f"new run at {multiple:g}×"] = new_run
        true |= {law: float(sweep.losses[t]), f"new run at {multiple:g}×": float(sweep.new_losses[t])}
    pit = np.full(len(MULTIPLES), np.nan) if result.profiler is not None else _pit(new_BT, sweep.new_losses)
    return Answer(
        {name: bool(low <= true[name] <= high) for name, (low, high) in intervals.items()},
        {name: float((high - low) / (true[name] if "×" in name else 1)) for name, (low, high) in intervals.items()},
        pit,
    )


def _law_interval(result: Fit, inputs: dict[str, float], samples_B: np.ndarray, level: float) -> tuple[float, float]:
    if result.profiler is not None:
        return result.profiler.prediction(inputs)
    low, high = percentile_band(samples_B, level)
    return float(low), float(high)


def _pit(samples_BT: np.ndarray, losses_T: np.ndarray) -> np.ndarray:
    """Share of samples below each loss (T,)."""
    return np.asarray((np.sum(samples_BT < losses_T, 0) + 0.5) / (len(samples_BT) + 1))


def answer_by_forecast(sweep: Sweep, options: FitOptions) -> Answer:
    """Makes the mixture of `analysis forecast` and compares it with the new runs.

    Args:
        sweep: The sweep.
        options: Options of the fits.

    Raises:
        FitError: No law can be fitted.
    """
    names = [name for name in LAWS]
    fits = [fit(sweep.points, name, options) for name in names]
    calibration = calibrate(sweep.points, names, [laws.LAWS[name] for name in names], options)
    inside, width, pit = {}, {}, []
    for t, multiple in enumerate(MULTIPLES):
        N, D = (float(sweep.targets[letter][t]) for letter in "ND")
        predictive, _ = mix_laws(fits, Target(N, D, 6 * N * D), calibration)
        low, high = predictive.interval(options.level)
        loss, name = float(sweep.new_losses[t]), f"new run at {multiple:g}×"
        inside[name], width[name] = low <= loss <= high, (high - low) / loss
        pit.append(float(predictive.cdf(loss)))
    return Answer(inside, width, np.array(pit))


Method = Callable[[Sweep, FitOptions], Answer]


@dataclass(frozen=True)
class Coverage:
    """Coverage of one quantity over sweeps.

    Attributes:
        share: Share of the intervals that contain the truth.
        error: Two standard errors of the share.
        width: Median width of the intervals.
    """

    share: float
    error: float
    width: float


@dataclass(frozen=True)
class CalibrationStudy:
    """Answers of one method for the sweeps of one kind of noise.

    Attributes:
        answers: Answer for each sweep that could be fitted.
        failed: Number of sweeps that could not be fitted.
    """

    answers: list[Answer]
    failed: int

    def coverage(self, name: str) -> Coverage:
        """Returns the coverage of a quantity."""
        inside = np.array([answer.inside[name] for answer in self.answers])
        share, count = float(inside.mean()), len(inside)
        error = 2 * float(np.sqrt(max(share * (1 - share), 1 / count) / count))
        return Coverage(share, error, float(np.median([answer.width[name] for answer in self.answers])))

    def pit(self) -> np.ndarray:
        """Returns the PIT of the new runs (S, T)."""
        return np.stack([answer.pit for answer in self.answers])


def calibration_study(
    kind: Kind, methods: dict[str, tuple[Method, FitOptions]], sweeps: int, seed: int, runs: int
) -> dict[str, CalibrationStudy]:
    """Applies several methods to the same sweeps.

    Args:
        kind: Kind of the noise of the sweeps.
        methods: Methods and their options by name; the seed of a fit is the number of its sweep.
        sweeps: Number of sweeps.
        seed: Seed of the sweeps.
        runs: Number of runs of a sweep.
    """
    from dataclasses import replace

    answers: dict[str, list[Answer]] = {name: [] for name in methods}
    failed = dict.fromkeys(methods, 0)
    for number, sweep in enumerate(_sweeps(kind, sweeps, seed, runs)):
        for name, (method, options) in methods.items():
            try:
                answers[name].append(method(sweep, replace(options, seed=number)))
            except FitError:
                failed[name] += 1
    return {name: CalibrationStudy(answers[name], failed[name]) for name in methods}


def _sweeps(kind: Kind, count: int, seed: int, runs: int) -> Iterator[Sweep]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield draw_sweep(kind, rng, runs)
