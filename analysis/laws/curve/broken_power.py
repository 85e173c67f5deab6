"""Broken power laws with one to three breaks (Caballero 2023): power laws joined by smooth turns, monotone or not.

Key: x examples, tokens, parameters or FLOPs; y error or loss.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from analysis.laws.law import Array, Law

SEEDED = 400  # starts at most
SLOPES = (0.0, 0.15, 0.6)  # of the first part, as a falling exponent
CHANGES = (-0.5, 0.3, 1.5)  # of the exponent at a break
TURNS = (0.05, 0.3, 1.0)  # width of a turn in ln x


def _broken(x: Array, a: Array, b: Array, c0: Array, *breaks: tuple[Array, Array, Array]) -> Array:
    """a + b·x^−c0·∏(1 + (x/d)^(1/f))^(−c·f) over breaks (c, d, f), by logarithms: nothing overflows."""
    log_x = np.log(x)
    power = -c0 * log_x
    for c, d, f in breaks:
        power = power - c * f * np.logaddexp(0, (log_x - np.log(d)) / f)
    return a + b * np.exp(power)


def bnsl_1(x: Array, *, a: Array, b: Array, c0: Array, c1: Array, d1: Array, f1: Array) -> Array:
    """a + b·x^−c0·(1 + (x/d1)^(1/f1))^(−c1·f1) (equation 1, one break)."""
    return _broken(x, a, b, c0, (c1, d1, f1))


def bnsl_2(
    x: Array, *, a: Array, b: Array, c0: Array, c1: Array, d1: Array, f1: Array, c2: Array, d2: Array, f2: Array
) -> Array:
    """The same with two breaks."""
    return _broken(x, a, b, c0, (c1, d1, f1), (c2, d2, f2))


def bnsl_3(
    x: Array,
    *,
    a: Array,
    b: Array,
    c0: Array,
    c1: Array,
    d1: Array,
    f1: Array,
    c2: Array,
    d2: Array,
    f2: Array,
    c3: Array,
    d3: Array,
    f3: Array,
) -> Array:
    """The same with three breaks."""
    return _broken(x, a, b, c0, (c1, d1, f1), (c2, d2, f2), (c3, d3, f3))


def _seeds(breaks: int) -> Callable[[tuple[np.ndarray, ...], np.ndarray], dict[str, np.ndarray]]:
    """Breaks at even steps of ln x between the second and the last but one x; every mixture of slopes and turns.

    Of more than SEEDED mixtures an even sample is taken, always the same one.
    """

    def seeds(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
        x = np.unique(inputs[0])
        inner = x[1:-1] if len(x) > 4 else x
        at = np.geomspace(inner[0], inner[-1], 7 + breaks)
        places = list(itertools.combinations(at, breaks))
        changes = list(itertools.product(CHANGES, repeat=breaks))
        every = list(itertools.product(places, changes, SLOPES, TURNS))
        if len(every) > SEEDED:
            every = [every[i] for i in np.random.default_rng(0).permutation(len(every))[:SEEDED]]
        out = {"c0": np.array([slope for _, _, slope, _ in every])}
        for i in range(breaks):
            out[f"d{i + 1}"] = np.array([place[i] for place, *_ in every])
            out[f"c{i + 1}"] = np.array([change[i] for _, change, *_ in every])
            out[f"f{i + 1}"] = np.array([turn for *_, turn in every])
        return out

    return seeds


def _law(function: Callable[..., Array], breaks: int) -> Law:
    bounds = {"c0": (-10.0, 10.0)}
    for i in range(1, breaks + 1):
        bounds |= {f"c{i}": (-20.0, 20.0), f"d{i}": (1e-12, 1e45), f"f{i}": (1e-3, 20.0)}
    units = {"x": "examples, tokens, parameters or FLOPs", "L": "error or loss", "a": "as y", "d1": "as x"}
    return Law(
        function,
        f"Caballero 2023, equation 1, {breaks} break{'s' if breaks > 1 else ''}",
        {},
        ("a", "b"),
        bounds,
        constants=("a",),
        objective="mse-log",
        units=units,
        seeds=_seeds(breaks),
    )


BNSL_1 = _law(bnsl_1, 1)
BNSL_2 = _law(bnsl_2, 2)
BNSL_3 = _law(bnsl_3, 3)
