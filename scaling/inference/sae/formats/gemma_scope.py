"""Files of Gemma Scope (Lieberum 2024): params.npz with W_enc, W_dec, b_enc, b_dec and threshold.

Its latents are JumpReLU(x W_enc + b_enc): b_dec is not subtracted first. Nothing is unpickled, and shapes are read and
checked before arrays.

Key: D width of the activations, n latents.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from scaling.config.validation import ConfigError, one_line, require
from scaling.inference.sae.formats.weights import SaeWeights, add_to_bias, check_finite, check_shapes, weight_shapes
from scaling.store.files import write_atomic

FILE = "params.npz"
TYPES = ("float16", "float32", "float64")
ERRORS = (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def write_gemma_scope(folder: Path, weights: SaeWeights) -> list[str]:
    """Writes params.npz into a folder; returns the names of the files.

    Args:
        folder: An existing folder.
        weights: The autoencoder.

    Raises:
        ConfigError: Its kind has no thresholds in this format.
    """
    require(
        weights.kind != "topk",
        "kind topk: Gemma Scope's format has a threshold per latent: must be relu, jumprelu or batch-topk; or use "
        "--format sae-lens",
    )
    arrays = dict(weights.arrays)
    arrays["b_enc"] = add_to_bias(arrays["b_enc"], arrays["b_dec"], arrays["W_enc"], -1)
    arrays.setdefault("threshold", np.zeros(weights.latents, np.float32))
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    write_atomic(folder / FILE, out.getvalue())
    return [FILE]


def read_gemma_scope(path: Path, width: int) -> SaeWeights:
    """Reads params.npz.

    Args:
        path: The file.
        width: Width of the activations that it must have.

    Raises:
        ConfigError: It is damaged, or has other arrays, shapes or types.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            shapes = {name.removesuffix(".npy"): _read_shape(path, archive, name) for name in archive.namelist()}
            latents = shapes["threshold"][0] if shapes.get("threshold") else 0
            check_shapes(path, shapes, weight_shapes(width, latents, True))
            arrays = {}
            for name in shapes:
                with archive.open(f"{name}.npy") as file:
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False).astype(np.float32)
    except ERRORS as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path}: not a readable .npz file: {one_line(error)[:200]}: fetch it again") from None
    check_finite(path, arrays)
    arrays["b_enc"] = add_to_bias(arrays["b_enc"], arrays["b_dec"], arrays["W_enc"], 1)
    arrays["threshold"] = np.maximum(arrays["threshold"], 0)  # negative latents are 0 in any case
    stated = re.search(r"average_l0_(\d+)", str(path.absolute()))  # name of Gemma Scope's folders
    return SaeWeights("jumprelu", arrays, l0=float(stated[1]) if stated else None)


def _read_shape(path: Path, archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    """Returns the shape of an array, whose type and size are checked."""
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        require(version in ((1, 0), (2, 0)), f"{path}: {name} has format {version}: must be 1.0 or 2.0")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        start = file.tell()
    require(str(dtype) in TYPES, f"{path}: {name} has type {dtype}: must be one of {', '.join(TYPES)}")
    size = archive.getinfo(name).file_size - start
    needed = math.prod(shape) * dtype.itemsize
    require(size == needed, f"{path}: {name} has {size:,} bytes: shape {list(shape)} needs {needed:,}")
    return tuple(shape)
