"""Broken power laws with one to three breaks (Caballero 2023): power laws joined by smooth breaks, monotone or not.

Key: x examples, tokens, parameters or FLOPs; y error or loss; S starts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from analysis.laws.law import Array, Law

MAX_STARTS = 400
FIRST_EXPONENTS = (0.0, 0.15, 0.6)  # starting values of c0
EXPONENT_CHANGES = (-0.5, 0.3, 1.5)  # starting values of the change of the exponent at a break
BREAK_WIDTHS = (0.05, 0.3, 1.0)  # starting values of the width of a break in ln x
BREAK_POSITIONS = 7  # number of starting positions of a break, plus one for each break


def _broken_power(x: Array, a: Array, b: Array, c0: Array, *breaks: tuple[Array, Array, Array]) -> Array:
    """b·x^−c0·∏(1 + (x/d)^(1/f))^(−c·f) + a over breaks (c, d, f), computed in logarithms to avoid overflow."""
    log_x = np.log(x)
    power = -c0 * log_x
    for c, d, f in breaks:
        power = power - c * f * np.logaddexp(0, (log_x - np.log(d)) / f)
    return a + b * np.exp(power)


def broken_power_derivatives(x: Array, **params: Array) -> dict[str, Array]:
    """Returns the derivatives of a broken power law by its nonlinear parameters.

    Args:
        x: Examples, tokens, parameters or FLOPs.
        params: Parameters of the law, as those of `bnsl_1`.
    """
    log_x, breaks = np.log(x), range(1, (len(params) - 3) // 3 + 1)
    power = -params["c0"] * log_x
    slopes: dict[str, Array] = {"c0": -log_x}
    for i in breaks:
        c, d, f = params[f"c{i}"], params[f"d{i}"], params[f"f{i}"]
        z = (log_x - np.log(d)) / f
        softplus = np.logaddexp(0, z)
        sigmoid = np.exp(z - softplus)
        power = power - c * f * softplus
        slopes |= {f"c{i}": -f * softplus, f"d{i}": c * sigmoid / d, f"f{i}": c * (z * sigmoid - softplus)}
    value = params["b"] * np.exp(power)
    return {name: value * slope for name, slope in slopes.items()}


def bnsl_1(x: Array, *, a: Array, b: Array, c0: Array, c1: Array, d1: Array, f1: Array) -> Array:
    """b·x^−c0·(1 + (x/d1)^(1/f1))^(−c1·f1) + a (Caballero 2023, equation 1, one break).

    Args:
        x: Examples, tokens, parameters or FLOPs.
        a: Limit of y, in the unit of y.
        b: Factor.
        c0: Exponent before the first break.
        c1: Change of the exponent at the break.
        d1: Position of the break, in the unit of x.
        f1: Width of the break in ln x.
    """
    return _broken_power(x, a, b, c0, (c1, d1, f1))


def bnsl_2(
    x: Array, *, a: Array, b: Array, c0: Array, c1: Array, d1: Array, f1: Array, c2: Array, d2: Array, f2: Array
) -> Array:
    """b·x^−c0·∏(1 + (x/d)^(1/f))^(−c·f) + a, the product over two breaks (Caballero 2023, equation 1).

    Args:
        x: Examples, tokens, parameters or FLOPs.
        a: Limit of y, in the unit of y.
        b: Factor.
        c0: Exponent before the first break.
        c1: Change of the exponent at the first break.
        d1: Position of the first break.
        f1: Width of the first break in ln x.
        c2: Change of the exponent at the second break.
        d2: Position of the second break.
        f2: Width of the second break.
    """
    return _broken_power(x, a, b, c0, (c1, d1, f1), (c2, d2, f2))


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
    """b·x^−c0·∏(1 + (x/d)^(1/f))^(−c·f) + a, the product over three breaks (Caballero 2023, equation 1).

    Args:
        x: Examples, tokens, parameters or FLOPs.
        a: Limit of y, in the unit of y.
        b: Factor.
        c0: Exponent before the first break.
        c1: Change of the exponent at the first break.
        d1: Position of the first break.
        f1: Width of the first break in ln x.
        c2: Change of the exponent at the second break.
        d2: Position of the second break.
        f2: Width of the second break.
        c3: Change of the exponent at the third break.
        d3: Position of the third break.
        f3: Width of the third break.
    """
    return _broken_power(x, a, b, c0, (c1, d1, f1), (c2, d2, f2), (c3, d3, f3))


def _starts(breaks: int) -> Callable[[tuple[np.ndarray, ...], np.ndarray], dict[str, np.ndarray]]:
    """Starting values: all combinations of positions, exponents and widths, or a fixed sample of MAX_STARTS of them.

    Positions are evenly spaced in ln x between the second smallest and the second largest x.
    """

    def starts(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
        x = np.unique(inputs[0])
        inner = x[1:-1] if len(x) > 4 else x
        positions = list(itertools.combinations(np.geomspace(inner[0], inner[-1], BREAK_POSITIONS + breaks), breaks))
        changes = list(itertools.product(EXPONENT_CHANGES, repeat=breaks))
        grid = list(itertools.product(positions, changes, FIRST_EXPONENTS, BREAK_WIDTHS))
        if len(grid) > MAX_STARTS:
            grid = [grid[i] for i in np.random.default_rng(0).permutation(len(grid))[:MAX_STARTS]]
        values = {"c0": np.array([exponent for _, _, exponent, _ in grid])}
        for i in range(breaks):
            values[f"d{i + 1}"] = np.array([position[i] for position, *_ in grid])
            values[f"c{i + 1}"] = np.array([change[i] for _, change, *_ in grid])
            values[f"f{i + 1}"] = np.array([width for *_, width in grid])
        return values

    return starts


def _equation(breaks: int) -> str:
    """The law in LaTeX."""
    if breaks == 1:
        return r"y(x) = a + b x^{-c_0} \left(1 + \left(\frac{x}{d_1}\right)^{1 / f_1}\right)^{-c_1 f_1}"
    product = rf"\prod_{{i=1}}^{{{breaks}}}"
    return (
        rf"y(x) = a + b x^{{-c_0}} {product} \left(1 + \left(\frac{{x}}{{d_i}}\right)^{{1 / f_i}}\right)^{{-c_i f_i}}"
    )


def _law(function: Callable[..., Array], breaks: int) -> Law:
    bounds = {"c0": (-10.0, 10.0)}
    for i in range(1, breaks + 1):
        bounds |= {f"c{i}": (-20.0, 20.0), f"d{i}": (1e-12, 1e45), f"f{i}": (1e-3, 20.0)}
    return Law(
        function,
        f"Caballero 2023, equation 1, {breaks} break{'s' if breaks > 1 else ''}",
        {},
        ("a", "b"),
        bounds,
        constants=("a",),
        objective="mse-log",
        units={"x": "examples, tokens, parameters or FLOPs", "L": "error or loss", "a": "as y", "d1": "as x"},
        starts_from_data=_starts(breaks),
        derivatives=broken_power_derivatives,
        latex=(_equation(breaks),),
        exchangeable=tuple((f"d{i}", f"c{i}", f"f{i}") for i in range(1, breaks + 1)),
    )


BNSL_1 = _law(bnsl_1, 1)
BNSL_2 = _law(bnsl_2, 2)
BNSL_3 = _law(bnsl_3, 3)
