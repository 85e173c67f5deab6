"""Optimisers in Optax, with the multipliers of the parametrisation and decoupled weight decay.

Parameter names end in their axes: D width, F hidden units of an MLP, K key-value heads, J of queries, keys and values,
h size of a head, E experts, V vocabulary. Muon reads from them which axes form a matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from scaling.config.model import ModelConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.models.parametrisation import multiplier, parameter_group

Path = tuple[str, ...]  # names from the root of the parameters to one of them
MUON_GROUPS = ("attention_in", "attention_out", "mlp_in", "mlp_out", "experts_in", "experts_out")
MUON_RMS = (
    0.2  # of an entry of Muon's update, as of AdamW's, whose rate and decay it then shares (Liu 2025, section 2.2)
)
ADAFACTOR_CLIP_RMS = 1.0  # of an update of a parameter (Shazeer & Stern 2018, section 6)
UNDECAYED_PREFIXES = ("g_", "b_")  # gains of norms, and biases
STACKED_AXES = "EJ"  # a parameter holds one matrix per expert, and one each for queries, keys and values
SMALLEST_NORM = 1e-30  # avoids dividing by 0


def adamw(config: OptimizerConfig) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015); `make_optimizer` adds the decoupled weight decay (Loshchilov & Hutter 2019)."""
    return optax.scale_by_adam(b1=config.beta1, b2=config.beta2, eps=config.eps)


def lion(config: OptimizerConfig) -> optax.GradientTransformation:
    """Lion, the sign of an interpolated momentum (Chen 2023)."""
    return optax.scale_by_lion(b1=config.beta1, b2=config.beta2)


def adafactor(config: OptimizerConfig) -> optax.GradientTransformation:
    """Adafactor: factored second moments, updates clipped by their RMS, then momentum.

    Rates are not relative to the size of parameters (Shazeer & Stern 2018, as in Zhai 2022, section 3.4). The second
    moments have decay and epsilon of their own, so beta2 and eps are not used.
    """
    return optax.chain(
        optax.scale_by_factored_rms(),
        optax.clip_by_block_rms(ADAFACTOR_CLIP_RMS),
        optax.ema(config.beta1, debias=False),
    )


def muon(config: OptimizerConfig) -> optax.GradientTransformation:
    """Muon, orthogonalised momentum, for the matrices of layers (Jordan 2024; Liu 2025), AdamW for everything else."""

    def dimension_numbers(params: Any) -> Any:
        return map_with_path(lambda path, leaf: leaf if is_masked(leaf) else matrix_axes(path[-1]), params)

    matrices = optax.chain(
        optax.contrib.scale_by_muon(beta=config.momentum, weight_dimension_numbers=dimension_numbers),
        optax.stateless(lambda updates, _: map_with_path(scale_muon_update, updates)),
    )
    return optax.partition(
        {"matrices": matrices, "rest": adamw(config)},  # checkpoints contain these names
        lambda params: map_with_path(
            lambda path, _: "matrices" if parameter_group(path) in MUON_GROUPS else "rest", params
        ),
    )


def scale_muon_update(path: Path, update: Any) -> Any:
    """Scales an orthogonal update so that its entries have RMS MUON_RMS (Liu 2025, equation 4).

    Args:
        path: Names from the root of the parameters to this one.
        update: The update, or the placeholder of a parameter that AdamW updates.
    """
    if is_masked(update):
        return update
    axes = matrix_axes(path[-1])
    sides = (math.prod(update.shape[axis] for axis in side) for side in (axes.reduction_axis, axes.output_axis))
    return MUON_RMS * max(sides) ** 0.5 * update


OPTIMIZERS: dict[str, Callable[[OptimizerConfig], optax.GradientTransformation]] = {
    "adamw": adamw, "lion": lion, "adafactor": adafactor, "muon": muon,
}  # fmt: skip


def make_optimizer(
    config: OptimizerConfig, model: ModelConfig | None = None, weight_decay: Any = None
) -> optax.GradientTransformation:
    """Makes the optimiser without its learning rate: its updates are to be multiplied by -lr.

    Args:
        config: The optimiser.
        model: The model whose parametrisation scales rate, decay and epsilon of each group of parameters; None for the
            standard parametrisation.
        weight_decay: Scalar array in place of the configuration's, for packs, whose runs each have their own.
    """
    decay = config.weight_decay if weight_decay is None else weight_decay
    muon_prefix = "muon_" if config.name == "muon" else ""
    transform = OPTIMIZERS[config.name](config)

    def factor(path: Path, quantity: str) -> float:
        return 1.0 if model is None else multiplier(model, parameter_group(path), quantity)

    def own_factor(path: Path, quantity: str) -> float:
        """The multiplier of the optimiser that updates this parameter."""
        return factor(path, (muon_prefix if parameter_group(path) in MUON_GROUPS else "") + quantity)

    def divide_by_epsilon(path: Path, grad: jax.Array) -> jax.Array:
        epsilon = factor(path, "eps")  # Adam's step for gradients over k equals that for epsilon times k
        return grad if epsilon == 1 else grad / epsilon

    def add_decay_and_scale(path: Path, update: jax.Array, param: jax.Array) -> jax.Array:
        if not path[-1].startswith(UNDECAYED_PREFIXES):
            scale = own_factor(path, "decay")
            update = update + (decay if scale == 1 else decay * scale) * param
        rate = own_factor(path, "lr")
        return update if rate == 1 else update * rate

    def init(params: Any) -> tuple[Any, ...]:
        return (transform.init(params),)

    def update(grads: Any, state: tuple[Any, ...], params: Any = None) -> tuple[Any, tuple[Any, ...]]:
        updates, inner = transform.update(map_with_path(divide_by_epsilon, grads), state[0], params)
        return map_with_path(add_decay_and_scale, updates, params), (inner,)

    return optax.GradientTransformation(init, update)


def map_with_path(function: Callable[..., Any], tree: Any, *trees: Any) -> Any:
    """Maps function(path, leaf, ...) over the leaves of parameter trees.

    Args:
        function: Called with the names from the root to a leaf, then the leaf of each tree.
        tree: The tree whose structure the result has; leaves out of `optax.partition` count as leaves.
        *trees: Further trees.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, *leaves: function(tuple(str(getattr(key, "key", key)) for key in path), *leaves),
        tree,
        *trees,
        is_leaf=is_masked,
    )


def is_masked(leaf: Any) -> bool:
    """Whether `optax.partition` has replaced this parameter by a placeholder."""
    return isinstance(leaf, optax.MaskedNode)


def matrix_axes(name: str) -> optax.contrib.MuonDimensionNumbers:
    """Returns which axes of a parameter form a matrix: the first is the input, the others are the output.

    Args:
        name: Name of the parameter, which ends in its axes; STACKED_AXES are left out.
    """
    axes = name.rpartition("_")[2]
    indices = {axis: index - len(axes) for index, axis in enumerate(axes) if axis not in STACKED_AXES}
    input_axis, *output_axes = indices.values()
    return optax.contrib.MuonDimensionNumbers((input_axis,), tuple(output_axes))


def clip_by_global_norm(grads: Any, limit: float) -> tuple[Any, jax.Array]:
    """Scales gradients to a global norm of at most `limit`.

    Args:
        grads: Tree of gradients.
        limit: The largest norm; 0 leaves the gradients as they are.

    Returns:
        The gradients, and their norm before scaling.
    """
    norm = optax.tree.norm(grads)
    if not limit:
        return grads, norm
    scale = jnp.minimum(1.0, limit / jnp.maximum(norm, SMALLEST_NORM))
    return jax.tree.map(lambda grad: grad * scale, grads), norm
