"""Configuration of a model: its architecture and shape. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.config.user_code.blocks import require_block, user_blocks
from scaling.config.validation import ValidatedConfig, require, require_choice, require_non_negative, require_positive

KINDS = ("decoder", "encoder-decoder", "encoder")
POSITION_ENCODINGS = ("rotary", "learned", "sinusoidal", "alibi", "relative", "buckets", "none")
NORMS = ("rmsnorm", "layernorm")
NORM_PLACEMENTS = ("pre", "post", "sandwich")
ATTENTIONS = ("softmax",)
MLPS = ("swiglu", "gelu", "geglu", "relu2", "relu")
GATED_MLPS = ("swiglu", "geglu")  # MLPs with three matrices; the others have two
BIASES = ("none", "qkv", "all")
GATES = ("chosen", "all")
PARAMETRIZATIONS = {  # and the fields of the base shape that each needs
    "standard": (),
    "mup": ("base_width",),
    "completep": ("base_width", "base_depth"),
}
DECODER_ONLY_FIELDS = (  # models with an encoder support only the defaults of these fields
    "kv_heads", "attention", "norm", "norm_placement", "qk_norm", "biases", "window", "attention_softcap",
    "final_softcap", "embedding_scale", "experts", "parametrization", "norm_offset", "rope_scaling",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ModelConfig(ValidatedConfig):
    """Configuration of a Transformer; by default a decoder with pre-norm RMSNorm, rotary positions and no biases.

    The defaults are those of Llama (Touvron 2023, section 2.2). Capital letters are the names of array axes.
    """

    vocab: int  # tokens in the vocabulary, V
    width: int  # width of the residual stream, D
    layers: int  # Transformer layers
    heads: int  # query heads
    mlp_width: int  # hidden units of the MLP, or of each expert, F
    kv_heads: int | None = None  # key and value heads; None: as many as query heads
    head_dim: int | None = None  # None: width / heads
    mlp: str = "swiglu"  # or, as attention and norm, FILE.py:NAME, a block of a user's file
    tied: bool = False  # whether the output head shares the embedding table
    rope_base: float = 10_000.0  # base of the wavelengths of rotary positions (Su 2021)
    norm_eps: float = 1e-6  # added to the mean square or variance in a norm
    positions: str = "rotary"  # encoding of positions
    position_length: int | None = None  # rows of the table of learned positions, which is the longest context
    norm: str = "rmsnorm"  # kind of norm
    norm_placement: str = (
        "pre"  # pre: before each block; post: after its sum with the stream; sandwich: before and after
    )
    qk_norm: bool = False  # RMSNorm over the queries and keys of each head (Dehghani 2023, section 2)
    biases: str = "none"  # qkv: queries, keys and values; all: every product except the head, and LayerNorm
    window: int | None = None  # tokens that a local layer attends to, its own included; None: every layer is global
    window_pattern: str = "L"  # local (L) and global (G) layers from the first on, repeated: Gemma 2 has LG
    attention_scale: float | None = None  # attention scores are divided by its square root; None: head dimension
    attention_softcap: float | None = None  # attention scores become cap·tanh(score / cap)
    final_softcap: float | None = None  # the same for the logits
    embedding_scale: bool = False  # embeddings times √D (Vaswani 2017, section 3.4)
    experts: int = 0  # routed experts in place of the MLP, E; 0: a dense model
    experts_chosen: int = 2  # experts of each token, k
    shared_experts: int = 0  # experts that every token passes, added to the chosen ones (Dai 2024)
    gates: str = "chosen"  # softmax of the router over the k chosen (Jiang 2024) or over all experts (Fedus 2022)
    capacity: float | None = None  # slots of an expert over its fair share of a sequence; None: no token is dropped
    balance_loss: float = 0.01  # weight of the load-balance loss (Fedus 2022, equation 4)
    router_z_loss: float = 0.001  # weight of the router's (ln Z)^2 (Zoph 2022, equation 5)
    parametrization: str = (
        "standard"  # scaling of initialisation and steps with size: scaling/models/parametrisation.py
    )
    base_width: int | None = None  # width at which mup and completep equal the standard parametrisation
    base_depth: int | None = None  # layers at which completep equals the standard parametrisation
    base_head: int | None = None  # head dimension at the base shape; None: as here (wider models have more heads)
    kind: str = "decoder"  # encoder-decoder and encoder: scaling/models/encoder_decoder.py
    encoder_layers: int | None = None  # of an encoder-decoder; None: as many as its decoder has
    buckets: int = 32  # relative-position buckets, each with a learned score per head (Raffel 2020, section 2.1)
    bucket_distance: int = 128  # distance from which on all positions share the last bucket
    attention: str = "softmax"  # kind of attention
    norm_offset: bool = False  # gains of norms of the stream are 1 + g, as Gemma 2 stores them (Gemma Team 2024)
    rope_scaling: tuple[float, ...] = ()  # longer rotary wavelengths: scaling/models/attention/positions.py

    __hash__ = ValidatedConfig.__hash__  # cached

    @property
    def kv(self) -> int:
        """Number of key and value heads."""
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def head(self) -> int:
        """Head dimension."""
        return self.width // self.heads if self.head_dim is None else self.head_dim

    @property
    def windows(self) -> tuple[int | None, ...]:
        """Attention window of each layer in tokens, None for a global layer."""
        pattern = self.window_pattern
        return tuple(self.window if pattern[i % len(pattern)] == "L" else None for i in range(self.layers))

    @property
    def depths(self) -> tuple[int, int]:
        """Layers of the encoder and of the decoder."""
        if self.kind == "decoder":
            return 0, self.layers
        return (self.layers, 0) if self.kind == "encoder" else (self.encoder_layers or self.layers, self.layers)

    def slots(self, length: int) -> int:
        """Tokens of a sequence of `length` tokens that one expert processes at most."""
        if self.capacity is None:
            return length
        return min(length, -int(-self.capacity * self.experts_chosen * length // self.experts))

    def check(self) -> None:
        """Raises ConfigError if the fields are out of range or contradict each other."""
        require_positive(self, "vocab", "width", "layers", "heads", "mlp_width", "kv", "head", "rope_base", "norm_eps")
        require_choice("ModelConfig.kind", self.kind, KINDS)
        require_block("ModelConfig.attention", self.attention, ATTENTIONS)
        require_block("ModelConfig.mlp", self.mlp, MLPS)
        require_choice("ModelConfig.positions", self.positions, POSITION_ENCODINGS)
        require_block("ModelConfig.norm", self.norm, NORMS)
        require_choice("ModelConfig.norm_placement", self.norm_placement, NORM_PLACEMENTS)
        require_choice("ModelConfig.biases", self.biases, BIASES)
        require_choice("ModelConfig.gates", self.gates, GATES)
        for name in ("window", "attention_scale", "attention_softcap", "final_softcap", "position_length", "capacity"):
            if getattr(self, name) is not None:
                require_positive(self, name)
        self._check_heads()
        self._check_positions()
        self._check_experts()
        self._check_base()
        self._check_kind()
        require(
            bool(self.window_pattern) and not set(self.window_pattern) - set("LG"),
            f"ModelConfig.window_pattern = {self.window_pattern!r}: must be letters L (local) and G (global)",
        )
        require(
            not self.norm_offset or self.norm == "rmsnorm",
            f"ModelConfig.norm_offset = true with norm = {self.norm!r}: must be false: only rmsnorm has an offset",
        )

    def _check_heads(self) -> None:
        if self.head_dim is None:
            require(
                self.width % self.heads == 0,
                f"ModelConfig.width = {self.width}: must be a multiple of heads = {self.heads}, or set head_dim",
            )
        require(
            self.heads % self.kv == 0,
            f"ModelConfig.heads = {self.heads}: must be a multiple of kv_heads = {self.kv}",
        )

    def _check_positions(self) -> None:
        if self.positions == "rotary":
            require(self.head % 2 == 0, f"ModelConfig.head_dim = {self.head}: must be even with rotary positions")
        if self.positions in ("sinusoidal", "relative"):
            even = self.width % 2 == 0
            require(even, f"ModelConfig.width = {self.width}: must be even with {self.positions} positions")
        self._check_rope_scaling()
        require(
            (self.positions == "learned") == (self.position_length is not None),
            f"ModelConfig.position_length = {self.position_length} with positions = {self.positions!r}: "
            "must be the longest context with learned positions, and null otherwise",
        )

    def _check_rope_scaling(self) -> None:
        scaling, name = self.rope_scaling, f"ModelConfig.rope_scaling = {list(self.rope_scaling)}"
        require(
            len(scaling) in (0, 1, 4) and min(scaling, default=1) > 0,
            f"{name}: must be empty, [factor], or [factor, low factor, high factor, original context], above 0",
        )
        require(not scaling or self.positions == "rotary", f"{name} with positions = {self.positions!r}: must be empty")
        require(len(scaling) < 4 or scaling[1] < scaling[2], f"{name}: the low factor must be less than the high one")

    def _check_base(self) -> None:
        name = self.parametrization
        require_choice("ModelConfig.parametrization", name, tuple(PARAMETRIZATIONS))
        needed = PARAMETRIZATIONS[name]
        allowed = (*needed, "base_head") if needed else ()
        for field in ("base_width", "base_depth", "base_head"):
            if getattr(self, field) is not None:
                message = f"ModelConfig.{field} = {getattr(self, field)} with parametrization = {name!r}"
                used = ", ".join(allowed) or "no base shape"
                require(field in allowed, f"{message}: must be null: {name!r} uses {used}")
                require_positive(self, field)
            require(
                field not in needed or getattr(self, field) is not None,
                f"ModelConfig.{field}: must be set with parametrization = {name!r}, to the value of the base shape",
            )

    def _check_experts(self) -> None:
        require_non_negative(self, "experts", "shared_experts", "balance_loss", "router_z_loss")
        if not self.experts:
            require(
                not self.shared_experts, "ModelConfig.shared_experts: must be 0 without routed experts: set experts"
            )
            return
        require(
            1 <= self.experts_chosen <= self.experts,
            f"ModelConfig.experts_chosen = {self.experts_chosen}: must be from 1 to experts = {self.experts}",
        )
        require(":" not in self.mlp, f"ModelConfig.mlp = {self.mlp!r}: must be one of {', '.join(MLPS)} with experts")
        require(self.biases != "all", "ModelConfig.biases = 'all': experts have no biases: must be none or qkv")

    def _check_kind(self) -> None:
        require_positive(self, "buckets", "bucket_distance")
        require(
            (self.kind == "decoder") == (self.positions != "buckets"),
            f"ModelConfig.positions = {self.positions!r} with kind = {self.kind!r}: "
            "must be 'buckets' for models with an encoder, and another encoding for decoders",
        )
        require(
            self.encoder_layers is None or (self.kind == "encoder-decoder" and self.encoder_layers > 0),
            f"ModelConfig.encoder_layers = {self.encoder_layers}: must be 1 or more for an encoder-decoder, else null",
        )
        if self.kind == "decoder":
            return
        for name in user_blocks(self):
            value = getattr(self, name)
            require(False, f"ModelConfig.{name} = {value!r}: blocks of your own are for decoders, not {self.kind!r}")
        require(self.buckets % 4 == 0, f"ModelConfig.buckets = {self.buckets}: must be a multiple of 4")
        require(
            self.bucket_distance > self.buckets // 2,
            f"ModelConfig.bucket_distance = {self.bucket_distance}: must be more than half of buckets = {self.buckets}",
        )
        defaults = ModelConfig(vocab=self.vocab, width=2, layers=1, heads=1, mlp_width=1)
        for name in DECODER_ONLY_FIELDS:
            value, default = getattr(self, name), getattr(defaults, name)
            require(value == default, f"ModelConfig.{name} = {value!r} with kind = {self.kind!r}: must be {default!r}")
