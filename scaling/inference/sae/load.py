"""Trained sparse autoencoders from the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from scaling.config.run import RunConfig
from scaling.config.sae import SaeConfig
from scaling.config.validation import require
from scaling.inference.load import restore_step
from scaling.inference.parameters import read_run
from scaling.models.sae.functions import Params, decode, encode, fold_scale
from scaling.store.record import Record, Store


@dataclass(frozen=True)
class TrainedSae:
    """A trained sparse autoencoder after a number of steps, on one device.

    Attributes:
        record: Record of its run.
        step: Training steps done.
        params: Its parameters for activations as the model computes them: the scale is folded in.
        scale: The factor by which activations were scaled in training.
    """

    record: Record
    step: int
    params: Params
    scale: float

    @property
    def config(self) -> RunConfig:
        """Configuration of its run."""
        return self.record.config

    @property
    def sae(self) -> SaeConfig:
        """Configuration of the autoencoder."""
        assert self.config.sae is not None
        return self.config.sae

    def encode(self, x_BD: jax.Array) -> jax.Array:
        """Returns the latents of activations, (B, n)."""
        return encode(self.params, self.sae.kind, x_BD, self.sae.l0)

    def decode(self, f_Bn: jax.Array) -> jax.Array:
        """Returns the reconstruction of latents, (B, D)."""
        return decode(self.params, f_Bn)


def load_sae(store: Store, run: str, step: int | None = None) -> TrainedSae:
    """Loads an autoencoder after its last step, or after another one that has a checkpoint.

    Args:
        store: The store.
        run: Run id, or its first characters.
        step: The training steps done; None: the run's last step so far.

    Raises:
        StoreError: There is no such run, or no intact checkpoint of this step.
        ConfigError: The run is that of a model.
    """
    record = read_run(store, run)
    require(record.config.sae is not None, f"run {record.run_id[:12]}: a model: must be a sparse autoencoder")
    store.check_result(record)
    step, params = restore_step(store, record, abstract_params(record.config), step)
    return TrainedSae(record, step, fold_scale(params), float(params["scale"]))


def abstract_params(config: RunConfig) -> Any:
    """Returns the shapes of the parameters of an autoencoder on one device.

    Args:
        config: Its run.
    """
    sae, D = config.sae, config.model.width
    assert sae is not None
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    shapes = {
        "W_enc": (D, sae.latents), "b_enc": (sae.latents,), "W_dec": (sae.latents, D), "b_dec": (D,),
        "scale": (), "variance": (),
    }  # fmt: skip
    if sae.has_threshold:
        shapes["threshold"] = (sae.latents,)
    return {name: jax.ShapeDtypeStruct(shape, jnp.float32, sharding=device) for name, shape in shapes.items()}
