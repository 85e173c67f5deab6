"""The optimisers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from scaling.config.model import ModelConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.models.parametrisation import group, multiplier

MATRICES = ("attention_in", "attention_out", "mlp_in", "mlp_out", "experts_in", "experts_out")  # Muon's
MUON_RMS = 0.2  # size of an entry of Muon's update, which lets it have AdamW's rate and decay (Liu 2025, section 2.2)


def adamw(config: OptimizerConfig) -> optax.GradientTransformation:
    return optax.scale_by_adam(b1=config.beta1, b2=config.beta2, eps=config.eps)


def lion(config: OptimizerConfig) -> optax.GradientTransformation:
    return optax.scale_by_lion(b1=config.beta1, b2=config.beta2)


def adafactor(config: OptimizerConfig) -> optax.GradientTransformation:
    """Factored second moments, updates clipped by their size, then momentum; rates are not relative to parameters
    (Shazeer & Stern 2018, as Zhai 2022, section 3.4 has it). beta2 and eps are its own."""
    return optax.chain(
        optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0), optax.ema(config.beta1, debias=False)
    )


def muon(config: OptimizerConfig) -> optax.GradientTransformation:
    """Orthogonalised momentum for matrices of layers (Jordan 2024; Liu 2025), AdamW for all else."""

    def shapes(params: Any) -> Any:
        return by_path(lambda path, leaf: leaf if masked(leaf) else dimensions(path[-1]), params)

    matrices = optax.chain(
        optax.contrib.scale_by_muon(beta=config.momentum, weight_dimension_numbers=shapes),
        optax.stateless(lambda updates, _: by_path(sized, updates)),
    )
    return optax.partition(
        {"matrices": matrices, "rest": adamw(config)},
        lambda params: by_path(lambda path, _: "matrices" if group(path) in MATRICES else "rest", params),
    )


def sized(path: tuple[str, ...], update: Any) -> Any:
    """An orthogonal update with entries of size MUON_RMS (Liu 2025, equation 4)."""
    if masked(update):
        return update
    axes = dimensions(path[-1])
    sides = (math.prod(update.shape[place] for place in side) for side in (axes.reduction_axis, axes.output_axis))
    return MUON_RMS * max(sides) ** 0.5 * update


DIRECTIONS: dict[str, Callable[[OptimizerConfig], optax.GradientTransformation]] = {
    "adamw": adamw, "lion": lion, "adafactor": adafactor, "muon": muon,
}  # fmt: skip


def optimizer(
    config: OptimizerConfig, model: ModelConfig | None = None, weight_decay: Any = None
) -> optax.GradientTransformation:
    """The optimiser before its learning rate: updates come out as directions, to be multiplied by -lr.

    model: whose parametrisation scales each group's rate, decay and epsilon; None: the standard one.
    weight_decay: an array in place of the config's (a pack's runs each have their own).
    """
    decay = config.weight_decay if weight_decay is None else weight_decay
    kind = "muon_" if config.name == "muon" else ""

    def scale(path: tuple[str, ...], what: str) -> float:
        return 1.0 if model is None else multiplier(model, group(path), what)

    def own(path: tuple[str, ...], what: str) -> float:
        return scale(path, (kind if group(path) in MATRICES else "") + what)

    def over_epsilon(path: tuple[str, ...], grad: jax.Array) -> jax.Array:
        by = scale(path, "eps")  # Adam's step is the same for gradients over k as for an epsilon times k
        return grad if by == 1 else grad / by

    def finish(path: tuple[str, ...], update: jax.Array, param: jax.Array) -> jax.Array:
        if not path[-1].startswith(("g_", "b_")):  # gains of norms and biases are not pulled to zero
            by = own(path, "decay")
            update = update + (decay if by == 1 else decay * by) * param
        rate = own(path, "lr")
        return update if rate == 1 else update * rate

    directions = DIRECTIONS[config.name](config)

    def init(params: Any) -> tuple[Any, ...]:
        return (directions.init(params),)

    def update(grads: Any, state: tuple[Any, ...], params: Any = None) -> tuple[Any, tuple[Any, ...]]:
        updates, inner = directions.update(by_path(over_epsilon, grads), state[0], params)
        return by_path(finish, updates, params), (inner,)

    return optax.GradientTransformation(init, update)


def by_path(function: Callable[..., Any], tree: Any, *more: Any) -> Any:
    """`function(names on the way to a leaf, leaf, ...)` of every leaf of parameters."""
    return jax.tree_util.tree_map_with_path(
        lambda path, *leaves: function(tuple(str(getattr(key, "key", key)) for key in path), *leaves),
        tree,
        *more,
        is_leaf=masked,
    )


def masked(leaf: Any) -> bool:
    """Whether `optax.partition` has taken this parameter out."""
    return isinstance(leaf, optax.MaskedNode)


def dimensions(name: str) -> optax.contrib.MuonDimensionNumbers:
    """The one or many matrices in a parameter, from its name: an axis is read, the others are written.

    Each layer and expert (E) has its own, and each of the queries, keys and values of a group (J).
    """
    axes = name.rpartition("_")[2]
    places = {axis: place - len(axes) for place, axis in enumerate(axes) if axis not in "EJ"}
    read, *written = places.values()
    return optax.contrib.MuonDimensionNumbers((read,), tuple(written))


def clip(grads: Any, limit: float) -> tuple[Any, jax.Array]:
    """Gradients scaled to a global norm of at most `limit` (0: as they are), and their norm before."""
    norm = optax.tree.norm(grads)
    if not limit:
        return grads, norm
    scale = jnp.minimum(1.0, limit / jnp.maximum(norm, 1e-30))
    return jax.tree.map(lambda g: g * scale, grads), norm
