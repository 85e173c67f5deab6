"""The posterior density of a law on points, in JAX.

Key: K unconstrained coordinates, P coordinates of the solver, T draws, R chains, S data sets, n points, G groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

from analysis.solver.problem import Problem
from analysis.uncertainty.posterior.priors import (
    DOF_RATE,
    DOF_SHAPE,
    EFFECT_SCALE,
    NOISE_LOG_STD,
    NOISE_MEDIAN,
    is_robust,
)
from analysis.uncertainty.posterior.traced import law_on_jax

LINKS: dict[str, Callable[[jax.Array], jax.Array]] = {"log": jnp.log, "log1p": jnp.log1p, "identity": lambda x: x}

Data = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """What is compiled once: a law, its coordinates and its noise.

    Attributes:
        function: Function of the law.
        linear: Names of the linear coordinates.
        nonlinear: Names of the nonlinear coordinates.
        logs: Whether each nonlinear coordinate is a logarithm.
        scales: Unit of each nonlinear coordinate that is not a logarithm.
        bounds: Lower and upper bound of each coordinate.
        link: Name of the link of the objective.
        robust: Whether the noise is Student's t instead of normal.
        groups: Number of groups whose points share an effect; 0 for independent points.
        solver: For a law that JAX cannot trace: function of coordinates (S, P) that returns the link of the output
            (S, n) and its derivatives (S, P, n); such a model only has the inputs of one problem.
    """

    function: Callable[..., Any]
    linear: tuple[str, ...]
    nonlinear: tuple[str, ...]
    logs: tuple[bool, ...]
    scales: tuple[float, ...]
    bounds: tuple[tuple[float, float], ...]
    link: str
    robust: bool
    groups: int
    solver: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None


def make_model(problem: Problem, groups: int = 0) -> Model:
    """Returns the model of a law on points.

    Args:
        problem: The law on points.
        groups: Number of groups whose points share an effect.
    """
    law = problem.law
    model = Model(
        function=law.function,
        linear=law.linear,
        nonlinear=law.nonlinear,
        logs=tuple(problem.is_log(name) for name in law.nonlinear),
        scales=tuple(law.scales.get(name, 1.0) for name in law.nonlinear),
        bounds=tuple(zip(*(end.tolist() for end in problem.bounds()), strict=True)),
        link=problem.objective.link,
        robust=is_robust(problem.objective),
        groups=groups,
    )
    with jax.enable_x64(True):
        return model if _is_traceable(model, problem.inputs) else replace(model, solver=_solver(problem))


def _is_traceable(model: Model, inputs: tuple[np.ndarray, ...]) -> bool:
    """Whether JAX can trace the law: it computes with functions of NumPy, without branches on values."""
    u, present = [jnp.ones(()) for _ in model.bounds], np.ones(len(inputs[0]), bool)
    try:
        jax.eval_shape(lambda x, u: law_output(model, x, u, present), inputs, u)
    except Exception:  # of any kind, in the function of the law
        return False
    return True


def _solver(problem: Problem) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The link of the output and its derivatives, as the solver computes them."""
    problem = problem.with_data(np.zeros(len(problem.y)), problem.weights)

    def evaluate(u_SP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u_SP = np.asarray(u_SP)
        with np.errstate(all="ignore"):
            r_Sn, J_SPn = problem.evaluate(u_SP.reshape(-1, u_SP.shape[-1]))
        return r_Sn.reshape(*u_SP.shape[:-1], -1), J_SPn.reshape(*u_SP.shape, -1)

    return evaluate


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _by_solver(solver: Callable[..., Any], n: int, u_P: jax.Array) -> jax.Array:
    return _solve(solver, n, u_P)[0]


def _solve(solver: Callable[..., Any], n: int, u_P: jax.Array) -> tuple[jax.Array, jax.Array]:
    shapes = jax.ShapeDtypeStruct((n,), u_P.dtype), jax.ShapeDtypeStruct((len(u_P), n), u_P.dtype)
    return jax.pure_callback(solver, shapes, u_P, vmap_method="broadcast_all")  # type: ignore[no-any-return]


def _solved(solver: Callable[..., Any], n: int, u_P: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _solve(solver, n, u_P)


def _pull_back(solver: Callable[..., Any], n: int, J_Pn: jax.Array, slope_n: jax.Array) -> tuple[jax.Array]:
    return (J_Pn @ slope_n,)


_by_solver.defvjp(_solved, _pull_back)


def link_of_output(model: Model, data: Data, u_P: jax.Array) -> jax.Array:
    """Returns the link of the output of the law (n,).

    Args:
        model: The model.
        data: inputs and weights (n,).
        u_P: Coordinates.
    """
    if model.solver is not None:
        return _by_solver(model.solver, len(data["y"]), u_P)
    return LINKS[model.link](law_output(model, data["inputs"], list(u_P), data["weights"] > 0))


def law_output(model: Model, inputs: Any, u: list[jax.Array], present: jax.Array | np.ndarray) -> jax.Array:
    """Returns the output of the law (n,), as `Problem.model`.

    Args:
        model: The model.
        inputs: Inputs of the law, (n,) each.
        u: Coordinates, scalars, linear ones first.
        present: Whether each row is a point (n,), whose geometric mean is the unit of the linear coordinates.
    """
    first = len(model.linear)
    free = {
        name: jnp.exp(x) if log else x * scale
        for name, log, scale, x in zip(model.nonlinear, model.logs, model.scales, u[first:], strict=True)
    }

    def unit(linear: str | None) -> jax.Array:
        return law_on_jax(model.function, inputs, {name: float(name == linear) for name in model.linear} | free)

    output = unit(None)
    offset = output
    for name, x in zip(model.linear, u[:first], strict=True):
        column = jnp.broadcast_to(unit(name) - offset, jnp.shape(inputs[0]))
        nonzero = present & (column != 0) & jnp.isfinite(column)
        logs = jnp.where(nonzero, jnp.log(jnp.abs(jnp.where(nonzero, column, 1.0))), 0.0)
        output = output + x * column * jnp.exp(-logs.sum() / jnp.maximum(nonzero.sum(), 1))
    return jnp.broadcast_to(output, jnp.shape(inputs[0]))


def _sites(model: Model) -> list[tuple[str, int]]:
    """Name and size of each unconstrained site."""
    sites = [(name, 1) for name in (*model.linear, *model.nonlinear, "noise.sigma")]
    sites += [("noise.tau", 1), ("noise.effects", model.groups)] if model.groups else []
    return sites + ([("noise.nu", 1)] if model.robust else [])


def _split(model: Model, z_K: jax.Array) -> dict[str, jax.Array]:
    """Value of each site of unconstrained coordinates."""
    values, first = {}, 0
    for name, size in _sites(model):
        values[name] = z_K[first : first + size] if name == "noise.effects" else z_K[first]
        first += size
    return values


def _coordinate(z: Any, bounds: tuple[float, float]) -> tuple[Any, Any]:
    """A coordinate of the solver within its bounds, and the logarithm of its derivative by z."""
    low, high = bounds
    if np.isfinite(low) and np.isfinite(high):
        return low + (high - low) * jax.nn.sigmoid(z), -jax.nn.softplus(z) - jax.nn.softplus(-z)
    if np.isfinite(low):
        return low + jnp.exp(z), z
    return (high - jnp.exp(z), z) if np.isfinite(high) else (z, jnp.zeros_like(z))


def _free(u: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """The inverse of `_coordinate`."""
    low, high = bounds
    if np.isfinite(low) and np.isfinite(high):
        return np.asarray(np.log((u - low) / (high - u)))
    if np.isfinite(low):
        return np.asarray(np.log(u - low))
    return np.asarray(np.log(high - u)) if np.isfinite(high) else u


def log_density(model: Model, z_K: jax.Array, data: Data) -> jax.Array:
    """Returns the logarithm of the posterior density of unconstrained coordinates, up to a constant.

    The logarithm of the scales of noise and effects and of ν − 1 are unconstrained.

    Args:
        model: The model.
        z_K: Unconstrained coordinates: those of the law, ln σ, ln τ and effects of groups, ln(ν − 1).
        data: inputs, y (n,), weights (n,), location (P,), scale (P,), noise_unit, and labels (n,) of groups. A row
            without weight is no point.
    """
    z = _split(model, z_K)
    names = (*model.linear, *model.nonlinear)
    pairs = [_coordinate(z[name], bounds) for name, bounds in zip(names, model.bounds, strict=True)]
    u = jnp.stack([coordinate for coordinate, _ in pairs])
    total = sum(jacobian for _, jacobian in pairs) - 0.5 * jnp.sum(((u - data["location"]) / data["scale"]) ** 2)
    ln_sigma = z["noise.sigma"]
    total -= 0.5 * ((ln_sigma - jnp.log(NOISE_MEDIAN * data["noise_unit"])) / NOISE_LOG_STD) ** 2
    present = data["weights"] > 0
    mean = link_of_output(model, data, u)
    if model.groups:
        tau, effects = jnp.exp(z["noise.tau"]), z["noise.effects"]
        mean = mean + tau * effects[data["labels"]]
        total += z["noise.tau"] - 0.5 * (tau / (EFFECT_SCALE * data["noise_unit"])) ** 2 - 0.5 * jnp.sum(effects**2)
    square = data["weights"] * jnp.exp(-2 * ln_sigma) * (data["y"] - mean) ** 2
    if not model.robust:
        return total - jnp.sum(present * (0.5 * square + ln_sigma))
    excess = jnp.exp(z["noise.nu"])
    nu = 1 + excess
    total += DOF_SHAPE * z["noise.nu"] - DOF_RATE * excess
    constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * jnp.log(nu)
    return total + jnp.sum(present * (constant - ln_sigma - (nu + 1) / 2 * jnp.log1p(square / nu)))


def constrained_values(model: Model, z: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the value of each site (S, R, T).

    Args:
        model: The model.
        z: Unconstrained coordinates (S, R, T, K).
    """
    sites = _split(model, np.moveaxis(z, -1, 0))  # type: ignore[arg-type]
    values = {name: np.asarray(value) for name, value in sites.items()}
    for name, bounds in zip((*model.linear, *model.nonlinear), model.bounds, strict=True):
        values[name] = np.asarray(_coordinate(values[name], bounds)[0])
    values |= {name: np.exp(values[name]) for name in ("noise.sigma", "noise.tau", "noise.nu") if name in values}
    return values


def unconstrained_starts(model: Model, starts: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the unconstrained coordinates of starts (S, R, K).

    Args:
        model: The model.
        starts: Value of each site (S, R), and of the effects (S, R, G).
    """
    bounds = dict(zip((*model.linear, *model.nonlinear), model.bounds, strict=True))
    columns = []
    for name, _ in _sites(model):
        if name == "noise.effects":
            columns.append(starts[name])
        else:
            columns.append(_free(starts[name], bounds.get(name, (0.0, np.inf)))[..., None])
    return np.concatenate(columns, -1)
