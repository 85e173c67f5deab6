"""Learning rates over steps, and the optimiser."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from scaling.config import OptimizerConfig, RunConfig


def learning_rate(config: RunConfig, step: int) -> float:
    """Learning rate of the update that follows `step` finished steps, in float64.

    wsd: linear warm-up, constant, then a decay over the last share of the steps (Hägele 2024);
    cosine: half a period from the peak to floor·peak (Hoffmann 2022, appendix B).
    """
    schedule, peak = config.schedule, config.optimizer.lr
    if step < schedule.warmup:
        return peak * (step + 1) / schedule.warmup
    start = config.decay_start
    if schedule.name == "constant" or step < start:
        return peak
    done = (step - start) / (config.steps - start)
    if schedule.name == "cosine":
        left = 0.5 * (1 + math.cos(math.pi * done))
    else:
        left = 1 - done if schedule.decay_shape == "linear" else 1 - math.sqrt(done)
    return peak * (schedule.floor + (1 - schedule.floor) * left)


def _decayed(params: Any) -> Any:
    """True for matrices: gains of norms and biases are not pulled to zero."""

    def is_matrix(path: Any, _: Any) -> bool:
        return not any(str(getattr(key, "key", "")).startswith(("g_", "b_")) for key in path)

    return jax.tree_util.tree_map_with_path(is_matrix, params)


def optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """AdamW before its learning rate: updates come out as directions, to be multiplied by -lr."""
    return optax.chain(
        optax.scale_by_adam(b1=config.beta1, b2=config.beta2, eps=config.eps),
        optax.add_decayed_weights(config.weight_decay, mask=_decayed),
    )


def clip(grads: Any, limit: float) -> tuple[Any, jax.Array]:
    """Gradients scaled to a global norm of at most `limit` (0: as they are), and their norm before."""
    norm = optax.tree.norm(grads)
    if not limit:
        return grads, norm
    scale = jnp.minimum(1.0, limit / jnp.maximum(norm, 1e-30))
    return jax.tree.map(lambda g: g * scale, grads), norm
