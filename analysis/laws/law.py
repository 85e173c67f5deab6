"""`Law`: the function of a law and its description for fitting.

Positional arguments of the function are inputs of the law, one letter or word each (N parameters, D tokens, C FLOPs,
...). Keyword-only arguments are parameters. The function must broadcast: parameters (S, 1) with inputs (n,) return
(S, n).

Key: n points, S sets of parameters.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

Array = Any  # float or np.ndarray, broadcasting

LOSS_UNIT = "nats per token"  # unit of losses in `Law.units`, and of a loss whose column names no other
SIGNED_EXPONENT = (-5.0, 5.0)  # bounds of an exponent that can have either sign


@dataclass(frozen=True)
class Published:
    """Values of the parameters of a law in a publication.

    Attributes:
        source: Paper, place in it, and what was fitted.
        values: The values by name of the parameter, in the units of the law; those that are not given are absent.
    """

    source: str
    values: dict[str, float]


@dataclass(frozen=True)
class Law:
    """A law and its description for fitting.

    Attributes:
        function: The function. Its docstring begins with the formula that `formula` returns.
        source: Paper and equation.
        latex: The equations in LaTeX: that of the law, then the definitions of its terms.
        published: Published values of the parameters.
        starts: Starting values of each nonlinear parameter; all combinations are used.
        linear: Linear parameters, which are not negative and are computed in closed form.
        bounds: Lower and upper bound of a parameter; (0, inf) by default. A parameter with a lower bound greater than
            0 is searched in the logarithm.
        powers: Linear parameters that multiply a decreasing power of an input, such as {"A": ("N", "alpha")}. They are
            computed faster. A fit in which one of them is 0 is rejected: the output does not decrease with the input.
        constants: Linear parameters that are additive constants.
        decreasing_in: Inputs, in addition to those of `powers`, with which the output of a fit must decrease.
        optimum: Compute-optimal allocation (params, k, s) -> (a, b, ln G), where C = k·N^s·D, N* = G·(C/k)^a and
            D* = (C/k)^b / G^s; None if the law has no optimum.
        on_frontier: Whether to fit only the frontier: runs with a lower loss than all runs with a smaller input.
        output: Letter of the output.
        objective: Name of the default objective (analysis/solver/objective.py).
        units: Units of inputs, output and parameters, such as {"N": "parameters", "E": "nats per token"}.
        columns: Usual names of the columns of inputs and output, most likely first, such as {"U": "unique_tokens u"}.
            Names of N, D, C or L replace the general ones, for a law that means another quantity than all parameters
            or tokens.
        signed: Inputs or outputs that can be zero or negative; all others must be greater than 0.
        labels: Categorical inputs, such as the curve of a row, numbered in order of appearance.
        starts_from_data: Function (inputs, output) -> {parameter: (S,)} for starting values that depend on the points;
            replaces `starts`.
        local_only: Whether to search only for the local minimum of each start.
        exchangeable: Groups of parameters whose values can be exchanged without a change of the output, such as the
            breaks (("c1", "d1"), ("c2", "d2")) of a broken power law.
        scales: Typical size of nonlinear parameters that are not searched in the logarithm; 1 by default.
        derivatives: Function with the arguments of `function` that returns the derivative of the output by each
            nonlinear parameter; None uses central differences.
        runs: Runs of a store that the law describes: "models", or "saes" (sparse autoencoders).
    """

    function: Callable[..., Array]
    source: str
    starts: dict[str, tuple[float, ...]]
    linear: tuple[str, ...] = ()
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    powers: dict[str, tuple[str, str]] = field(default_factory=dict)
    constants: tuple[str, ...] = ()
    decreasing_in: tuple[str, ...] = ()
    optimum: Callable[..., tuple[Array, Array, Array]] | None = None
    on_frontier: bool = False
    output: str = "L"
    objective: str = "huber-log"
    units: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    signed: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    starts_from_data: Callable[[tuple[np.ndarray, ...], np.ndarray], dict[str, np.ndarray]] | None = None
    local_only: bool = False
    exchangeable: tuple[tuple[str, ...], ...] = ()
    scales: dict[str, float] = field(default_factory=dict)
    derivatives: Callable[..., dict[str, Array]] | None = None
    latex: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    runs: str = "models"

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(p.name for p in _arguments(self.function) if p.kind is not p.KEYWORD_ONLY)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, in order."""
        return tuple(p.name for p in _arguments(self.function) if p.kind is p.KEYWORD_ONLY)

    @cached_property
    def nonlinear(self) -> tuple[str, ...]:
        """Names of the parameters that are searched, in order."""
        return tuple(name for name in self.parameters if name not in self.linear)

    def bound(self, name: str) -> tuple[float, float]:
        """Returns the lower and upper bound of a parameter."""
        return self.bounds.get(name, (0.0, np.inf))

    def start_grid(self, inputs: tuple[np.ndarray, ...], output: np.ndarray) -> np.ndarray:
        """Returns the starting values of the nonlinear parameters, of shape (S, number of parameters).

        Args:
            inputs: Inputs of the points, each (n,).
            output: Output of the points (n,).
        """
        if self.starts_from_data is not None:
            starts = self.starts_from_data(inputs, output)
            return np.stack([np.asarray(starts[name], np.float64) for name in self.nonlinear], -1)
        return np.array(list(itertools.product(*(self.starts[name] for name in self.nonlinear))), np.float64)

    def in_loss_unit(self, unit: str) -> Law:
        """Returns the law with its losses in another unit: `units` names it instead of nats per token."""
        return replace(self, units={name: text.replace(LOSS_UNIT, unit) for name, text in self.units.items()})

    def with_starts(self, starts: Mapping[str, float | tuple[float, ...]]) -> Law:
        """Returns the law with other starting values, for a search of the local minimum of each start.

        Args:
            starts: One or several values of each parameter whose starts change.

        Raises:
            ValueError: A name is not a nonlinear parameter, or a value is outside of its bounds.
        """
        if self.starts_from_data is not None and starts and set(starts) != set(self.nonlinear):
            raise ValueError(
                f"the starts of this law depend on the points: give all of {', '.join(self.nonlinear)}, or none"
            )
        for name, values in starts.items():
            if name not in self.nonlinear:
                reason = "is linear and needs no start" if name in self.linear else "is not a parameter"
                raise ValueError(f"{name!r} {reason}: must be one of {', '.join(self.nonlinear)}")
            low, high = self.bound(name)
            if not all(low <= value <= high for value in np.atleast_1d(values)):
                raise ValueError(f"{name} = {values} is outside of its bounds, {low:g} to {high:g}")
        if not starts:
            return self
        values_by_name = {name: tuple(np.atleast_1d(np.asarray(v, np.float64))) for name, v in starts.items()}
        return replace(self, starts={**self.starts, **values_by_name}, starts_from_data=None, local_only=True)


@lru_cache(maxsize=256)
def _arguments(function: Callable[..., Array]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def constrain(law: Law, fixed: Mapping[str, float] | None = None, tied: Mapping[str, str] | None = None) -> Law:
    """Returns the law with fewer parameters: some fixed at values, some equal to others.

    Args:
        law: The law.
        fixed: Value of each parameter that is fixed.
        tied: For each tied parameter, the parameter that it equals, such as {"beta": "alpha"}.

    Raises:
        ValueError: A name is not a parameter, or a parameter is tied to a fixed or tied parameter.
    """
    fixed, tied = dict(fixed or {}), dict(tied or {})
    for name in (*fixed, *tied, *tied.values()):
        if name not in law.parameters:
            raise ValueError(f"{name!r} is not a parameter: must be one of {', '.join(law.parameters)}")
    removed = {**fixed, **tied}
    if len(removed) < len(fixed) + len(tied) or set(tied.values()) & set(removed):
        raise ValueError(
            "a parameter can be fixed or tied, and only tied to a parameter that is neither fixed nor tied"
        )
    if not removed:
        return law

    def all_parameters(params: Mapping[str, Array]) -> dict[str, Array]:
        return {**params, **fixed, **{name: params[other] for name, other in tied.items()}}

    optimum = law.optimum
    linear = tuple(name for name in law.linear if name not in removed and _is_linear(law, name, tied))
    bounds = {name: _common_bounds(law, name, tied) for name in law.parameters if name not in removed}
    untied = [name for name in linear if name not in tied.values()]
    return replace(
        law,
        function=_with_arguments(law.function, bounds, all_parameters),
        linear=linear,
        starts={name: _common_starts(law, name, tied, bounds[name]) for name in bounds if name not in linear},
        bounds=bounds,
        powers={
            name: (letter, tied.get(exponent, exponent))
            for name, (letter, exponent) in law.powers.items()
            if name in untied and exponent not in fixed and tied.get(exponent, exponent) not in linear
        },
        constants=tuple(name for name in law.constants if name in untied),
        derivatives=None,
        exchangeable=() if any(name in group for group in law.exchangeable for name in removed) else law.exchangeable,
        optimum=None if optimum is None else lambda params, k, s=1.0: optimum(all_parameters(params), k, s),
    )


def _with_arguments(
    function: Callable[..., Array],
    parameters: Mapping[str, object],
    all_parameters: Callable[[Mapping[str, Array]], dict[str, Array]],
) -> Callable[..., Array]:
    """The function with only some of its parameters; `all_parameters` computes the others from them."""

    def constrained(*inputs: Array, **params: Array) -> Array:
        return function(*inputs, **all_parameters(params))

    signature = inspect.signature(function)
    arguments = [p for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY or p.name in parameters]
    constrained.__signature__ = signature.replace(parameters=arguments)  # type: ignore[attr-defined]
    constrained.__doc__ = function.__doc__
    constrained.__wrapped__ = function  # type: ignore[attr-defined]  # where a user's law is defined
    return constrained


def _tied_group(name: str, tied: Mapping[str, str]) -> list[str]:
    """A parameter and those that are tied to it."""
    return [name, *(other for other, target in tied.items() if target == name)]


def _is_linear(law: Law, name: str, tied: Mapping[str, str]) -> bool:
    return all(other in law.linear for other in _tied_group(name, tied))


def _common_bounds(law: Law, name: str, tied: Mapping[str, str]) -> tuple[float, float]:
    """Intersection of the bounds of a parameter and of those tied to it."""
    lows, highs = zip(*(law.bound(other) for other in _tied_group(name, tied)), strict=True)
    return max(lows), min(highs)


def _common_starts(law: Law, name: str, tied: Mapping[str, str], bounds: tuple[float, float]) -> tuple[float, ...]:
    """Starts of a parameter and of those tied to it, clipped to the bounds."""
    starts = [value for other in _tied_group(name, tied) for value in law.starts.get(other, ())]
    return tuple(sorted({min(max(value, bounds[0]), bounds[1]) for value in starts}))


def formula(law: Law) -> str:
    """Formats a law as output, inputs and formula, from the first paragraph of the docstring of its function."""
    first = " ".join((law.function.__doc__ or "").strip().split("\n\n")[0].split()).rstrip(".")
    output, inputs = law.output, ", ".join(law.inputs)
    return f"{output}({inputs}) = {first}" if first else f"{output}({inputs}), {law.source}"
