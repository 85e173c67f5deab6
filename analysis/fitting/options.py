"""Options of `fit`, which are also flags of every command that fits laws.

Imports only the standard library, so that `--help` stays fast.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from analysis.data.options import parse_numbers, parse_pairs
from analysis.errors import DataError, check_values
from analysis.uncertainty.options import BootstrapOptions
from scaling.config.options import option

RESAMPLING = ("auto", "residuals", "cases", "groups", "sizes", "runs", "parametric", "binomial")
INTERVALS = ("bootstrap", "profile", "posterior")
WEIGHTS = ("column", "seeds", "even")
WEIGHTINGS = ("noise", "equal")
FRONTIERS = ("envelope", "hull")
MINIMA = ("parabola", "akima", "chinchilla")
COMMON = (
    "objective",
    "delta",
    "undertuned",
    "weights",
    "bootstrap",
    "level",
    "seed",
)  # flags of every command that fits


NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"({NUMBER}|-?inf)?\.\.({NUMBER}|inf)?")


def _parse_bounds(flag: str, text: str) -> dict[str, tuple[float, float]]:
    bounds = {}
    for name, ends in parse_pairs("alpha=0..1,E=0.5..")(flag, text).items():
        match = RANGE.fullmatch(ends)
        if match is None or not any(match.groups()):
            raise DataError(f"{flag} {text}: {ends} must be LOW..HIGH, LOW.. or ..HIGH, such as alpha=0..1,E=0.5..")
        bounds[name] = (float(match[1] or -math.inf), float(match[2] or math.inf))
    return bounds


def _parse_number(flag: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{flag} {text}: must be a number") from None


@dataclass(frozen=True)
class FitOptions(BootstrapOptions):
    """Options of a fit and of its uncertainty. Raises DataError for a value that is not allowed.

    Attributes:
        bootstrap, level, seed: As in BootstrapOptions.
        objective: Name in `analysis.solver.objective.OBJECTIVES`; None selects the default of the law.
        delta: Residual at which Huber's loss becomes linear, on the objective's scale; None is 1e-3 (Hoffmann 2022).
        undertuned: Asymmetric weights, quantile-like (Newey and Powell 1987): points above the law have the
            weight 2·tau, points below it 2·(1 − tau), with 0 < tau <= 1/2. None is 1/2 (symmetric).
        weights: Weights of the runs: "column" uses a column of the source if there is one, "seeds" the inverse variance
            between seeds (analysis/uncertainty/seed_noise.py), "even" equal weights.
        resampling: Bootstrap scheme (analysis/uncertainty/resampling/bootstrap.py); "auto" chooses by number and
            kind of the runs.
        intervals: "bootstrap" for percentile intervals, "profile" for profile likelihood, "posterior" for a Bayesian
            fit (analysis/uncertainty/posterior/), of which `bootstrap` draws are kept.
        frontier: Frontier that approach 1 fits: "envelope" (the lowest loss at each C; Hoffmann 2022) or "hull" (the
            vertices of the lower convex hull of ln L over ln C).
        weighting: Weights of the minima of approach 2: "noise" (inverse variance) or "equal".
        minimum: Curve whose minimum approach 2 uses for each budget: "parabola", "akima" (Porian 2024) or "chinchilla",
            which is Chinchilla's law at a fixed budget and has no bias where α ≠ β.
        extrapolation_ratio: Predictions beyond this multiple of the fitted range are reported as extrapolation.
        budget_multiples: Budgets at which the optimum is reported, relative to the largest compute of the points.
        fix: Parameters fixed at values, such as {"E": 1.69}.
        tie: Parameters set equal to others, such as {"beta": "alpha"}.
        bounds: Lower and upper bound of parameters, such as {"alpha": (0.0, 1.0), "lnA": (0.0, math.inf)}, where a name
            with "ln" stands for a logarithm. A parameter at a bound is a warning of the verdict.
        start: Starting values that replace those of the law, such as {"alpha": (0.3, 0.4)}. The result is then the best
            local minimum next to the starts instead of the global minimum.
        checks: Whether to check the fit for warnings and other minima, which takes longer than the fit. Without checks
            a verdict only has the warnings of the selection of points: for many fits whose verdicts are not used.
        ideal_point: Whether to add a point with zero loss and accuracy 1 in step 2 of two-step (OLMo ladder 2024).
    """

    objective: str | None = option(
        None, "objective: huber-log, lse, mse-log, mse-log1p, mse, huber or lad (default: depends on the law)"
    )
    delta: float | None = option(None, "residual at which Huber's loss becomes linear (1e-3)", parse=_parse_number)
    undertuned: float | None = option(
        None,
        "asymmetric weights (quantile-like): TAU < 0.5 gives less weight to runs with a loss above the law (0.5)",
        metavar="TAU",
        parse=_parse_number,
    )
    weights: str = option(
        "column", "weights of runs: column (default; from the source), seeds (inverse variance between seeds) or even"
    )
    resampling: str = option(
        "auto",
        "bootstrap scheme: residuals, cases, groups, sizes, runs, parametric, or auto (default: chosen for the runs)",
    )
    intervals: str = option(
        "bootstrap",
        "method of the intervals: bootstrap (default), profile (profile likelihood) or posterior (Bayesian)",
    )
    frontier: str = option("envelope", "frontier that chinchilla-1 fits: envelope (default) or hull (convex hull)")
    weighting: str = option("noise", "weights of the minima in chinchilla-2: noise (default) or equal")
    minimum: str = option(
        "parabola",
        "curve for the minimum of each budget in chinchilla-2: parabola (default), akima, or chinchilla (not biased)",
    )
    extrapolation_ratio: float = option(
        1.0,
        "ratio to the range of an input from which a prediction counts as extrapolation (%(default)s)",
        metavar="K",
    )
    budget_multiples: tuple[float, ...] = (10.0, 100.0)
    fix: Mapping[str, float] = option(
        {}, "fix parameters at values", metavar="E=1.69,..", parse=parse_numbers("E=1.69,alpha=0.34")
    )
    tie: Mapping[str, str] = option(
        {}, "set parameters equal to others", metavar="beta=alpha", parse=parse_pairs("beta=alpha")
    )
    bounds: Mapping[str, tuple[float, float]] = option(
        {},
        "lower and upper bounds of parameters, or of their logarithms (lnA)",
        metavar="alpha=0..1,lnA=0..",
        parse=_parse_bounds,
    )
    start: Mapping[str, float | tuple[float, ...]] = option(
        {}, "starting values of the search", metavar="alpha=0.3,..", parse=parse_numbers("alpha=0.3,beta=0.3")
    )
    checks: bool = True
    ideal_point: bool = True

    def __post_init__(self) -> None:
        choices = {
            "objective": (None, *self._objectives()),
            "weights": WEIGHTS,
            "resampling": RESAMPLING,
            "intervals": INTERVALS,
            "frontier": FRONTIERS,
            "weighting": WEIGHTINGS,
            "minimum": MINIMA,
        }
        super().__post_init__()
        check_values(
            self,
            **{
                name: (getattr(self, name) in allowed, f"one of {', '.join(filter(None, allowed))}")
                for name, allowed in choices.items()
            },
            delta=(self.delta is None or 0 < self.delta < math.inf, "greater than 0"),
            undertuned=(self.undertuned is None or 0 < self.undertuned <= 0.5, "above 0 and at most 0.5"),
            extrapolation_ratio=(self.extrapolation_ratio >= 1, "1 or more"),
        )

    def _objectives(self) -> tuple[str, ...]:
        """Names of the objectives; empty by default, so that `--help` does not import NumPy."""
        if self.objective is None:
            return ()
        from analysis.solver.objective import OBJECTIVES

        return tuple(OBJECTIVES)

    def changed(self) -> tuple[str, ...]:
        """Returns the names of the fields that differ from their defaults."""
        default = FitOptions()
        return tuple(
            field.name
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != getattr(default, field.name)
        )
