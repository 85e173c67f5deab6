"""Options of `forecast`, which are also flags of its command.

Imports only the standard library, so that `--help` stays fast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from analysis.data.options import parse_names, parse_numbers
from analysis.errors import check_values
from scaling.config.options import option

LAWS = ("chinchilla", "kaplan-nd", "over-training")  # laws of N and D with different asymptotes
FORECAST_BOOTSTRAP = 400  # default number of bootstrap samples of each law


@dataclass(frozen=True)
class ForecastOptions:
    """The run whose loss is forecast, and the laws. Raises DataError for a value that is not allowed.

    Attributes:
        target: FLOPs C of a run of the compute-optimal size, or N and D of the run. Empty with `target_run`.
        target_run: File with the config of the run, whose N, D and C are counted.
        law: Names of the laws of the mixture; each must be a function of N, D, C and D / N.
    """

    target: Mapping[str, float] = option(
        {},
        "run whose loss is forecast: C=5e13 (of the compute-optimal size), or N=..,D=..",
        metavar="C=5e13",
        parse=parse_numbers("C=5e13"),
    )
    target_run: str = option(
        "", "file with the config of the run, whose N, D and C are counted; needed for --seal", metavar="CONFIG.json"
    )
    law: tuple[str, ...] = option(
        LAWS,
        f"laws of the mixture, weighted by their backtests ({','.join(LAWS)})",
        metavar="A,B,..",
        parse=parse_names,
    )

    def __post_init__(self) -> None:
        valid = set(self.target) in (set(), {"C"}, {"N", "D"}) and all(0 < x < math.inf for x in self.target.values())
        check_values(
            self,
            target=(valid, "C=.. or N=..,D=.."),
            target_run=(not (self.target and self.target_run), "given without --target, which it replaces"),
            law=(len(set(self.law)) == len(self.law) > 0, "different names of laws"),
        )
