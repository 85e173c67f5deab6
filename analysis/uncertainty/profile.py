"""Profile likelihood: refits with a quantity fixed at increasing distances from its estimate.

The interval contains the values whose objective is within Student's t of the minimum. It needs no resampling and no
normal parameters, is infinite if the points do not bound a quantity, and assumes equal variances. Quantities are the
parameters and functions of them, such as a prediction or the optimum at a budget.

Key: R rows (one for each side of each quantity), P coordinates, n points. u coordinates, r residuals, t Student's t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri, stdtrit

from analysis.data.points import Points
from analysis.laws.compute_cost import ComputeCost, optimal_path, optimal_size
from analysis.solver.constrained import FLOOR, STEP, minimise_constrained
from analysis.solver.differences import central_gradient
from analysis.solver.identifiability import MIN_SINGULAR, equal_optima
from analysis.solver.minimise import hessian
from analysis.solver.problem import Problem
from analysis.uncertainty.resampling.bootstrap import BANDWIDTH
from analysis.uncertainty.verdicts import warning

Quantity = Callable[[dict[str, np.ndarray]], np.ndarray]  # parameters (R,) -> values (R,)
MAX_STEPS = 40  # largest number of steps from the optimum
FLAT = 50.0  # distance from the optimum in standard errors at which a side is open if its profile is still flat
OPTIMUM = ("N", "D", "tokens_per_parameter", "L")
BUDGET_MULTIPLES = (10.0, 100.0)  # budgets of profiled optima, relative to the largest C
TOLERANCE = 1e-4  # relative tolerance of Student's t at the end of an interval
NODES = 200  # number of nodes of the normal kernel that smooths the residuals


@dataclass(frozen=True)
class Profile:
    """The profile of one quantity.

    Attributes:
        name: Name of the quantity.
        interval: Both ends; an open end is infinite or the bound of the parameter.
        open: Whether each end is open, because the profile does not reach the critical value.
        values: Values at which the profile was computed, in increasing order.
        deviance: Student's t squared at these values.
    """

    name: str
    interval: tuple[float, float]
    open: tuple[bool, bool]
    values: np.ndarray
    deviance: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Returns the interval in types of JSON."""
        return {"interval": self.interval, "open": self.open}


@dataclass(frozen=True)
class Axis:
    """A quantity on the scale of its profile, which can be logarithmic."""

    quantity: Quantity
    log: bool

    def __call__(self, params: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the quantity, or its logarithm, at parameters."""
        value = self.quantity(params)
        return np.log(value) if self.log else value

    def inverse(self, value: np.ndarray | float) -> np.ndarray:
        """Returns the quantity at a value on this scale."""
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(value) if self.log else value)


def profile(
    problem: Problem, u_P: np.ndarray, level: float, quantities: dict[str, tuple[Quantity, bool]] | None = None
) -> dict[str, Profile]:
    """Profiles each parameter and other quantities.

    Parameters that cannot be negative are profiled on a logarithmic scale, except constants, which can be 0.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        level: Coverage of the intervals.
        quantities: Functions of the parameters, and whether to profile their logarithm.
    """
    law = problem.law
    axes = {
        name: Axis(_parameter(name), law.bound(name)[0] >= 0 and name not in law.constants) for name in law.parameters
    }
    axes |= {name: Axis(quantity, log) for name, (quantity, log) in (quantities or {}).items()}
    return profile_axes(problem, u_P, level, axes)


def profile_axes(problem: Problem, u_P: np.ndarray, level: float, axes: dict[str, Axis]) -> dict[str, Profile]:
    """Profiles quantities only.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        level: Coverage of the intervals.
        axes: Quantities by name.
    """
    with np.errstate(all="ignore"):
        walk = _Walk.begin(problem, u_P, list(axes.values()), level)
        for _ in range(MAX_STEPS):
            if not walk.walking.any():
                break
            walk.step()
        return {name: walk.profile(i, name) for i, name in enumerate(axes)}


def profile_fit(problem: Problem, u_P: np.ndarray, points: Points, level: float) -> dict[str, Profile]:
    """Profiles the parameters and, if the law has an optimum, a, b, and N*, D* and L* at BUDGET_MULTIPLES.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        points: The points, for their compute.
        level: Coverage of the intervals.
    """
    quantities: dict[str, tuple[Quantity, bool]] = {}
    optimum = problem.law.optimum
    if optimum is not None and np.isfinite(points.C).all():
        cost, largest = points.compute_cost, float(points.C.max())
        ends = float(points.C.min()), largest
        quantities = {"a": (lambda p: optimal_path(optimum, p, cost, *ends)["a"], False)}
        quantities |= {"b": (lambda p: optimal_path(optimum, p, cost, *ends)["b"], False)}
        for multiple in BUDGET_MULTIPLES:
            for name in OPTIMUM:
                quantity = _optimal(problem, cost, multiple * largest, name)
                quantities[f"{name} at {multiple:g}x"] = quantity, name != "L"
    return profile(problem, u_P, level, quantities)


def check_profiles(profiles: dict[str, Profile]) -> list[str]:
    """Warns of quantities whose profile is open on one side, which the points do not bound."""
    warnings = []
    for name, curve in profiles.items():
        if name.startswith("tokens_per_parameter"):  # the ratio of D and N, which are checked
            continue
        sides = [side for side, flat in zip(("below", "above"), curve.open, strict=True) if flat]
        if sides:
            low, high = (
                reached if flat else end
                for reached, flat, end in zip(curve.values[[0, -1]], curve.open, curve.interval, strict=True)
            )
            sentence = f"the profile of {name} is flat {' and '.join(sides)}: {low:.3g} to {high:.3g} fit equally well"
            warnings.append(warning("unidentifiable", sentence))
    return warnings


def _optimal(problem: Problem, cost: ComputeCost, C: float, name: str) -> Quantity:
    """A quantity of OPTIMUM at C as a function of the parameters."""

    def value(p: dict[str, np.ndarray]) -> np.ndarray:
        assert problem.law.optimum is not None
        N = optimal_size(problem.law.optimum, p, cost, C)
        D = cost.tokens(C, N)
        sizes = {"N": N, "D": D, "tokens_per_parameter": D / N}
        return np.asarray(sizes[name] if name != "L" else problem.law.function(N, D, **p))

    return value


def _parameter(name: str) -> Quantity:
    return lambda params: params[name]


def deviance_scale(problem: Problem, u_P: np.ndarray) -> float:
    """Returns the scale s such that twice the increase of the objective divided by s is Student's t squared.

    Least squares: the variance of the noise, RSS / (n − P). Otherwise E ψ² / E ψ′ (Ronchetti 1982) over the residuals
    without the P smallest, which are about zero in a robust fit (Koenker 2005, section 3.10.2, for quantiles). They are
    smoothed by half of Silverman's normal kernel, as in the bootstrap.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
    """
    root = np.sqrt(problem.weights)
    r = problem.residual(u_P[None])[0] * root
    n, P = len(r), len(u_P)
    if problem.objective.threshold is None:
        return max(2 * float(problem.cost(r / root)) / max(n - P, 1), 1e-300)
    pool = r[np.argsort(np.abs(r))[min(P, n - 2) :]]
    pool = pool - pool.mean()
    spread = max(float(pool.std()), 1e-300)
    width = BANDWIDTH * n**-0.2 * spread
    nodes = ndtri((np.arange(NODES) + 0.5) / NODES)
    r_smooth = ((pool[:, None] + width * nodes) * spread / np.hypot(spread, width)).ravel()
    mean_psi2 = float(np.mean(problem.objective.psi(r_smooth) ** 2))
    mean_dpsi = float(np.mean(np.abs(r_smooth) < float(problem.objective.threshold)))
    return max(mean_psi2 / max(mean_dpsi, 1 / len(r_smooth)), 1e-300)


@dataclass
class _Walk:
    """Computation of all profiles at once, with two rows for each quantity: below and above the optimum."""

    problem: Problem
    axes: list[Axis]
    critical: float  # Student's t at the level
    scale: float  # of `deviance_scale`
    minimum: float  # the objective at the optimum
    u: np.ndarray  # (R, P)
    start: np.ndarray  # (R,): the quantity at the optimum
    stride: np.ndarray  # (R,), signed
    error: np.ndarray  # (R,): standard error of the quantity
    position: np.ndarray  # (R,): value that each row has reached
    walking: np.ndarray  # (R,)
    trail: list[list[tuple[float, float]]]  # values and Student's t of each row

    @classmethod
    def begin(cls, problem: Problem, u_P: np.ndarray, axes: list[Axis], level: float) -> _Walk:
        """Starts all rows at the optimum, with steps of a third of the interval from the Hessian.

        Where several optima are equally good, rows start at the one with the smallest or largest value.
        """
        dof = max(problem.y.shape[-1] - len(u_P), 1)
        critical = float(stdtrit(dof, (1 + level) / 2))
        scale = deviance_scale(problem, u_P)
        u, span = _first_rows(problem, axes, equal_optima(problem, u_P))
        g = central_gradient(lambda u_RP: _values(problem, axes, u_RP), u, STEP, FLOOR)
        H = hessian(problem, u_P)
        inverse = np.linalg.pinv(0.5 * (H + H.T), rcond=MIN_SINGULAR**2 if span.any() else 1e-14, hermitian=True)
        error = np.sqrt(np.abs(np.einsum("rp,pq,rq->r", g, inverse, g)) * scale)
        error = np.maximum(error, span / FLAT)
        start = _values(problem, axes, u)
        error = np.where(np.isfinite(error) & (error > 0), error, 1e-3 * np.maximum(np.abs(start), 1.0))
        stride = np.tile([-1.0, 1.0], len(axes)) * error * critical / 3
        minimum = float(problem.cost(problem.residual(u_P[None]))[0])
        trail = [[(float(x), 0.0)] for x in start]
        walking = np.isfinite(start)
        return cls(problem, axes, critical, scale, minimum, u, start, stride, error, start.copy(), walking, trail)

    def step(self) -> None:
        """One stride outward of every walking row; a row whose t has passed the critical value closes in on it."""
        rows = np.flatnonzero(self.walking)
        target = self.position[rows] + self.stride[rows]
        axes = [self.axes[r // 2] for r in rows]
        u, reached = minimise_constrained(
            self.problem, lambda u_RP: _values(self.problem, axes, u_RP), self.u[rows], target
        )
        cost = self.problem.cost(self.problem.residual(u))
        t = np.sqrt(np.maximum(2 * (cost - self.minimum) / self.scale, 0.0))
        for i, r in enumerate(rows):
            if not (reached[i] and np.isfinite(t[i])):
                self.stride[r] /= 4
                self.walking[r] = abs(self.stride[r]) > 1e-3 * self.error[r]
                continue
            previous = self.trail[r][-1]
            self.trail[r].append((float(target[i]), float(t[i])))
            if t[i] <= self.critical:
                self.position[r], self.u[r] = target[i], u[i]
                self.stride[r] *= 2.0 if t[i] - previous[1] < self.critical / 6 else 1.0
            else:
                self.stride[r] = self._crossing(r) - self.position[r]
            close = abs(t[i] - self.critical) < TOLERANCE * self.critical
            self.walking[r] = not close and abs(self.position[r] - self.start[r]) < FLAT * self.error[r]

    def _crossing(self, r: int | np.signedinteger[Any]) -> float:
        """Value at which the trail crosses the critical value, by linear interpolation."""
        below = max((p for p in self.trail[r] if p[1] <= self.critical), key=lambda p: p[1])
        above = min((p for p in self.trail[r] if p[1] > self.critical), key=lambda p: p[1])
        return below[0] + (above[0] - below[0]) * (self.critical - below[1]) / (above[1] - below[1])

    def profile(self, index: int, name: str) -> Profile:
        """The profile of a quantity from the trails of its two rows."""
        axis, ends, closed = self.axes[index], [], []
        for side, r in enumerate((2 * index, 2 * index + 1)):
            closed.append(any(t > self.critical * (1 - TOLERANCE) for _, t in self.trail[r]))
            if closed[-1]:
                passed = any(t > self.critical for _, t in self.trail[r])
                ends.append(float(axis.inverse(self._crossing(r) if passed else self.trail[r][-1][0])))
            else:
                ends.append(self._bound(name, side))
        trail = np.array(sorted(self.trail[2 * index] + self.trail[2 * index + 1]))
        return Profile(
            name, (ends[0], ends[1]), (not closed[0], not closed[1]), axis.inverse(trail[:, 0]), trail[:, 1] ** 2
        )

    def _bound(self, name: str, side: int) -> float:
        if name in self.problem.law.parameters:
            return float(self.problem.law.bound(name)[side])
        return (-np.inf, np.inf)[side]


def _first_rows(problem: Problem, axes: list[Axis], optima_RP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The optima with the smallest and the largest value of each axis, and the distance of these values, twice."""
    rows, spans = [], []
    params = problem.params(optima_RP)
    for axis in axes if len(optima_RP) > 1 else ():
        value = np.asarray(axis(params))
        value = np.where(np.isfinite(value), value, value[0])
        rows += [int(np.argmin(value)), int(np.argmax(value))]
        spans += [float(np.ptp(value))] * 2
    if not rows:
        return np.tile(optima_RP[0], (2 * len(axes), 1)), np.zeros(2 * len(axes))
    return optima_RP[rows], np.array(spans)


def _values(problem: Problem, axes: list[Axis], u_RP: np.ndarray) -> np.ndarray:
    """Values of the quantities (R,), each at its own rows (the same number for each quantity)."""
    params = problem.params(u_RP)
    size = len(u_RP) // len(axes)
    values_R = np.empty(len(u_RP))
    for i, axis in enumerate(axes):
        rows = slice(size * i, size * (i + 1))
        values_R[rows] = axis({name: value[rows] for name, value in params.items()})
    return values_R
