"""Exact parameters and training FLOPs of a sparse autoencoder. Standard library only.

Key: D width of the activations, n latents.
"""

from __future__ import annotations

from scaling.config.sae import SaeConfig


def sae_parameters(sae: SaeConfig, width: int) -> dict[str, int]:
    """Returns the parameters by group (encoder, decoder, bias, threshold) and `total`.

    Args:
        sae: The autoencoder.
        width: Width of the activations, D.
    """
    D, n = width, sae.latents
    groups = {"encoder": D * n, "decoder": n * D, "bias": n + D}
    if sae.has_threshold:
        groups["threshold"] = n
    return {"total": sum(groups.values()), **groups}


def sae_flops(sae: SaeConfig, width: int, tokens: int) -> dict[str, int]:
    """Returns the training FLOPs by part and `total`: dense matrix products of 2 FLOPs per multiply-add.

    The encoder needs no gradient of the activations, so its backward pass costs as much as its forward pass, and that
    of the decoder twice as much. Products of the auxiliary loss, and the model that computes the activations, are not
    counted: autoencoders of one model share it.

    Args:
        sae: The autoencoder.
        width: Width of the activations, D.
        tokens: Training tokens.
    """
    product = 2 * tokens * width * sae.latents
    parts = {
        "encoder_forward": product, "decoder_forward": product,
        "encoder_backward": product, "decoder_backward": 2 * product,
    }  # fmt: skip
    return {"total": sum(parts.values()), **parts}
