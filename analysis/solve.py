"""Minimises a robust objective over many starts or many bootstrap draws at once, in float64.

Levenberg–Marquardt on the residual sign(r)·√(2ρ(r)), whose half sum of squares is the objective. Linear parameters
are carried as coefficients of basis columns scaled to geometric mean 1 and the nonlinear ones as logarithms: the
Chinchilla form, conditioned near 1e11 in (E, A, B, α, β), comes near 1e2 so.

Key: S starts or draws, P parameters, n points; arrays end in their axes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analysis.laws import Law

LARGEST = 2_000_000  # elements of one array before starts are worked through in parts
STEP = 1e-6  # of a central difference, relative above 1


class FitError(RuntimeError):
    """A fit that cannot be done: one line that says why."""


@dataclass(frozen=True)
class Objective:
    """A sum over points of ρ(r). log: r = ln L̂ − ln L, otherwise r = L̂ − L. delta: where Huber turns linear."""

    name: str
    log: bool
    delta: float | None = None

    def rho(self, r: np.ndarray) -> np.ndarray:
        """ρ(r): what is summed in the search (squares halved)."""
        if self.delta is None:
            return 0.5 * r * r
        size = np.abs(r)
        return np.where(size <= self.delta, 0.5 * r * r, self.delta * (size - 0.5 * self.delta))

    def slope(self, r: np.ndarray) -> np.ndarray:
        """ρ′(r)."""
        return r if self.delta is None else np.clip(r, -self.delta, self.delta)

    def value(self, r: np.ndarray, weights: np.ndarray) -> float:
        """The objective as reported: the sum of Huber, of squares (not halved), or of absolute values."""
        if self.name == "lad":
            return float(np.sum(weights * np.abs(r)))
        return float(np.sum(weights * self.rho(r)) * (2 if self.delta is None else 1))


OBJECTIVES: dict[str, Objective] = {
    "huber-log": Objective("huber-log", True, 1e-3),
    "lse": Objective("lse", True, 1e-3),  # Hoffmann 2022 solves for ln A, ln B, ln E: the same optimum as huber-log
    "mse-log": Objective("mse-log", True),
    "mse": Objective("mse", False),
    "lad": Objective("lad", True, 1e-4),
}


@dataclass(frozen=True)
class Problem:
    """A law on points. y_n or y_Sn is ln L or L, as the objective asks; one row a draw where it has two axes."""

    law: Law
    inputs: tuple[np.ndarray, ...]
    y: np.ndarray
    weights: np.ndarray  # (n,) or (S, n)
    objective: Objective

    @property
    def names(self) -> tuple[str, ...]:
        """Order of the coordinates: linear parameters, then the others."""
        return (*self.law.linear, *self.law.nonlinear)

    def part(self, rows: np.ndarray) -> Problem:
        """The draws in `rows`."""
        y, w = self.y, self.weights
        return replace(self, y=y[rows] if y.ndim == 2 else y, weights=w[rows] if w.ndim == 2 else w)

    def points(self, at: np.ndarray) -> Problem:
        """The same problem on some of its points."""
        return replace(self, inputs=tuple(x[at] for x in self.inputs), y=self.y[..., at], weights=self.weights[..., at])

    def is_log(self, name: str) -> bool:
        """Whether a nonlinear parameter is searched by its logarithm."""
        return self.law.bound(name)[0] > 0

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest coordinates (P,)."""
        low, high = np.zeros(len(self.names)), np.full(len(self.names), np.inf)
        for at, name in enumerate(self.names):
            if name in self.law.nonlinear:
                lo, hi = self.law.bound(name)
                low[at], high[at] = (np.log(lo), np.log(hi)) if self.is_log(name) else (lo, hi)
        return low, high

    def params(self, u_SP: np.ndarray) -> dict[str, np.ndarray]:
        """The law's own parameters (S,) at coordinates."""
        free = self._free(u_SP)
        scales = self._log_scales(free)
        linear = {name: u_SP[:, j] * np.exp(-scales[j]) for j, name in enumerate(self.law.linear)}
        both = {**linear, **{name: value[:, 0] for name, value in free.items()}}
        return {name: both[name] for name in self.law.parameters}

    def coordinates(self, params: dict[str, np.ndarray]) -> np.ndarray:
        """The inverse of `params`: (S, P)."""
        free = {name: np.atleast_1d(params[name])[:, None] for name in self.law.nonlinear}
        scales = self._log_scales(free)
        u = [np.atleast_1d(params[name]) * np.exp(scales[j]) for j, name in enumerate(self.law.linear)]
        u += [np.log(value[:, 0]) if self.is_log(name) else value[:, 0] for name, value in free.items()]
        return np.stack(u, -1)

    def _free(self, u_SP: np.ndarray) -> dict[str, np.ndarray]:
        """Nonlinear parameters (S, 1)."""
        first = len(self.law.linear)
        values = {name: u_SP[:, first + i, None] for i, name in enumerate(self.law.nonlinear)}
        return {name: np.exp(v) if self.is_log(name) else v for name, v in values.items()}

    def _columns(self, free: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
        """Each linear parameter's name and its column (S, n) or (1, n), scaled to geometric mean 1."""
        out = []
        for name in self.law.linear:
            if name in self.law.powers:
                letter, exponent = self.law.powers[name]
                out.append((name, np.exp(-free[exponent] * self._logs[letter][0])))
            elif name in self.law.constants:
                out.append((name, np.ones((1, self.y.shape[-1]))))
            else:
                column = self._log_column(name, free)
                out.append((name, np.exp(column - column.mean(-1, keepdims=True))))
        return out

    def _log_scales(self, free: dict[str, np.ndarray]) -> list[np.ndarray]:
        """ln of what each column was divided by (S,) or (1,)."""
        out = []
        for name in self.law.linear:
            if name in self.law.powers:
                letter, exponent = self.law.powers[name]
                out.append(-free[exponent][:, 0] * self._logs[letter][1])
            elif name in self.law.constants:
                out.append(np.zeros(1))
            else:
                out.append(self._log_column(name, free).mean(-1))
        return out

    def _log_column(self, name: str, free: dict[str, np.ndarray]) -> np.ndarray:
        """ln of what a linear parameter multiplies (S, n): the law with that one 1 and the others 0."""
        unit = {other: 1.0 if other == name else 0.0 for other in self.law.linear}
        column = np.log(self.law.function(*self.inputs, **unit, **free))
        return np.broadcast_to(column, (max(len(v) for v in free.values()), self.y.shape[-1]))

    @cached_property
    def _logs(self) -> dict[str, tuple[np.ndarray, float]]:
        """For each input its ln about the mean (n,), and that mean."""
        logs = {letter: np.log(x) for letter, x in zip(self.law.inputs, self.inputs, strict=True)}
        return {letter: (x - x.mean(), float(x.mean())) for letter, x in logs.items()}

    def model(self, u_SP: np.ndarray) -> np.ndarray:
        """L̂ (S, n)."""
        free = self._free(u_SP)
        if not self.law.linear:
            return self.law.function(*self.inputs, **free)
        return sum(u_SP[:, j, None] * x for j, (_, x) in enumerate(self._columns(free)))

    def residual(self, u_SP: np.ndarray) -> np.ndarray:
        """r (S, n): infinite where the law has no value."""
        with np.errstate(all="ignore"):
            model = self.model(u_SP)
            r = (np.log(model) if self.objective.log else model) - self.y
        return np.where(np.isfinite(r), r, np.inf)

    def cost(self, r_Sn: np.ndarray) -> np.ndarray:
        """The objective of each row (S,)."""
        with np.errstate(invalid="ignore", over="ignore"):
            return np.sum(self.weights * self.objective.rho(r_Sn), -1)

    def jacobian(self, u_SP: np.ndarray) -> np.ndarray:
        """∂r/∂u (S, P, n): exact for powers and linear parameters, by central differences for the rest."""
        first, P = len(self.law.linear), len(self.names)
        out = np.zeros((len(u_SP), P, self.y.shape[-1]))
        free = self._free(u_SP)
        by_power = {exponent for _, exponent in self.law.powers.values()}
        for j, (name, x) in enumerate(self._columns(free)):
            out[:, j] = x
            if name in self.law.powers:
                letter, exponent = self.law.powers[name]
                chain = free[exponent] if self.is_log(exponent) else 1.0
                out[:, self.names.index(exponent)] -= chain * self._logs[letter][0] * u_SP[:, j, None] * x
        for at in range(first, P):
            if self.names[at] not in by_power:
                step = np.zeros_like(u_SP)
                step[:, at] = STEP * np.maximum(np.abs(u_SP[:, at]), 1.0)
                out[:, at] = (self.model(u_SP + step) - self.model(u_SP - step)) / (2 * step[:, at, None])
        return out / self.model(u_SP)[:, None] if self.objective.log else out


def minimise(
    problem: Problem, u_SP: np.ndarray, iterations: int = 200, tolerance: float = 1e-12
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (S, P) and objective (S,) that Levenberg–Marquardt reaches from each row of `u_SP`.

    A row ends when a step lowers its objective by less than `tolerance`, relatively.
    """
    part = max(1, LARGEST // (problem.y.shape[-1] * len(problem.names)))
    if len(u_SP) > part:
        blocks = [np.arange(i, min(i + part, len(u_SP))) for i in range(0, len(u_SP), part)]
        parts = [minimise(problem.part(block), u_SP[block], iterations, tolerance) for block in blocks]
        return np.concatenate([u for u, _ in parts]), np.concatenate([c for _, c in parts])
    low, high = problem.limits()
    u = np.clip(u_SP, low, high)
    cost = problem.cost(problem.residual(u))
    damping = np.full(len(u), 1e-2)
    active, quiet = np.isfinite(cost), np.zeros(len(u), int)
    for _ in range(iterations):
        rows = np.flatnonzero(active)
        if not len(rows):
            break
        here = problem.part(rows)
        step = _step(here, u[rows], damping[rows], low, high)
        tried = np.clip(u[rows] + step, low, high)
        new = here.cost(here.residual(tried))
        better = new < cost[rows]
        gain = np.where(better, cost[rows] - new, 0.0)
        small = gain <= tolerance * cost[rows]
        u[rows[better]], cost[rows[better]] = tried[better], new[better]
        damping[rows] = np.where(better, np.maximum(damping[rows] / 8, 1e-12), damping[rows] * 6)
        quiet[rows] = np.where(small & (better | (damping[rows] > 1e3)), quiet[rows] + 1, 0)
        active[rows] = (quiet[rows] < 2) & (damping[rows] < 1e8)
    return u, cost


def _step(problem: Problem, u: np.ndarray, damping: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Damped Gauss–Newton step (S, P); coordinates at a bound that the gradient pushes on stay."""
    r, J = problem.residual(u), problem.jacobian(u)
    slope = problem.objective.slope(r)
    root = np.sqrt(2 * problem.objective.rho(r))
    with np.errstate(invalid="ignore", divide="ignore"):
        bend = np.where(root > 0, slope / root, 1.0) ** 2  # (ds/dr)² of s = sign(r)·√(2ρ)
    g = np.einsum("spn,sn->sp", J, problem.weights * slope)
    H = (J * (problem.weights * bend)[:, None]) @ J.transpose(0, 2, 1)
    held = ((u <= low) & (g > 0)) | ((u >= high) & (g < 0))
    g = np.where(held, 0.0, g)
    H = np.where(held[:, :, None] | held[:, None, :], 0.0, H)
    d = np.diagonal(H, axis1=1, axis2=2)
    floor = np.maximum(d, 1e-300 + 1e-14 * d.max(-1, keepdims=True))
    at = np.arange(H.shape[-1])
    H[:, at, at] = d + damping[:, None] * floor + np.where(held, 1.0, 0.0)
    H[~np.isfinite(H).all((1, 2))] = np.eye(H.shape[-1])
    g = np.where(np.isfinite(g), g, 0.0)
    return -np.linalg.solve(H, g[..., None])[..., 0]


def gradient(problem: Problem, u_SP: np.ndarray) -> np.ndarray:
    """Of the objective, by coordinates (S, P)."""
    slope = problem.objective.slope(problem.residual(u_SP))
    return np.einsum("spn,sn->sp", problem.jacobian(u_SP), problem.weights * slope)


def hessian(problem: Problem, u_P: np.ndarray) -> np.ndarray:
    """Of the objective (P, P), by central differences of its gradient."""
    h = 1e-7 * np.maximum(np.abs(u_P), 1e-3)
    ahead, behind = gradient(problem, u_P + np.diag(h)), gradient(problem, u_P - np.diag(h))
    H = (ahead - behind) / (2 * h[:, None])
    return 0.5 * (H + H.T)


def polish(problem: Problem, u_P: np.ndarray, steps: int = 60) -> np.ndarray:
    """Newton steps on the objective itself, to the last digits; Huber's linear part has no Gauss–Newton curvature."""
    low, high = problem.limits()

    u, damping = u_P.copy(), 1e-9
    cost = problem.cost(problem.residual(u[None]))[0]
    for _ in range(steps):
        g = gradient(problem, u[None])[0]
        free = ~(((u <= low) & (g > 0)) | ((u >= high) & (g < 0)))
        H = hessian(problem, u)[np.ix_(free, free)]
        H = H + damping * np.diag(np.maximum(np.abs(np.diag(H)), 1e-300))
        move = np.zeros_like(u)
        move[free] = -np.linalg.lstsq(H, g[free], rcond=None)[0]
        tried = np.clip(u + move, low, high)
        new = problem.cost(problem.residual(tried[None]))[0]
        if new < cost:
            u, cost, damping = tried, new, max(damping / 10, 1e-12)
        elif damping > 1e3 or np.abs(move).max() < 1e-15:
            break
        else:
            damping *= 30
    return u


def vertex(problem: Problem, u_P: np.ndarray, steps: int = 40) -> np.ndarray:
    """Least absolute deviations to the last digits: linear programs in a shrinking box (the optimum is a vertex)."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, hstack, identity

    low, high = problem.limits()
    u, box, n = u_P.copy(), 0.1, problem.y.shape[-1]

    def total(at: np.ndarray) -> float:
        return float(np.sum(problem.weights * np.abs(problem.residual(at[None])[0])))

    for _ in range(steps):
        r, J = problem.residual(u[None])[0], problem.jacobian(u[None])[0]
        equal = hstack([csr_matrix(J.T), -identity(n), identity(n)])  # r + Jᵀδ = over − under
        reach = box * np.maximum(np.abs(u), 1e-2)
        bounds = [*zip(np.maximum(-reach, low - u), np.minimum(reach, high - u), strict=True), *[(0, None)] * (2 * n)]
        cost = np.concatenate([np.zeros(len(u)), problem.weights, problem.weights])
        found = linprog(cost, A_eq=equal, b_eq=-r, bounds=bounds)  # type: ignore[call-overload]
        if found.x is None:
            break
        tried = np.clip(u + found.x[: len(u)], low, high)
        if total(tried) < total(u):
            u = tried
        else:
            box /= 8
            if box < 1e-9:
                break
    return u
