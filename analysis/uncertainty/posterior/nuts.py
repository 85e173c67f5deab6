"""Chains of NumPyro's No-U-Turn sampler (Hoffman and Gelman 2014) on the posterior of a law.

Chains run in coordinates in which the Laplace approximation of the posterior is standard normal: with few points the
posterior of a scaling law is a narrow curved ridge, which chains in other coordinates follow in tiny steps.

Key: K unconstrained coordinates, T kept draws, R chains, S data sets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from numpyro.infer import NUTS

from analysis.uncertainty.posterior.density import (
    Data,
    Model,
    constrained_values,
    log_density,
    unconstrained_starts,
)

ACCEPTANCE = 0.85  # target of the acceptance probability: small steps, because the ridge is curved
TREE_DEPTH = 8
HESSIAN_STEP = 1e-5
PADDING = 16  # the number of rows of a compiled sampler is a multiple of this
MODE_STEPS = 100
SMALL_GAIN = 1e-8  # of the logarithm of the density, at which the mode has been found
LARGEST_STD = 3.0  # of a direction of the Laplace approximation, so that a flat direction has finite steps


@dataclass(frozen=True)
class _Sampler:
    """Compiled functions of rows with data of one shape, each with a leading axis of rows."""

    gradient: Callable[..., Any]
    chains: Callable[..., Any]


@lru_cache(maxsize=16)
def _compiled(model: Model, counts: tuple[int, int]) -> _Sampler:
    """The sampler of a model. counts: steps of warm-up, and draws."""

    @jax.jit  # traced once, although the sampler contains it several times
    def potential(z_K: jax.Array, data: Data) -> jax.Array:
        return -log_density(model, z_K, data)

    def chain(key: jax.Array, start_K: jax.Array, mode: jax.Array, spread: jax.Array, data: Data) -> Any:
        kernel = NUTS(
            potential_fn=lambda x: potential(mode + spread @ x, data),
            dense_mass=True,
            target_accept_prob=ACCEPTANCE,
            max_tree_depth=TREE_DEPTH,
        )

        def step(state: Any, _: None) -> tuple[Any, tuple[jax.Array, jax.Array]]:
            state = kernel.sample(state, (), {})
            return state, (state.z, state.diverging)

        state = kernel.init(key, counts[0], start_K, (), {})
        x_TK, diverging_T = jax.lax.scan(step, state, None, sum(counts))[1]
        return x_TK[counts[0] :], diverging_T[counts[0] :]

    return _Sampler(jax.jit(jax.vmap(jax.value_and_grad(potential))), jax.jit(jax.vmap(chain)))


def _derivatives(sampler: _Sampler, z_SK: np.ndarray, data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minus the logarithm of the density (S,), its gradient (S, K), and its Hessian (S, K, K) by central differences.

    One call of the gradient for all steps, because JAX compiles it in a fraction of the time of a Hessian.
    """
    S, K = z_SK.shape
    shifts = HESSIAN_STEP * np.concatenate([np.zeros((1, K)), np.eye(K), -np.eye(K)])
    rows = (z_SK[:, None] + shifts).reshape(-1, K)
    cost, g = (np.asarray(x) for x in sampler.gradient(rows, _repeat(data, 1 + 2 * K)))
    cost, g = cost.reshape(S, -1), g.reshape(S, 1 + 2 * K, K)
    H = (g[:, 1 : K + 1] - g[:, K + 1 :]) / (2 * HESSIAN_STEP)
    return cost[:, 0], g[:, 0], 0.5 * (H + H.transpose(0, 2, 1))


def _repeat(data: Data, times: int) -> Data:
    """The data with each data set repeated, one for each row that uses it."""
    return {
        name: tuple(np.repeat(x, times, 0) for x in value) if isinstance(value, tuple) else np.repeat(value, times, 0)
        for name, value in data.items()
    }


def _padded(data: Data) -> Data:
    """The data with rows without weight up to a multiple of PADDING, so that few numbers of rows are compiled."""
    extra = -data["y"].shape[1] % PADDING

    def pad(x: np.ndarray, mode: str) -> np.ndarray:
        return np.asarray(np.pad(x, ((0, 0), (0, extra)), mode))  # type: ignore[call-overload]

    rows = {name: pad(data[name], "edge") for name in ("y", "labels")}
    return {
        **data,
        **rows,
        "inputs": tuple(pad(x, "edge") for x in data["inputs"]),
        "weights": pad(data["weights"], "constant"),
    }


def _laplace(sampler: _Sampler, z_SK: np.ndarray, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """The modes near z, and matrices (S, K, K) that take standard normal coordinates to the Laplace approximations.

    Damped Newton steps with the absolute eigenvalues of the Hessian; only steps to a higher density are made.
    """
    damping = np.full(len(z_SK), 1e-2)
    cost, g, H = _derivatives(sampler, z_SK, data)
    for _ in range(MODE_STEPS):
        values, vectors = np.linalg.eigh(H)
        slope = np.einsum("skj,sk->sj", vectors, g)
        new = z_SK - np.einsum("skj,sj->sk", vectors, slope / (np.abs(values) + damping[:, None]))
        new_cost, new_g, new_H = _derivatives(sampler, new, data)
        better = (new_cost < cost) & np.isfinite(new_g).all(-1) & np.isfinite(new_H).all((-2, -1))
        gain = np.where(better, cost - new_cost, 0.0)
        z_SK, cost = np.where(better[:, None], new, z_SK), np.where(better, new_cost, cost)
        g, H = np.where(better[:, None], new_g, g), np.where(better[:, None, None], new_H, H)
        damping = np.clip(np.where(better, damping / 4, damping * 4), 1e-9, 1e12)
        if ((gain < SMALL_GAIN) & (better | (damping > 1e6))).all():
            break
    values, vectors = np.linalg.eigh(H)
    return z_SK, vectors / np.sqrt(np.maximum(values, LARGEST_STD**-2))[:, None, :]


def run_chains(model: Model, data: Data, counts: tuple[int, int], seed: int) -> dict[str, np.ndarray]:
    """Runs the chains of S data sets of one shape at once.

    Args:
        model: The model.
        data: Arrays of `log_density` with a leading axis S; "starts", coordinates and noise (S, R) of each chain;
            and "elsewhere" (S, R), whether a chain starts at another minimum.
        counts: Steps of warm-up, and draws of each chain.
        seed: Seed of the chains.

    Returns:
        Draws of each coordinate and of the noise (S, R, T), and divergences (S, R, T).
    """
    starts = unconstrained_starts(model, data.pop("starts"))
    elsewhere = data.pop("elsewhere")
    with jax.enable_x64(True):
        data = _padded(data) if model.solver is None else data
        sampler = _compiled(model, counts)
        mode, spread = _laplace(sampler, starts[:, 0], data)
        S, R, K = starts.shape
        other = np.linalg.solve(spread[:, None], (starts - mode[:, None])[..., None])[..., 0]
        begin = np.where(elsewhere[..., None], other, 0.0) + np.random.default_rng(seed).standard_normal((S, R, K))
        keys = jax.random.split(jax.random.PRNGKey(seed), S * R)
        rows = (np.repeat(mode, R, 0), np.repeat(spread, R, 0), _repeat(data, R))
        x, diverging = (np.asarray(value) for value in sampler.chains(keys, begin.reshape(-1, K), *rows))
    z = mode[:, None, None] + np.einsum("skj,srtj->srtk", spread, x.reshape(S, R, -1, K))
    return constrained_values(model, z) | {"diverging": diverging.reshape(S, R, -1)}
