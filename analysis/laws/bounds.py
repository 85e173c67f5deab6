"""Bounds of the parameters of a law that a user sets, such as alpha from 0 to 1 or ln A from 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from analysis.laws.law import Law

HIGHEST = 1e80  # upper bound of a positive factor without one
TINY = 1e-12  # lower bound of a positive factor that is searched in the logarithm, as a share of its upper bound

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
    """Returns the effective bounds of each parameter, without logarithms.

    Args:
        law: The law without fixed and tied parameters.
        bounds: As in `with_bounds`.

    Raises:
        ValueError: As in `with_bounds`.
    """
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
    """The law with a linear parameter that is searched, from starts at which its term is a share of the output."""
    letter = law.powers.get(name, (None,))[0]
    nonlinear = law.nonlinear

    def starts(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
        values = dict(zip(nonlinear, law.start_grid(inputs, y).T, strict=True))
        free = {key: value[:, None] for key, value in values.items()}
        with np.errstate(all="ignore"):
            zero, unit = (
                law.function(*inputs, **{key: share * (key == name) for key in law.linear}, **free)
                for share in (0.0, 1.0)
            )
            term = np.log(np.abs(np.broadcast_to(unit - zero, (len(next(iter(values.values()), [0])), len(y)))))
            factor = np.abs(y).mean() / len(law.linear) * np.exp(-term.mean(-1))
        return {**values, name: np.clip(np.nan_to_num(factor, nan=1.0), low, high)}

    return replace(
        law,
        linear=tuple(other for other in law.linear if other != name),
        powers={other: power for other, power in law.powers.items() if other != name},
        decreasing_in=law.decreasing_in if letter is None else (*law.decreasing_in, letter),
        starts_from_data=starts,
        derivatives=None,
        scales={**law.scales, name: max(abs(end) for end in (low, high) if np.isfinite(end))}
        if low < 0
        else law.scales,
    )
