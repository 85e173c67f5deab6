"""Places in a model at which activations are read or edited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from scaling.config.model import ModelConfig
from scaling.config.sae import SITES
from scaling.config.validation import require

Edit = Callable[[jax.Array], jax.Array]  # activations (B, L, D), float32 -> those in their place
LayerEdit = Callable[[str, jax.Array], jax.Array]  # (name of a site, activations of the layer there) -> as Edit


@dataclass(frozen=True)
class Site:
    """A place in the model at which activations are read.

    Attributes:
        layer: Index of the layer.
        name: `residual` (the stream after the layer), or `attention` or `mlp` (the output that this part adds to it).
    """

    layer: int
    name: str

    def check(self, model: ModelConfig) -> None:
        """Raises ConfigError if the model has no such site."""
        require(0 <= self.layer < model.layers, f"--layer {self.layer}: the model has layers 0 to {model.layers - 1}")
        require(self.name in SITES, f"--site {self.name}: must be one of {', '.join(SITES)}")


@dataclass(frozen=True)
class SiteEdit:
    """A change of the activations at one site, which all later computations read.

    Attributes:
        site: Where.
        edit: Maps the activations, (B, L, D) float32, to those that replace them.
    """

    site: Site
    edit: Edit

    def of_layer(self, layer: int) -> LayerEdit | None:
        """Returns the edit of a layer as `Block.apply_branches` expects it; None if this layer is not edited.

        Args:
            layer: Index of the layer.
        """
        return partial(self._apply, self.site.name) if layer == self.site.layer else None

    def _apply(self, edited: str, name: str, x_BLD: jax.Array) -> jax.Array:
        return self.edit(x_BLD.astype(jnp.float32)).astype(x_BLD.dtype) if name == edited else x_BLD


def layer_edit(edit: SiteEdit | None, layer: int) -> LayerEdit | None:
    """Returns the edit of a layer; None if it is not edited.

    Args:
        edit: An edit of one site, or None.
        layer: Index of the layer.
    """
    return None if edit is None else edit.of_layer(layer)
