"""Options of a bootstrap, which are also flags of all commands with a bootstrap.

Imports only the standard library, so that `--help` stays fast.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.errors import check_values
from scaling.config.options import option

LEAST_BOOTSTRAP = 100  # with fewer, too few samples are outside of a 95% interval


@dataclass(frozen=True)
class BootstrapOptions:
    """Options of a bootstrap and its intervals. Raises DataError for a value that is not allowed.

    Attributes:
        bootstrap: Number of bootstrap samples, at least LEAST_BOOTSTRAP.
        level: Coverage of the intervals, between 0 and 1.
        seed: Seed of the bootstrap.
    """

    bootstrap: int = option(1000, "number of bootstrap samples (%(default)s)", metavar="B")
    level: float = option(0.95, "coverage of the intervals (%(default)s)")
    seed: int = option(0, "seed of the bootstrap (%(default)s)")

    def __post_init__(self) -> None:
        check_values(
            self,
            bootstrap=(self.bootstrap >= LEAST_BOOTSTRAP, f"at least {LEAST_BOOTSTRAP}"),
            level=(0 < self.level < 1, "between 0 and 1"),
            seed=(self.seed >= 0, "0 or more"),
        )
