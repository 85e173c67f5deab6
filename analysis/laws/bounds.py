"""Bounds of the parameters of a law that a user sets, such as alpha from 0 to 1 or ln A from 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from analysis.laws.law import Law

HIGHEST = 1e80  # upper bound of a positive factor without one
TINY = 1e-12  # lower bound of a positive factor that is searched in the logarithm, as a share of its upper bound
STARTS = 10.0 ** np.array([0.1, 1, 2, 3, 4])  # starting values of a factor, relative to its bound

Bounds = tuple[float, float]


def with_bounds(law: Law, bounds: Mapping[str, Bounds]) -> Law:
    """Returns the law with other bounds of its parameters.

    A factor that is computed in closed form, such as A of A/N^α, is searched instead, because its scaled coordinate has
    no constant bounds. An additive constant stays linear.

    Args:
        law: The law without fixed and tied parameters.
        bounds: Lower and upper bound by name of the parameter, -inf and inf for a side without one. A name such as
            "lnA" stands for the logarithm of a parameter.

    Raises:
        ValueError: A name is not a free parameter, or no value is allowed.
    """
    for name, (low, high) in natural_bounds(law, bounds).items():
        law = _with_bound(law, name, low, high)
    return law


def natural_bounds(law: Law, bounds: Mapping[str, Bounds]) -> dict[str, Bounds]:
    """Returns the effective bounds of each parameter, without logarithms; arguments as in `with_bounds`."""
    natural = {}
    for name, (low, high) in bounds.items():
        parameter = name
        if name not in law.parameters and name.startswith("ln"):
            parameter = name[2:].lstrip("_")
            low, high = float(np.exp(low)), float(np.exp(high))
        if parameter not in law.parameters:
            raise ValueError(f"bounds of {name!r}: must be a free parameter, one of {', '.join(law.parameters)}")
        own_low, own_high = law.bound(parameter)
        if own_low > 0 or not np.isfinite(low):  # 0 is the limit of a parameter that is searched in the logarithm
            low = low if low > 0 else own_low
        high = high if np.isfinite(high) else own_high
        if not low < high:
            raise ValueError(f"bounds of {name!r}: no value is above {low:g} and below {high:g}")
        natural[parameter] = (low, high)
    return natural


def _with_bound(law: Law, name: str, low: float, high: float) -> Law:
    if name in law.linear and name not in law.constants and (low, high) != law.bound(name):
        if low >= 0:
            low, high = low or TINY * high, min(high, HIGHEST)
        law = _searched(law, name, low, high)
    changed = replace(law, bounds={**law.bounds, name: (low, high)})
    if name in law.starts:
        starts = tuple(sorted({min(max(value, low), high) for value in law.starts[name]}))
        if len(starts) == 1 and np.isfinite([low, high]).all():
            starts = (*starts, float(np.sqrt(low * high)) if low > 0 else (low + high) / 2)
        changed = replace(changed, starts={**law.starts, name: starts})
    return changed


def _searched(law: Law, name: str, low: float, high: float) -> Law:
    """The law with a linear parameter that is searched, from starts near its bounds."""
    if low < 0:
        size = max(abs(end) for end in (low, high) if np.isfinite(end))
        values = np.array([-0.5, 0.1, 0.5]) * size
    elif low > 0 and np.isfinite(high):
        values = np.geomspace(low, high, len(STARTS) + 2)[1:-1]
    else:
        values = low * STARTS if low > 0 else high / STARTS
    values = values[(low <= values) & (values <= high)]
    letter = law.powers.get(name, (None,))[0]
    changed = replace(
        law,
        linear=tuple(other for other in law.linear if other != name),
        powers={other: power for other, power in law.powers.items() if other != name},
        decreasing_in=law.decreasing_in if letter is None else (*law.decreasing_in, letter),
        starts={**law.starts, name: tuple(float(value) for value in values)},
        scales={**law.scales, name: float(np.abs(values).max())},
    )
    from_data = law.starts_from_data
    if from_data is None:
        return changed

    def starts(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
        others = from_data(inputs, y)
        count = len(next(iter(others.values())))
        return {**{key: np.tile(value, len(values)) for key, value in others.items()}, name: np.repeat(values, count)}

    return replace(changed, starts_from_data=starts)
