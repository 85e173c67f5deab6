"""config.json and generation_config.json of transformers, from our configs. Standard library only."""

from __future__ import annotations

from typing import Any

from scaling.config.model import ModelConfig
from scaling.config.run import RunConfig
from scaling.inference.huggingface.families import ACTIVATIONS, GATED_ACTIVATIONS, Family, find_family

SpecialIds = dict[str, int]  # bos_token_id, eos_token_id, pad_token_id, as far as the tokenizer has them


def model_json(config: RunConfig, dtype: str, special: SpecialIds) -> dict[str, Any]:
    """Returns the content of config.json.

    Args:
        config: The run.
        dtype: Type of the weights, float32 or bfloat16.
        special: Ids of special tokens.

    Raises:
        ConfigError: No architecture of transformers expresses the model.
    """
    family, model = find_family(config.model), config.model
    data: dict[str, Any] = {"model_type": family.model_type, "architectures": [family.architecture]}
    data |= {"torch_dtype": dtype, "vocab_size": model.vocab, "tie_word_embeddings": model.tied, "use_cache": True}
    data |= {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None} | special
    if family.model_type == "gpt2":
        return data | _gpt2(model)
    if family.model_type == "t5":
        return data | _t5(model, model.vocab - config.data.layout.specials)
    return data | _llama(model, family, config.data.length)


def generation_json(config: RunConfig, special: SpecialIds) -> dict[str, Any]:
    """Returns the content of generation_config.json.

    Args:
        config: The run.
        special: Ids of special tokens.
    """
    data: dict[str, Any] = dict(special)
    if config.model.kind == "encoder-decoder":
        data["decoder_start_token_id"] = config.model.vocab - config.data.layout.specials
    return data


def _gpt2(model: ModelConfig) -> dict[str, Any]:
    return {
        "n_embd": model.width, "n_layer": model.layers, "n_head": model.heads, "n_inner": model.mlp_width,
        "n_positions": model.position_length, "n_ctx": model.position_length,
        "activation_function": ACTIVATIONS[model.mlp], "layer_norm_epsilon": model.norm_eps, "scale_attn_weights": True,
        "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
    }  # fmt: skip


def _llama(model: ModelConfig, family: Family, length: int) -> dict[str, Any]:
    """Llama's fields, which Gemma 2 and Mixtral have too, and their own."""
    data: dict[str, Any] = {
        "hidden_size": model.width, "intermediate_size": model.mlp_width, "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads, "num_key_value_heads": model.kv, "head_dim": model.head,
        "max_position_embeddings": length, "rms_norm_eps": model.norm_eps, "attention_dropout": 0.0,
        "hidden_act": GATED_ACTIVATIONS[model.mlp], "rope_theta": model.rope_base, "rope_scaling": _rope(model),
    }  # fmt: skip
    if family.model_type == "llama":
        biased = model.biases == "all"
        return data | {"attention_bias": biased, "mlp_bias": biased}
    window = next((size for size in model.windows if size is not None), None)
    if family.model_type == "mixtral":
        return data | {
            "num_local_experts": model.experts, "num_experts_per_tok": model.experts_chosen, "sliding_window": window,
            "router_aux_loss_coef": model.balance_loss, "router_jitter_noise": 0.0, "output_router_logits": False,
        }  # fmt: skip
    scale = model.head if model.attention_scale is None else model.attention_scale
    return data | {
        "attention_bias": False, "hidden_activation": GATED_ACTIVATIONS[model.mlp],
        "query_pre_attn_scalar": int(scale) if scale == int(scale) else scale,
        "attn_logit_softcapping": model.attention_softcap, "final_logit_softcapping": model.final_softcap,
        "sliding_window": window,
        "layer_types": ["full_attention" if size is None else "sliding_attention" for size in model.windows],
    }  # fmt: skip


def _rope(model: ModelConfig) -> dict[str, Any] | None:
    if not model.rope_scaling:
        return None
    factor, *others = model.rope_scaling
    if not others:
        return {"rope_type": "linear", "factor": factor}
    low, high, context = others
    return {
        "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
        "original_max_position_embeddings": int(context),
    }  # fmt: skip


def _t5(model: ModelConfig, start: int) -> dict[str, Any]:
    encoder, decoder = model.depths
    gated = model.mlp in GATED_ACTIVATIONS
    act = {"geglu": "gelu", "swiglu": "silu"}[model.mlp] if gated else ACTIVATIONS[model.mlp]
    return {
        "d_model": model.width, "d_kv": model.head, "d_ff": model.mlp_width, "num_layers": encoder,
        "num_decoder_layers": decoder, "num_heads": model.heads, "dropout_rate": 0.0, "is_encoder_decoder": True,
        "relative_attention_num_buckets": model.buckets, "relative_attention_max_distance": model.bucket_distance,
        "layer_norm_epsilon": model.norm_eps, "feed_forward_proj": f"gated-{act}" if gated else act,
        "decoder_start_token_id": start,
    }  # fmt: skip
