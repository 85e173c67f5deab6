"""Limits of a design: the options of `next_runs.advise`, which are also flags of `analysis next`.

Standard library only, so that `--help` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.data.options import parse_positive
from analysis.errors import DataError, check_values
from scaling.config.options import option

QUANTITIES = ("L", "N", "D")  # that a design can make certain: the loss, or the compute-optimal size or tokens


def _parse_range(flag: str, text: str) -> tuple[float, float]:
    values = parse_positive("5:640", ":")(flag, text)
    if len(values) != 2:
        raise DataError(f"{flag} {text}: must be a range such as 5:640")
    return values[0], values[1]


def _parse_flops(flag: str, text: str) -> float:
    values = parse_positive("1e21")(flag, text)
    if len(values) != 1:
        raise DataError(f"{flag} {text}: must be one number of FLOPs")
    return values[0]


@dataclass(frozen=True)
class DesignOptions:
    """Limits of a design. Raises DataError for a value that is not allowed.

    Attributes:
        max_runs: Most runs.
        largest: Most FLOPs of one run; None is the budget.
        sizes: Numbers of parameters that models can have; any, a factor of 1.5 apart, where empty.
        ratios: Least and most tokens per parameter; None is those of the runs, a factor of 3 further to either side.
        worth: Relative narrowing of the interval that doubling the spending must bring.
    """

    max_runs: int = option(20, "most runs (%(default)s)", flag="--runs")
    largest: float | None = option(None, "most FLOPs of one run (the budget)", metavar="C", parse=_parse_flops)
    sizes: tuple[float, ...] = option(
        (), "numbers of parameters that can be trained (any)", metavar="N,..", parse=parse_positive("1e8,1e9")
    )
    ratios: tuple[float, float] | None = option(
        None,
        "tokens per parameter (those of the runs, three times as far)",
        metavar="LO:HI",
        parse=_parse_range,
        flag="--ratio",
    )
    worth: float = option(0.05, "relative narrowing that a doubling must bring (%(default)s)")

    def __post_init__(self) -> None:
        rising = self.ratios is None or 0 < self.ratios[0] < self.ratios[1]
        check_values(
            self,
            ratios=(rising, "a number above 0 and a larger one"),
            max_runs=(self.max_runs >= 1, "1 or more"),
            worth=(0 <= self.worth < 1, "0 or more, and less than 1"),
        )
