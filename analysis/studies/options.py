"""Options of the studies, which are also the flags of their commands.

Imports only the standard library, so that `--help` stays fast. Required inputs of a study, such as the laws of a
backtest, are arguments of its function instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from analysis.data.options import parse_names, parse_numbers, parse_pairs, parse_positive
from analysis.errors import DataError, check_values
from analysis.planning.options import QUANTITIES
from analysis.uncertainty.options import BootstrapOptions
from scaling.config.options import option

BACKTEST_BOOTSTRAP = 200  # default number of bootstrap samples of each fit of a backtest, which makes many fits
COVERAGE_BOOTSTRAP = 300  # default number of bootstrap samples of each fit of a coverage study
DESIGNS = ("isoflop", "grid")
APPROACHES = ("chinchilla-2", "chinchilla")  # approaches whose exponents `conventions` compares


Range = tuple[float, float]


def parse_ranges(flag: str, text: str) -> dict[str, Range]:
    """Parses the text of a flag such as `--over C=1e18:1e21,N=1e6:1e9`.

    Args:
        flag: The flag, for the error message.
        text: Its text.
    """
    ranges = {}
    for name, value in parse_pairs("C=1e18:1e21")(flag, text).items():
        low_text, _, high_text = value.partition(":")
        try:
            low, high = float(low_text), float(high_text)
        except ValueError:
            raise DataError(f"{flag} {text}: must be ranges such as C=1e18:1e21") from None
        if not 0 < low < high < math.inf:
            raise DataError(f"{flag} {text}: must be ranges LOW:HIGH with 0 < LOW < HIGH")
        ranges[name] = (low, high)
    return ranges


def parse_count(flag: str, text: str) -> int:
    """Parses the text of a flag that takes a whole number.

    Args:
        flag: The flag, for the error message.
        text: Its text.
    """
    try:
        return int(text)
    except ValueError:
        raise DataError(f"{flag} {text}: must be a whole number") from None


def parse_shift(flag: str, text: str) -> Range:
    """Parses the text of a flag such as `--shift 0.5,-0.5`; one number is both.

    Args:
        flag: The flag, for the error message.
        text: Its text.
    """
    try:
        first, *others = (float(part) for part in text.split(","))
        (last,) = others or (first,)
    except ValueError:
        raise DataError(f"{flag} {text}: must be one number or two, such as 0.5,-0.5") from None
    return first, last


def parse_positive_number(flag: str, text: str) -> float:
    """Parses the text of a flag that takes one number greater than 0.

    Args:
        flag: The flag, for the error message.
        text: Its text.
    """
    numbers = parse_positive("300")(flag, text)
    if len(numbers) != 1:
        raise DataError(f"{flag} {text}: must be one number")
    return numbers[0]


@dataclass(frozen=True)
class BacktestOptions:
    """Groups and processes of a backtest. Raises DataError for a value that is not allowed.

    Attributes:
        group: Column, or several separated by commas. Each group is fitted separately, and errors are averaged over
            groups. A store can only be grouped by sweep.
        workers: Number of processes. None uses all cores if there are many fits.
    """

    group: str | None = option(
        None, "fit each group separately and average the errors over groups", metavar="COLUMN,.."
    )
    workers: int | None = option(
        None, "number of processes (default: all cores if there are many fits)", metavar="P", parse=parse_count
    )

    def __post_init__(self) -> None:
        check_values(self, workers=(self.workers is None or self.workers >= 1, "1 or more"))


@dataclass(frozen=True)
class BenchOptions:
    """Number of fits of plain SciPy to time. Raises DataError for a value that is not allowed.

    Attributes:
        starts: Number of starts to time.
        draws: Number of bootstrap fits to time.
        seed: Seed of the sample of starts and of the bootstrap.
    """

    starts: int = option(40, "number of the 4,500 starts of SciPy to time (%(default)s)", metavar="S")
    draws: int = option(40, "number of the 4,000 bootstrap fits of SciPy to time (%(default)s)", metavar="B")
    seed: int = option(0, "seed of the samples (%(default)s)")

    def __post_init__(self) -> None:
        check_values(self, starts=(self.starts >= 1, "1 or more"), draws=(self.draws >= 1, "1 or more"))


@dataclass(frozen=True)
class ConventionsOptions:
    """Approaches and columns of a comparison of counting conventions. Raises DataError for a value that is not allowed.

    Attributes:
        laws: Approaches in APPROACHES whose exponents are compared.
        nonembedding: Column of a file with N without embeddings; None guesses it from common names.
    """

    laws: tuple[str, ...] = option(
        APPROACHES, "approaches to compare (chinchilla-2,chinchilla)", flag="--law", parse=parse_names
    )
    nonembedding: str | None = option(None, "column of a file with N without embeddings", metavar="COLUMN")

    def __post_init__(self) -> None:
        unknown = [law for law in self.laws if law not in APPROACHES]
        if unknown:
            raise DataError(f"law {', '.join(unknown)}: must be one of {', '.join(APPROACHES)}")


@dataclass(frozen=True)
class CoverageOptions:
    """Law, design and noise of simulated sweeps. Raises DataError for a value that is not allowed.

    Attributes:
        law: Name of a law or of an approach (losses then follow Chinchilla's law), or FILE.py:FUNCTION.
        truth: Parameters of the law; {} uses those of Hoffmann 2022 for Chinchilla's law.
        design: "isoflop" for budgets and sizes around the optimum, "grid" for all combinations of inputs.
        over: Range of C (isoflop) or of each input (grid); {} uses the range of Hoffmann 2022, or 1e6 to 1e9.
        runs: Number of runs of a sweep.
        budgets: Number of budgets of an isoFLOP design; the sizes of a budget are runs / budgets.
        half_range: Distance in ln N of the smallest and largest size of a budget from the middle.
        shift: Distance in ln N of the middle of the sizes from the optimum, at the smallest and the largest budget.
        noise: Relative standard deviation of the loss.
        bend: Change of the exponent of the loss in C (or the first input) above the middle of its range.
        draws: Number of simulated sweeps.
        seed: Seed of the noise.
    """

    law: str = option(
        "chinchilla",
        "name of a law (chinchilla), chinchilla-2, or your own FILE.py:FUNCTION or package.module:FUNCTION",
    )
    truth: Mapping[str, float] = option(
        {},
        "parameters of the law (Hoffmann 2022 for chinchilla)",
        metavar="E=1.69,..",
        parse=parse_numbers("E=1.69,alpha=0.34"),
    )
    design: str = option("isoflop", "design of a sweep: isoflop (default) or grid")
    over: Mapping[str, Range] = option(
        {}, "range of C, or of each input of a grid", metavar="C=1e18:1e21,..", parse=parse_ranges
    )
    runs: int = option(20, "number of runs of a sweep (%(default)s)")
    budgets: int = option(4, "number of budgets of an isoFLOP design (%(default)s)")
    half_range: float = option(1.1, "half of the range of ln N of a budget (%(default)s)")
    shift: tuple[float, float] = option(
        (0.0, 0.0),
        "distance in ln N of the sizes' middle from the optimum, at the smallest and the largest budget (0,0)",
        metavar="S,S",
        parse=parse_shift,
    )
    noise: float = option(0.003, "relative standard deviation of the loss (%(default)s)")
    bend: float = option(0.0, "change of the exponent above the middle of the range (%(default)s)")
    draws: int = option(300, "number of simulated sweeps (%(default)s)")
    seed: int = option(0, "seed of the noise (%(default)s)")

    def __post_init__(self) -> None:
        check_values(
            self,
            design=(self.design in DESIGNS, f"one of {', '.join(DESIGNS)}"),
            runs=(self.runs >= 8, "8 or more"),
            budgets=(2 <= self.budgets <= self.runs // 3, "2 or more, with three runs each"),
            half_range=(0 < self.half_range < 10, "above 0 and less than 10"),
            shift=(all(abs(x) < 10 for x in self.shift), "between -10 and 10"),
            noise=(0 <= self.noise < 1, "0 or more, and less than 1"),
            draws=(self.draws >= 1, "1 or more"),
            seed=(self.seed >= 0, "0 or more"),
        )


@dataclass(frozen=True)
class DesignSavingsOptions(BootstrapOptions):
    """Simulated sweeps that compare a design with an isoFLOP grid. Raises DataError for a value that is not allowed.

    Attributes:
        quantity: L, N or D of the optimum at 100 times the largest budget of the grid.
        draws: Number of simulated sweeps.
        noise: Standard deviation of ln L.
        runs: Number of runs of the grid.
        most_runs: Largest number of runs of a design, relative to the grid.
        largest: Largest FLOPs of a run of a design, relative to the largest run of the grid.
        bootstrap, level: As in BootstrapOptions, of each fit.
        seed: Seed of the noise.
        shares: FLOPs of the designs relative to the grid, including the pilot runs.
    """

    quantity: str = option("L", "quantity predicted at 100 times the largest budget of the grid: L (default), N or D")
    draws: int = option(50, "number of simulated sweeps (%(default)s)")
    noise: float = option(0.003, "standard deviation of the log loss (%(default)s)")
    runs: int = option(20, "number of runs of the grid (%(default)s)")
    most_runs: float = option(2.0, "largest number of runs of a design, relative to the grid (%(default)s)")
    largest: float = option(1.0, "FLOPs of the largest run of a design, relative to the grid (%(default)s)")
    bootstrap: int = option(300, "number of bootstrap samples of each fit (%(default)s)", metavar="B")
    seed: int = option(0, "seed of the noise (%(default)s)")
    shares: tuple[float, ...] = (0.5, 0.35, 0.25, 0.18, 0.125)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_values(
            self,
            quantity=(self.quantity in QUANTITIES, f"one of {', '.join(QUANTITIES)}"),
            draws=(self.draws >= 1, "1 or more"),
            noise=(0 < self.noise < 1, "above 0 and less than 1"),
            runs=(self.runs >= 16, "16 or more"),
            most_runs=(self.most_runs >= 1, "1 or more"),
            largest=(self.largest > 0, "a number above 0"),
        )


@dataclass(frozen=True)
class MultiplierOptions(BootstrapOptions):
    """Options of compute multipliers. Raises DataError for a value that is not allowed.

    Attributes:
        reference: Group whose multiplier is 1; None selects the first by name.
        bootstrap, level, seed: As in BootstrapOptions.
    """

    reference: str | None = option(None, "group whose multiplier is 1 (default: the first by name)", metavar="VALUE")


@dataclass(frozen=True)
class ObservationalOptions(BootstrapOptions):
    """Options of a fit of a task's score to benchmark scores. Raises DataError for a value that is not allowed.

    Attributes:
        full: Highest possible score of the task.
        holdout: Expression that selects the rows to predict, which are not fitted (analysis/data/filter.py).
        components: Number of principal components that predict the score of the task.
        filled: Number of principal components that impute missing scores.
        items: Number of items of the task, for the binomial noise of a score; None takes it as part of the scatter
            between models.
        name: Column of the names of models.
        bootstrap, level, seed: As in BootstrapOptions.
    """

    full: float = option(1.0, "highest possible score of the task (%(default)s)")
    holdout: str | None = option(None, 'rows to predict, such as "score>0.6"', metavar="EXPR")
    components: int = option(3, "number of principal components that predict the score (%(default)s)")
    filled: int = option(1, "number of principal components that impute missing scores (%(default)s)")
    items: float | None = option(
        None, "number of items of the task (default: part of the scatter)", metavar="n", parse=parse_positive_number
    )
    name: str | None = option(None, "column of the names of models", metavar="COL")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_values(self, full=(0 < self.full < math.inf, "greater than 0"))


@dataclass(frozen=True)
class SimulatedTaskOptions:
    """Number and seed of simulated tasks. Raises DataError for a value that is not allowed.

    Attributes:
        draws: Number of simulated tasks of each truth.
        seed: Seed of the simulation.
    """

    draws: int = option(100, "number of simulated tasks of each truth (%(default)s)")
    seed: int = option(0, "seed of the simulation (%(default)s)")

    def __post_init__(self) -> None:
        check_values(self, draws=(self.draws >= 1, "1 or more"), seed=(self.seed >= 0, "0 or more"))
