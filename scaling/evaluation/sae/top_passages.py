"""Text on which each latent of a sparse autoencoder is most active, in one pass over the text.

Axes: B sequences, L positions, n latents, K passages of a latent, W positions of a passage.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scaling.config.run import RunConfig
from scaling.evaluation.sae.text import Subject, row_batches
from scaling.inference.activations import sites_activations
from scaling.inference.sae.steering import sae_site
from scaling.inference.sites import Site
from scaling.models.sae.functions import Params, encode

PASSAGES = 6  # of a latent
POSITIONS = 32  # of a passage
BEFORE = 20  # positions before the largest activation, where there are as many
NO_PASSAGE = -1.0  # largest activation of a passage that there is not
State = dict[str, jax.Array]


@dataclass(frozen=True)
class TopPassages:
    """How active latents are, and the passages with their largest activations, one per sequence of text.

    Attributes:
        tokens: Tokens of text.
        active_n: Tokens on which each latent is active.
        sum_n: Sum of its activations.
        largest_nK: Largest activation of each passage, descending; 0 or less where there are fewer passages.
        peak_nK: Position of the largest activation in the passage.
        tokens_nKW: Tokens of each passage.
        activations_nKW: Activations of the latent in the passage.
    """

    tokens: int
    active_n: np.ndarray
    sum_n: np.ndarray
    largest_nK: np.ndarray
    peak_nK: np.ndarray
    tokens_nKW: np.ndarray
    activations_nKW: np.ndarray


def top_passages(subject: Subject, rows_SX: np.ndarray, latents: int) -> TopPassages:
    """Returns the passages of the first latents.

    Args:
        subject: The autoencoder and its model.
        rows_SX: Tokens, int32 (S, L + 1).
        latents: Number of latents.
    """
    sae, model = subject.sae, subject.model
    l0 = sae.sae.l0 if sae.sae.kind == "topk" else None
    positions = min(POSITIONS, rows_SX.shape[1] - 1)
    compute = _compiled(model.graph, model.config, model.dtype, sae_site(sae), sae.sae.kind, l0, positions)
    state, row = empty_state(latents, positions), 0
    for batch_BX, count in row_batches(rows_SX, subject):
        state = compute(model.params, sae.params, state, batch_BX[:, :-1], jnp.int32(row), jnp.int32(count))
        row += count
    done = {name: np.asarray(leaf) for name, leaf in state.items()}
    at_nKW = done["start"][..., None] + np.arange(positions)
    return TopPassages(
        rows_SX[:, 1:].size, done["active"], done["sum"], done["largest"], done["position"] - done["start"],
        rows_SX[done["row"][..., None], at_nKW], done["window"],
    )  # fmt: skip


def empty_state(latents: int, positions: int) -> State:
    """Returns the state before any text.

    Args:
        latents: Number of latents, n.
        positions: Positions of a passage, W.
    """
    shape = (latents, PASSAGES)
    zeros = {name: jnp.zeros(shape, jnp.int32) for name in ("row", "start", "position")}
    return {
        "active": jnp.zeros(latents, jnp.int32), "sum": jnp.zeros(latents), "largest": jnp.full(shape, NO_PASSAGE),
        "window": jnp.zeros((*shape, positions)), **zeros,
    }  # fmt: skip


@functools.lru_cache(maxsize=16)
def _compiled(
    graph: Any, config: RunConfig, dtype: Any, site: Site, kind: str, l0: float | None, positions: int
) -> Callable[..., State]:
    @functools.partial(jax.jit, donate_argnums=2)
    def compute(
        params: Any, sae_params: Params, state: State, inputs_BL: jax.Array, first_row: jax.Array, count: jax.Array
    ) -> State:
        x_BLD = sites_activations(graph, config, dtype, (site,), params, inputs_BL)[0]
        f_Xn = encode(sae_params, kind, x_BLD.reshape(-1, x_BLD.shape[-1]), l0)
        f_BLn = f_Xn.reshape(*inputs_BL.shape, -1)[..., : len(state["active"])]
        is_row_B11 = (jnp.arange(len(inputs_BL)) < count)[:, None, None]
        return add_batch(state, jnp.where(is_row_B11, f_BLn, 0.0), first_row, positions)

    return compute


def add_batch(state: State, f_BLn: jax.Array, first_row: jax.Array, positions: int) -> State:
    """Returns the state with one more batch of text; of equal activations the earlier passages stay.

    Args:
        state: The state before.
        f_BLn: Latents.
        first_row: Number of the first sequence.
        positions: Positions of a passage, W.
    """
    B, L, n = f_BLn.shape
    value_nb, row_nb = jax.lax.top_k(f_BLn.max(1).T, min(PASSAGES, B))
    latent_n1 = jnp.arange(n)[:, None]
    position_nb = f_BLn.argmax(1).T[latent_n1, row_nb]
    start_nb = jnp.clip(position_nb - BEFORE, 0, L - positions)
    at_nbW = start_nb[..., None] + jnp.arange(positions)[None, None]
    batch = {
        "largest": value_nb, "row": row_nb + first_row, "start": start_nb, "position": position_nb,
        "window": f_BLn[row_nb[..., None], at_nbW, latent_n1[..., None]],
    }  # fmt: skip
    joined = {name: jnp.concatenate([state[name], leaf.astype(state[name].dtype)], 1) for name, leaf in batch.items()}
    best_nK = jax.lax.top_k(joined["largest"], PASSAGES)[1]
    kept = {name: leaf[latent_n1, best_nK] for name, leaf in joined.items()}
    return kept | {
        "active": state["active"] + jnp.sum(f_BLn > 0, (0, 1)),
        "sum": state["sum"] + jnp.sum(f_BLn, (0, 1)),
    }
