"""Small models of every architecture, with random parameters, and counting of their matrix products."""

import functools
import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.presets import preset
from scaling.config.run import RunConfig, run_id
from scaling.data import tokenizers
from scaling.inference.huggingface.families import find_family
from scaling.inference.huggingface.safetensors_files import Writer
from scaling.inference.huggingface.tensors import array_parts, tensor_shapes
from scaling.inference.huggingface.write_config import model_json
from scaling.inference.load import TrainedModel
from scaling.inference.parameters import abstract_parameters
from scaling.models.transformer import Transformer
from scaling.program.checkpoint_files import named_leaves
from scaling.store.record import Record

FAST_COMPILE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
BYTES = ModelConfig(vocab=264, width=16, layers=1, heads=2, mlp_width=16)
BASE = ModelConfig(vocab=50, width=32, layers=2, heads=4, mlp_width=48)

VARIANTS = {
    "swiglu": BASE,
    "gelu, tied": replace(BASE, mlp="gelu", tied=True),
    "grouped": replace(BASE, kv_heads=2),
    "multi-query": replace(BASE, kv_heads=1, head_dim=6),
    "learned, layernorm, biases": replace(
        BASE, positions="learned", position_length=130, norm="layernorm", biases="all", mlp="gelu", tied=True
    ),
    "sinusoidal, post-norm": replace(
        BASE, positions="sinusoidal", norm="layernorm", norm_placement="post", mlp="relu2", embedding_scale=True
    ),
    "alibi, grouped, no gate": replace(BASE, positions="alibi", kv_heads=2, mlp="relu2", norm="layernorm"),
    "relative": replace(BASE, positions="relative", kv_heads=2),
    "no positions, biases of qkv": replace(BASE, positions="none", biases="qkv", attention_scale=1.0),
    "local": replace(BASE, window=5, qk_norm=True),
    "local and global, capped, sandwich": replace(
        BASE, window=5, window_pattern="LG", attention_softcap=5.0, final_softcap=3.0, norm_placement="sandwich",
        mlp="geglu", tied=True, embedding_scale=True, attention_scale=12.0, kv_heads=2,
    ),
    "gated, biased": replace(BASE, mlp="geglu", biases="all"),
    "experts": replace(BASE, experts=4, mlp_width=16),
    "experts, capacity, shared": replace(
        BASE, experts=4, experts_chosen=2, capacity=1.25, shared_experts=1, gates="all", mlp_width=16, mlp="gelu"
    ),
}  # fmt: skip

DECODERS = {name: config for name, config in VARIANTS.items() if config.kind == "decoder"}
T5 = replace(BASE, kind="encoder-decoder", positions="buckets", mlp="relu", attention_scale=1.0, buckets=8)
ENCODERS = {
    "encoder-decoder, tied": replace(T5, tied=True, encoder_layers=1, bucket_distance=9),
    "encoder-decoder, geglu, wide heads": replace(T5, mlp="geglu", head_dim=12),
    "encoder": replace(T5, kind="encoder"),
}


def byte_run(model: ModelConfig = BYTES, length: int = 256) -> TrainedModel:
    """A run whose model has random parameters and reads bytes."""
    data = DataConfig(tokens="0" * 64, length=length)
    config = RunConfig(model=model, data=data, optimizer=OptimizerConfig(lr=1), batch=1, steps=1)
    graph, params = random_model(model)
    text = tokenizers.load_tokenizer("bytes", {}, Path(), vocab=model.vocab, eod=None)
    record = Record(run_id=run_id(config), config=config, status="done")
    return TrainedModel(record, 1, model, graph, jax.tree.map(jnp.asarray, nnx.to_pure_dict(params)), text)


def untrained_run(model: ModelConfig, end: int | None = None) -> TrainedModel:
    """A run whose model has random parameters, as if it had been trained; a token's text is its number."""
    data = DataConfig(tokens="0" * 64, length=16, document_end=end)
    config = RunConfig(model=model, data=data, optimizer=OptimizerConfig(lr=1), batch=1, steps=1)
    graph, params = random_model(model)
    text = tokenizers.load_tokenizer("symbols", {}, Path(), vocab=model.vocab, eod=end)
    record = Record(run_id=run_id(config), config=config, status="done")
    return TrainedModel(record, 1, model, graph, jax.tree.map(jnp.asarray, nnx.to_pure_dict(params)), text)


def dot_flops(fn, *args) -> int:
    """FLOPs of the matrix products in the program that JAX hands to XLA."""

    def walk(jaxpr) -> int:
        total = 0
        for eqn in jaxpr.eqns:
            ragged = eqn.primitive.name == "ragged_dot_general"
            if ragged or eqn.primitive.name == "dot_general":
                numbers = eqn.params["ragged_dot_dimension_numbers" if ragged else "dimension_numbers"]
                (contract, _), _ = numbers.dot_dimension_numbers if ragged else numbers
                k = 1
                for axis in contract:
                    k *= eqn.invars[0].aval.shape[axis]
                out = eqn.outvars[0].aval
                if ragged and not numbers.rhs_group_dimensions:  # each row goes into one group's product
                    out = jax.ShapeDtypeStruct(out.shape[1:], out.dtype)
                total += 2 * out.size * k
            for value in eqn.params.values():
                inner = getattr(value, "jaxpr", None)
                if inner is not None:
                    total += walk(getattr(inner, "jaxpr", inner))
        return total

    return walk(jax.make_jaxpr(fn)(*args).jaxpr)


def decoder(config: ModelConfig, seed: int = 0) -> Transformer:
    return Transformer(config, rngs=nnx.Rngs(seed))


@functools.cache
def random_model(config: ModelConfig):
    """The model's graph, and random parameters: none at 0 or 1, where a mistake would not show."""
    graph, shapes = nnx.split(nnx.eval_shape(lambda: decoder(config)))
    draws = np.random.default_rng(0)

    def draw(path, leaf):
        centre = any(str(key).startswith(".g_") or "'g_" in str(key) for key in path)
        return centre + 0.15 * draws.standard_normal(leaf.shape, np.float32)

    return graph, jax.tree_util.tree_map_with_path(draw, shapes)


def random_tokens(shape: tuple[int, ...], vocab: int = 50, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, vocab, shape).astype(np.int32)


SMALL = {"vocab": 61, "width": 32, "layers": 3, "heads": 4, "mlp_width": 40}


def tiny(name: str, **sizes: object) -> ModelConfig:
    """The preset with its architecture kept and its sizes not."""
    return replace(preset(name), **{**SMALL, **sizes})  # type: ignore[arg-type]


HUGGING_FACE_MODELS = {
    "gpt2": tiny("gpt2", position_length=64),
    "gpt2, untied, relu2": tiny("gpt2", position_length=64, tied=False, mlp="relu2"),
    "llama2": tiny("llama2-7b"),
    "llama3, grouped, long": tiny("llama3-8b", kv_heads=2, rope_scaling=(8.0, 1.0, 4.0, 32.0)),
    "llama, biased, tied": tiny("llama2-7b", kv_heads=2, biases="all", tied=True, rope_scaling=(2.0,)),
    "gemma2": tiny("gemma2-27b", kv_heads=2, head_dim=10, window=5, norm_offset=True),
    "mixtral": tiny("mixtral-8x7b", kv_heads=2, experts=4),
    "mixtral, local": tiny("mixtral-8x7b", kv_heads=2, experts=4, window=6, experts_chosen=1),
    "t5": tiny("t5-small", head_dim=6, encoder_layers=2, bucket_distance=20),
    "t5 1.1": tiny("t5-small", head_dim=7, mlp="geglu", tied=False),
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
