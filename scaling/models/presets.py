"""Published models by name, from their own papers. Standard library only."""

from scaling.config import ConfigError, ModelConfig

PRESETS = {
    # Touvron 2023 (Llama 2), table 1 and its released configuration
    "llama2-7b": ModelConfig(vocab=32_000, width=4096, layers=32, heads=32, mlp_width=11_008, norm_eps=1e-5),
    # Grattafiori 2024 (Llama 3), table 3
    "llama3-8b": ModelConfig(
        vocab=128_256, width=4096, layers=32, heads=32, kv_heads=8, mlp_width=14_336, rope_base=5e5, norm_eps=1e-5
    ),
}


def preset(name: str) -> ModelConfig:
    """The model of that name; ConfigError lists the known ones."""
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}: known are {', '.join(PRESETS)} (or give a CONFIG.json)")
    return PRESETS[name]
