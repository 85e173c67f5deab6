"""Independent check: logits of tiny random models of Hugging Face's transformers, their weights copied over."""

import os
from dataclasses import replace

os.environ["HF_HUB_OFFLINE"] = "1"

import jax
import numpy as np
import pytest
from flax import nnx
from test_models import QUICK

from scaling.config import ModelConfig
from scaling.models.presets import preset
from scaling.models.transformer import Transformer

torch = pytest.importorskip("torch", reason="pip install -e '.[dev]'")
transformers = pytest.importorskip("transformers", reason="pip install -e '.[dev]'")

LENGTH = 21
Weights = dict[str, np.ndarray]


def tiny(name: str, **sizes: object) -> ModelConfig:
    """The preset with its architecture kept and its sizes not."""
    small = {"vocab": 61, "width": 32, "layers": 2, "heads": 4, "mlp_width": 40, **sizes}
    return replace(preset(name), **small)  # type: ignore[arg-type]


def shared(config: ModelConfig) -> dict[str, object]:
    """What most of their configurations call our fields."""
    return {
        "vocab_size": config.vocab, "hidden_size": config.width, "intermediate_size": config.mlp_width,
        "num_hidden_layers": config.layers, "num_attention_heads": config.heads, "num_key_value_heads": config.kv,
        "head_dim": config.head, "max_position_embeddings": 64, "rms_norm_eps": config.norm_eps,
        "attn_implementation": "eager",
    }  # fmt: skip


def rotated(config: ModelConfig) -> dict[str, object]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": config.rope_base}}


def gpt2(config: ModelConfig):
    theirs = transformers.GPT2Config(
        vocab_size=config.vocab, n_embd=config.width, n_layer=config.layers, n_head=config.heads,
        n_inner=config.mlp_width, n_positions=config.position_length, attn_implementation="eager",
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(theirs)


def llama(config: ModelConfig):
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**shared(config), **rotated(config)))


def gemma2(config: ModelConfig):
    theirs = transformers.Gemma2Config(
        **shared(config), **rotated(config), sliding_window=config.window,
        query_pre_attn_scalar=int(config.attention_scale or config.head), attn_logit_softcapping=config.attention_softcap,
        final_logit_softcapping=config.final_softcap,
        layer_types=["full_attention" if window is None else "sliding_attention" for window in config.windows],
    )  # fmt: skip
    return transformers.Gemma2ForCausalLM(theirs)


def mixtral(config: ModelConfig):
    theirs = transformers.MixtralConfig(
        **shared(config), **rotated(config), num_local_experts=config.experts,
        num_experts_per_tok=config.experts_chosen, sliding_window=config.window,
    )  # fmt: skip
    return transformers.MixtralForCausalLM(theirs)


def qkv(config: ModelConfig, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Projections with their outputs last, (..., heads · h) each, as ours: grouped by key-value head."""
    K, h = config.kv, config.head
    q, k, v = (t.reshape(*t.shape[:-1], K, -1, h) for t in (q, k, v))
    return np.concatenate([q, k, v], axis=-2)


def from_gpt2(config: ModelConfig, w: Weights) -> Weights:
    out = {"embedding_VD": w["transformer.wte.weight"], "position_LD": w["transformer.wpe.weight"]}
    out |= {f"norm.{ours}": w[f"transformer.ln_f.{name}"] for ours, name in (("g_D", "weight"), ("b_D", "bias"))}
    for i in range(config.layers):
        at, to = f"transformer.h.{i}.", f"blocks.{i}."
        for ours, name in (("attention_norm", "ln_1"), ("mlp_norm", "ln_2")):
            out |= {f"{to}{ours}.g_D": w[f"{at}{name}.weight"], f"{to}{ours}.b_D": w[f"{at}{name}.bias"]}
        for ours, kind in (("qkv_DKJh", "weight"), ("b_KJh", "bias")):
            out[f"{to}attention.{ours}"] = qkv(config, *np.split(w[f"{at}attn.c_attn.{kind}"], 3, axis=-1))
        out |= {f"{to}attention.out_HD": w[f"{at}attn.c_proj.weight"], f"{to}attention.b_D": w[f"{at}attn.c_proj.bias"]}
        out |= {f"{to}mlp.up_DF": w[f"{at}mlp.c_fc.weight"], f"{to}mlp.b_up_F": w[f"{at}mlp.c_fc.bias"]}
        out |= {f"{to}mlp.down_FD": w[f"{at}mlp.c_proj.weight"], f"{to}mlp.b_D": w[f"{at}mlp.c_proj.bias"]}
    return out


def from_llama(config: ModelConfig, w: Weights) -> Weights:
    """Llama's names, which Gemma 2 and Mixtral keep; Gemma's gains are g - 1."""
    one = float(config.norm_placement == "sandwich")
    norms = {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}
    if one:
        norms |= {
            "attention_out_norm": "post_attention_layernorm",
            "mlp_norm": "pre_feedforward_layernorm",
            "mlp_out_norm": "post_feedforward_layernorm",
        }
    out = {"embedding_VD": w["model.embed_tokens.weight"], "norm.g_D": w["model.norm.weight"] + one}
    if not config.tied:
        out["head_DV"] = w["lm_head.weight"].T
    for i in range(config.layers):
        at, to = f"model.layers.{i}.", f"blocks.{i}."
        out |= {f"{to}{ours}.g_D": w[f"{at}{name}.weight"] + one for ours, name in norms.items()}
        out[f"{to}attention.qkv_DKJh"] = qkv(config, *(w[f"{at}self_attn.{n}_proj.weight"].T for n in "qkv"))
        out[f"{to}attention.out_HD"] = w[f"{at}self_attn.o_proj.weight"].T
        if config.experts:
            gate, up = np.split(w[f"{at}mlp.experts.gate_up_proj"].swapaxes(1, 2), 2, axis=-1)
            out |= {f"{to}mlp.gate_EDF": gate, f"{to}mlp.up_EDF": up, f"{to}mlp.router_DE": w[f"{at}mlp.gate.weight"].T}
            out[f"{to}mlp.down_EFD"] = w[f"{at}mlp.experts.down_proj"].swapaxes(1, 2)
        else:
            names = {"gate_DF": "gate", "up_DF": "up", "down_FD": "down"}
            out |= {f"{to}mlp.{ours}": w[f"{at}mlp.{name}_proj.weight"].T for ours, name in names.items()}
    return out


def placed(config: ModelConfig, weights: Weights):
    """Our model with those weights, each of them used and none missing."""
    graph, shapes = nnx.split(nnx.eval_shape(lambda: Transformer(config, rngs=nnx.Rngs(0))))
    left = dict(weights)

    def take(path, leaf):
        names = [str(getattr(key, "key", getattr(key, "name", ""))) for key in path if getattr(key, "key", None)]
        if names[0] == "blocks":
            value = np.stack([left.pop(".".join(["blocks", str(i), *names[1:]])) for i in range(config.layers)])
        else:
            value = left.pop(".".join(names))
        assert value.shape == leaf.shape, names
        return value

    params = jax.tree_util.tree_map_with_path(take, nnx.to_pure_dict(shapes))
    assert not left
    return graph, params


FAMILIES = {
    "gpt2": (tiny("gpt2", position_length=64), gpt2, from_gpt2),
    "llama2": (tiny("llama2-7b"), llama, from_llama),
    "llama3": (tiny("llama3-8b", kv_heads=2), llama, from_llama),
    "gemma2": (tiny("gemma2-27b", kv_heads=2, head_dim=10, window=5, layers=3), gemma2, from_llama),
    "mixtral": (tiny("mixtral-8x7b", kv_heads=2), mixtral, from_llama),
    "mixtral, local, with room for all": (tiny("mixtral-8x7b", kv_heads=2, window=6, capacity=4), mixtral, from_llama),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_an_independent_implementation(family: str) -> None:
    config, build, convert = FAMILIES[family]
    torch.manual_seed(0)
    theirs = build(config).eval().float()
    with torch.no_grad():
        for weight in theirs.parameters():  # far from 0 and 1, so that every one of them counts
            weight.copy_(weight + 0.2 * torch.randn_like(weight))
        x = np.random.default_rng(0).integers(0, config.vocab, (2, LENGTH)).astype(np.int32)
        want = theirs(torch.as_tensor(x, dtype=torch.int64)).logits.numpy()
    held = {name: value.detach().numpy() for name, value in theirs.named_parameters()}
    graph, params = placed(config, convert(config, held))
    ours = jax.jit(lambda p, x: nnx.merge(graph, p)(x), compiler_options=QUICK)(params, x)
    np.testing.assert_allclose(ours, want, atol=1e-4, rtol=1e-5)
    assert np.abs(want).max() > 0.5
