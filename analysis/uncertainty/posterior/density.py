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

WIDE = 4.0  # smallest range of ln α whose bounds do not matter to the sampler
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
        robust: Whether the noise is Student's t instead of normal; not with groups.
        groups: Number of groups whose points share an effect; 0 for independent points.
        terms: Names of the linear coordinates whose only bound is 0.
        powers: For each exponent of a power with wide bounds, its name and that of the linear coordinate of the power.
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
    terms: tuple[str, ...]
    powers: tuple[tuple[str, str], ...]
    solver: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None

    @property
    def slopes(self) -> dict[str, str]:
        """Linear coordinate of the power of each exponent."""
        return dict(self.powers)


def make_model(problem: Problem, groups: int = 0) -> Model:
    """Returns the model of a law on points.

    Args:
        problem: The law on points.
        groups: Number of groups whose points share an effect.
    """
    law = problem.law
    terms = [name for name in law.linear if law.bound(name) == (0.0, np.inf)]
    exponents = {}
    for name in terms:
        exponent = law.powers[name][1] if name in law.powers else None
        if exponent is not None and problem.is_log(exponent) and np.log(np.divide(*law.bound(exponent)[::-1])) > WIDE:
            exponents[exponent] = name
    model = Model(
        function=law.function,
        linear=law.linear,
        nonlinear=law.nonlinear,
        logs=tuple(problem.is_log(name) for name in law.nonlinear),
        scales=tuple(law.scales.get(name, 1.0) for name in law.nonlinear),
        bounds=tuple(zip(*(end.tolist() for end in problem.bounds()), strict=True)),
        link=problem.objective.link,
        robust=is_robust(problem.objective) and not groups,
        groups=groups,
        terms=tuple(terms),
        powers=tuple(exponents.items()),
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
    return jax.pure_callback(solver, shapes, u_P, vmap_method="broadcast_all")


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
        ones = {name: jnp.asarray(float(name == linear)) for name in model.linear}
        return law_on_jax(model.function, inputs, ones | free)

    output = unit(None)
    offset = output
    for name, x in zip(model.linear, u[:first], strict=True):
        column = jnp.broadcast_to(unit(name) - offset, jnp.shape(inputs[0]))
        nonzero = present & (column != 0) & jnp.isfinite(column)
        logs = jnp.where(nonzero, jnp.log(jnp.abs(jnp.where(nonzero, column, 1.0))), 0.0)
        output = output + x * column * jnp.exp(-logs.sum() / jnp.maximum(nonzero.sum(), 1))
    return jnp.broadcast_to(output, jnp.shape(inputs[0]))


def _sites(model: Model) -> tuple[str, ...]:
    """Names of the unconstrained coordinates."""
    noise = {"noise.sigma": True, "noise.tau": model.groups > 0, "noise.nu": model.robust}
    return (*model.linear, *model.nonlinear, *(name for name, used in noise.items() if used))


def _split(model: Model, z_K: Any) -> dict[str, Any]:
    """Each unconstrained coordinate by name."""
    return {name: z_K[k] for k, name in enumerate(_sites(model))}


def _coordinate(z: Any, bounds: tuple[float, float], xp: Any) -> tuple[Any, Any]:
    """A coordinate within its bounds, and the logarithm of its derivative by z. xp: NumPy or jax.numpy."""
    low, high = bounds
    if np.isfinite(low) and np.isfinite(high):
        above, below = xp.logaddexp(0.0, z), xp.logaddexp(0.0, -z)
        return low + (high - low) * xp.exp(-below), -above - below
    if np.isfinite(low):
        return low + xp.exp(z), z
    return (high - xp.exp(z), z) if np.isfinite(high) else (z, xp.zeros_like(z))


def law_coordinates(model: Model, z: dict[str, Any], xp: Any) -> tuple[dict[str, Any], Any]:
    """Returns the coordinates of the solver, and the logarithm of the determinant of their derivatives.

    Points determine the output and its slopes in the middle of the inputs far better than single terms, so that the
    posterior is a curved ridge in E, A and α. The ridge is straight in the unconstrained coordinates that are used
    here: the logarithm of the sum of the terms E + A + B, the logits of their shares, and ln(α·A), the slope of a term.

    Args:
        model: The model.
        z: Unconstrained coordinates by name, of any shape.
        xp: NumPy or jax.numpy.
    """
    names = (*model.linear, *model.nonlinear)
    bounds = dict(zip(names, model.bounds, strict=True))
    u, total = {}, 0.0
    if model.terms:
        log_rest = z[model.terms[0]]  # logarithm of the sum of the terms that are left
        for name, logit in zip(model.terms[:-1], [z[name] for name in model.terms[1:]], strict=True):
            log_share, log_other = -xp.logaddexp(0.0, -logit), -xp.logaddexp(0.0, logit)
            u[name] = xp.exp(log_rest + log_share)
            total = total + log_rest + log_share + log_other
            log_rest = log_rest + log_other
        u[model.terms[-1]] = xp.exp(log_rest)
        total = total + log_rest
    for name in names:
        if name in model.slopes:  # its coordinate is the logarithm of an exponent
            u[name] = z[name] - xp.log(u[model.slopes[name]])
            low, high = bounds[name]
            total = total + xp.where((u[name] > low) & (u[name] < high), 0.0, -np.inf)
        elif name not in u:
            u[name], jacobian = _coordinate(z[name], bounds[name], xp)
            total = total + jacobian
    return {name: u[name] for name in names}, total


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

    The noise of points of one group is normal with a common part; this part is integrated out.

    Args:
        model: The model.
        z_K: Unconstrained coordinates: those of the law, ln σ, ln τ of groups, and ln(ν − 1) of Student's t.
        data: inputs, y (n,), weights (n,), location (P,), scale (P,), noise_unit, and labels (n,) of groups. A row
            without weight is no point.
    """
    z = _split(model, z_K)
    coordinates, jacobian = law_coordinates(model, z, jnp)
    u = jnp.stack(list(coordinates.values()))
    total = jacobian - 0.5 * jnp.sum(((u - data["location"]) / data["scale"]) ** 2)
    ln_sigma = z["noise.sigma"]
    total -= 0.5 * ((ln_sigma - jnp.log(NOISE_MEDIAN * data["noise_unit"])) / NOISE_LOG_STD) ** 2
    present = data["weights"] > 0
    present, weights = data["weights"] > 0, data["weights"]
    deviation = data["y"] - link_of_output(model, data, u)
    square = weights * jnp.exp(-2 * ln_sigma) * deviation**2
    if model.groups:
        tau = jnp.exp(z["noise.tau"])
        total += z["noise.tau"] - 0.5 * (tau / (EFFECT_SCALE * data["noise_unit"])) ** 2
        member_Gn = weights[None] * (data["labels"][None] == jnp.arange(model.groups)[:, None])
        ratio = jnp.exp(2 * z["noise.tau"] - 2 * ln_sigma)  # τ²/σ²: the covariance of a group is σ²/w + τ²·11ᵀ
        grown_G = 1 + ratio * member_Gn.sum(-1)
        shared = jnp.sum((member_Gn @ deviation) ** 2 * ratio / grown_G) * jnp.exp(-2 * ln_sigma)
        return total - 0.5 * (jnp.sum(present * (square + 2 * ln_sigma)) + jnp.sum(jnp.log(grown_G)) - shared)
    if not model.robust:
        return total - jnp.sum(present * (0.5 * square + ln_sigma))
    excess = jnp.exp(z["noise.nu"])
    nu = 1 + excess
    total += DOF_SHAPE * z["noise.nu"] - DOF_RATE * excess
    constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * jnp.log(nu)
    return total + jnp.sum(present * (constant - ln_sigma - (nu + 1) / 2 * jnp.log1p(square / nu)))


def constrained_values(model: Model, z: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the value of each coordinate of the law and of the noise (S, R, T).

    Args:
        model: The model.
        z: Unconstrained coordinates (S, R, T, K).
    """
    values = _split(model, np.moveaxis(z, -1, 0))
    noise = {name: np.exp(values[name]) for name in ("noise.sigma", "noise.tau", "noise.nu") if name in values}
    return law_coordinates(model, values, np)[0] | noise


def unconstrained_starts(model: Model, starts: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the unconstrained coordinates of starts (S, R, K).

    Args:
        model: The model.
        starts: Value of each coordinate of the law and of the noise (S, R).
    """
    bounds = dict(zip((*model.linear, *model.nonlinear), model.bounds, strict=True))
    z = {name: starts[name] + np.log(starts[term]) for name, term in model.slopes.items()}
    if model.terms:
        rest = sum(starts[name] for name in model.terms)
        z[model.terms[0]] = np.log(rest)
        for name, following in zip(model.terms[:-1], model.terms[1:], strict=True):
            rest = rest - starts[name]
            z[following] = np.log(starts[name]) - np.log(rest)
    z |= {name: _free(starts[name], bounds.get(name, (0.0, np.inf))) for name in _sites(model) if name not in z}
    return np.stack([z[name] for name in _sites(model)], -1)
