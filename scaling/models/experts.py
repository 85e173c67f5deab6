"""A mixture of experts in place of the MLP.

Axes: B batch, L positions, D width, F hidden units, E experts, k experts of a token, C slots of an
expert, S = E·C slots of a sequence, N choices (tokens · k).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config.model import GATED_MLPS, ModelConfig
from scaling.distributed import sharding
from scaling.models.linear import normal_param, project, scale
from scaling.models.mlp import ACTIVATIONS, make_mlp
from scaling.models.parametrisation import multiplier

ROUTER_STD = 0.02  # small: tokens are nearly uniform over experts at initialisation


class Experts(nnx.Module):
    """Mixture of experts, (B, L, D) -> (B, L, D): each token passes the k experts with the largest router logits.

    Outputs are weighted by a softmax of the logits. Without a capacity no token is dropped: choices are sorted by
    expert and multiplied as ragged rows (on CPU, XLA spends E times the products on it). With a capacity, an expert has
    `slots` places per sequence, given in the order of the tokens; a choice without a place adds nothing. Sequences do
    not compete and no token loses its place to a later one, so the model stays causal (the groups of GShard, Lepikhin
    2020, section 3.2, but first come first served). Slots are sharded over the expert axis of a mesh, ragged rows not.
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        D, F, E = config.width, config.mlp_width, config.experts
        self.router_DE = normal_param(rngs, (D, E), ROUTER_STD)
        self.gate_EDF = normal_param(rngs, (E, D, F), D**-0.5) if config.mlp in GATED_MLPS else None
        self.up_EDF = normal_param(rngs, (E, D, F), D**-0.5)
        init = multiplier(config, "experts_out", "init")
        self.down_EFD = normal_param(rngs, (E, F, D), init * (2 * config.layers * F) ** -0.5)
        shared_width = config.shared_experts * F
        self.shared = make_mlp(config, width=shared_width, rngs=rngs) if shared_width else None
        self.config = config

    def __call__(self, x_BLD: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns the output, and `balance_loss`, `router_z_loss`, with a capacity also the share `dropped`."""
        x32_BLD = scale(x_BLD.astype(jnp.float32), multiplier(self.config, "router", "forward"))
        logits_BLE = project(x32_BLD, self.router_DE[...])  # float32: Fedus 2022, section 2.4
        chosen_BLk, gates_BLk, aux = route(logits_BLE, self.config)
        if self.config.capacity is None:
            y_BLD = self._apply_ragged(x_BLD, chosen_BLk, gates_BLk)
        else:
            y_BLD, aux["dropped"] = self._apply_slots(x_BLD, chosen_BLk, gates_BLk)
        return (y_BLD if self.shared is None else y_BLD + self.shared(x_BLD)), aux

    def _apply_ragged(self, x_BLD: jax.Array, chosen_BLk: jax.Array, gates_BLk: jax.Array) -> jax.Array:
        (B, L, D), k = x_BLD.shape, self.config.experts_chosen
        expert_N = chosen_BLk.reshape(-1)
        order_N = jnp.argsort(expert_N, stable=True)
        sizes_E = jnp.bincount(expert_N, length=self.config.experts)
        x_ND = x_BLD.reshape(B * L, D)[order_N // k]

        def product(x: jax.Array, w: jax.Array) -> jax.Array:
            return jax.lax.ragged_dot(x, w.astype(x.dtype), sizes_E.astype(jnp.int32))

        y_ND = product(self._hidden_units(product, x_ND), self.down_EFD[...])
        y_BLkD = y_ND[jnp.argsort(order_N)].reshape(B, L, k, D)
        return jnp.sum(y_BLkD * gates_BLk[..., None].astype(y_BLkD.dtype), axis=2)

    def _apply_slots(
        self, x_BLD: jax.Array, chosen_BLk: jax.Array, gates_BLk: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        (B, L, D), E, k = x_BLD.shape, self.config.experts, self.config.experts_chosen
        C = self.config.slots(L)
        chosen_BN = chosen_BLk.reshape(B, L * k)
        choice_BNE = jax.nn.one_hot(chosen_BN, E, dtype=jnp.int32)
        order_BN = jnp.sum((jnp.cumsum(choice_BNE, axis=1) - 1) * choice_BNE, axis=-1)
        fits_BN = order_BN < C
        slot_BN = jnp.where(fits_BN, chosen_BN * C + order_BN, E * C)  # the last slot is for choices that do not fit
        token_N, empty_S = jnp.arange(L * k) // k, jnp.full(E * C + 1, L)
        # vmap over sequences shows the compiler that devices do not need each other's sequences
        token_BS = jax.vmap(lambda slot_N: empty_S.at[slot_N].set(token_N))(slot_BN)[:, :-1]
        padded_BLD = jnp.pad(x_BLD, ((0, 0), (0, 1), (0, 0)))
        x_BSD = sharding.shard_sequences(jax.vmap(lambda x_LD, token_S: x_LD[token_S])(padded_BLD, token_BS))
        x_BECD = shard_experts(x_BSD.reshape(B, E, C, D))

        def product(x: jax.Array, w: jax.Array) -> jax.Array:
            return jnp.einsum("BECx,ExF->BECF", x, w.astype(x.dtype))

        y_BECD = shard_experts(product(self._hidden_units(product, x_BECD), self.down_EFD[...]))
        y_BSD = jnp.pad(sharding.shard_sequences(y_BECD.reshape(B, E * C, D)), ((0, 0), (0, 1), (0, 0)))
        y_BND = jax.vmap(lambda y_SD, slot_N: y_SD[slot_N])(y_BSD, slot_BN)
        y_BLkD = sharding.shard_sequences(y_BND).reshape(B, L, k, D)  # zeros where the choice was dropped
        out_BLD = jnp.sum(y_BLkD * gates_BLk[..., None].astype(y_BLkD.dtype), axis=2)
        return out_BLD, 1 - jnp.mean(fits_BN.astype(jnp.float32))

    def _hidden_units(self, product: Callable[[jax.Array, jax.Array], jax.Array], x: jax.Array) -> jax.Array:
        """Returns the hidden units of the experts: act(x·up), or act(x·gate) ⊙ x·up."""
        act, up = ACTIVATIONS[self.config.mlp], product(x, self.up_EDF[...])
        return act(up) if self.gate_EDF is None else act(product(x, self.gate_EDF[...])) * up


def route(logits_BLE: jax.Array, config: ModelConfig) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
    """Chooses the k experts of each token.

    Args:
        logits_BLE: Router logits, float32.
        config: The model.

    Returns:
        The experts (B, L, k), their weights (B, L, k), and the auxiliary losses. `balance_loss` is
        E · Σ (share of choices · mean probability), 1 if all experts are used equally (Fedus 2022, equation 4);
        `router_z_loss` is mean (ln Z)² (Zoph 2022, equation 5).
    """
    probability_BLE = jax.nn.softmax(logits_BLE, axis=-1)
    top_BLk, chosen_BLk = jax.lax.top_k(logits_BLE, config.experts_chosen)
    if config.gates == "chosen":
        gates_BLk = jax.nn.softmax(top_BLk, axis=-1)
    else:
        gates_BLk = jnp.take_along_axis(probability_BLE, chosen_BLk, axis=-1)
    share_E = jnp.mean(jax.nn.one_hot(chosen_BLk, config.experts), axis=(0, 1, 2))
    aux = {
        "balance_loss": config.experts * jnp.sum(share_E * jnp.mean(probability_BLE, axis=(0, 1))),
        "router_z_loss": jnp.mean(jnp.square(jax.nn.logsumexp(logits_BLE, axis=-1))),
    }
    return chosen_BLk, gates_BLk, aux


def shard_experts(x_BECD: jax.Array) -> jax.Array:
    """Shards slots by expert over the expert axis of the mesh: an all-to-all before the experts, another after them."""
    return sharding.constrain_sharding(x_BECD, sharding.AXIS_RULES["B"], sharding.AXIS_RULES["E"], None, None)
