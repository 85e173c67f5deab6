"""Options of the analyses of evaluations, which are also the flags of their commands.

Imports only the standard library, so that `--help` stays fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from analysis.data.options import parse_names, parse_numbers
from analysis.errors import DataError, check_values
from analysis.uncertainty.options import BootstrapOptions
from scaling.config.options import option

AXES = ("C", "N", "D", "L")  # scales of a curve
ALL_TASKS = "*"  # key of `EmergenceOptions.chance` that stands for every task
READING = (
    "columns",
    "units",
    "drop_bad",
    "where",
    "flops",
    "params",
    "wide",
    "run_names",
)  # fields of ReadOptions that apply to scores
# Column of the items that normalises the log-probability of a choice, by name of the option (metrics.accuracy).
NORMALISATIONS = {"raw": None, "token": "choice_tokens", "byte": "choice_bytes", "prior": "choice_prior_logp"}


def parse_by_task(example: str) -> Callable[[str, str], dict[str, float]]:
    """Returns a parser for a flag that takes one number for all tasks, such as 0.25, or numbers by task.

    Args:
        example: A valid number, which the error message shows.
    """
    parse = parse_numbers(f"mmlu={example},sum={example}, or {example} for all tasks")
    return lambda flag, text: parse(flag, text if "=" in text else f"{ALL_TASKS}={text}")


@dataclass(frozen=True)
class EmergenceOptions(BootstrapOptions):
    """Scale, metrics, runs and predictions of an emergence study. Raises DataError for a value that is not allowed.

    Attributes:
        x: Scale: C, N, D or L; None selects the first of them that runs have.
        target: Scale at which scores are predicted: {x: value}, or {"N": ..., "D": ...}; {} makes no predictions.
        score: Metric that may jump; None selects the usual metric of the kind of task. Of a table, a column or a
            metric of the table.
        continuous: Continuous metric to compare it with; None selects the usual metric.
        chance: Score of a random guess by task; `ALL_TASKS` stands for every task. It replaces that of the source.
        items: Number of items by task, for tables without it; `ALL_TASKS` stands for every task.
        tasks: Tasks to study, by name or by a pattern such as mmlu_*; () studies all. Of a table without a column of
            scores, its columns with the score of a task.
        all_runs: Use all runs. By default only configurations on the compute-efficient frontier are used, with all
            seeds: those with a lower loss than every configuration of a smaller scale.
        all_steps: Use every evaluation of a run instead of its last.
        bootstrap, level, seed: As in BootstrapOptions, of predictions.
    """

    x: str | None = option(None, "scale of the x axis: C, N, D or L (default: the first that the runs have)")
    target: Mapping[str, float] = option(
        {}, "scale at which scores are predicted; or N=..,D=..", metavar="C=1e13", parse=parse_numbers("C=1e13")
    )
    score: str | None = option(
        None, "metric that may jump: exact, accuracy, accuracy-token, pass@1, .., or a column", metavar="METRIC"
    )
    continuous: str | None = option(
        None, "continuous metric to compare it with: logp, choice-logp, brier, edit, ..", metavar="METRIC"
    )
    chance: Mapping[str, float] = option(
        {},
        "score of a random guess, where the source has none",
        metavar="0.25 or TASK=0.25,..",
        parse=parse_by_task("0.25"),
    )
    items: Mapping[str, float] = option(
        {}, "number of items, where a table has none", metavar="1000 or TASK=1000,..", parse=parse_by_task("1000")
    )
    tasks: tuple[str, ...] = option((), "tasks to show (default: all)", metavar="NAME,mmlu_*,..", parse=parse_names)
    all_runs: bool = option(False, "use all runs, not only the compute-efficient frontier")
    all_steps: bool = option(False, "use every evaluation of a run instead of its last")
    bootstrap: int = option(300, "number of bootstrap samples of a prediction (%(default)s)", metavar="B")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_values(self, x=(self.x in (None, *AXES), f"one of {', '.join(AXES)}"))
        for task, level in self.chance.items():
            if not 0 <= level < 1:
                raise DataError(f"chance {task}={level:g}: must be a share of correct answers from 0 to below 1")
        for task, count in self.items.items():
            if not 1 <= count < math.inf:
                raise DataError(f"items {task}={count:g}: must be 1 or more")


@dataclass(frozen=True)
class CalibrationOptions(BootstrapOptions):
    """Options of measuring calibration and abstention. Raises DataError for a value that is not allowed.

    Attributes:
        per: Normalisation of the log-probability of a choice: raw, token, byte or prior (metrics.accuracy).
        tasks: Tasks to measure, by name or by a pattern such as mmlu_*; () measures all.
        bootstrap, level, seed: As in BootstrapOptions, over items.
    """

    per: str = option("raw", "normalisation of a choice's log-probability: raw (default), token, byte or prior")
    tasks: tuple[str, ...] = option((), "tasks to show (default: all)", metavar="NAME,mmlu_*,..", parse=parse_names)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_values(self, per=(self.per in NORMALISATIONS, f"one of {', '.join(NORMALISATIONS)}"))
