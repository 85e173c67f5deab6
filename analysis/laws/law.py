"""What a law is: a function whose parameter names are read from its signature, and what it takes to fit it.

Positional arguments are a law's inputs, one letter or word each (N parameters, D tokens, C FLOPs, ...); keyword-only
ones are its parameters. A law broadcasts: parameters (S, 1) against inputs (n,) give (S, n).
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

Array = Any  # float or np.ndarray, broadcasting


@dataclass(frozen=True)
class Law:
    """A form and what it takes to fit it.

    source: paper and equation.
    starts: values to begin from, for each parameter that is not linear; their product is tried.
    linear: parameters that enter linearly and may not be negative: solved for, never searched.
    bounds: lowest and highest value of a parameter; (0, inf) where not given. One whose lowest is above 0 is
        searched by its logarithm.
    powers: linear parameters that multiply a falling power of an input, {"A": ("N", "alpha")}: solved for faster,
        and a fit in which one vanishes is refused, because then the output does not fall with that input.
    constants: linear parameters that stand alone.
    falls: inputs that a fit must have the output fall with, beyond those of powers, or it is refused.
    optimum: (params, k) -> (a, b, ln G): N* = G·(C/k)^a, D* = (C/k)^b / G, where C = k·N·D.
    frontier: fitted to the runs that no run with less of the input beats.
    output: the letter of what the law gives; L, the loss, unless said.
    objective: the default one, a name in solve.OBJECTIVES.
    units: of inputs, output and parameters, {"N": "parameters", "E": "nats a token"}.
    columns: common column names of inputs and output beyond N, D, C and L, {"U": "unique_tokens u"}.
    signed: inputs or outputs that may be zero or negative; all others must be greater than 0.
    labels: inputs that name things (the curve that a row is of): a column of text will do, numbered as it comes.
    seeds: (inputs, output) -> values to begin from, {parameter: (S,)}, of a law whose starts are set by the range of
        the points; `starts` is left empty then.
    near: the minimum in whose valley a start lies is wanted, not the lowest that can be reached from there.
    """

    function: Callable[..., Array]
    source: str
    starts: dict[str, tuple[float, ...]]
    linear: tuple[str, ...] = ()
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    powers: dict[str, tuple[str, str]] = field(default_factory=dict)
    constants: tuple[str, ...] = ()
    falls: tuple[str, ...] = ()
    optimum: Callable[[dict[str, Array], float], tuple[Array, Array, Array]] | None = None
    frontier: bool = False
    output: str = "L"
    objective: str = "huber-log"
    units: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    signed: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    seeds: Callable[[tuple[np.ndarray, ...], np.ndarray], dict[str, np.ndarray]] | None = None
    near: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law takes, in order."""
        return tuple(p.name for p in _signature(self.function) if p.kind is not p.KEYWORD_ONLY)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Parameter names in order."""
        return tuple(p.name for p in _signature(self.function) if p.kind is p.KEYWORD_ONLY)

    @property
    def nonlinear(self) -> tuple[str, ...]:
        return tuple(name for name in self.parameters if name not in self.linear)

    def bound(self, name: str) -> tuple[float, float]:
        return self.bounds.get(name, (0.0, np.inf))

    def grid(self, inputs: tuple[np.ndarray, ...], output: np.ndarray) -> np.ndarray:
        """Starts (S, number of nonlinear parameters) for points with these inputs and output (n,)."""
        if self.seeds is not None:
            seeded = self.seeds(inputs, output)
            return np.stack([np.asarray(seeded[name], np.float64) for name in self.nonlinear], -1)
        return np.array(list(itertools.product(*(self.starts[name] for name in self.nonlinear))), np.float64)

    def begun(self, start: Mapping[str, float | tuple[float, ...]]) -> Law:
        """The law searched downhill from these values. Raises ValueError for a parameter that is not searched."""
        if self.seeds is not None and start and set(start) != set(self.nonlinear):
            raise ValueError(f"its starts are set by the points: give all of {', '.join(self.nonlinear)} or none")
        for name, values in start.items():
            if name not in self.nonlinear:
                why = "is solved for, not searched" if name in self.linear else "is not a parameter"
                raise ValueError(f"{name!r} {why}: a start may be given to {', '.join(self.nonlinear)}")
            low, high = self.bound(name)
            if not all(low <= x <= high for x in np.atleast_1d(values)):
                raise ValueError(f"{name} = {values} is beyond its bounds, {low:g} and {high:g}")
        begun = {name: tuple(np.atleast_1d(np.asarray(values, np.float64))) for name, values in start.items()}
        return replace(self, starts={**self.starts, **begun}, seeds=None, near=True) if start else self


@lru_cache(maxsize=256)
def _signature(function: Callable[..., Array]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def given(law: Law, fixed: Mapping[str, float] | None = None, tied: Mapping[str, str] | None = None) -> Law:
    """The law with some parameters held at values, and some equal to others ({"beta": "alpha"}): fewer to fit.

    Raises ValueError for a name that is not a parameter, or a parameter tied to one that is itself fixed or tied.
    """
    fixed, tied = dict(fixed or {}), dict(tied or {})
    for name in (*fixed, *tied, *tied.values()):
        if name not in law.parameters:
            raise ValueError(f"{name!r} is not a parameter: there are {', '.join(law.parameters)}")
    gone = {**fixed, **tied}
    if len(gone) < len(fixed) + len(tied) or set(tied.values()) & set(gone):
        raise ValueError("a parameter may be fixed, or tied to one that is neither fixed nor tied")
    if not gone:
        return law

    def function(*inputs: Array, **params: Array) -> Array:
        return law.function(*inputs, **params, **fixed, **{name: params[other] for name, other in tied.items()})

    signature = inspect.signature(law.function)
    kept = [p for p in signature.parameters.values() if p.name not in gone]
    function.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    function.__doc__ = law.function.__doc__
    optimum = law.optimum
    linear = tuple(name for name in law.linear if name not in gone and _stays_linear(law, name, tied))
    bounds = {name: _shared(law, name, tied) for name in law.parameters if name not in gone}
    alone = [name for name in linear if name not in tied.values()]
    return replace(
        law,
        function=function,
        linear=linear,
        starts={name: _starts(law, name, tied, bounds[name]) for name in bounds if name not in linear},
        bounds=bounds,
        powers={
            name: (letter, tied.get(exponent, exponent))
            for name, (letter, exponent) in law.powers.items()
            if name in alone and exponent not in fixed and tied.get(exponent, exponent) not in linear
        },
        constants=tuple(name for name in law.constants if name in alone),
        optimum=None
        if optimum is None
        else lambda p, k: optimum({**p, **fixed, **{name: p[other] for name, other in tied.items()}}, k),
    )


def _followers(name: str, tied: Mapping[str, str]) -> list[str]:
    return [name, *(other for other, to in tied.items() if to == name)]


def _stays_linear(law: Law, name: str, tied: Mapping[str, str]) -> bool:
    return all(other in law.linear for other in _followers(name, tied))


def _shared(law: Law, name: str, tied: Mapping[str, str]) -> tuple[float, float]:
    """The bounds that a parameter and all that are tied to it allow."""
    lows, highs = zip(*(law.bound(other) for other in _followers(name, tied)), strict=True)
    return max(lows), min(highs)


def _starts(law: Law, name: str, tied: Mapping[str, str], bounds: tuple[float, float]) -> tuple[float, ...]:
    """Of a parameter, or of those tied to it where it was linear until then; within its bounds."""
    own = [x for other in _followers(name, tied) for x in law.starts.get(other, ())]
    return tuple(sorted({min(max(x, bounds[0]), bounds[1]) for x in own}))


def formula(law: Law) -> str:
    """A law's first sentence and where it comes from."""
    first = " ".join((law.function.__doc__ or "").strip().split("\n\n")[0].split()).rstrip(".")
    output, inputs = law.output, ", ".join(law.inputs)
    return f"{output}({inputs}) = {first}" if first else f"{output}({inputs}), {law.source}"
