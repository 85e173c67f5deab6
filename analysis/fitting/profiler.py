"""Intervals by profile likelihood of the predictions and optima of a fit, computed on demand.

Key: N parameters, D tokens, C FLOPs, L loss; P coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from analysis.data.points import Points
from analysis.laws.compute_cost import optimal_path
from analysis.solver.problem import Problem
from analysis.uncertainty.profile import BUDGET_MULTIPLES, OPTIMUM, Axis, Profile, profile_axes


@dataclass(frozen=True)
class Profiler:
    """Intervals by profile likelihood of predictions and optima of a fit.

    Attributes:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        level: Coverage of the intervals.
        points: The points, for their compute.
        known: Intervals that have been computed, by inputs or budget, because each takes many refits.
    """

    problem: Problem
    u_P: np.ndarray
    level: float
    points: Points
    known: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def prediction(self, inputs: dict[str, float]) -> tuple[float, float]:
        """Returns the interval of the output of the law.

        Args:
            inputs: Value of each input of the law.
        """
        key = tuple(sorted(inputs.items()))
        if key not in self.known:
            self.known[key] = self._prediction(inputs)
        return self.known[key]

    def optimum(self, C: float) -> dict[str, tuple[float, float]]:
        """Returns the intervals of the quantities of OPTIMUM at a budget.

        Args:
            C: The budget.
        """
        if C not in self.known:
            self.known[C] = self._optimum(C)
        return self.known[C]

    def reuse(self, profiles: dict[str, Profile]) -> Profiler:
        """Returns this, with the optima of `profile_fit`, which are those of `optimum` unless the cost is curved.

        Args:
            profiles: Result of `profile_fit`.
        """
        if f"L at {BUDGET_MULTIPLES[0]:g}x" in profiles and not self.points.compute_cost.bend:
            for multiple in BUDGET_MULTIPLES:
                intervals = {name: profiles[f"{name} at {multiple:g}x"].interval for name in OPTIMUM}
                self.known[multiple * float(self.points.C.max())] = intervals
        return self

    def _prediction(self, inputs: dict[str, float]) -> tuple[float, float]:
        law = self.problem.law
        columns = [np.float64(inputs[letter]) for letter in law.inputs]
        axis = Axis(lambda p: np.asarray(law.function(*columns, **p), np.float64), log=False)
        return profile_axes(self.problem, self.u_P, self.level, {law.output: axis})[law.output].interval

    def _optimum(self, C: float) -> dict[str, tuple[float, float]]:
        law, cost, budgets = self.problem.law, self.points.compute_cost, self.points.C
        ends = float(budgets.min()), float(budgets.max())

        def value(name: str, p: dict[str, np.ndarray]) -> np.ndarray:
            assert law.optimum is not None
            path = optimal_path(law.optimum, p, cost, *ends)
            N, D = (np.exp(path[f"ln_{x}"] + path[e] * np.log(C)) for x, e in (("n", "a"), ("d", "b")))
            inputs = {"N": N, "D": D, "C": cost.flops(N, D), "M": D / N}
            L = np.asarray(law.function(*(inputs[letter] for letter in law.inputs), **p))
            return {"N": N, "D": D, "tokens_per_parameter": D / N, "L": L}[name]

        axes = {name: Axis(partial(value, name), name != "L") for name in OPTIMUM}
        profiles = profile_axes(self.problem, self.u_P, self.level, axes)
        return {name: curve.interval for name, curve in profiles.items()}
