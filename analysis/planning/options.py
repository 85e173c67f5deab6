"""Options of designs, used by `next_runs` and as flags of `analysis next`.

Imports only the standard library, so that `--help` stays fast.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.data.options import parse_positive
from analysis.errors import DataError, check_values
from scaling.config.options import option

QUANTITIES = ("L", "N", "D")  # quantities of a target: the loss, the compute-optimal size or tokens


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
        max_runs: Largest number of runs.
        largest: Largest FLOPs of one run; None is the budget.
        sizes: Allowed numbers of parameters; empty uses sizes a factor of 1.5 apart.
        ratios: Smallest and largest tokens per parameter; None extends the range of the runs by a factor of 3.
        worth: Smallest relative narrowing of the interval for which the FLOPs are doubled.
    """

    max_runs: int = option(20, "largest number of runs (%(default)s)", flag="--runs")
    largest: float | None = option(
        None, "largest FLOPs of one run (default: the budget)", metavar="C", parse=_parse_flops
    )
    sizes: tuple[float, ...] = option(
        (), "allowed numbers of parameters (default: any)", metavar="N,..", parse=parse_positive("1e8,1e9")
    )
    ratios: tuple[float, float] | None = option(
        None,
        "range of tokens per parameter (default: that of the runs, extended by a factor of 3; never beyond that of the "
        "runs while the fit has warnings)",
        metavar="LO:HI",
        parse=_parse_range,
        flag="--ratio",
    )
    worth: float = option(0.05, "smallest relative narrowing of the interval for doubled FLOPs (%(default)s)")

    def __post_init__(self) -> None:
        increasing = self.ratios is None or 0 < self.ratios[0] < self.ratios[1]
        check_values(
            self,
            ratios=(increasing, "LO:HI with 0 < LO < HI"),
            max_runs=(self.max_runs >= 1, "1 or more"),
            worth=(0 <= self.worth < 1, "0 or more, and less than 1"),
        )
