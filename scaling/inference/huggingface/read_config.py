"""Our model from the config.json of transformers. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scaling.config.model import ModelConfig
from scaling.config.validation import ConfigError, require, shown
from scaling.inference.huggingface.families import FAMILIES

MLPS = {  # of transformers' activation, with and without a gate
    True: {"silu": "swiglu", "swish": "swiglu", "gelu_pytorch_tanh": "geglu", "gelu_new": "geglu"},
    False: {"gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "relu": "relu", "relu2": "relu2"},
}
FILE = "config.json"


def read_model(data: Any) -> tuple[ModelConfig, int]:
    """Returns the model of a parsed config.json, and its longest context in tokens.

    Args:
        data: The JSON of the file.

    Raises:
        ConfigError: The architecture or a field is not supported; the message names it.
    """
    require(isinstance(data, dict), f"{FILE}: must be an object")
    kind = data.get("model_type")
    known = ", ".join(FAMILIES)
    require(isinstance(kind, str) and kind in READERS, f"{FILE}: model_type = {shown(kind)}: must be one of {known}")
    require("quantization_config" not in data, f"{FILE}: quantization_config: quantised weights are not supported")
    try:
        return READERS[kind](Fields(data))
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(FILE) else f"{FILE}: {text}") from None


class Fields:
    """Fields of a config.json, with transformers' defaults where they are absent."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data

    def integer(self, name: str, default: int | None = None) -> int:
        """Returns a whole number above 0; ConfigError for anything else, or without a default if it is absent."""
        value = self.data.get(name)
        value = default if value is None else value
        whole = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
        require(whole, f"{FILE}: {name} = {shown(value)}: must be a whole number above 0")
        return int(value)  # type: ignore[arg-type]

    def epsilon(self, name: str, default: float) -> float:
        """Returns a number of 0 or more."""
        value = self.number(name, default)
        require(value is not None, f"{FILE}: {name} = null: must be a number, 0 or more")
        return default if value is None else value

    def number(self, name: str, default: float | None = None) -> float | None:
        """Returns a number of 0 or more, or None where it is null."""
        value = self.data.get(name)
        value = default if value is None and name not in self.data else value
        valid = value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value >= 0)
        require(valid, f"{FILE}: {name} = {shown(value)}: must be a number, 0 or more")
        return None if value is None else float(value)

    def choice(self, names: tuple[str, ...], choices: Mapping[Any, Any], default: Any) -> Any:
        """Returns what a value means here.

        Args:
            names: Names of the field; the first that is present counts.
            choices: Our value by that of transformers.
            default: transformers' default.
        """
        name = next((name for name in names if self.data.get(name) is not None), names[-1])
        value = self.data.get(name)
        value = default if value is None else value
        valid = isinstance(value, str | bool) and value in choices
        require(valid, f"{FILE}: {name} = {shown(value)}: must be {' or '.join(str(v).lower() for v in choices)}")
        return choices[value]

    def forbid(self, neutral: Mapping[str, Any]) -> None:
        """Raises ConfigError if a field is present with another than its neutral value, by name."""
        for name, value in neutral.items():
            given = self.data.get(name, value)
            require(given == value, f"{FILE}: {name} = {shown(given)}: must be {str(value).lower()} here")

    def flag(self, name: str, default: bool) -> bool:
        """Returns a boolean field."""
        return bool(self.choice((name,), {True: True, False: False}, default))


def _gpt2(fields: Fields) -> tuple[ModelConfig, int]:
    fields.forbid({"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False})
    width, context = fields.integer("n_embd", 768), fields.integer("n_positions", 1024)
    model = ModelConfig(
        vocab=fields.integer("vocab_size", 50_257), width=width, layers=fields.integer("n_layer", 12),
        heads=fields.integer("n_head", 12), mlp_width=fields.integer("n_inner", 4 * width),
        mlp=fields.choice(("activation_function",), MLPS[False], "gelu_new"),
        tied=fields.flag("tie_word_embeddings", True), positions="learned", position_length=context, norm="layernorm",
        norm_eps=fields.epsilon("layer_norm_epsilon", 1e-5), biases="all",
    )  # fmt: skip
    return model, context


def _llama_fields(fields: Fields, theta: float, eps: float, act: str) -> dict[str, Any]:
    """Returns the fields of ModelConfig that Llama, Gemma 2 and Mixtral share."""
    width, heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
    kv, head = fields.integer("num_key_value_heads", heads), fields.integer("head_dim", max(1, width // heads))
    base, scaling = _rope(fields, theta)
    return {
        "vocab": fields.integer("vocab_size"), "width": width, "layers": fields.integer("num_hidden_layers"),
        "heads": heads, "mlp_width": fields.integer("intermediate_size"), "kv_heads": None if kv == heads else kv,
        "head_dim": None if head * heads == width else head, "rope_base": base, "rope_scaling": scaling,
        "norm_eps": fields.number("rms_norm_eps", eps),
        "mlp": fields.choice(("hidden_activation", "hidden_act"), MLPS[True], act),
    }  # fmt: skip


def _llama(fields: Fields) -> tuple[ModelConfig, int]:
    shared = _llama_fields(fields, 10_000.0, 1e-6, "silu")
    biases = fields.flag("attention_bias", False), fields.flag("mlp_bias", False)
    require(len(set(biases)) == 1, f"{FILE}: attention_bias and mlp_bias differ: must be both true or both false")
    model = ModelConfig(**shared, tied=fields.flag("tie_word_embeddings", False), biases="all" if biases[0] else "none")
    return model, fields.integer("max_position_embeddings", 2048)


def _gemma2(fields: Fields) -> tuple[ModelConfig, int]:
    fields.forbid({"attention_bias": False})
    require(
        not fields.data.get("use_bidirectional_attention"),
        f"{FILE}: use_bidirectional_attention = true: must be false here",
    )
    if fields.data.get("head_dim") is None:
        fields.data = {**fields.data, "head_dim": 256}
    shared = _llama_fields(fields, 10_000.0, 1e-6, "gelu_pytorch_tanh")
    window, pattern = _layer_windows(fields, shared["layers"])
    scale = fields.number("query_pre_attn_scalar", 256)
    head = shared["head_dim"] or shared["width"] // shared["heads"]
    model = ModelConfig(
        **shared, tied=fields.flag("tie_word_embeddings", True), norm_placement="sandwich", norm_offset=True,
        window=window, window_pattern=pattern, attention_scale=None if scale == head else scale,
        attention_softcap=fields.number("attn_logit_softcapping", 50.0),
        final_softcap=fields.number("final_logit_softcapping", 30.0), embedding_scale=True,
    )  # fmt: skip
    return model, fields.integer("max_position_embeddings", 8192)


def _layer_windows(fields: Fields, layers: int) -> tuple[int | None, str]:
    """Returns window and window_pattern of Gemma 2."""
    types = fields.data.get("layer_types") or [("sliding_attention", "full_attention")[i % 2] for i in range(layers)]
    known = {"sliding_attention": "L", "full_attention": "G"}
    valid = isinstance(types, list) and len(types) == layers and all(str(kind) in known for kind in types)
    require(valid, f"{FILE}: layer_types = {shown(types)}: must be {' or '.join(known)} for each of {layers} layers")
    letters = "".join(known[kind] for kind in types)
    if "L" not in letters:
        return None, "L"
    pattern = next(letters[:n] for n in range(1, layers + 1) if (letters[:n] * layers)[:layers] == letters)
    return fields.integer("sliding_window", 4096), pattern


def _mixtral(fields: Fields) -> tuple[ModelConfig, int]:
    fields.forbid({"attention_bias": False})
    shared = _llama_fields(fields, 1e6, 1e-5, "silu")
    window = fields.data.get("sliding_window")
    model = ModelConfig(
        **shared, tied=fields.flag("tie_word_embeddings", False), experts=fields.integer("num_local_experts", 8),
        experts_chosen=fields.integer("num_experts_per_tok", 2),
        window=None if window is None else fields.integer("sliding_window"),
        balance_loss=fields.number("router_aux_loss_coef", 0.001) or 0.0,
    )  # fmt: skip
    return model, fields.integer("max_position_embeddings", 4096 * 32)


def _rope(fields: Fields, theta: float) -> tuple[float, tuple[float, ...]]:
    """Returns base and scaling of rotary positions, from `rope_parameters` or from the older two fields."""
    given = fields.data.get("rope_parameters") or fields.data.get("rope_scaling") or {}
    require(isinstance(given, dict), f"{FILE}: rope_parameters = {shown(given)}: must be an object")
    inner = Fields(given)
    base = inner.number("rope_theta", fields.number("rope_theta", theta))
    kind = given.get("rope_type", given.get("type", "default"))
    if kind == "default":
        scaling: tuple[float | None, ...] = ()
    elif kind == "linear":
        scaling = (inner.number("factor"),)
    elif kind == "llama3":
        names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
        scaling = tuple(inner.number(name) for name in names)
    else:
        raise ConfigError(f"{FILE}: rope_type = {shown(kind)}: must be default, linear or llama3")
    require(None not in (*scaling, base), f"{FILE}: rope_parameters = {shown(given)}: a field is missing")
    return float(base or theta), tuple(float(value or 0) for value in scaling)


def _t5(fields: Fields) -> tuple[ModelConfig, int]:
    encoder = fields.integer("num_layers", 6)
    decoder = fields.integer("num_decoder_layers", encoder)
    width, heads, head = fields.integer("d_model", 512), fields.integer("num_heads", 8), fields.integer("d_kv", 64)
    gate, dash, name = str(fields.data.get("feed_forward_proj", "relu")).rpartition("-")
    named = Fields({"feed_forward_proj": "gelu_new" if (gate, name) == ("gated", "gelu") else name})
    require(gate in ("", "gated"), f"{FILE}: feed_forward_proj = {shown(fields.data.get('feed_forward_proj'))}")
    tied = fields.flag("tie_word_embeddings", True)
    # transformers 5 ties the head always, and says here whether its inputs are scaled, as those of a tied head are
    scaled = fields.flag("scale_decoder_outputs", tied)
    require(tied or not scaled, f"{FILE}: scale_decoder_outputs = true: must be false with tie_word_embeddings = false")
    model = ModelConfig(
        vocab=fields.integer("vocab_size", 32_128), width=width, layers=decoder, heads=heads,
        head_dim=None if head * heads == width else head, mlp_width=fields.integer("d_ff", 2048),
        mlp=named.choice(("feed_forward_proj",), MLPS[bool(dash)], "relu"),
        tied=scaled, norm_eps=fields.epsilon("layer_norm_epsilon", 1e-6),
        kind="encoder-decoder", encoder_layers=None if encoder == decoder else encoder, positions="buckets",
        buckets=fields.integer("relative_attention_num_buckets", 32),
        bucket_distance=fields.integer("relative_attention_max_distance", 128), attention_scale=1.0,
    )  # fmt: skip
    return model, fields.integer("n_positions", 512)


READERS: dict[str, Callable[[Fields], tuple[ModelConfig, int]]] = {
    "gpt2": _gpt2, "llama": _llama, "gemma2": _gemma2, "mixtral": _mixtral, "t5": _t5,
}  # fmt: skip
