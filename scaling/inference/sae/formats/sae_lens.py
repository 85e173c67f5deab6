"""Folders of SAELens: cfg.json and sae_weights.safetensors.

Its architectures standard, topk and jumprelu are read and written; it saves batchtopk as jumprelu too. Configs from
before its version 6 are flat and name the activation function in place of an architecture.

Key: D width of the activations, n latents.
"""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from scaling.config.os_errors import open_file
from scaling.config.validation import ConfigError, one_line, require, shown
from scaling.inference.huggingface.safetensors_files import NEEDS_EXTRA, Reader
from scaling.inference.sae.formats.weights import SaeWeights, add_to_bias, check_finite, check_shapes, weight_shapes
from scaling.store.files import write_atomic, write_json

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
VERSION = "6.54.12"  # of SAELens whose layout is written
KINDS = {"standard": "relu", "topk": "topk", "jumprelu": "jumprelu"}  # by architecture
ARCHITECTURES = {"relu": "standard", "topk": "topk", "jumprelu": "jumprelu", "batch-topk": "jumprelu"}
HOOKS = {"residual": "hook_resid_post", "attention": "hook_attn_out", "mlp": "hook_mlp_out"}  # of TransformerLens
HOOK_NAME = re.compile(r"blocks\.(\d{1,4})\.(hook_resid_post|hook_resid_pre|hook_attn_out|hook_mlp_out)")
MAX_SIZE = 1 << 24  # of a width or dictionary


def write_sae_lens(folder: Path, weights: SaeWeights) -> list[str]:
    """Writes cfg.json and sae_weights.safetensors into a folder; returns the names of the files.

    Args:
        folder: An existing folder.
        weights: The autoencoder, with its layer and site.

    Raises:
        ConfigError: The package safetensors is missing.
    """
    try:
        from safetensors.numpy import save
    except ImportError:
        raise ConfigError(NEEDS_EXTRA) from None
    assert weights.site is not None
    metadata: dict[str, Any] = {
        "sae_lens_version": VERSION, "sae_lens_training_version": None, "model_name": weights.model,
        "hook_name": f"blocks.{weights.layer}.{HOOKS[weights.site]}", "hook_head_index": None, "l0": weights.l0,
        **weights.facts,
    }  # fmt: skip
    if weights.kind == "batch-topk":
        metadata |= {"training_architecture": "batchtopk", "training_architecture_details": {"k": weights.l0}}
    config: dict[str, Any] = {
        "d_in": weights.width, "d_sae": weights.latents, "dtype": "float32", "device": "cpu",
        "apply_b_dec_to_input": True, "normalize_activations": "none", "reshape_activations": "none",
        "metadata": metadata, "architecture": ARCHITECTURES[weights.kind],
    }  # fmt: skip
    if weights.kind == "topk":
        assert weights.l0 is not None
        config |= {"k": int(weights.l0), "rescale_acts_by_decoder_norm": False}
    write_atomic(folder / WEIGHTS, save({name: np.ascontiguousarray(a) for name, a in weights.arrays.items()}))
    write_json(folder / CONFIG, config)
    return [CONFIG, WEIGHTS]


def read_sae_lens(folder: Path, model_width: int) -> SaeWeights:
    """Reads a folder.

    Args:
        folder: The folder.
        model_width: Width of the activations that it must have.

    Raises:
        ConfigError: A file is missing or damaged, the architecture is not supported, or arrays do not fit the config.
    """
    path = folder / CONFIG
    config = _read_config(path)
    kind = _kind(path, config)
    width, latents = (_size(path, config, name) for name in ("d_in", "d_sae"))
    require(width == model_width, f"{path}: d_in {width}: must be the width of the model, {model_width}")
    has_threshold = kind == "jumprelu"
    require((folder / WEIGHTS).is_file(), f"{folder / WEIGHTS}: missing")
    with ExitStack() as stack:
        reader = Reader(folder, stack, [WEIGHTS])
        expected, shapes = weight_shapes(width, latents, has_threshold), dict(reader.shapes)
        if "scaling_factor" in shapes:  # of old versions, 1 unless it was fine-tuned
            require(shapes.pop("scaling_factor") == (latents,), f"{folder / WEIGHTS}: scaling_factor: wrong shape")
            ones = np.allclose(reader.read("scaling_factor"), 1)
            require(ones, f"{folder / WEIGHTS}: scaling_factor: must be 1: fine-tuned factors are not supported")
        check_shapes(folder / WEIGHTS, shapes, expected)
        arrays = {name: reader.read(name) for name in expected}
    check_finite(folder / WEIGHTS, arrays)
    if has_threshold:
        arrays["threshold"] = np.maximum(arrays["threshold"], 0)  # negative latents are 0 in any case
    if config.get("apply_b_dec_to_input") is False:
        arrays["b_enc"] = add_to_bias(arrays["b_enc"], arrays["b_dec"], arrays["W_enc"], 1)
    if kind == "topk" and config.get("rescale_acts_by_decoder_norm"):
        arrays |= _divide_by_norms(arrays)
    return _described(path, config, kind, arrays)


def _divide_by_norms(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the arrays of the same function with rows of the decoder of norm 1.

    SAELens multiplies pre-activations by the norms of the decoder's rows before it chooses the largest, and divides
    afterwards.
    """
    norm_n = np.maximum(np.linalg.norm(arrays["W_dec"].astype(np.float64), axis=1), 1e-8)
    changed = {"W_enc": arrays["W_enc"] * norm_n, "b_enc": arrays["b_enc"] * norm_n}
    changed["W_dec"] = arrays["W_dec"] / norm_n[:, None]
    return {name: array.astype(np.float32) for name, array in changed.items()}


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with open_file(path) as file:
            config = json.loads(file.read())
    except FileNotFoundError:
        raise ConfigError(f"{path}: missing: the folder has no autoencoder of SAELens") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {one_line(error)[:200]}") from None
    require(isinstance(config, dict), f"{path}: must be an object")
    require(isinstance(config.get("metadata", {}), dict), f"{path}: metadata: must be an object")
    return config


def _kind(path: Path, config: dict[str, Any]) -> str:
    """Returns the kind of the autoencoder; ConfigError if a setting changes its function in a way we do not have."""
    activation = config.get("activation_fn_str", config.get("activation_fn", "relu"))
    require(activation in ("relu", "topk"), f"{path}: activation function {shown(activation)}: must be relu or topk")
    architecture = config.get("architecture", "standard")
    if activation == "topk":
        architecture = "topk"
    allowed = ", ".join(KINDS)
    require(
        isinstance(architecture, str) and architecture in KINDS,
        f"{path}: architecture {shown(architecture)}: must be one of {allowed} (save others of SAELens with "
        "save_inference_model)",
    )
    norm = config.get("normalize_activations")
    require(
        norm in (None, False, "none"),
        f"{path}: normalize_activations {shown(norm)}: must be none: fold the factor into the weights first",
    )
    reshape = config.get("reshape_activations", "none")
    hook = str(_stated(config, "hook_name", "hook_point") or "")
    require(
        reshape == "none" and not hook.endswith("hook_z"),
        f"{path}: reshape_activations {shown(reshape)}, hook {shown(hook)}: heads before their output matrix are no "
        "site: must be the residual stream, or the output of attention or mlp",
    )
    require(not config.get("finetuning_scaling_factor"), f"{path}: finetuning_scaling_factor: must be false")
    return KINDS[architecture]


def _size(path: Path, config: dict[str, Any], name: str) -> int:
    value = config.get(name)
    valid = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_SIZE
    require(valid, f"{path}: {name} {shown(value)}: must be a whole number from 1 to {MAX_SIZE:,}")
    assert isinstance(value, int)
    return value


def _stated(config: dict[str, Any], *names: str) -> Any:
    """Returns the value of the first of some names in the metadata, or in a flat config of an old version."""
    for part in (config.get("metadata", {}), config):
        for name in names:
            if part.get(name) is not None:
                return part[name]
    return None


def _described(path: Path, config: dict[str, Any], kind: str, arrays: dict[str, np.ndarray]) -> SaeWeights:
    """Returns the autoencoder with what its config says about it."""
    l0 = _stated(config, "l0")
    if kind == "topk":
        options = config.get("activation_fn_kwargs")
        l0 = config.get("k", options.get("k") if isinstance(options, dict) else None)
    elif kind == "jumprelu" and _stated(config, "training_architecture") == "batchtopk":
        details = _stated(config, "training_architecture_details")
        kind, l0 = "batch-topk", (details.get("k") if isinstance(details, dict) else None) or l0
    is_number = isinstance(l0, int | float) and not isinstance(l0, bool)
    require(l0 is None or is_number, f"{path}: number of active latents {shown(l0)}: must be a number")
    hook = _stated(config, "hook_name", "hook_point")
    match = HOOK_NAME.fullmatch(hook) if isinstance(hook, str) else None
    layer, site = None, None
    if match is not None:
        layer = int(match[1]) - (match[2] == "hook_resid_pre")  # the stream before a layer is that after the last one
        site = next((name for name, value in HOOKS.items() if value == match[2]), "residual")
    model = _stated(config, "model_name")
    return SaeWeights(
        kind, arrays, l0=None if l0 is None else float(l0), layer=layer, site=site,
        model=model if isinstance(model, str) else None,
    )  # fmt: skip
