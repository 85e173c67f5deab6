"""A law on points as an optimiser sees it: coordinates, residuals and their derivatives, for many rows at once.

Linear parameters are carried as coefficients of basis columns scaled to geometric mean 1 and positive nonlinear ones as
logarithms: the Chinchilla form, conditioned near 1e11 in (E, A, B, α, β), comes near 1e2 so.

Key: S starts or draws, P parameters, n points; arrays end in their axes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analysis.laws.law import Law
from analysis.solver.objective import Objective

STEP = 1e-6  # of a central difference, relative above 1


@dataclass(frozen=True)
class Problem:
    """A law on points. y_n or y_Sn is the link of the output (analysis/solver/objective.py); a row a draw where two
    axes."""

    law: Law
    inputs: tuple[np.ndarray, ...]
    y: np.ndarray
    weights: np.ndarray  # (n,) or (S, n)
    objective: Objective

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Order of the coordinates: linear parameters, then the others."""
        return (*self.law.linear, *self.law.nonlinear)

    def part(self, rows: np.ndarray | slice) -> Problem:
        """The draws in `rows`."""
        y, w = self.y, self.weights
        return self.again(y[rows] if y.ndim == 2 else y, w[rows] if w.ndim == 2 else w)

    def points(self, at: np.ndarray) -> Problem:
        """The same problem on some of its points."""
        return replace(self, inputs=tuple(x[at] for x in self.inputs), y=self.y[..., at], weights=self.weights[..., at])

    def again(self, y: np.ndarray, weights: np.ndarray) -> Problem:
        """Other outputs and weights on the same inputs, whose logarithms are kept."""
        other = replace(self, y=y, weights=weights)
        kept = ("names", "_logs", "_offset", "_exact")
        other.__dict__.update({name: self.__dict__[name] for name in kept if name in self.__dict__})
        return other

    def typical(self) -> float:
        """Size of the output."""
        return float(np.abs(self.objective.back(self.y)).mean())

    def grid(self) -> np.ndarray:
        """Starts (S, number of nonlinear parameters)."""
        return self.law.grid(self.inputs, self.objective.back(self.y if self.y.ndim == 1 else self.y[0]))

    def is_log(self, name: str) -> bool:
        """Whether a nonlinear parameter is searched by its logarithm."""
        return self.law.bound(name)[0] > 0

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest coordinates (P,)."""
        bounds = [self.law.bound(name) for name in self.names]
        for at, name in enumerate(self.names):
            if name in self.law.nonlinear and self.is_log(name):
                bounds[at] = float(np.log(bounds[at][0])), float(np.log(bounds[at][1]))
        low, high = np.array(bounds, np.float64).reshape(-1, 2).T
        return low, high

    def params(self, u_SP: np.ndarray) -> dict[str, np.ndarray]:
        """The law's own parameters (S,) at coordinates."""
        free = self._free(u_SP)
        scales = self._scales(free)
        linear = {name: u_SP[:, j] * np.exp(-scales[j]) for j, name in enumerate(self.law.linear)}
        both = {**linear, **{name: value[:, 0] for name, value in free.items()}}
        return {name: both[name] for name in self.law.parameters}

    def coordinates(self, params: dict[str, np.ndarray]) -> np.ndarray:
        """The inverse of `params`: (S, P)."""
        free = {name: np.atleast_1d(params[name])[:, None] for name in self.law.nonlinear}
        scales = self._scales(free)
        u = [np.atleast_1d(params[name]) * np.exp(scales[j]) for j, name in enumerate(self.law.linear)]
        u += [np.log(value[:, 0]) if self.is_log(name) else value[:, 0] for name, value in free.items()]
        return np.stack(np.broadcast_arrays(*u), -1)

    def _free(self, u_SP: np.ndarray) -> dict[str, np.ndarray]:
        """Nonlinear parameters (S, 1)."""
        first = len(self.law.linear)
        values = {name: u_SP[:, first + i, None] for i, name in enumerate(self.law.nonlinear)}
        return {name: np.exp(v) if self.is_log(name) else v for name, v in values.items()}

    def columns(self, u_SP: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """What stands beside the linear part (S, n) or (1, 1), and each linear coordinate's column (S, n) or (1, n)."""
        free = self._free(u_SP)
        return self._beside(free), [x for x, _ in self._columns(free)]

    def _scales(self, free: dict[str, np.ndarray]) -> list[np.ndarray]:
        """ln of what each column was divided by (S,) or (1,), without the columns where they are powers."""
        if not set(self.law.linear) <= {*self.law.powers, *self.law.constants}:
            return [scale for _, scale in self._columns(free)]
        of = [self.law.powers.get(name) for name in self.law.linear]
        return [np.zeros(1) if one is None else -free[one[1]][:, 0] * self._logs[one[0]][1] for one in of]

    def _columns(self, free: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Each linear parameter's column, scaled to geometric mean 1, and ln of what it was divided by (S,) or (1,)."""
        out = []
        for name in self.law.linear:
            if name in self.law.powers:
                letter, exponent = self.law.powers[name]
                logs, mean = self._logs[letter]
                out.append((np.exp(-free[exponent] * logs), -free[exponent][:, 0] * mean))
            elif name in self.law.constants:
                out.append((np.ones((1, self.y.shape[-1])), np.zeros(1)))
            else:
                out.append(self._scaled(self._at(free, name) - self._beside(free)))
        return out

    def _scaled(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = np.broadcast_to(x, (len(x), self.y.shape[-1]))
        some = (x != 0) & np.isfinite(x)
        logs = np.log(np.abs(x), out=np.zeros(x.shape), where=some)
        scale = logs.sum(-1) / np.maximum(some.sum(-1), 1)
        return x * np.exp(-scale)[:, None], scale

    def _at(self, free: dict[str, np.ndarray], name: str | None) -> np.ndarray:
        """The law (S, n) with one linear parameter 1 and the others 0."""
        unit = {other: 1.0 if other == name else 0.0 for other in self.law.linear}
        value = np.asarray(self.law.function(*self.inputs, **unit, **free), np.float64)
        rows = max((len(v) for v in free.values()), default=1)
        return np.broadcast_to(value, (rows, self.y.shape[-1]))

    def _beside(self, free: dict[str, np.ndarray]) -> np.ndarray:
        return self._at(free, None) if self._offset else np.zeros((1, 1))

    @cached_property
    def _offset(self) -> bool:
        """Whether the law is anything where its linear parameters are 0: not so for most, and then it is not asked."""
        if not self.law.linear:
            return True
        grid = self.grid()
        free = {name: grid[:, i, None] for i, name in enumerate(self.law.nonlinear)}
        with np.errstate(all="ignore"):
            return bool(np.any(self._at(free, None) != 0))

    @cached_property
    def _exact(self) -> bool:
        """Whether constants and powers are all there is: then derivatives are written down, else differences taken."""
        law = self.law
        named = set(law.linear) <= {*law.powers, *law.constants}
        return named and not self._offset and set(law.nonlinear) <= {e for _, e in law.powers.values()}

    @cached_property
    def _logs(self) -> dict[str, tuple[np.ndarray, float]]:
        """For each input of a power its ln about the mean (n,), and that mean."""
        wanted = {letter for letter, _ in self.law.powers.values()}
        logs = {k: np.log(x) for k, x in zip(self.law.inputs, self.inputs, strict=True) if k in wanted}
        return {letter: (x - x.mean(), float(x.mean())) for letter, x in logs.items()}

    def model(self, u_SP: np.ndarray) -> np.ndarray:
        """The output L̂ (S, n)."""
        beside, columns = self.columns(u_SP)
        out = beside + sum(u_SP[:, j, None] * x for j, x in enumerate(columns))
        return np.broadcast_to(out, (len(u_SP), self.y.shape[-1]))

    def residual(self, u_SP: np.ndarray) -> np.ndarray:
        """r (S, n): infinite where the law has no value."""
        with np.errstate(all="ignore"):
            r = self.objective.of(self.model(u_SP)) - self.y
        return np.where(np.isfinite(r), r, np.inf)

    def cost(self, r_Sn: np.ndarray) -> np.ndarray:
        """The objective of each row (S,)."""
        with np.errstate(invalid="ignore", over="ignore"):
            return np.sum(self.weights * self.objective.rho(r_Sn), -1)

    def jacobian(self, u_SP: np.ndarray) -> np.ndarray:
        """∂r/∂u (S, P, n)."""
        return self.evaluate(u_SP)[1]

    def evaluate(self, u_SP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """r (S, n), not a number where the law has none, and ∂r/∂u (S, P, n).

        The derivative is written down for powers and constants, else taken by central differences.
        """
        free = self._free(u_SP)
        columns = [x for x, _ in self._columns(free)]
        model = self._beside(free) + sum(u_SP[:, j, None] * x for j, x in enumerate(columns))
        steep = self.objective.steepness(model)
        out = np.zeros((len(u_SP), len(self.names), self.y.shape[-1]))
        for j, (name, x) in enumerate(zip(self.law.linear, columns, strict=True)):
            np.multiply(x, steep, out=out[:, j])
            if self._exact and name in self.law.powers:
                letter, exponent = self.law.powers[name]
                chain = u_SP[:, j, None] * (free[exponent] if self.is_log(exponent) else 1.0)
                out[:, self.names.index(exponent)] -= chain * self._logs[letter][0] * out[:, j]
        if not self._exact:
            for at in range(len(self.law.linear), len(self.names)):
                step = np.zeros_like(u_SP)
                step[:, at] = STEP * np.maximum(np.abs(u_SP[:, at]), 1.0)
                ahead, behind = self.model(u_SP + step), self.model(u_SP - step)
                out[:, at] = steep * (ahead - behind) / (2 * step[:, at, None])
        return self.objective.of(model) - self.y, out


@dataclass(frozen=True)
class Inner:
    """The linear part of a law, its columns standing still; as a Problem is to the solver."""

    columns_SJn: np.ndarray
    beside_Sn: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    objective: Objective
    low: np.ndarray
    high: np.ndarray

    @property
    def names(self) -> tuple[int, ...]:
        return tuple(range(self.columns_SJn.shape[1]))

    def part(self, rows: np.ndarray | slice) -> Inner:
        return replace(self, columns_SJn=self.columns_SJn[rows], beside_Sn=self.beside_Sn[rows])

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        return self.low, self.high

    def evaluate(self, u_SJ: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """r (S, n) and its derivative (S, J, n)."""
        columns, beside = self.columns_SJn[: len(u_SJ)], self.beside_Sn[: len(u_SJ)]
        model = beside + (u_SJ[:, None] @ columns)[:, 0]
        return self.objective.of(model) - self.y, columns * self.objective.steepness(model)[:, None]
