"""Options of the analyses of evaluations, which are also the flags of their commands.

Imports only the standard library, so that `--help` stays fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.data.options import parse_numbers
from analysis.errors import check_values
from analysis.uncertainty.options import BootstrapOptions
from scaling.config.options import option

AXES = ("C", "N", "D", "L")  # scales of a curve
# Column of the items that normalises the log-probability of a choice, by name of the option (metrics.accuracy).
NORMALISATIONS = {"raw": None, "token": "choice_tokens", "byte": "choice_bytes", "prior": "choice_prior_logp"}


@dataclass(frozen=True)
class EmergenceOptions(BootstrapOptions):
    """Scale, metrics, runs and predictions of an emergence study. Raises DataError for a value that is not allowed.

    Attributes:
        x: Scale: C, N, D or L.
        target: Scale at which scores are predicted: {x: value}, or {"N": ..., "D": ...}; {} makes no predictions.
        score: Metric that may jump; None selects the usual metric of the kind of task.
        continuous: Continuous metric to compare it with; None selects the usual metric.
        all_runs: Use all runs. By default only configurations on the compute-efficient frontier are used, with all
            seeds: those with a lower loss than every configuration of a smaller scale.
        all_steps: Use every evaluation of a run instead of its last.
        bootstrap, level, seed: As in BootstrapOptions, of predictions.
        flops: What C counts (ReadOptions.flops).
        params: What N counts (ReadOptions.params).
    """

    x: str = option("C", "scale of the x axis: C (default), N, D or L")
    target: Mapping[str, float] = option(
        {}, "scale at which scores are predicted; or N=..,D=..", metavar="C=1e13", parse=parse_numbers("C=1e13")
    )
    score: str | None = option(
        None, "metric that may jump: exact, accuracy, accuracy-token, pass@1, ..", metavar="METRIC"
    )
    continuous: str | None = option(
        None, "continuous metric to compare it with: logp, choice-logp, brier, edit, ..", metavar="METRIC"
    )
    all_runs: bool = option(False, "use all runs, not only the compute-efficient frontier")
    all_steps: bool = option(False, "use every evaluation of a run instead of its last")
    bootstrap: int = option(300, "number of bootstrap samples of a prediction (%(default)s)", metavar="B")
    flops: str = option("6nd", "what C counts: 6nd (default), 6nd-nonembedding, exact or exact-full-attention")
    params: str = option("total", "what N counts: total (default) or nonembedding")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_values(self, x=(self.x in AXES, f"one of {', '.join(AXES)}"))


@dataclass(frozen=True)
class CalibrationOptions(BootstrapOptions):
    """Options of measuring calibration and abstention. Raises DataError for a value that is not allowed.

    Attributes:
        per: Normalisation of the log-probability of a choice: raw, token, byte or prior (metrics.accuracy).
        bootstrap, level, seed: As in BootstrapOptions, over items.
    """

    per: str = option("raw", "normalisation of a choice's log-probability: raw (default), token, byte or prior")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_values(self, per=(self.per in NORMALISATIONS, f"one of {', '.join(NORMALISATIONS)}"))
