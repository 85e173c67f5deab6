"""Tiny models of the five architectures: our configs, random parameters, and folders in Hugging Face's layout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.presets import preset
from scaling.config.run import RunConfig
from scaling.huggingface.families import find_family
from scaling.huggingface.safetensors_files import Writer
from scaling.huggingface.tensors import array_parts, tensor_shapes
from scaling.huggingface.write_config import model_json
from scaling.inference.parameters import abstract_parameters, named_leaves

SMALL = {"vocab": 61, "width": 32, "layers": 3, "heads": 4, "mlp_width": 40}


def tiny(name: str, **sizes: object) -> ModelConfig:
    """The preset with its architecture kept and its sizes not."""
    return replace(preset(name), **{**SMALL, **sizes})  # type: ignore[arg-type]


MODELS = {
    "gpt2": tiny("gpt2", position_length=64),
    "gpt2, untied, relu2": tiny("gpt2", position_length=64, tied=False, mlp="relu2"),
    "llama2": tiny("llama2-7b"),
    "llama3, grouped, long": tiny("llama3-8b", kv_heads=2, rope_scaling=(8.0, 1.0, 4.0, 32.0)),
    "llama, biased, tied": tiny("llama2-7b", kv_heads=2, biases="all", tied=True, rope_scaling=(2.0,)),
    "gemma2": tiny("gemma2-27b", kv_heads=2, head_dim=10, window=5, norm_offset=True),
    "mixtral": tiny("mixtral-8x7b", kv_heads=2, experts=4),
    "mixtral, local": tiny("mixtral-8x7b", kv_heads=2, experts=4, window=6, experts_chosen=1),
    "t5": tiny("t5-small", head_dim=6, encoder_layers=2, bucket_distance=20),
    "t5 1.1": tiny("t5-small", head_dim=8, mlp="geglu", tied=False),
}


def run_config(model: ModelConfig, length: int = 64) -> RunConfig:
    """A run of a model; its data are never read."""
    objective = "span" if model.kind == "encoder-decoder" else "causal"
    data = DataConfig(tokens="0" * 64, length=length, objective=objective)
    return RunConfig(model=model, data=data, optimizer=OptimizerConfig(lr=1), batch=1, steps=1)


def random_arrays(model: ModelConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """Parameters far from 0 and 1, by their dotted names."""
    rng = np.random.default_rng(seed)
    leaves = named_leaves(abstract_parameters(model))
    return {name: (0.6 + 0.2 * rng.standard_normal(leaf.shape)).astype(np.float32) for name, leaf in leaves.items()}


def write_folder(folder: Path, model: ModelConfig, *, dtype: str = "float32", limit: float = 5e9) -> dict:
    """Writes a model with random parameters in Hugging Face's layout; returns these."""
    folder.mkdir(parents=True)
    arrays, family = random_arrays(model), find_family(model)
    (folder / "config.json").write_text(json.dumps(model_json(run_config(model), dtype, {})))
    writer = Writer(folder, tensor_shapes(family, model, {n: a.shape for n, a in arrays.items()}), dtype, limit)
    for name, array in arrays.items():
        for part in array_parts(family, model, name, array):
            writer.write(part.name, part.read())
    writer.finish()
    return arrays
