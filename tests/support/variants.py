"""Every architecture, as small as it can be: what the laws of models and counts are held against."""

from dataclasses import replace

from scaling.config.model import ModelConfig

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

T5 = replace(BASE, kind="encoder-decoder", positions="buckets", mlp="relu", attention_scale=1.0, buckets=8)
ENCODERS = {
    "encoder-decoder, tied": replace(T5, tied=True, encoder_layers=1, bucket_distance=9),
    "encoder-decoder, geglu, wide heads": replace(T5, mlp="geglu", head_dim=12),
    "encoder": replace(T5, kind="encoder"),
}
