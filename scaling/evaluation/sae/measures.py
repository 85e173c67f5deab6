"""What a sparse autoencoder does to a model on a batch of text: sums over the tokens of each sequence.

Axes: B sequences, L positions, X tokens of the batch (B · L), D width, n latents, V vocabulary.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from scaling.config.run import RunConfig
from scaling.evaluation.sae.text import Subject
from scaling.inference.activations import edited_logits
from scaling.inference.sae.steering import sae_site
from scaling.inference.sites import Site, SiteEdit
from scaling.models.loss import token_losses
from scaling.models.sae.functions import Params, decode, encode

SMALLEST_NORM = 1e-4  # of activations by which an L2 ratio is divided, as in SAEBench
BatchMeasures = tuple[dict[str, jax.Array], dict[str, jax.Array]]
COLUMNS = {  # of a sequence: the sum over its tokens of
    "l0": "active latents",
    "l1": "the sum of latents",
    "squared_error": "‖x - x̂‖², x the activations and x̂ their reconstruction",
    "squared_norm": "‖x‖²",
    "reconstruction_squared_norm": "‖x̂‖²",
    "product": "x · x̂",
    "cosine": "the cosine of x and x̂",
    "l2_ratio": "‖x̂‖ / ‖x‖",
    "ce_clean": "cross-entropy of the model, in nats",
    "ce_sae": "cross-entropy with the reconstruction in place of the activations",
    "ce_ablated": "cross-entropy with zeros in place of the activations",
    "kl_sae": "Kullback-Leibler divergence from the model's prediction to the one with the reconstruction, in nats",
    "kl_ablated": "Kullback-Leibler divergence from the model's prediction to the one with zeros",
}


def measure_batch(subject: Subject, rows_BX: Any) -> BatchMeasures:
    """Measures a batch.

    Args:
        subject: The autoencoder and its model.
        rows_BX: Tokens, int32 (B, L + 1).

    Returns:
        Sums of each sequence, (B,), by the names of COLUMNS, and the sum of the activations themselves, `x` (B, D);
        and of each sequence and latent, (B, n), the tokens on which it is active, `active`, the sum of its activations,
        `sum`, and the largest one, `max`.
    """
    sae, model = subject.sae, subject.model
    l0 = sae.sae.l0 if sae.sae.kind == "topk" else None
    compute = _compiled(model.graph, model.config, model.dtype, sae_site(sae), sae.sae.kind, l0)
    return compute(model.params, sae.params, rows_BX)


@functools.lru_cache(maxsize=16)
def _compiled(
    graph: Any, config: RunConfig, dtype: Any, site: Site, kind: str, l0: float | None
) -> Callable[..., BatchMeasures]:
    def logits(params: Any, tokens_BL: jax.Array, edit: Callable[[jax.Array], jax.Array]) -> jax.Array:
        return edited_logits(graph, config, dtype, SiteEdit(site, edit), params, tokens_BL)

    @jax.jit
    def compute(params: Any, sae_params: Params, rows_BX: jax.Array) -> BatchMeasures:
        inputs_BL, targets_BL = rows_BX[:, :-1], rows_BX[:, 1:]
        read: list[jax.Array] = []

        def read_site(x_BLD: jax.Array) -> jax.Array:
            read.append(x_BLD)
            return x_BLD

        clean_BLV = logits(params, inputs_BL, read_site)
        x_BLD = read[0]
        f_Xn = encode(sae_params, kind, x_BLD.reshape(-1, x_BLD.shape[-1]), l0)
        y_BLD = decode(sae_params, f_Xn).reshape(x_BLD.shape)
        f_BLn = f_Xn.reshape(*x_BLD.shape[:2], -1)
        spliced_BLV = logits(params, inputs_BL, lambda _: y_BLD)
        ablated_BLV = logits(params, inputs_BL, jnp.zeros_like)
        by_token = reconstruction_measures(x_BLD, y_BLD, f_BLn) | {
            "ce_clean": token_losses(clean_BLV, targets_BL)[0],
            "ce_sae": token_losses(spliced_BLV, targets_BL)[0],
            "ce_ablated": token_losses(ablated_BLV, targets_BL)[0],
            "kl_sae": divergence(clean_BLV, spliced_BLV),
            "kl_ablated": divergence(clean_BLV, ablated_BLV),
        }
        sequences = {name: by_token[name].sum(1) for name in COLUMNS} | {"x": x_BLD.sum(1)}
        active_Bn = jnp.sum(f_BLn > 0, 1)
        return sequences, {"active": active_Bn, "sum": f_BLn.sum(1), "max": f_BLn.max(1)}

    return compute


def reconstruction_measures(x_BLD: jax.Array, y_BLD: jax.Array, f_BLn: jax.Array) -> dict[str, jax.Array]:
    """Returns what compares activations with their reconstruction, and the sparsity of latents, (B, L) each.

    Args:
        x_BLD: Activations.
        y_BLD: Reconstruction.
        f_BLn: Latents.
    """
    norm_BL, reconstruction_norm_BL = jnp.linalg.norm(x_BLD, axis=-1), jnp.linalg.norm(y_BLD, axis=-1)
    product_BL = jnp.sum(x_BLD * y_BLD, -1)
    norms_BL = norm_BL * reconstruction_norm_BL
    return {
        "l0": jnp.sum(f_BLn > 0, -1).astype(jnp.float32),
        "l1": jnp.sum(jnp.abs(f_BLn), -1),
        "squared_error": jnp.sum((x_BLD - y_BLD) ** 2, -1),
        "squared_norm": norm_BL**2,
        "reconstruction_squared_norm": reconstruction_norm_BL**2,
        "product": product_BL,
        "cosine": jnp.where(norms_BL > 0, product_BL / jnp.where(norms_BL > 0, norms_BL, 1.0), 0.0),
        "l2_ratio": reconstruction_norm_BL / jnp.where(norm_BL < SMALLEST_NORM, 1.0, norm_BL),
    }


def divergence(logits_BLV: jax.Array, other_BLV: jax.Array) -> jax.Array:
    """Returns the Kullback-Leibler divergence from a prediction to another one, nats (B, L).

    Args:
        logits_BLV: Logits of the prediction.
        other_BLV: Logits of the other one.
    """
    logp_BLV, other_BLV = jax.nn.log_softmax(logits_BLV), jax.nn.log_softmax(other_BLV)
    return jnp.sum(jnp.exp(logp_BLV) * (logp_BLV - other_BLV), -1)
