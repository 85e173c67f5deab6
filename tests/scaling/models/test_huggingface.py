"""Independent check: logits of tiny random models of Hugging Face's transformers, their weights copied over."""

import os
from dataclasses import replace

os.environ["HF_HUB_OFFLINE"] = "1"

import jax
import numpy as np
import pytest
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.presets import preset
from scaling.models.encoder_decoder import EncoderDecoder
from scaling.models.transformer import Transformer
from tests.support.models import FAST_COMPILE

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
    published_values = transformers.GPT2Config(
        vocab_size=config.vocab, n_embd=config.width, n_layer=config.layers, n_head=config.heads,
        n_inner=config.mlp_width, n_positions=config.position_length, attn_implementation="eager",
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(published_values)


def llama(config: ModelConfig):
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**shared(config), **rotated(config)))


def gemma2(config: ModelConfig):
    published_values = transformers.Gemma2Config(
        **shared(config), **rotated(config), sliding_window=config.window,
        query_pre_attn_scalar=int(config.attention_scale or config.head),
        attn_logit_softcapping=config.attention_softcap, final_logit_softcapping=config.final_softcap,
        layer_types=["full_attention" if window is None else "sliding_attention" for window in config.windows],
    )  # fmt: skip
    return transformers.Gemma2ForCausalLM(published_values)


def mixtral(config: ModelConfig):
    published_values = transformers.MixtralConfig(
        **shared(config), **rotated(config), num_local_experts=config.experts,
        num_experts_per_tok=config.experts_chosen, sliding_window=config.window,
    )  # fmt: skip
    return transformers.MixtralForCausalLM(published_values)


def qkv(config: ModelConfig, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Projections with their outputs last, (..., heads · h) each, as ours: grouped by key-value head."""
    K, h = config.kv, config.head
    q, k, v = (t.reshape(*t.shape[:-1], K, -1, h) for t in (q, k, v))
    return np.concatenate([q, k, v], axis=-2)


def from_gpt2(config: ModelConfig, w: Weights) -> Weights:
    out = {"embedding_VD": w["transformer.wte.weight"], "position_LD": w["transformer.wpe.weight"]}
    out |= {
        f"norm.{own_values}": w[f"transformer.ln_f.{name}"] for own_values, name in (("g_D", "weight"), ("b_D", "bias"))
    }
    for i in range(config.layers):
        at, to = f"transformer.h.{i}.", f"blocks.{i}."
        for own_values, name in (("attention_norm", "ln_1"), ("mlp_norm", "ln_2")):
            out |= {f"{to}{own_values}.g_D": w[f"{at}{name}.weight"], f"{to}{own_values}.b_D": w[f"{at}{name}.bias"]}
        for own_values, kind in (("qkv_DKJh", "weight"), ("b_KJh", "bias")):
            out[f"{to}attention.{own_values}"] = qkv(config, *np.split(w[f"{at}attn.c_attn.{kind}"], 3, axis=-1))
        out |= {f"{to}attention.out_HD": w[f"{at}attn.c_proj.weight"], f"{to}attention.b_D": w[f"{at}attn.c_proj.bias"]}
        out |= {f"{to}mlp.up_DF": w[f"{at}mlp.c_fc.weight"], f"{to}mlp.b_up_F": w[f"{at}mlp.c_fc.bias"]}
        out |= {f"{to}mlp.down_FD": w[f"{at}mlp.c_proj.weight"], f"{to}mlp.b_D": w[f"{at}mlp.c_proj.bias"]}
    return out


def from_llama(config: ModelConfig, w: Weights) -> Weights:
    """Llama's names, which Gemma 2 and Mixtral keep; Gemma's gains are g - 1."""
    first = float(config.norm_placement == "sandwich")
    norms = {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}
    if first:
        norms |= {
            "attention_out_norm": "post_attention_layernorm",
            "mlp_norm": "pre_feedforward_layernorm",
            "mlp_out_norm": "post_feedforward_layernorm",
        }
    out = {"embedding_VD": w["model.embed_tokens.weight"], "norm.g_D": w["model.norm.weight"] + first}
    if not config.tied:
        out["head_DV"] = w["lm_head.weight"].T
    for i in range(config.layers):
        at, to = f"model.layers.{i}.", f"blocks.{i}."
        out |= {f"{to}{own_values}.g_D": w[f"{at}{name}.weight"] + first for own_values, name in norms.items()}
        out[f"{to}attention.qkv_DKJh"] = qkv(config, *(w[f"{at}self_attn.{n}_proj.weight"].T for n in "qkv"))
        out[f"{to}attention.out_HD"] = w[f"{at}self_attn.o_proj.weight"].T
        if config.experts:
            gate, up = np.split(w[f"{at}mlp.experts.gate_up_proj"].swapaxes(1, 2), 2, axis=-1)
            out |= {f"{to}mlp.gate_EDF": gate, f"{to}mlp.up_EDF": up, f"{to}mlp.router_DE": w[f"{at}mlp.gate.weight"].T}
            out[f"{to}mlp.down_EFD"] = w[f"{at}mlp.experts.down_proj"].swapaxes(1, 2)
        else:
            names = {"gate_DF": "gate", "up_DF": "up", "down_FD": "down"}
            out |= {f"{to}mlp.{own_values}": w[f"{at}mlp.{name}_proj.weight"].T for own_values, name in names.items()}
    return out


def t5(config: ModelConfig):
    published_values = transformers.T5Config(
        vocab_size=config.vocab, d_model=config.width, d_kv=config.head, d_ff=config.mlp_width,
        num_layers=config.depths[0], num_decoder_layers=config.depths[1], num_heads=config.heads,
        relative_attention_num_buckets=config.buckets, relative_attention_max_distance=config.bucket_distance,
        layer_norm_epsilon=config.norm_eps, feed_forward_proj="relu", tie_word_embeddings=config.tied,
        attn_implementation="eager",
    )  # fmt: skip
    return transformers.T5ForConditionalGeneration(published_values)


def from_t5(config: ModelConfig, w: Weights) -> Weights:
    out = {"embedding_VD": w["shared.weight"]}
    for stack, layers, parts in (
        ("encoder", config.depths[0], {"attention": "SelfAttention"}),
        ("decoder", config.depths[1], {"attention": "SelfAttention", "across": "EncDecAttention"}),
    ):
        first = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        out |= {f"{stack}.bucket_RK": w[first], f"{stack}.norm.g_D": w[f"{stack}.final_layer_norm.weight"]}
        for i in range(layers):
            at, to = f"{stack}.block.{i}.layer.", f"{stack}.blocks.{i}."
            for j, (own_values, name) in enumerate(parts.items()):
                out[f"{to}{own_values}_norm.g_D"] = w[f"{at}{j}.layer_norm.weight"]
                for letter, axes in (("q", "q_DH"), ("k", "k_DH"), ("v", "v_DH"), ("o", "out_HD")):
                    out[f"{to}{own_values}.{axes}"] = w[f"{at}{j}.{name}.{letter}.weight"].T
            last = f"{at}{len(parts)}."
            out[f"{to}mlp_norm.g_D"] = w[f"{last}layer_norm.weight"]
            out |= {
                f"{to}mlp.{o}": w[f"{last}DenseReluDense.{n}.weight"].T for o, n in (("up_DF", "wi"), ("down_FD", "wo"))
            }
    return out


def placed(config: ModelConfig, weights: Weights):
    """Our model with those weights, each of them used and none missing."""
    kind = Transformer if config.kind == "decoder" else EncoderDecoder
    graph, shapes = nnx.split(nnx.eval_shape(lambda: kind(config, rngs=nnx.Rngs(0))))
    left = dict(weights)

    def take(path, leaf):
        names = [str(getattr(key, "key", getattr(key, "name", ""))) for key in path if getattr(key, "key", None)]
        if "blocks" in names:
            at = names.index("blocks") + 1
            lines = [".".join([*names[:at], str(i), *names[at:]]) for i in range(len(leaf))]
            value = np.stack([left.pop(name) for name in lines])
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


def shaken(model):
    """A model with every weight far from 0 and 1, so that each counts."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight + 0.2 * torch.randn_like(weight))
    return model.eval().float()


def numpy_weights(model) -> Weights:
    return {name: value.detach().numpy() for name, value in model.named_parameters()}


def tokens(config: ModelConfig, length: int = LENGTH) -> np.ndarray:
    return np.random.default_rng(0).integers(0, config.vocab, (2, length)).astype(np.int32)


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_an_independent_implementation(family: str) -> None:
    config, build, convert = FAMILIES[family]
    published_values = shaken(build(config))
    x = tokens(config)
    with torch.no_grad():
        want = published_values(torch.as_tensor(x, dtype=torch.int64)).logits.numpy()
    graph, params = placed(config, convert(config, numpy_weights(published_values)))
    own_values = jax.jit(lambda p, x: nnx.merge(graph, p)(x), compiler_options=FAST_COMPILE)(params, x)
    np.testing.assert_allclose(own_values, want, atol=1e-4, rtol=1e-5)
    assert np.abs(want).max() > 0.5


def test_logits_of_t5_with_padding_are_those_of_an_independent_implementation() -> None:
    config = tiny("t5-small", head_dim=6, encoder_layers=3, bucket_distance=20)
    published_values = shaken(t5(config))
    inputs, outputs, visible = tokens(config, 45), tokens(config), np.arange(45)[None] < np.array([[45], [33]])
    with torch.no_grad():
        table = {"input_ids": inputs, "decoder_input_ids": outputs, "attention_mask": visible}
        want = published_values(
            **{name: torch.as_tensor(value, dtype=torch.int64) for name, value in table.items()}
        ).logits
    graph, params = placed(config, from_t5(config, numpy_weights(published_values)))
    own_values = jax.jit(lambda p, *x: nnx.merge(graph, p)(*x), compiler_options=FAST_COMPILE)(
        params, inputs, outputs, visible
    )
    np.testing.assert_allclose(own_values, want.numpy(), atol=1e-4, rtol=1e-5)
    assert np.abs(want.numpy()).max() > 0.5
