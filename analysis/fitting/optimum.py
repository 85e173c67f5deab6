"""Compute-optimal training of a fit at any budget, with intervals.

Key: N parameters, D tokens, C FLOPs, L loss; B bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.fitting.profiler import Profiler
from analysis.uncertainty.intervals import corrected_interval
from analysis.uncertainty.new_run import new_run_interval
from analysis.uncertainty.verdicts import warning

ROUNDING = 1.001  # tolerance of the range of inputs, so that its ends are not extrapolations


@dataclass(frozen=True)
class Optimum:
    """Compute-optimal training: N* = e^ln_n·C^a, D* = e^ln_d·C^b.

    Attributes:
        path: ln_n, a, ln_d and b, each (1 + B,) with the estimate first.
        level: Coverage of the intervals.
        largest: The largest C of the points.
        loss: Function that returns L of N and D, each (1 + B,); None without a law of the loss.
        extrapolation_ratio: Multiple of `largest` beyond which a budget counts as extrapolation.
        profiled: Intervals of a and b by profile likelihood, if computed.
        profiler: Intervals by profile likelihood at a budget, if these are used.
        scatter: Draws of ln(measured / predicted) of a new run (B,); None without a law of the loss.
        method: Method of the intervals.
    """

    path: dict[str, np.ndarray]
    level: float
    largest: float
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    extrapolation_ratio: float = 1.0
    profiled: dict[str, tuple[float, float]] = field(default_factory=dict)
    profiler: Profiler | None = None
    scatter: np.ndarray | None = None
    method: str = "bootstrap"

    @property
    def a(self) -> float:
        """Exponent of N*(C)."""
        return float(self.path["a"][0])

    @property
    def b(self) -> float:
        """Exponent of D*(C)."""
        return float(self.path["b"][0])

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Intervals of a and b."""
        return {name: corrected_interval(self.path[name], self.level) for name in ("a", "b")} | self.profiled

    def at(self, C: float) -> dict[str, Any]:
        """Returns N, D and, if the law has a loss, L at budget C, with intervals and a verdict.

        Intervals are of the law; for L there is also that of a new run.
        """
        with np.errstate(over="ignore"):
            N = np.exp(self.path["ln_n"] + self.path["a"] * np.log(C))
            D = np.exp(self.path["ln_d"] + self.path["b"] * np.log(C))
            values = {"N": N, "D": D, "tokens_per_parameter": D / N}
        if self.loss is not None:
            values["L"] = self.loss(N, D)
        ratio = C / self.largest
        extrapolated = ratio > self.extrapolation_ratio * ROUNDING
        intervals = {name: corrected_interval(value, self.level) for name, value in values.items()}
        if self.profiler is not None:
            intervals |= self.profiler.optimum(C)
        new_run = {}
        if self.scatter is not None and "L" in values:
            L, profiled = values["L"], intervals["L"] if self.profiler is not None else None
            new_run = {"L": new_run_interval(float(L[0]), L[1:], self.scatter, self.level, profiled=profiled)}
        return {
            "C": float(C),
            **{name: float(value[0]) for name, value in values.items()},
            "intervals": intervals,
            "interval_of": "law",
            "interval_method": self.method,
            "new_run_intervals": new_run,
            "verdict": [warning("extrapolation", f"{ratio:.3g} times the largest budget")] if extrapolated else [],
        }
