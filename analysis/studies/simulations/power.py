"""Power of a fit: which other laws its runs could tell from the fitted one, and with which runs they would be told.

Of two laws one contains the other: the fitted law contains the simple alternatives (E = 0, equal exponents), and the
general alternatives (generalised Chinchilla, a broken power law) contain the fitted law. The statistic is the ratio of
likelihoods for normal errors of ln L, n·ln(RSS of the simple law / RSS of the general law). Its critical value comes
from runs simulated under the simple law, and the power is the share of runs simulated under the general law for which
the statistic exceeds it (parametric bootstrap: Davison and Hinkley 1997, section 4.2.3). General alternatives have a
documented size of effect (`power_alternatives`).

Key: N parameters, D tokens, C FLOPs, L nats per token; S simulated sweeps, n runs, P coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from analysis.errors import FitError
from analysis.fitting.result import Fit
from analysis.laws.law import Law, constrain
from analysis.laws.loss.chinchilla import CHINCHILLA
from analysis.solver.minimise import minimise
from analysis.solver.objective import make_objective
from analysis.solver.problem import Problem
from analysis.solver.robust import robust_std
from analysis.studies.simulations.power_alternatives import (
    ALTERNATIVES,
    BREAK,
    GENERAL_EXPONENT,
    Alternative,
    broken_chinchilla,
    generalised_chinchilla,
    one_more_parameter,
)
from scaling.store.origin.paths import public_path

LEVEL = 0.05  # probability of calling the simple law wrong where it is true
ENOUGH = 0.8  # power from which an alternative counts as distinguishable (Cohen 1988, section 2.4)
EXTENSIONS = (3.0, 10.0, 30.0, 100.0)  # multiples of the largest compute at which further runs are considered
EXTENSION_SIZES = np.exp(np.linspace(-1.1, 1.1, 5))  # sizes of these runs, relative to the optimum

_TERMS, _EXPONENTS = {"A": "N", "B": "D"}, {"A": "alpha", "B": "beta"}  # input and exponent of each term


@dataclass(frozen=True)
class Distinction:
    """How well runs tell an alternative from the fitted law.

    Attributes:
        name: Name of the alternative.
        meaning: What it says, with the size of its effect.
        power: Share of simulated sweeps in which the wrong one of both laws is rejected at LEVEL.
        error: Two standard errors of the power, of the simulation.
        p_value: Probability, under the simple law, of a statistic as large as that of the runs.
        extension: Smallest of EXTENSIONS at which the runs of `extension_runs`, added, give ENOUGH power; None if the
            runs suffice, or if none does.
        extension_power: Power with these runs, at the largest of EXTENSIONS if none is enough; None if the runs
            suffice.
        command: Command that chooses runs up to that compute; "" if the runs suffice.
    """

    name: str
    meaning: str
    power: float
    error: float
    p_value: float
    extension: float | None = None
    extension_power: float | None = None
    command: str = ""

    @property
    def is_enough(self) -> bool:
        """Whether the runs can tell the laws apart."""
        return self.power >= ENOUGH


@dataclass(frozen=True)
class Power:
    """Power statement of a fit.

    Attributes:
        law: Name of the fitted law.
        runs: Number of runs.
        noise: Standard deviation of ln L about the law, used in the simulations.
        draws: Number of simulated sweeps of each kind.
        distinctions: One for each alternative.
    """

    law: str
    runs: int
    noise: float
    draws: int
    distinctions: tuple[Distinction, ...] = field(default_factory=tuple)

    @property
    def sentences(self) -> list[str]:
        """The statement in words, a line for each alternative, then what was simulated."""
        lines = [_sentence(distinction) for distinction in self.distinctions]
        return [
            *lines,
            f"power of {self.runs} runs with noise {self.noise:.2g} of ln L, tests at {LEVEL:.0%}, {self.draws} "
            "simulated sweeps of each law; ± two standard errors of the simulation",
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns the statement in types of JSON."""
        rows = [
            {name: value for name, value in vars(row).items() if value not in (None, "")} | {"enough": row.is_enough}
            for row in self.distinctions
        ]
        return {"runs": self.runs, "noise": self.noise, "level": LEVEL, "draws": self.draws, "alternatives": rows}


def _sentence(row: Distinction) -> str:
    text = f"{row.name} ({row.meaning}): power {row.power:.0%} ± {row.error:.0%}, p = {row.p_value:.2g}: "
    if row.is_enough:
        return text + "these runs could tell"
    if row.extension is None:
        return text + f"these runs could not tell, nor with runs up to {EXTENSIONS[-1]:g} times their largest compute"
    return text + (
        f"these runs could not tell; {len(EXTENSION_SIZES)} sizes at {row.extension:g} times the largest compute would "
        f"({row.extension_power:.0%}): {row.command}"
    )


def power_statement(fit: Fit, draws: int = 200, seed: int = 0, *, extend: bool = True) -> Power:
    """Computes which alternatives the runs of a fit could have distinguished.

    Args:
        fit: A fit of `chinchilla` to N and D, with or without constraints.
        draws: Number of simulated sweeps of each kind.
        seed: Seed of the simulations.
        extend: Whether to look for further runs where the power is low.

    Raises:
        FitError: The fit is of another law, or has too few runs.
    """
    if fit.form is None or getattr(fit.form.function, "__name__", "") != CHINCHILLA.function.__name__:
        raise FitError(f"{fit.law}: a power statement is made for the law chinchilla, of N, D and L")
    if len(fit.points) < len(fit.params) + 2:
        raise FitError(f"{fit.law}: a power statement needs {len(fit.params) + 2} runs or more, not {len(fit.points)}")
    if draws < 40:
        raise FitError(f"draws = {draws}: must be 40 or more, or a test at {LEVEL:.0%} cannot be simulated")
    study = _Study(fit, draws, seed)
    applicable = [alternative for alternative in ALTERNATIVES if study.applies(alternative)]
    distinctions = tuple(study.distinction(alternative, extend) for alternative in applicable)
    return Power(fit.law, len(fit.points), study.noise, draws, distinctions)


class _Study:
    """A fit with the noise of its runs, the designs, and simulations of both laws of a pair."""

    def __init__(self, fit: Fit, draws: int, seed: int) -> None:
        self.fit, self.draws, self.seed = fit, draws, seed
        self.fixed = {name: value for name, value in fit.constraints.items() if not isinstance(value, str)}
        self.tied = {name: value for name, value in fit.constraints.items() if isinstance(value, str)}
        self.objective = make_objective("mse-log", None, None)
        free = len(fit.params) - len(fit.constraints)
        self.noise = max(robust_std(fit.residuals()) * np.sqrt(len(fit.points) / (len(fit.points) - free)), 1e-6)
        points = fit.points
        self.middle = float(np.exp(np.log(points.N * points.D).mean()))

    def applies(self, alternative: Alternative) -> bool:
        """Whether an alternative differs from the fitted law as it is constrained."""
        taken = {"no E": {"E"}, "equal exponents": {"alpha", "beta"}}.get(alternative.name, set())
        return not taken & {*self.fixed, *self.tied, *self.tied.values()}

    def laws(self, alternative: Alternative) -> tuple[Law, Law, dict[str, float]]:
        """The simple and the general law of a pair, and the parameters of the general law at the size of the effect."""
        fitted, params = constrain(CHINCHILLA, self.fixed, self.tied), dict(self.fit.params)
        free = {name: params[name] for name in fitted.parameters}
        if alternative.name == "no E":
            return constrain(CHINCHILLA, {**self.fixed, "E": 0.0}, self.tied), fitted, free
        if alternative.name == "equal exponents":
            return constrain(CHINCHILLA, self.fixed, {**self.tied, "beta": "alpha"}), fitted, free
        if alternative.name == "generalised Chinchilla":
            general = one_more_parameter(generalised_chinchilla, "k", (0.1, 5.0), is_power=True)
            k = GENERAL_EXPONENT
            values = {**params, "A": params["A"] ** (1 / k), "B": params["B"] ** (1 / k), "k": k}
            values |= {name: params[name] / k for name in ("alpha", "beta")}
        else:
            general = one_more_parameter(broken_chinchilla(self.middle), "c", (-2.0, 2.0))
            optimum = (
                self.fit.params["alpha"]
                * self.fit.params["beta"]
                / (self.fit.params["alpha"] + self.fit.params["beta"])
            )  # exponent of the reducible loss in compute (Hoffmann 2022, equation 4)
            values = {**params, "c": BREAK * optimum}
        general = constrain(general, self.fixed, self.tied)
        return fitted, general, {name: values[name] for name in general.parameters}

    def distinction(self, alternative: Alternative, extend: bool) -> Distinction:
        """The power of the runs, and if it is low, the runs with which it is enough."""
        N, D = self.fit.points.N, self.fit.points.D
        statistic, power, error, null = self.power(alternative, N, D)
        p_value = float((1 + np.sum(null >= statistic)) / (1 + len(null)))
        row = Distinction(alternative.name, alternative.meaning, power, error, p_value)
        if row.is_enough or not extend:
            return row
        for multiple in EXTENSIONS:
            more_N, more_D = extension_runs(self.fit, multiple)
            power = self.power(alternative, np.append(N, more_N), np.append(D, more_D))[1]
            if power >= ENOUGH:
                return replace(
                    row, extension=multiple, extension_power=power, command=self.command(multiple, more_N, more_D)
                )
        return replace(row, extension_power=power)

    def command(self, multiple: float, N: np.ndarray, D: np.ndarray) -> str:
        """The command that chooses runs up to a multiple of the largest compute."""
        cost = self.fit.points.compute_cost
        C, flops = multiple * float(self.fit.points.C.max()), float(cost.flops(N, D).sum())
        source = public_path(self.fit.points.source)
        return f"python -m analysis next {source} --target C={C:.3g} --budget {flops:.3g}"

    def power(self, alternative: Alternative, N: np.ndarray, D: np.ndarray) -> tuple[float, float, float, np.ndarray]:
        """Statistic of the runs (NaN for another design), power, two standard errors, and the null statistics (S,)."""
        simple, general, truth = self.laws(alternative)
        measured = np.log(self.fit.points.L)
        observed = len(N) == len(measured)
        # the simple law nearest to the general one: the fit itself where it is the simple law
        target = general.function(N, D, **truth) if alternative.is_simple else self.fit.predict(N=N, D=D)
        y_simple = self._best(simple, N, D, np.log(target)[None])[1][0]
        y_general = np.log(general.function(N, D, **truth))
        rng = np.random.default_rng(self.seed)
        noise = self.noise * rng.standard_normal((2, self.draws, len(N)))
        null = self.statistics(simple, general, truth, N, D, y_simple + noise[0])
        other = self.statistics(simple, general, truth, N, D, y_general + noise[1])
        critical = float(np.quantile(null, 1 - LEVEL))
        power = float(np.mean(other > critical))
        error = 2 * float(np.sqrt(max(power * (1 - power), 1 / self.draws) / self.draws))
        statistic = float(self.statistics(simple, general, truth, N, D, measured[None])[0]) if observed else np.nan
        return statistic, power, error, null

    def statistics(
        self, simple: Law, general: Law, truth: dict[str, float], N: np.ndarray, D: np.ndarray, y_Sn: np.ndarray
    ) -> np.ndarray:
        """n·ln(RSS of the simple law / RSS of the general law) of each sweep (S,)."""
        first = self._best(simple, N, D, y_Sn)[0]
        second = np.minimum(self._best(general, N, D, y_Sn, truth)[0], first)
        return np.asarray(len(N) * (np.log(first) - np.log(second)))

    def _best(
        self, law: Law, N: np.ndarray, D: np.ndarray, y_Sn: np.ndarray, start: dict[str, float] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sum of squares (S,) and ln L of the law (S, n) at the best fit to each sweep."""
        problem = Problem(law, (N, D), y_Sn, np.ones(len(N)), self.objective)
        best, fitted = np.full(len(y_Sn), np.inf), np.zeros_like(y_Sn)
        for params in self._starts(law, start):
            coordinates = problem.coordinates({name: np.asarray(value) for name, value in params.items()})
            u, _ = minimise(problem, np.tile(coordinates, (len(y_Sn), 1)), iterations=100, tolerance=1e-8)
            residual = problem.residual(u)
            squares = np.sum(residual**2, -1)
            better = squares < best
            best, fitted = np.where(better, squares, best), np.where(better[:, None], residual + y_Sn, fitted)
        return np.maximum(best, 1e-300), fitted

    def _starts(self, law: Law, start: dict[str, float] | None) -> list[dict[str, float]]:
        """Starts of a law: the fitted parameters with its further parameter at no effect, and the truth."""
        neutral = {**self.fit.params, "k": 1.0, "c": 0.0}
        if "E" not in law.parameters and "E" not in self.fixed:  # without E, exponents are smaller
            slower = {name: neutral[name] * 0.3 for name in ("alpha", "beta")}
            scale = float(np.exp(np.log(self.fit.points.L).mean())) / 2
            middle = {name: float(np.exp(np.log(self.fit.points[letter]).mean())) for name, letter in _TERMS.items()}
            neutral |= {**slower, **{name: scale * middle[name] ** slower[_EXPONENTS[name]] for name in _TERMS}}
        if "beta" not in law.parameters and "alpha" in law.parameters:
            mean = float(np.sqrt(neutral["alpha"] * neutral["beta"]))
            middle = {name: float(np.exp(np.log(self.fit.points[letter]).mean())) for name, letter in _TERMS.items()}
            for name in _TERMS:
                neutral[name] *= middle[name] ** (mean - neutral[_EXPONENTS[name]])
            neutral["alpha"] = mean
        starts = [{name: neutral[name] for name in law.parameters}]
        return starts if start is None else [*starts, {name: start[name] for name in law.parameters}]


def extension_runs(fit: Fit, multiple: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns N and D of runs of several sizes around the optimum at a multiple of the largest compute.

    Args:
        fit: The fit.
        multiple: The compute relative to that of the largest run.
    """
    if fit.optimum is None:
        raise FitError(f"{fit.law}: has no optimum, so no further runs can be chosen")
    best = fit.optimum.at(multiple * float(fit.points.C.max()))
    N = best["N"] * EXTENSION_SIZES
    return N, fit.points.compute_cost.tokens(best["C"], N)
