"""Steering: generation with directions of a sparse autoencoder added to the activations that it reads."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from scaling.config.validation import ConfigError, require
from scaling.inference.load import TrainedModel
from scaling.inference.sae.load import TrainedSae, load_sae
from scaling.inference.sites import Site, SiteEdit
from scaling.store.record import Store


def sae_site(sae: TrainedSae) -> Site:
    """Returns where an autoencoder reads activations.

    Args:
        sae: The autoencoder.
    """
    return Site(sae.sae.layer, sae.sae.site)


def check_model(sae: TrainedSae, model: TrainedModel) -> None:
    """Raises ConfigError unless an autoencoder is one of the model's activations, at a site that the model has.

    Args:
        sae: The autoencoder.
        model: The model.
    """
    run, model_run = sae.record.run_id[:12], sae.sae.model_run
    require(model_run is not None, f"sparse autoencoder {run}: trained on a file of activations: must be one of a run")
    require(
        model_run == model.record.run_id,
        f"sparse autoencoder {run}: one of run {str(model_run)[:12]}: must be one of run {model.record.run_id[:12]}",
    )
    sae_site(sae).check(model.model)


def parse_steering(texts: Sequence[str]) -> dict[int, float]:
    """Returns the value of each latent of arguments LATENT=VALUE.

    Args:
        texts: The arguments; of several for one latent, their sum counts.

    Raises:
        ConfigError: An argument has another form.
    """
    values: dict[int, float] = {}
    for text in texts:
        latent, _, value = text.partition("=")
        try:
            index, amount = int(latent), float(value)
        except ValueError:
            raise ConfigError(f"--steer {text}: must be LATENT=VALUE, such as 12=3.5") from None
        require(math.isfinite(amount), f"--steer {text}: must have a finite value")
        values[index] = values.get(index, 0.0) + amount
    return values


def steering_vector(sae: TrainedSae, values: Mapping[int, float]) -> jax.Array:
    """Returns the sum of decoder directions of norm 1, each times its value, (D,).

    Args:
        sae: The autoencoder.
        values: Value of each latent, in units of the model's activations.

    Raises:
        ConfigError: There is no such latent.
    """
    latents = sae.sae.latents
    for latent in values:
        require(0 <= latent < latents, f"--steer {latent}=...: {sae.record.run_id[:12]} has latents 0 to {latents - 1}")
    rows_kD = sae.params["W_dec"][jnp.array(list(values), jnp.int32)]
    rows_kD = rows_kD / jnp.linalg.norm(rows_kD, axis=-1, keepdims=True)
    return jnp.array(list(values.values()), jnp.float32) @ rows_kD


def steering_edit(model: TrainedModel, sae: TrainedSae, values: Mapping[int, float]) -> SiteEdit | None:
    """Returns the edit that adds the vector at every position; None if every value is 0.

    Args:
        model: The model.
        sae: A sparse autoencoder of its activations.
        values: As for `steering_vector`.

    Raises:
        ConfigError: The autoencoder is that of another model, or has no such latent.
    """
    check_model(sae, model)
    vector_D = steering_vector(sae, values)
    return SiteEdit(sae_site(sae), lambda x_BLD: x_BLD + vector_D[None, None]) if any(values.values()) else None


def steered_model(model: TrainedModel, store: Store, sae: str | None, values: Mapping[int, float]) -> TrainedModel:
    """Returns the model with directions of an autoencoder added to its activations.

    Args:
        model: The model.
        store: The store with the autoencoder.
        sae: Run id of the autoencoder, or its first characters; None, with no values: the model as it is.
        values: As for `steering_vector`.

    Raises:
        ConfigError: One of the autoencoder and the values is missing, a latent is not valid, or the autoencoder is that
            of another model.
        StoreError: There is no such autoencoder.
    """
    if sae is None:
        require(not values, "--steer: requires --sae RUN, the run of a sparse autoencoder")
        return model
    require(bool(values), f"--sae {sae}: requires --steer LATENT=VALUE")
    return dataclasses.replace(model, edit=steering_edit(model, load_sae(store, sae), values))
