"""Direct effects of the directions of a sparse autoencoder on the logits of its model.

Axes: n latents, k tokens of a latent, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from scaling.evaluation.sae.text import Subject
from scaling.inference.sampling import text_token_mask
from scaling.models.linear import scale
from scaling.models.parametrisation import multiplier

BLOCK = 256  # latents computed at once


def logit_effects(subject: Subject, latents: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the tokens whose logits a latent raises and lowers most, and by how much per unit of the latent.

    The decoder direction goes through the head alone: later layers and the final norm, whose scale depends on the
    text, are left out. Effects are relative to their mean over the vocabulary, which a softmax does not see.

    Args:
        subject: The autoencoder and its model.
        latents: Number of latents, from the first.
        count: Tokens of each sign, k.

    Returns:
        Tokens and effects, (n, 2k) each: k with the largest effects, descending, then k with the smallest, ascending.
    """
    model, decoder_nD = subject.model, subject.sae.params["W_dec"][:latents]
    k = min(count, model.tokenizer.vocab)
    mask_V = text_token_mask(model)

    @jax.jit
    def compute(params: Any, rows_bD: jax.Array) -> tuple[jax.Array, jax.Array]:
        transformer = nnx.merge(model.graph, params)
        effect_bV = scale(rows_bD, multiplier(model.model, "head", "forward")) @ transformer.head_matrix()
        effect_bV = effect_bV - effect_bV.mean(-1, keepdims=True)
        high_bk, high_token_bk = jax.lax.top_k(effect_bV + mask_V[None], k)
        low_bk, low_token_bk = jax.lax.top_k(-effect_bV + mask_V[None], k)
        return jnp.concatenate([high_token_bk, low_token_bk], 1), jnp.concatenate([high_bk, -low_bk], 1)

    parts = [compute(model.params, decoder_nD[i : i + BLOCK]) for i in range(0, len(decoder_nD), BLOCK)]
    tokens, effects = (np.concatenate([np.asarray(part[i]) for part in parts]) for i in range(2))
    return tokens, effects
