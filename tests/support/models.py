"""Small models of every architecture, with random parameters, and counting of their matrix products."""

import functools
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import RunConfig, run_id
from scaling.data import tokenizers
from scaling.inference.load import TrainedModel
from scaling.models.transformer import Transformer
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
