"""Architectures of transformers, and which of our models each one expresses. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scaling.config.model import ModelConfig
from scaling.config.validation import ConfigError, require

# Names of activations in transformers, of our MLPs with and without a gate
GATED_ACTIVATIONS = {"swiglu": "silu", "geglu": "gelu_pytorch_tanh"}
ACTIVATIONS = {"gelu": "gelu_new", "relu": "relu", "relu2": "relu2"}

COMMON: dict[str, tuple[Any, ...]] = {
    "attention": ("softmax",), "qk_norm": (False,), "parametrization": ("standard",), "capacity": (None,),
    "shared_experts": (0,),
}  # fmt: skip
ROTARY = COMMON | {"positions": ("rotary",), "norm": ("rmsnorm",)}
UNCAPPED = {
    "attention_softcap": (None,),
    "final_softcap": (None,),
    "embedding_scale": (False,),
    "norm_offset": (False,),
    "norm_placement": ("pre",),
}


@dataclass(frozen=True)
class Family:
    """An architecture of transformers.

    Attributes:
        name: Its name in messages.
        model_type: `model_type` of its config.json.
        architecture: Its class with a language-model head.
        allowed: Values of our fields that it has; fields without an entry may have any value.
        own_heads: Whether the head dimension may differ from width / heads.
        grouped: Whether queries may share keys and values.
        windows: Kinds of attention windows: none, equal in all layers, or any.
    """

    name: str
    model_type: str
    architecture: str
    allowed: dict[str, tuple[Any, ...]] = field(repr=False)
    own_heads: bool = True
    grouped: bool = True
    windows: str = "none"


FAMILIES = {
    family.model_type: family
    for family in (
        Family(
            "GPT-2", "gpt2", "GPT2LMHeadModel",
            COMMON | UNCAPPED | {
                "positions": ("learned",), "norm": ("layernorm",), "mlp": tuple(ACTIVATIONS), "biases": ("all",),
            },
            own_heads=False, grouped=False,
        ),
        Family("Llama", "llama", "LlamaForCausalLM",
               ROTARY | UNCAPPED | {"mlp": tuple(GATED_ACTIVATIONS), "biases": ("none", "all")}),
        Family("Gemma 2", "gemma2", "Gemma2ForCausalLM",
               ROTARY | {"mlp": tuple(GATED_ACTIVATIONS), "biases": ("none",), "embedding_scale": (True,)},
               windows="any"),
        Family("Mixtral", "mixtral", "MixtralForCausalLM",
               ROTARY | UNCAPPED | {"mlp": tuple(GATED_ACTIVATIONS), "biases": ("none",), "gates": ("chosen",)},
               windows="equal"),
        Family("T5", "t5", "T5ForConditionalGeneration",
               COMMON | {"mlp": (*ACTIVATIONS, *GATED_ACTIVATIONS), "attention_scale": (1.0,)}, grouped=False),
    )
}  # fmt: skip


def find_family(model: ModelConfig) -> Family:
    """Returns the architecture of transformers that expresses a model.

    Args:
        model: The model.

    Raises:
        ConfigError: None does; the message names the field that differs.
    """
    require(model.kind != "encoder", "ModelConfig.kind = 'encoder': no architecture of Hugging Face has it")
    family = FAMILIES[_nearest(model)]
    for name, values in family.allowed.items():
        _require_value(family, name, getattr(model, name), values)
    if family.model_type != "t5" and family.model_type != "gemma2":
        scale = model.attention_scale
        _require_value(family, "attention_scale", scale, (None, float(model.head)))
    if not family.own_heads:
        _require_value(family, "head_dim", model.head_dim, (None, model.width // model.heads))
    elif family.model_type in ("llama", "gemma2"):  # transformers checks it, although it needs it for no product
        message = f"ModelConfig.width = {model.width}: Hugging Face's {family.name} needs a multiple of heads"
        require(model.width % model.heads == 0, f"{message} = {model.heads}")
    if not family.grouped:
        _require_value(family, "kv_heads", model.kv_heads, (None, model.heads))
    _check_windows(family, model)
    return family


def _nearest(model: ModelConfig) -> str:
    """Returns the architecture whose message about a difference helps most."""
    if model.kind != "decoder":
        return "t5"
    if model.experts:
        return "mixtral"
    if model.norm_placement == "sandwich":
        return "gemma2"
    return "gpt2" if model.positions == "learned" or model.norm == "layernorm" else "llama"


def _require_value(family: Family, name: str, value: Any, values: tuple[Any, ...]) -> None:
    if value not in values:
        allowed = " or ".join(repr(v) for v in values)
        raise ConfigError(f"ModelConfig.{name} = {value!r}: Hugging Face's {family.name} has {allowed}")


def _check_windows(family: Family, model: ModelConfig) -> None:
    if model.kind != "decoder" or family.windows == "any":
        return
    windows = set(model.windows)
    allowed = windows == {None} or (family.windows == "equal" and len(windows) == 1)
    one = "a window in all layers or in none" if family.windows == "equal" else "none"
    require(
        allowed,
        f"ModelConfig.window = {model.window} with window_pattern = {model.window_pattern!r}: "
        f"Hugging Face's {family.name} has {one}",
    )
