"""How a law is fitted: the options of `fit`, which are also flags of every command that fits.

Standard library only, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from analysis.data.options import parse_numbers, parse_pairs
from analysis.errors import DataError, check_values
from analysis.uncertainty.options import BootstrapOptions
from scaling.config.options import option

RESAMPLING = ("auto", "residuals", "cases", "groups", "sizes", "parametric")
INTERVALS = ("bootstrap", "profile")
WEIGHTS = ("column", "seeds", "even")
WEIGHTINGS = ("noise", "equal")
MINIMA = ("parabola", "akima")
COMMON = ("objective", "delta", "undertuned", "weights", "bootstrap", "level", "seed")  # of every command that fits


def _parse_number(flag: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{flag} {text}: must be a number") from None


@dataclass(frozen=True)
class FitOptions(BootstrapOptions):
    """How a law is fitted and how its uncertainty is estimated. Raises DataError for a value that is not allowed.

    Attributes:
        bootstrap, level, seed: As in BootstrapOptions.
        objective: Name in `analysis.solver.objective.OBJECTIVES`; None is the law's own.
        delta: Residual at which Huber's loss turns linear, on the scale of the objective; None is 1e-3 (Hoffmann 2022).
        undertuned: Asymmetric weights, quantile-like (Newey and Powell 1987): points above the law count 2·tau, points
            below it 2·(1 − tau), with 0 < tau <= 1/2. None is 1/2, all alike.
        weights: Weights of the runs: "column" takes those of the source (all alike where it has none), "seeds" the
            inverse variance between seeds (analysis/uncertainty/seed_noise.py), "even" none.
        resampling: Bootstrap scheme (analysis/uncertainty/bootstrap.py); "auto" chooses by the runs there are.
        intervals: "bootstrap" for percentile intervals, "profile" for profile likelihood.
        weighting: Weights of the minima of approach 2: "noise" is the inverse square of their error, "equal" none.
        minimum: Minimum of a budget in approach 2: of a "parabola", or of an "akima" curve (Porian 2024).
        extrapolation_ratio: Inputs beyond this multiple of the fitted range are reported as extrapolation, 1 or more.
        budget_multiples: Budgets at which the optimum is reported, as multiples of the largest compute of the points.
        fix: Parameters fixed at values, {"E": 1.69}.
        tie: Parameters set equal to others, {"beta": "alpha"}.
        start: Values to start the search from instead of the law's own, {"alpha": (0.3, 0.4)}. The nearest local
            minimum is then reported instead of the lowest.
        ideal_point: Whether step 2 of two-step gets one more point, zero loss and accuracy 1 (OLMo ladder 2024).
    """

    objective: str | None = option(
        None, "huber-log, lse, mse-log, mse-log1p, mse, huber or lad (default: the law's own)"
    )
    delta: float | None = option(None, "residual at which Huber's loss turns linear (1e-3)", parse=_parse_number)
    undertuned: float | None = option(
        None,
        "asymmetric weights (quantile-like): TAU < 0.5 gives less weight to runs with a loss above the law (0.5)",
        metavar="TAU",
        parse=_parse_number,
    )
    weights: str = option(
        "column", "weights of runs: column (default; of the source), seeds (noise between seeds) or even"
    )
    resampling: str = option(
        "auto",
        "bootstrap scheme: residuals, cases, groups, sizes, parametric, or auto (default), by the runs there are",
    )
    intervals: str = option("bootstrap", "intervals by bootstrap (default) or profile likelihood: profile")
    weighting: str = option("noise", "weights of the minima in chinchilla-2: noise (default) or equal")
    minimum: str = option("parabola", "minimum of each budget in chinchilla-2: parabola (default) or akima")
    extrapolation_ratio: float = option(
        1.0,
        "multiple of the largest input beyond which a prediction counts as extrapolation (%(default)s)",
        metavar="K",
    )
    budget_multiples: tuple[float, ...] = (10.0, 100.0)
    fix: Mapping[str, float] = option(
        {}, "fix parameters at values", metavar="E=1.69,..", parse=parse_numbers("E=1.69,alpha=0.34")
    )
    tie: Mapping[str, str] = option(
        {}, "set parameters equal to others", metavar="beta=alpha", parse=parse_pairs("beta=alpha")
    )
    start: Mapping[str, float | tuple[float, ...]] = option(
        {}, "values to start the search from", metavar="alpha=0.3,..", parse=parse_numbers("alpha=0.3,beta=0.3")
    )
    ideal_point: bool = True

    def __post_init__(self) -> None:
        from analysis.solver.objective import OBJECTIVES  # here: NumPy, which --help must not import

        choices = {
            "objective": (None, *OBJECTIVES),
            "weights": WEIGHTS,
            "resampling": RESAMPLING,
            "intervals": INTERVALS,
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

    def changed(self) -> tuple[str, ...]:
        """Returns the names of the fields that differ from their defaults."""
        default = FitOptions()
        return tuple(
            field.name
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != getattr(default, field.name)
        )
