"""Published models by name, with the shapes that their papers print. Standard library only."""

from dataclasses import replace

from scaling.config.model import ModelConfig
from scaling.config.validation import ConfigError

# Radford 2019, table 2, and the released code: context 1024, MLP of 4·D
GPT2 = {"gpt2": (12, 768, 12), "gpt2-medium": (24, 1024, 16), "gpt2-large": (36, 1280, 20), "gpt2-xl": (48, 1600, 25)}

# Brown 2020, table 2.1: layers, width, heads, head dimension. Every second layer there is sparse in a way that is not
# published; here all are dense. 1.3B: the paper prints 24 heads, which contradicts its size and width; 16 agrees.
GPT3 = {
    "gpt3-125m": (12, 768, 12, 64),
    "gpt3-350m": (24, 1024, 16, 64),
    "gpt3-760m": (24, 1536, 16, 96),
    "gpt3-1.3b": (24, 2048, 16, 128),
    "gpt3-2.7b": (32, 2560, 32, 80),
    "gpt3-6.7b": (32, 4096, 32, 128),
    "gpt3-13b": (40, 5140, 40, 128),
    "gpt3-175b": (96, 12_288, 96, 128),
}

# Hoffmann 2022, table A9: millions of parameters as printed, width, MLP width, head dimension, heads, layers.
# Chinchilla itself is in table 4.
CHINCHILLA = (
    (44, 512, 2048, 64, 8, 8), (57, 576, 2304, 64, 9, 9), (74, 640, 2560, 64, 10, 10), (90, 640, 2560, 64, 10, 13),
    (106, 640, 2560, 64, 10, 16), (117, 768, 3072, 64, 12, 12), (140, 768, 3072, 64, 12, 15),
    (163, 768, 3072, 64, 12, 18), (175, 896, 3584, 64, 14, 14), (196, 896, 3584, 64, 14, 16),
    (217, 896, 3584, 64, 14, 18), (251, 1024, 4096, 64, 16, 16), (278, 1024, 4096, 64, 16, 18),
    (306, 1024, 4096, 64, 16, 20), (425, 1280, 5120, 128, 10, 18), (489, 1280, 5120, 128, 10, 21),
    (552, 1280, 5120, 128, 10, 24), (587, 1408, 5632, 128, 11, 21), (632, 1536, 6144, 128, 12, 19),
    (664, 1408, 5632, 128, 11, 24), (724, 1536, 6144, 128, 12, 22), (816, 1536, 6144, 128, 12, 25),
    (893, 1792, 7168, 128, 14, 20), (1018, 1792, 7168, 128, 14, 23), (1143, 1792, 7168, 128, 14, 26),
    (1266, 2048, 8192, 128, 16, 22), (1424, 2176, 8704, 128, 17, 22), (1429, 2048, 8192, 128, 16, 25),
    (1593, 2048, 8192, 128, 16, 28), (1609, 2176, 8704, 128, 17, 25), (1731, 2304, 9216, 128, 18, 24),
    (1794, 2176, 8704, 128, 17, 28), (2007, 2304, 9216, 128, 18, 28), (2283, 2304, 9216, 128, 18, 32),
    (2298, 2560, 10_240, 128, 20, 26), (2639, 2560, 10_240, 128, 20, 30), (2980, 2560, 10_240, 128, 20, 34),
    (3530, 2688, 10_752, 128, 22, 36), (3802, 2816, 11_264, 128, 22, 36), (4084, 2944, 11_776, 128, 22, 36),
    (4516, 3072, 12_288, 128, 24, 36), (6796, 3584, 14_336, 128, 28, 40), (9293, 4096, 16_384, 128, 32, 42),
    (11_452, 4352, 17_408, 128, 32, 47), (12_295, 4608, 18_432, 128, 36, 44), (12_569, 4608, 18_432, 128, 32, 47),
    (13_735, 4864, 19_456, 128, 32, 47), (14_940, 4992, 19_968, 128, 32, 49), (16_183, 5120, 20_480, 128, 40, 47),
)  # fmt: skip

# Gemma Team 2024 (Gemma 2), table 1: layers, width, heads, key-value heads, head dimension, hidden units (the paper
# counts both halves of the gate), and the attention scale of the released configurations
GEMMA2 = {
    "gemma2-2b": (26, 2304, 8, 4, 256, 9216, 256),
    "gemma2-9b": (42, 3584, 16, 8, 256, 14_336, 256),
    "gemma2-27b": (46, 4608, 32, 16, 128, 36_864, 144),
}

# Kaplan 2020 with the vocabulary and context of GPT-2: layers and width of the two shapes that figure 5 names
# (6 x 4288, 48 x 1600), and a grid over the range of section 3 (1e3 to 1.5e9 parameters without embedding,
# 12·layers·D²)
KAPLAN = (
    (1, 16), (2, 32), (2, 64), (2, 128), (2, 256), (3, 256), (4, 256), (4, 512), (6, 512), (6, 768), (8, 768),
    (12, 768), (24, 768), (36, 768), (12, 1024), (24, 1024), (36, 1280), (12, 1600), (24, 1600), (48, 1600),
    (12, 3072), (6, 4288),
)  # fmt: skip


def gpt(layers: int, width: int, heads: int, context: int, head: int | None = None) -> ModelConfig:
    """Returns a model with the architecture of GPT-2 (Radford 2018, 2019).

    Args:
        layers: Layers.
        width: Width of the residual stream.
        heads: Heads.
        context: Longest context, in tokens.
        head: Head dimension; width / heads unless given.
    """
    return ModelConfig(
        vocab=50_257, width=width, layers=layers, heads=heads, head_dim=head, mlp_width=4 * width, mlp="gelu",
        tied=True, positions="learned", position_length=context, norm="layernorm", norm_eps=1e-5, biases="all",
    )  # fmt: skip


def chinchilla(width: int, hidden: int, head: int, heads: int, layers: int) -> ModelConfig:
    """Returns a model with the architecture of Gopher (Rae 2021, section 2.1): RMSNorm, relative positions.

    Biases and a tied head follow from the sizes in table A9: with them all 49 agree exactly, gains of norms left out.

    Args:
        width: Width of the residual stream.
        hidden: Hidden units of the MLP.
        head: Head dimension.
        heads: Heads.
        layers: Layers.
    """
    return ModelConfig(
        vocab=32_000, width=width, layers=layers, heads=heads, head_dim=head, mlp_width=hidden, mlp="gelu", tied=True,
        positions="relative", biases="all",
    )  # fmt: skip


def gemma2(layers: int, width: int, heads: int, kv: int, head: int, hidden: int, scale: int) -> ModelConfig:
    """Returns a model with the architecture of Gemma 2 (Gemma Team 2024, section 2).

    Args:
        layers: Layers, alternately local and global.
        width: Width of the residual stream.
        heads: Query heads.
        kv: Key and value heads.
        head: Head dimension.
        hidden: Hidden units of the MLP.
        scale: Attention scores are divided by its square root.
    """
    return ModelConfig(
        vocab=256_128, width=width, layers=layers, heads=heads, kv_heads=kv, head_dim=head, mlp_width=hidden,
        mlp="geglu", tied=True, norm_placement="sandwich", window=4096, window_pattern="LG", attention_scale=scale,
        attention_softcap=50, final_softcap=30, embedding_scale=True,
    )  # fmt: skip


def t5(layers: int, width: int, heads: int, hidden: int) -> ModelConfig:
    """Returns a model of the first release of T5 (Raffel 2020, section 3.1.1): unscaled attention, a tied head.

    Args:
        layers: Layers of the encoder and of the decoder.
        width: Width of the residual stream.
        heads: Heads, of dimension 64.
        hidden: Hidden units of the MLP.
    """
    return ModelConfig(
        vocab=32_128, width=width, layers=layers, heads=heads, head_dim=64, mlp_width=hidden, mlp="relu", tied=True,
        kind="encoder-decoder", positions="buckets", attention_scale=1,
    )  # fmt: skip


# Touvron 2023 (Llama 2), table 1 and the released configuration
LLAMA2 = ModelConfig(vocab=32_000, width=4096, layers=32, heads=32, mlp_width=11_008, norm_eps=1e-5)
# Grattafiori 2024 (Llama 3), table 3
LLAMA3 = replace(LLAMA2, vocab=128_256, kv_heads=8, mlp_width=14_336, rope_base=5e5)

PRESETS = {
    **{name: gpt(*shape, 1024) for name, shape in GPT2.items()},
    **{name: gpt(layers, D, H, 2048, h) for name, (layers, D, H, h) in GPT3.items()},
    **{f"chinchilla-{millions}m": chinchilla(*shape) for millions, *shape in CHINCHILLA},
    "chinchilla-70b": chinchilla(8192, 32_768, 128, 64, 80),
    "llama2-7b": LLAMA2,
    "llama3-8b": LLAMA3,
    "llama2-13b": replace(LLAMA2, width=5120, layers=40, heads=40, mlp_width=13_824),
    "llama2-70b": replace(LLAMA2, width=8192, layers=80, heads=64, kv_heads=8, mlp_width=28_672),
    "llama3-70b": replace(LLAMA3, width=8192, layers=80, heads=64, mlp_width=28_672),
    **{name: gemma2(*shape) for name, shape in GEMMA2.items()},
    # Jiang 2024, table 1
    "mixtral-8x7b": replace(LLAMA2, kv_heads=8, mlp_width=14_336, rope_base=1e6, experts=8, experts_chosen=2),
    "t5-small": t5(6, 512, 8, 2048),
    "t5-base": t5(12, 768, 12, 3072),
    **{f"kaplan-{layers}x{D}": gpt(layers, D, max(1, D // 64), 1024) for layers, D in KAPLAN},
}


def preset(name: str) -> ModelConfig:
    """Returns the model of a preset; the ConfigError for an unknown name lists the known ones."""
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}: must be one of {', '.join(PRESETS)}, or a CONFIG.json")
    return PRESETS[name]
