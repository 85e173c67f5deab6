"""A sparse autoencoder outside a store, as the formats of other packages are read and written.

Key: D width of the activations, n latents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scaling.config.validation import require, shown

READABLE_TYPES = ("float16", "float32", "float64", "bfloat16")


@dataclass(frozen=True)
class SaeWeights:
    """An autoencoder that reads activations which are not scaled.

    Attributes:
        kind: One of SAE_KINDS.
        arrays: W_enc (D, n), b_enc (n,), W_dec (n, D), b_dec (D,), and threshold (n,) of jumprelu and batch-topk,
            float32: latents are activation((x - b_dec) W_enc + b_enc), the reconstruction latents W_dec + b_dec.
        l0: Active latents per token; None: not known.
        layer: Layer of the model, from 0; None: not known.
        site: One of SITES; None: not known.
        model: Id of the model's run, or the name that its authors use; None: not known.
        facts: What else is known about it.
    """

    kind: str
    arrays: Mapping[str, np.ndarray]
    l0: float | None = None
    layer: int | None = None
    site: str | None = None
    model: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Width of the activations, D."""
        return int(self.arrays["W_enc"].shape[0])

    @property
    def latents(self) -> int:
        """Size of the dictionary, n."""
        return int(self.arrays["W_enc"].shape[1])


def weight_shapes(width: int, latents: int, has_threshold: bool) -> dict[str, tuple[int, ...]]:
    """Returns the shape of each array by its name.

    Args:
        width: Width of the activations, D.
        latents: Size of the dictionary, n.
        has_threshold: Whether latents have thresholds.
    """
    shapes: dict[str, tuple[int, ...]] = {
        "W_enc": (width, latents), "b_enc": (latents,), "W_dec": (latents, width), "b_dec": (width,),
    }  # fmt: skip
    return shapes | ({"threshold": (latents,)} if has_threshold else {})


def check_shapes(path: Path, actual: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raises ConfigError unless a file has the expected arrays in the expected shapes.

    Args:
        path: The file, for messages.
        actual: Shapes in the file.
        expected: The expected shapes.
    """
    missing = [name for name in expected if name not in actual]
    others = [shown(name) for name in actual if name not in expected]
    require(not missing, f"{path}: has no {', '.join(missing)}: must have {', '.join(expected)}")
    require(not others, f"{path}: has {', '.join(others[:3])}: must have {', '.join(expected)} only")
    for name, shape in expected.items():
        require(actual[name] == shape, f"{path}: {name} has shape {list(actual[name])}: must be {list(shape)}")


def check_finite(path: Path, arrays: Mapping[str, np.ndarray], names: Iterable[str] | None = None) -> None:
    """Raises ConfigError if an array has a NaN or an infinity.

    Args:
        path: The file, for messages.
        arrays: The arrays.
        names: Those to check; None: all.
    """
    for name in arrays if names is None else names:
        bad = int(np.size(arrays[name]) - np.isfinite(arrays[name]).sum())
        require(bad == 0, f"{path}: {name} has {bad} values that are not finite")


def add_to_bias(b_enc: np.ndarray, b_dec: np.ndarray, w_enc: np.ndarray, sign: int) -> np.ndarray:
    """Returns b_enc + sign · b_dec W_enc, the bias of an encoder that does or does not subtract b_dec first.

    Args:
        b_enc: Bias of the encoder (n,).
        b_dec: Bias of the decoder (D,).
        w_enc: The encoder (D, n).
        sign: 1 for one that subtracts b_dec, from one that does not; -1 for the reverse.
    """
    return (b_enc + sign * (b_dec.astype(np.float64) @ w_enc)).astype(np.float32)
