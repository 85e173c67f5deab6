"""Sparse autoencoders with known parameters, as if they had been trained on a model of tests.support.models."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from scaling.config.run import run_id
from scaling.inference.load import TrainedModel
from scaling.inference.sae.load import TrainedSae
from scaling.store.record import Record
from scaling.store.sae_runs import sae_run


def known_sae(model: TrainedModel, params: dict[str, np.ndarray], **fields: Any) -> TrainedSae:
    """An autoencoder with these parameters; of the kind relu at the last layer's stream unless fields say otherwise."""
    latents = params["W_dec"].shape[0]
    defaults = {"kind": "relu", "latents": latents, "layer": model.model.layers - 1, "coefficient": 1.0}
    defaults = defaults if "l0" not in fields else {k: v for k, v in defaults.items() if k != "coefficient"}
    config = sae_run(model.config, {**defaults, **fields}, tokens=64, batch_tokens=32)
    record = Record(run_id=run_id(config), config=config, status="done")
    return TrainedSae(
        record, config.steps, {name: jnp.asarray(leaf, jnp.float32) for name, leaf in params.items()}, 1.0
    )


def random_params(width: int, latents: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random parameters with rows of the decoder of norm 1."""
    draws = np.random.default_rng(seed)
    decoder = draws.standard_normal((latents, width))
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    biases = {"b_enc": 0.1 * draws.standard_normal(latents), "b_dec": 0.1 * draws.standard_normal(width)}
    return {"W_enc": 0.5 * decoder.T, "W_dec": decoder, **biases}


def identity_params(width: int) -> dict[str, np.ndarray]:
    """Parameters of an autoencoder that reconstructs everything: each direction and its opposite."""
    eye = np.eye(width)
    both = np.concatenate([eye, -eye])
    return {"W_enc": both.T, "W_dec": both, "b_enc": np.zeros(2 * width), "b_dec": np.zeros(width)}
