"""Profile likelihood: a quantity held at value after value, everything else fitted again, until the fit is too bad.

An interval holds the values whose objective lies within Student's t of the least. It needs no draws and no normal
parameters, goes to infinity where the points do not bound a quantity, and takes noise to be even.

Key: R rows (one for each side of each quantity), P coordinates, n points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from analysis.data.points import Points
from analysis.solver.constrained import gradient, held
from analysis.solver.minimise import hessian
from analysis.solver.problem import Problem

Quantity = Callable[[dict[str, np.ndarray]], np.ndarray]  # parameters (R,) -> values (R,)
STEPS = 40  # outward, each a third of the way or twice the last
FAR = 50.0  # standard errors from the optimum at which a side that is still flat is called open
TARGETS = (10.0, 100.0)  # times the largest C, for quantities of the optimum
CLOSE = 1e-4  # of Student's t: where the end of an interval is found


@dataclass(frozen=True)
class Profile:
    """interval: an end is infinite, or the parameter's bound, where the profile never rises enough (open says which).
    values, deviance: the points walked through, in order; deviance is Student's t, squared."""

    name: str
    interval: tuple[float, float]
    open: tuple[bool, bool]
    values: np.ndarray
    deviance: np.ndarray

    def to_json(self) -> dict[str, Any]:
        return {"interval": self.interval, "open": self.open}


@dataclass(frozen=True)
class _Scale:
    """How a quantity is walked along: its own scale, or its logarithm."""

    of: Quantity
    log: bool

    def __call__(self, params: dict[str, np.ndarray]) -> np.ndarray:
        value = self.of(params)
        return np.log(value) if self.log else value

    def back(self, value: np.ndarray | float) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(value) if self.log else value)


def profile(
    problem: Problem, u_P: np.ndarray, level: float, more: dict[str, tuple[Quantity, bool]] | None = None
) -> dict[str, Profile]:
    """Profiles of each parameter, and of `more`: a function of the parameters, and whether to walk along its logarithm.

    A parameter that may not be negative is walked along its logarithm, but for constants, which may be 0.
    """
    law = problem.law
    asked = {k: _Scale(_taken(k), law.bound(k)[0] >= 0 and k not in law.constants) for k in law.parameters}
    asked |= {k: _Scale(*one) for k, one in (more or {}).items()}
    with np.errstate(all="ignore"):
        rows = _Walk.begin(problem, u_P, list(asked.values()), level)
        for _ in range(STEPS):
            if not rows.walking.any():
                break
            rows.step()
        return {name: rows.found(i, name) for i, name in enumerate(asked)}


def of_fit(problem: Problem, u_P: np.ndarray, points: Points, level: float) -> dict[str, Profile]:
    """Profiles of the parameters and, where the law has an optimum, of a, b, and N*, D* and L* at TARGETS."""
    more: dict[str, tuple[Quantity, bool]] = {}
    optimum = problem.law.optimum
    if optimum is not None and np.isfinite(points.C).all():
        k, largest = float(np.median(points.C / (points.N * points.D))), float(points.C.max())
        more = {"a": (lambda p: optimum(p, k)[0], False), "b": (lambda p: optimum(p, k)[1], False)}
        for times in TARGETS:
            for at, letter in enumerate("NDL"):
                more[f"{letter} at {times:g}x"] = _best(problem, k, times * largest, at), letter != "L"
    return profile(problem, u_P, level, more)


def _best(problem: Problem, k: float, C: float, which: int) -> Quantity:
    """N*, D* or L* at C as a function of the parameters."""

    def value(p: dict[str, np.ndarray]) -> np.ndarray:
        assert problem.law.optimum is not None
        a, b, ln_g = problem.law.optimum(p, k)
        N, D = np.exp(ln_g + a * np.log(C / k)), np.exp(-ln_g + b * np.log(C / k))
        return np.asarray((N, D)[which] if which < 2 else problem.law.function(N, D, **p))

    return value


def verdict(profiles: dict[str, Profile]) -> list[str]:
    """Said of what the points do not bound: a profile that stays flat on one side."""
    said = []
    for name, one in profiles.items():
        sides = [word for word, flat in zip(("below", "above"), one.open, strict=True) if flat]
        if sides:
            low, high = (
                walked if flat else end
                for walked, flat, end in zip(one.values[[0, -1]], one.open, one.interval, strict=True)
            )
            said.append(
                f"unidentifiable: the profile of {name} is flat {' and '.join(sides)}: "
                f"from {low:.3g} to {high:.3g} the points do not refuse it"
            )
    return said


def _taken(name: str) -> Quantity:
    return lambda params: params[name]


def spread(problem: Problem, u_P: np.ndarray) -> float:
    """What twice the rise of the objective is divided by to be Student's t, squared.

    Least squares: the variance of the noise, RSS / (n − P). Otherwise E ψ² / E ψ′ (Ronchetti 1982) over the residuals
    but for the P smallest, which a robust fit makes zero or nearly so (Koenker 2005, section 3.10.2, of quantiles);
    smoothed by half of Silverman's normal kernel, as bootstrap draws are.
    """
    root = np.sqrt(problem.weights)
    r = problem.residual(u_P[None])[0] * root
    n, P = len(r), len(u_P)
    if problem.objective.turn is None:
        return max(2 * float(problem.cost(r / root)) / max(n - P, 1), 1e-300)
    pool = r[np.argsort(np.abs(r))[min(P, n - 2) :]]
    pool = pool - pool.mean()
    wide = max(float(pool.std()), 1e-300)
    width = 0.53 * n**-0.2 * wide
    nodes = norm.ppf((np.arange(200) + 0.5) / 200)
    r_smooth = ((pool[:, None] + width * nodes) * wide / np.hypot(wide, width)).ravel()
    square = float(np.mean(problem.objective.slope(r_smooth) ** 2))
    turn = float(problem.objective.turn)
    bend = float(np.mean(np.abs(r_smooth) < turn))
    return max(square / max(bend, 1 / len(r_smooth)), 1e-300)


@dataclass
class _Walk:
    """Two rows for each quantity, below and above: where each stands and what it has seen."""

    problem: Problem
    scales: list[_Scale]
    critical: float
    per_t: float
    least: float
    u: np.ndarray  # (R, P)
    start: np.ndarray  # (R,): the quantity at the optimum
    stride: np.ndarray  # (R,), signed
    error: np.ndarray  # (R,): standard error of the quantity
    at: np.ndarray  # (R,): where each stands
    walking: np.ndarray  # (R,)
    trail: list[list[tuple[float, float]]]

    @classmethod
    def begin(cls, problem: Problem, u_P: np.ndarray, scales: list[_Scale], level: float) -> _Walk:
        free = max(problem.y.shape[-1] - len(u_P), 1)
        critical = float(student.ppf((1 + level) / 2, free))
        per_t = spread(problem, u_P)
        u = np.tile(u_P, (2 * len(scales), 1))
        g = gradient(lambda at: _values(problem, scales, at), u)
        H = hessian(problem, u_P)
        inverse = np.linalg.pinv(0.5 * (H + H.T), rcond=1e-14, hermitian=True)
        error = np.sqrt(np.abs(np.einsum("rp,pq,rq->r", g, inverse, g)) * per_t)
        start = _values(problem, scales, u)
        error = np.where(np.isfinite(error) & (error > 0), error, 1e-3 * np.maximum(np.abs(start), 1.0))
        stride = np.tile([-1.0, 1.0], len(scales)) * error * critical / 3
        least = float(problem.cost(problem.residual(u_P[None]))[0])
        walking = np.isfinite(start)
        return cls(
            problem, scales, critical, per_t, least, u, start, stride, error, start.copy(), walking,
            [[(float(x), 0.0)] for x in start],
        )  # fmt: skip

    def step(self) -> None:
        """One stride outward of every row that walks; a row whose t has passed the critical value closes in on it."""
        rows = np.flatnonzero(self.walking)
        target = self.at[rows] + self.stride[rows]
        scales = [self.scales[r // 2] for r in rows]
        u, reached = held(self.problem, lambda u: _values(self.problem, scales, u), self.u[rows], target)
        cost = self.problem.cost(self.problem.residual(u))
        t = np.sqrt(np.maximum(2 * (cost - self.least) / self.per_t, 0.0))
        for i, r in enumerate(rows):
            if not (reached[i] and np.isfinite(t[i])):
                self.stride[r] /= 4
                self.walking[r] = abs(self.stride[r]) > 1e-3 * self.error[r]
                continue
            before = self.trail[r][-1]
            self.trail[r].append((float(target[i]), float(t[i])))
            if t[i] <= self.critical:
                self.at[r], self.u[r] = target[i], u[i]
                self.stride[r] *= 2.0 if t[i] - before[1] < self.critical / 6 else 1.0
            else:
                self.stride[r] = self._crossing(r) - self.at[r]
            done = abs(t[i] - self.critical) < CLOSE * self.critical
            self.walking[r] = not done and abs(self.at[r] - self.start[r]) < FAR * self.error[r]

    def _crossing(self, r: int | np.signedinteger[Any]) -> float:
        """Where the trail crosses the critical value, by a line between its neighbours."""
        below = max((p for p in self.trail[r] if p[1] <= self.critical), key=lambda p: p[1])
        above = min((p for p in self.trail[r] if p[1] > self.critical), key=lambda p: p[1])
        return below[0] + (above[0] - below[0]) * (self.critical - below[1]) / (above[1] - below[1])

    def found(self, quantity: int, name: str) -> Profile:
        scale, ends, closed = self.scales[quantity], [], []
        for side, r in enumerate((2 * quantity, 2 * quantity + 1)):
            over = any(t > self.critical * (1 - CLOSE) for _, t in self.trail[r])
            closed.append(over)
            if over:
                passed = any(t > self.critical for _, t in self.trail[r])
                ends.append(float(scale.back(self._crossing(r) if passed else self.trail[r][-1][0])))
            else:
                ends.append(self._edge(name, side))
        walked = np.array(sorted(self.trail[2 * quantity] + self.trail[2 * quantity + 1]))
        return Profile(
            name, (ends[0], ends[1]), (not closed[0], not closed[1]), scale.back(walked[:, 0]), walked[:, 1] ** 2
        )

    def _edge(self, name: str, side: int) -> float:
        if name in self.problem.law.parameters:
            return float(self.problem.law.bound(name)[side])
        return (-np.inf, np.inf)[side]


def _values(problem: Problem, scales: list[_Scale], u_RP: np.ndarray) -> np.ndarray:
    """Each quantity (R,) at its own two rows."""
    params = problem.params(u_RP)
    each = len(u_RP) // len(scales)
    out = np.empty(len(u_RP))
    for i, scale in enumerate(scales):
        rows = slice(each * i, each * (i + 1))
        out[rows] = scale({name: value[rows] for name, value in params.items()})
    return out
