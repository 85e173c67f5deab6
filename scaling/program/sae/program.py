"""The compiled program of a sparse autoencoder: initialise, several training steps, scores of held-out activations.

Axes: S steps of a dispatch, B tokens of a step, D width, M tokens of a sample, n latents.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from scaling.config.optimizer import OptimizerConfig
from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.config.sae import PENALISED_KINDS, SaeConfig
from scaling.models.sae.functions import Params, decode, encode
from scaling.models.sae.initial import initial_params, unit_rows
from scaling.models.sae.objective import Measures, objective
from scaling.program import compile_cache, multi_step
from scaling.program.build import Program
from scaling.program.optimizer import clip_by_global_norm, make_optimizer
from scaling.program.step import State

BATCH = "batch"  # axis of the mesh of one device
UNTRAINED = ("scale", "variance")  # parameters that are measured
PROPORTIONAL, INTEGRAL = 0.5, 0.01  # gains of the controller of a penalty, for ln(L0 / target)
START_WEIGHT = 0.05  # of the penalty, at the start
SMALLEST_L0 = 1e-3  # avoids the logarithm of 0
THRESHOLD_DECAY = 0.95  # of the moving average of the threshold of batch-topk, per step


def build_sae_program(config: RunConfig, placement: Placement) -> tuple[Program, bool]:
    """Returns the program of a run of a sparse autoencoder on one device, and whether it was compiled now.

    `init(seed, x_BD)` returns the state, from a sample of the activations; `step(state, x_SBD, lr_S, count)` does
    `count` steps of a block; `evaluate(params, x_BD)` returns scores of each token, (B,): `loss`, the squared error
    relative to the variance, and `l0`.

    Args:
        config: The run.
        placement: Where it is computed; only the compile cache is used.
    """
    assert config.sae is not None
    compile_cache.configure_cache(placement)
    sae = dataclasses.replace(config.sae, model_run=None, layer=0, site="residual")  # one program for all sites
    optimizer = dataclasses.replace(config.optimizer, lr=1.0)
    shape = sae, optimizer, config.model.width, config.batch * config.data.length
    misses = _compile_program.cache_info().misses
    program = _compile_program(*shape)
    return program, _compile_program.cache_info().misses > misses


@functools.lru_cache(maxsize=64)
def _compile_program(sae: SaeConfig, optimizer: OptimizerConfig, width: int, tokens: int) -> Program:
    started_at, home = time.perf_counter(), jax.local_devices()[0]
    mesh = Mesh(np.array([home]), (BATCH,))
    layout = NamedSharding(mesh, PartitionSpec())

    def placed(leaf: Any, *lead: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*lead, *leaf.shape), leaf.dtype, sharding=layout)

    batch = jax.ShapeDtypeStruct((tokens, width), jnp.float32)
    number = jax.ShapeDtypeStruct((), jnp.float32)
    init = functools.partial(initial_state, sae, optimizer)
    state = jax.tree.map(placed, jax.eval_shape(init, jax.ShapeDtypeStruct((), jnp.uint32), batch))
    steps = multi_step.loop_steps(functools.partial(train_step, sae, optimizer), sae.buffer)
    arguments = (placed(batch, sae.buffer), placed(number, sae.buffer), jax.ShapeDtypeStruct((), jnp.int32))
    compiled = jax.jit(steps, donate_argnums=0).lower(state, *arguments).compile()
    evaluate = jax.jit(functools.partial(score_tokens, sae)).lower(state["params"], placed(batch)).compile()
    compiled_init = jax.jit(init)
    return Program(
        mesh, state, layout, lambda seed, x_MD: jax.device_put(compiled_init(np.uint32(seed), x_MD), layout), compiled,
        evaluate, time.perf_counter() - started_at, sae.buffer,
    )  # fmt: skip


def trainable(params: Params) -> Params:
    """Returns the parameters that are trained by gradients."""
    return {name: leaf for name, leaf in params.items() if name not in UNTRAINED}


def initial_state(sae: SaeConfig, optimizer: OptimizerConfig, seed: jax.Array, x_MD: jax.Array) -> State:
    """Returns the state before the first step.

    Args:
        sae: The autoencoder.
        optimizer: Its optimizer.
        seed: Seed, uint32 ().
        x_MD: A sample of the activations.
    """
    params = initial_params(sae, seed, x_MD)
    control = jnp.array([0.0, 0.0]) if sae.l0 is None else jnp.array([START_WEIGHT, START_WEIGHT])
    return {
        "params": params,
        "opt": make_optimizer(optimizer).init(trainable(params)),
        "inactive_tokens_n": jnp.zeros(sae.latents, jnp.float32),
        "control": control,
    }


def train_step(
    sae: SaeConfig, optimizer: OptimizerConfig, state: State, x_BD: jax.Array, lr: jax.Array
) -> tuple[State, dict[str, jax.Array]]:
    """Does one step.

    Gradients of the decoder are projected on the directions that keep the norm of its rows, which are 1 after each
    step (Bricken 2023).

    Args:
        sae: The autoencoder.
        optimizer: Its optimizer.
        state: The state before.
        x_BD: Activations, not scaled.
        lr: Learning rate, ().

    Returns:
        The state after, and metrics.
    """
    params = state["params"]
    x_BD, dead_n = x_BD * params["scale"], state["inactive_tokens_n"] > sae.dead_tokens

    def loss(trained: Params) -> tuple[jax.Array, Measures]:
        return objective(sae, {**params, **trained}, x_BD, dead_n, coefficient)

    trained, coefficient = trainable(params), penalty_coefficient(sae, state["control"])
    grads, measures = jax.grad(loss, has_aux=True)(trained)
    grads["W_dec"] -= jnp.sum(grads["W_dec"] * params["W_dec"], -1, keepdims=True) * params["W_dec"]
    grads, norm = clip_by_global_norm(grads, optimizer.clip)
    updates, opt = make_optimizer(optimizer).update(grads, state["opt"], trained)
    new = {**params, **jax.tree.map(lambda p, u: p - lr * u, trained, updates)}
    new["W_dec"] = unit_rows(new["W_dec"])
    if sae.kind == "jumprelu":
        new["threshold"] = jnp.maximum(new["threshold"], 0.0)
    if sae.kind == "batch-topk":
        new["threshold"] = THRESHOLD_DECAY * params["threshold"] + (1 - THRESHOLD_DECAY) * measures.threshold
    after = {
        "params": new,
        "opt": opt,
        "inactive_tokens_n": jnp.where(measures.active > 0, 0.0, state["inactive_tokens_n"] + len(x_BD)),
        "control": state["control"] if sae.l0 is None else next_control(sae.l0, state["control"], measures.l0),
    }
    metrics = {"loss": measures.loss, "l0": measures.l0, "dead": jnp.mean(dead_n), "grad_norm": norm}
    if sae.kind in PENALISED_KINDS:
        metrics["coefficient"] = coefficient
    return after, metrics


def penalty_coefficient(sae: SaeConfig, control: jax.Array) -> jax.Array:
    """Returns the coefficient of the penalty, ().

    With a target it is the weight of the controller over the size that the penalty has at the target: the target itself
    (jumprelu, whose penalty is L0), or its square root (relu: the sum of as many equal latents whose squares sum to 1).

    Args:
        sae: The autoencoder.
        control: State of the controller, (2,).
    """
    if sae.coefficient is not None:
        return jnp.float32(sae.coefficient)
    if sae.kind not in PENALISED_KINDS or sae.l0 is None:
        return jnp.float32(0.0)
    return control[0] / (sae.l0 if sae.kind == "jumprelu" else sae.l0**0.5)


def next_control(target: float, control: jax.Array, l0: jax.Array) -> jax.Array:
    """Returns the state of the controller after a step: the weight of the penalty, and its integral part, (2,).

    A proportional-integral controller of ln(L0 / target). The weight may be negative: below the target, the penalty
    then lowers the thresholds.

    Args:
        target: Target L0.
        control: The state before.
        l0: Active latents per token in this step.
    """
    excess = jnp.clip(jnp.log(jnp.maximum(l0, SMALLEST_L0) / target), -1.0, 1.0)
    integral = jnp.maximum(control[1] + INTEGRAL * excess, 0.0)
    return jnp.stack([integral + PROPORTIONAL * excess, integral])


def score_tokens(sae: SaeConfig, params: Params, x_BD: jax.Array) -> dict[str, jax.Array]:
    """Returns the scores of each token, (B,): `loss`, the squared error relative to the variance, and `l0`.

    Args:
        sae: The autoencoder.
        params: Its parameters.
        x_BD: Activations, not scaled.
    """
    x_BD = x_BD * params["scale"]
    f_Bn = encode(params, sae.kind, x_BD, sae.l0)
    error_BD = x_BD - decode(params, f_Bn)
    return {
        "loss": jnp.sum(error_BD**2, -1) / params["variance"],
        "l0": jnp.sum(f_Bn > 0, -1).astype(jnp.float32),
    }
