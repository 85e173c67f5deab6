"""The run whose loss is forecast: its N, D and C under a counting convention, and its identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.data.runs import DEFAULT_FLOPS, count_runs
from analysis.errors import DataError, FitError
from analysis.fitting.result import Fit
from analysis.planning.compute_optimal import optimal_training
from scaling.config.run import RunConfig, load, run_id
from scaling.config.validation import ConfigError, to_dict
from scaling.counting.counts import parameters, run_flops
from scaling.store.files import StoreError

MAX_REACH = 30.0  # of N* and D* beyond the points, besides the ratio of C


@dataclass(frozen=True)
class Target:
    """A run to forecast.

    Attributes:
        N: Parameters.
        D: Training tokens.
        C: Training FLOPs; NaN if the points have no C.
        run_id: Id of the run; None without a config.
        config: Its config; None if only N and D are known.
    """

    N: float
    D: float
    C: float
    run_id: str | None = None
    config: RunConfig | None = None

    @property
    def inputs(self) -> dict[str, float]:
        """Values of the inputs of laws: N, D, C and M = D / N."""
        return {"N": self.N, "D": self.D, "C": self.C, "M": self.D / self.N}

    def to_json(self) -> dict[str, Any]:
        """Returns the fields in types of JSON; N and D as they are counted."""
        identity = {} if self.config is None else {"run_id": self.run_id, "config": to_dict(self.config)}
        return {"N": self.N, "D": self.D, "C": self.C, **identity}


def load_config(path: str) -> RunConfig:
    """Reads the config of the run to forecast. Raises DataError for a file that is no config of a run."""
    try:
        return load(path)
    except (ConfigError, StoreError) as error:
        raise DataError(f"--target-run {error}") from None


def run_target(config: RunConfig, flops: str | None = None, params: str = "total") -> Target:
    """Returns the run of a config under a counting convention.

    Args:
        config: The config.
        flops: What C counts, as in `analysis.data.runs.FLOP_COUNTS`.
        params: What N counts, as in `analysis.data.runs.PARAM_COUNTS`.
    """
    counts = {f"params.{name}": float(value) for name, value in parameters(config.model).items()}
    counts |= {f"flops.{name}": float(value) for name, value in run_flops(config).items()}
    plan = {
        "status": "planned",
        "config.batch": config.batch,
        "config.steps": config.steps,
        "config.data.length": config.data.length,
        "config.schedule.batch_ramp": config.schedule.batch_ramp,
    }
    facts = pd.DataFrame([counts | plan])
    N, D, C = (float(x[0]) for x in count_runs(facts, flops or DEFAULT_FLOPS, params))
    return Target(N, D, C, run_id(config), config)


def size_target(given: dict[str, float], fits: list[Fit]) -> Target:
    """Returns the run with given N and D, or the compute-optimal run with given C.

    Args:
        given: N and D, or C.
        fits: Fits of laws to the points; the first one with an optimum gives N and D for C.

    Raises:
        FitError: No law has an optimum, the points have no C, or the optimum is so far from the points that they do
            not determine it.
    """
    cost = fits[0].points.compute_cost
    if "C" not in given:
        return Target(given["N"], given["D"], float(cost.flops(given["N"], given["D"])))
    for fit in fits:
        if fit.form is not None and fit.form.optimum is not None:
            optimum = optimal_training(fit, [given["C"]])
            target = Target(float(optimum.N.value[0]), float(optimum.D.value[0]), given["C"])
            _check_reach(target, fit)
            return target
    names = ", ".join(fit.law for fit in fits)
    raise FitError(
        f"target C={given['C']:g}: {names} have no compute-optimal N and D: add chinchilla, or give N=..,D=.."
    )


def _check_reach(target: Target, fit: Fit) -> None:
    """Raises FitError if the optimum is farther from the points than a power law could take it."""
    points = fit.points
    factor = MAX_REACH * max(target.C / float(points.C.max()), float(points.C.min()) / target.C, 1.0)
    for letter, value in (("N", target.N), ("D", target.D)):
        known = points[letter]
        if not float(known.min()) / factor <= value <= float(known.max()) * factor:
            raise FitError(
                f"target C={target.C:g}: the optimum of {fit.law} is N = {target.N:.3g}, D = {target.D:.3g}: these "
                "points do not determine the compute-optimal size: give N=..,D=.. or --target-run CONFIG.json"
            )
