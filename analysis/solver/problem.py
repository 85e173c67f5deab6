"""A law on points for the optimiser: coordinates, residuals and their derivatives, for many rows at once.

Linear parameters become coefficients of basis columns scaled to geometric mean 1, and positive nonlinear ones become
logarithms: the condition number of the Chinchilla form falls from about 1e11 in (E, A, B, α, β) to about 1e2.

Key: S starts or bootstrap samples, P parameters, J linear parameters, n points; arrays end in their axes.
u coordinates, r residuals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analysis.laws.law import Law
from analysis.solver.objective import Objective

STEP = 1e-6  # step of central differences, relative for coordinates above 1
DIFFERENCE_ELEMENTS = 40_000  # number of elements of one call of a law for central differences


@dataclass(frozen=True)
class Problem:
    """A law on points.

    Attributes:
        law: The law.
        inputs: Inputs of the law, each (n,).
        y: Link of the output (analysis/solver/objective.py), (n,), or (S, n) with one row per bootstrap sample.
        weights: Weights of the points, (n,) or (S, n).
        objective: Objective to minimise.
    """

    law: Law
    inputs: tuple[np.ndarray, ...]
    y: np.ndarray
    weights: np.ndarray
    objective: Objective

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the coordinates: linear parameters, then nonlinear parameters."""
        return (*self.law.linear, *self.law.nonlinear)

    def select_rows(self, rows: np.ndarray | slice) -> Problem:
        """Returns the problem of some of the bootstrap samples."""
        y, w = self.y, self.weights
        return self.with_data(y[rows] if y.ndim == 2 else y, w[rows] if w.ndim == 2 else w)

    def select_points(self, indices: np.ndarray) -> Problem:
        """Returns the problem on some of its points."""
        inputs = tuple(x[indices] for x in self.inputs)
        return replace(self, inputs=inputs, y=self.y[..., indices], weights=self.weights[..., indices])

    def with_data(self, y: np.ndarray, weights: np.ndarray) -> Problem:
        """Returns the problem with other outputs and weights, sharing cached values that only depend on the inputs.

        Args:
            y: Link of the output, (n,) or (S, n).
            weights: Weights of the points, (n,) or (S, n).
        """
        other = replace(self, y=y, weights=weights)
        cached = ("names", "_logs", "_has_offset", "_has_exact_jacobian")
        other.__dict__.update({name: self.__dict__[name] for name in cached if name in self.__dict__})
        return other

    def output_scale(self) -> float:
        """Returns the mean absolute output."""
        return float(np.abs(self.objective.inverse(self.y)).mean())

    def start_grid(self) -> np.ndarray:
        """Returns the law's starts (S, number of nonlinear parameters)."""
        return self.law.start_grid(self.inputs, self.objective.inverse(self.y if self.y.ndim == 1 else self.y[0]))

    def is_log(self, name: str) -> bool:
        """Returns whether a nonlinear parameter is searched in the logarithm."""
        return self.law.bound(name)[0] > 0

    def to_coordinate(self, name: str, value: np.ndarray) -> np.ndarray:
        """Returns the coordinate of a value of a nonlinear parameter.

        Args:
            name: Name of the parameter.
            value: Its value, of any shape.
        """
        return np.asarray(np.log(value) if self.is_log(name) else value / self._scale(name))

    def _scale(self, name: str) -> float:
        return self.law.scales.get(name, 1.0)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the lower and upper bounds of the coordinates, each (P,)."""
        bounds = [self.law.bound(name) for name in self.names]
        low, high = np.array(bounds, np.float64).reshape(-1, 2).T
        for p, name in enumerate(self.law.nonlinear, len(self.law.linear)):
            low[p], high[p] = self.to_coordinate(name, low[p]), self.to_coordinate(name, high[p])
        return low, high

    def params(self, u_SP: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the law's parameters (S,) at coordinates."""
        free = self._nonlinear_params(u_SP)
        scales = self._log_scales(free)
        linear = {name: u_SP[:, j] * np.exp(-scales[j]) for j, name in enumerate(self.law.linear)}
        values = {**linear, **{name: value[:, 0] for name, value in free.items()}}
        return {name: values[name] for name in self.law.parameters}

    def coordinates(self, params: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the coordinates (S, P) of parameters (S,): the inverse of `params`."""
        free = {name: np.atleast_1d(params[name])[:, None] for name in self.law.nonlinear}
        scales = self._log_scales(free)
        u = [np.atleast_1d(params[name]) * np.exp(scales[j]) for j, name in enumerate(self.law.linear)]
        u += [self.to_coordinate(name, value[:, 0]) for name, value in free.items()]
        return np.stack(np.broadcast_arrays(*u), -1)

    def basis(self, u_SP: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Returns the offset (S, n) or (1, 1), and the column (S, n) or (1, n) of each linear coordinate.

        The output is the offset plus the columns times the linear coordinates.
        """
        free = self._nonlinear_params(u_SP)
        return self._offset(free), [column for column, _ in self._scaled_columns(free)]

    def model(self, u_SP: np.ndarray) -> np.ndarray:
        """Returns the output L̂ (S, n)."""
        offset, columns = self.basis(u_SP)
        output = offset + sum(u_SP[:, j, None] * column for j, column in enumerate(columns))
        return np.broadcast_to(output, (len(u_SP), self.y.shape[-1]))

    def residual(self, u_SP: np.ndarray) -> np.ndarray:
        """Returns r (S, n), infinite if the law has no finite value."""
        with np.errstate(all="ignore"):
            r = self.objective.transform(self.model(u_SP)) - self.y
        return np.where(np.isfinite(r), r, np.inf)

    def cost(self, r_Sn: np.ndarray) -> np.ndarray:
        """Returns the objective of each row (S,)."""
        with np.errstate(invalid="ignore", over="ignore"):
            return np.sum(self.weights * self.objective.rho(r_Sn), -1)

    def jacobian(self, u_SP: np.ndarray) -> np.ndarray:
        """Returns ∂r/∂u (S, P, n)."""
        return self.evaluate(u_SP)[1]

    def evaluate(self, u_SP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns r (S, n), not finite if the law has no finite value, and ∂r/∂u (S, P, n).

        Derivatives are exact for sums of powers and constants and for laws with `derivatives`; other laws use central
        differences.
        """
        free = self._nonlinear_params(u_SP)
        scaled_columns = self._scaled_columns(free)
        columns = [column for column, _ in scaled_columns]
        model = self._offset(free) + sum(u_SP[:, j, None] * column for j, column in enumerate(columns))
        dlink_Sn = self.objective.link_derivative(model)
        jacobian_SPn = np.empty((len(u_SP), len(self.names), self.y.shape[-1]))
        for j, column in enumerate(columns):
            np.multiply(column, dlink_Sn, out=jacobian_SPn[:, j])
        if self._has_exact_jacobian:
            self._write_power_derivatives(u_SP, free, jacobian_SPn)
        elif self.law.derivatives is not None:
            self._write_derivatives(u_SP, free, scaled_columns, dlink_Sn, jacobian_SPn)
        else:
            self._differentiate(u_SP, dlink_Sn, jacobian_SPn)
        return self.objective.transform(model) - self.y, jacobian_SPn

    def _write_power_derivatives(self, u_SP: np.ndarray, free: dict[str, np.ndarray], jacobian_SPn: np.ndarray) -> None:
        """Writes the derivatives of the exponents of a sum of powers, from those of the linear coordinates."""
        written: set[str] = set()
        for j, name in enumerate(self.law.linear):
            if name not in self.law.powers:
                continue
            letter, exponent = self.law.powers[name]
            slope = u_SP[:, j, None] * (free[exponent] if self.is_log(exponent) else self._scale(exponent))
            target_Sn = jacobian_SPn[:, self.names.index(exponent)]
            if exponent in written:
                target_Sn -= slope * self._logs[letter][0] * jacobian_SPn[:, j]
            else:
                np.multiply(jacobian_SPn[:, j], self._logs[letter][0], out=target_Sn)
                target_Sn *= -slope
            written.add(exponent)

    def _write_derivatives(
        self,
        u_SP: np.ndarray,
        free: dict[str, np.ndarray],
        columns: list[tuple[np.ndarray, np.ndarray]],
        dlink_Sn: np.ndarray,
        jacobian_SPn: np.ndarray,
    ) -> None:
        """Writes the derivatives of all K nonlinear coordinates with `Law.derivatives`."""
        law, first = self.law, len(self.law.linear)
        assert law.derivatives is not None
        shape, none = jacobian_SPn[:, 0].shape, dict.fromkeys(law.linear, 0.0)

        def stacked(values: dict[str, np.ndarray]) -> np.ndarray:
            return np.stack([np.broadcast_to(values[name], shape) for name in law.nonlinear])

        of_offset = law.derivatives(*self.inputs, **none, **free) if self._has_offset else None
        total_KSn = np.zeros((len(law.nonlinear), *shape)) if of_offset is None else stacked(of_offset)
        for j, (linear, (scaled, log_scale)) in enumerate(zip(law.linear, columns, strict=True)):
            if linear in law.constants:
                continue
            of_unit_KSn = stacked(law.derivatives(*self.inputs, **(none | {linear: 1.0}), **free))
            if of_offset is not None:
                of_unit_KSn = of_unit_KSn - stacked(of_offset)
            column = scaled * np.exp(log_scale)[:, None]
            nonzero = (column != 0) & np.isfinite(column)
            # A column has geometric mean 1, so that the mean of its relative derivative is 0.
            relative_KSn = np.divide(of_unit_KSn, column, out=np.zeros(of_unit_KSn.shape), where=nonzero)
            mean = relative_KSn.sum(-1, keepdims=True) / np.maximum(nonzero.sum(-1, keepdims=True), 1)
            total_KSn = total_KSn + u_SP[:, j, None] * scaled * (relative_KSn - mean)
        chains = [free[name] if self.is_log(name) else np.ones((1, 1)) * self._scale(name) for name in law.nonlinear]
        for i, chain in enumerate(chains):
            jacobian_SPn[:, first + i] = dlink_Sn * chain * total_KSn[i]

    def _differentiate(self, u_SP: np.ndarray, dlink_Sn: np.ndarray, jacobian_SPn: np.ndarray) -> None:
        """Writes central differences of all nonlinear coordinates, as many in one call of the law as fit the cache."""
        (S, P), n = u_SP.shape, self.y.shape[-1]
        together = max(1, DIFFERENCE_ELEMENTS // (2 * S * n))
        for first in range(len(self.law.linear), P, together):
            columns = np.arange(first, min(first + together, P))
            step_SK = STEP * np.maximum(np.abs(u_SP[:, columns]), 1.0)
            shift_KSP = np.zeros((len(columns), S, P))
            shift_KSP[np.arange(len(columns)), :, columns] = step_SK.T
            both = self.model(np.concatenate([u_SP + shift_KSP, u_SP - shift_KSP]).reshape(-1, P))
            ahead_KSn, behind_KSn = both.reshape(2, len(columns), S, n)
            with np.errstate(all="ignore"):  # a law that is not finite there
                slope_KSn = dlink_Sn * (ahead_KSn - behind_KSn) / (2 * step_SK.T[..., None])
            jacobian_SPn[:, columns] = slope_KSn.transpose(1, 0, 2)

    def _nonlinear_params(self, u_SP: np.ndarray) -> dict[str, np.ndarray]:
        """Nonlinear parameters (S, 1)."""
        first = len(self.law.linear)
        values = {name: u_SP[:, first + i, None] for i, name in enumerate(self.law.nonlinear)}
        return {name: np.exp(v) if self.is_log(name) else v * self._scale(name) for name, v in values.items()}

    def _log_scales(self, free: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Logarithm of the scale of each column (S,) or (1,); for powers, without computing the columns."""
        if not set(self.law.linear) <= {*self.law.powers, *self.law.constants}:
            return [scale for _, scale in self._scaled_columns(free)]
        powers = [self.law.powers.get(name) for name in self.law.linear]
        return [np.zeros(1) if power is None else -free[power[1]][:, 0] * self._logs[power[0]][1] for power in powers]

    def _scaled_columns(self, free: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Column of each linear parameter, scaled to geometric mean 1, and the logarithm of its scale (S,) or (1,)."""
        columns = []
        for name in self.law.linear:
            if name in self.law.powers:
                letter, exponent = self.law.powers[name]
                logs, mean = self._logs[letter]
                columns.append((np.exp(-free[exponent] * logs), -free[exponent][:, 0] * mean))
            elif name in self.law.constants:
                columns.append((np.ones((1, self.y.shape[-1])), np.zeros(1)))
            else:
                columns.append(self._scaled(self._unit_output(free, name) - self._offset(free)))
        return columns

    def _scaled(self, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        column = np.broadcast_to(column, (len(column), self.y.shape[-1]))
        nonzero = (column != 0) & np.isfinite(column)
        logs = np.log(np.abs(column), out=np.zeros(column.shape), where=nonzero)
        scale = logs.sum(-1) / np.maximum(nonzero.sum(-1), 1)
        return column * np.exp(-scale)[:, None], scale

    def _unit_output(self, free: dict[str, np.ndarray], name: str | None) -> np.ndarray:
        """The law (S, n) with one linear parameter 1 and the others 0; all 0 for None."""
        unit = {linear: 1.0 if linear == name else 0.0 for linear in self.law.linear}
        value = np.asarray(self.law.function(*self.inputs, **unit, **free), np.float64)
        rows = max((len(v) for v in free.values()), default=1)
        return np.broadcast_to(value, (rows, self.y.shape[-1]))

    def _offset(self, free: dict[str, np.ndarray]) -> np.ndarray:
        """Value of the law (S, n) with all linear parameters 0, or zeros (1, 1) for laws without an offset."""
        return self._unit_output(free, None) if self._has_offset else np.zeros((1, 1))

    @cached_property
    def _has_offset(self) -> bool:
        """Whether the law is not 0 with all linear parameters 0. Without an offset a function call is saved."""
        if not self.law.linear:
            return True
        grid = self.start_grid()
        free = {name: grid[:, i, None] for i, name in enumerate(self.law.nonlinear)}
        with np.errstate(all="ignore"):
            return bool(np.any(self._unit_output(free, None) != 0))

    @cached_property
    def _has_exact_jacobian(self) -> bool:
        """Whether the law is a sum of constants and powers."""
        law = self.law
        known = set(law.linear) <= {*law.powers, *law.constants}
        return known and not self._has_offset and set(law.nonlinear) <= {e for _, e in law.powers.values()}

    @cached_property
    def _logs(self) -> dict[str, tuple[np.ndarray, float]]:
        """Centred logarithm (n,) of each input of a power, and its mean."""
        letters = {letter for letter, _ in self.law.powers.values()}
        logs = {k: np.log(x) for k, x in zip(self.law.inputs, self.inputs, strict=True) if k in letters}
        return {letter: (x - x.mean(), float(x.mean())) for letter, x in logs.items()}


@dataclass(frozen=True)
class LinearProblem:
    """The linear part of a law with constant columns, which `minimise` accepts like a Problem.

    Attributes:
        columns_SJn: Column of each linear coordinate.
        offset_Sn: Output with all linear coordinates 0.
        y: Link of the output, (n,).
        weights: Weights of the points, (n,).
        objective: Objective to minimise.
        low: Lower bounds of the coordinates (J,).
        high: Upper bounds of the coordinates (J,).
    """

    columns_SJn: np.ndarray
    offset_Sn: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    objective: Objective
    low: np.ndarray
    high: np.ndarray

    @property
    def names(self) -> tuple[int, ...]:
        """Indices of the coordinates, which have no names."""
        return tuple(range(self.columns_SJn.shape[1]))

    def select_rows(self, rows: np.ndarray | slice) -> LinearProblem:
        """Returns the problem of selected rows."""
        return replace(self, columns_SJn=self.columns_SJn[rows], offset_Sn=self.offset_Sn[rows])

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the lower and upper bounds of the coordinates, each (J,)."""
        return self.low, self.high

    def evaluate(self, u_SJ: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns r (S, n) and ∂r/∂u (S, J, n)."""
        columns, offset = self.columns_SJn[: len(u_SJ)], self.offset_Sn[: len(u_SJ)]
        model = offset + (u_SJ[:, None] @ columns)[:, 0]
        return self.objective.transform(model) - self.y, columns * self.objective.link_derivative(model)[:, None]
