"""What a model is. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.config.validation import Checked, not_negative, one_of, positive, require

KINDS = ("decoder", "encoder-decoder", "encoder")
POSITIONS = ("rotary", "learned", "sinusoidal", "alibi", "relative", "buckets", "none")
NORMS = ("rmsnorm", "layernorm")
PLACEMENTS = ("pre", "post", "sandwich")
MLPS = ("swiglu", "gelu", "geglu", "relu2", "relu")
GATED = ("swiglu", "geglu")  # three matrices, the others two
BIASES = ("none", "qkv", "all")
GATES = ("chosen", "all")
# parametrisations, and what of its base shape each needs
PARAMETRIZATIONS = {
    "standard": (),
    "mup": ("base_width",),
    "completep": ("base_width", "base_depth"),
}
DECODERS_OWN = (  # what encoders have not been given
    "kv_heads", "norm", "norm_placement", "qk_norm", "biases", "window", "attention_softcap", "final_softcap",
    "embedding_scale", "experts", "parametrization",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Checked):
    """A Transformer; by default a decoder, pre-norm RMSNorm, rotary, no biases (Touvron 2023, section 2.2)."""

    vocab: int  # tokens in the vocabulary, V
    width: int  # residual stream, D
    layers: int
    heads: int  # query heads
    mlp_width: int  # hidden units of the MLP, or of each expert, F
    kv_heads: int | None = None  # None: as many as query heads
    head_dim: int | None = None  # None: width / heads
    mlp: str = "swiglu"
    tied: bool = False  # output head shares the embedding table
    rope_base: float = 10_000.0
    norm_eps: float = 1e-6
    positions: str = "rotary"
    position_length: int | None = None  # learned positions: rows of the table, the longest context
    norm: str = "rmsnorm"
    norm_placement: str = "pre"  # of each block: before it, after its sum with the stream, or before and after it
    qk_norm: bool = False  # RMSNorm over each head's queries and keys (Dehghani 2023, section 2)
    biases: str = "none"  # qkv: of queries, keys and values alone; all: of every product but the head, and of LayerNorm
    window: int | None = None  # tokens that a local layer sees, its own included; None: every layer sees all
    window_pattern: str = "L"  # local (L) and global (G) layers from the first on, repeated: Gemma 2 has LG
    attention_scale: float | None = None  # scores are divided by its square root; None: size of a head
    attention_softcap: float | None = None  # scores become cap·tanh(score / cap)
    final_softcap: float | None = None  # so do the logits
    embedding_scale: bool = False  # embeddings times √D (Vaswani 2017, section 3.4)
    experts: int = 0  # routed experts in place of the MLP, E; 0: a dense model
    experts_chosen: int = 2  # by each token, k
    shared_experts: int = 0  # that every token passes, added to the chosen (Dai 2024)
    gates: str = "chosen"  # router's softmax over the k chosen (Jiang 2024) or over all experts (Fedus 2022)
    capacity: float | None = None  # slots of an expert over its fair share of a sequence; None: nothing is dropped
    balance_loss: float = 0.01  # weight of the load-balance loss (Fedus 2022, equation 4)
    router_z_loss: float = 0.001  # weight of the router's (ln Z)^2 (Zoph 2022, equation 5)
    parametrization: str = "standard"  # what initialisation, products and steps do as a model grows: parametrisation.py
    base_width: int | None = None  # the width at which mup and completep are the standard one
    base_depth: int | None = None  # the layers at which completep is
    base_head: int | None = None  # size of a head there; None: as here (wider models have more heads)
    kind: str = "decoder"  # encoder-decoder and encoder: scaling/models/encoder_decoder.py
    encoder_layers: int | None = None  # of an encoder-decoder; None: as many as its decoder has
    buckets: int = 32  # of distances, each with a learned score a head (Raffel 2020, section 2.1)
    bucket_distance: int = 128  # from where on all share the last one

    @property
    def kv(self) -> int:
        """Key and value heads."""
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def head(self) -> int:
        """Size of one head."""
        return self.width // self.heads if self.head_dim is None else self.head_dim

    @property
    def windows(self) -> tuple[int | None, ...]:
        """Tokens that each layer sees, None where all that came before."""
        pattern = self.window_pattern
        return tuple(self.window if pattern[i % len(pattern)] == "L" else None for i in range(self.layers))

    @property
    def depths(self) -> tuple[int, int]:
        """Layers of the encoder and of the decoder."""
        if self.kind == "decoder":
            return 0, self.layers
        return (self.layers, 0) if self.kind == "encoder" else (self.encoder_layers or self.layers, self.layers)

    def slots(self, length: int) -> int:
        """Tokens of one sequence that an expert has room for."""
        if self.capacity is None:
            return length
        return min(length, -int(-self.capacity * self.experts_chosen * length // self.experts))

    def check(self) -> None:
        positive(self, "vocab", "width", "layers", "heads", "mlp_width", "kv", "head", "rope_base", "norm_eps")
        one_of("ModelConfig.kind", self.kind, KINDS)
        one_of("ModelConfig.mlp", self.mlp, MLPS)
        one_of("ModelConfig.positions", self.positions, POSITIONS)
        one_of("ModelConfig.norm", self.norm, NORMS)
        one_of("ModelConfig.norm_placement", self.norm_placement, PLACEMENTS)
        one_of("ModelConfig.biases", self.biases, BIASES)
        one_of("ModelConfig.gates", self.gates, GATES)
        for name in ("window", "attention_scale", "attention_softcap", "final_softcap", "position_length", "capacity"):
            if getattr(self, name) is not None:
                positive(self, name)
        self._check_heads()
        self._check_positions()
        self._check_experts()
        self._check_base()
        self._check_kind()
        require(
            bool(self.window_pattern) and not set(self.window_pattern) - set("LG"),
            f"ModelConfig.window_pattern = {self.window_pattern!r}: must be of the letters L (local) and G (global)",
        )

    def _check_heads(self) -> None:
        if self.head_dim is None:
            require(
                self.width % self.heads == 0,
                f"ModelConfig.width = {self.width} does not divide by heads = {self.heads}: "
                "choose a multiple, or set head_dim",
            )
        require(
            self.heads % self.kv == 0,
            f"ModelConfig.heads = {self.heads} does not divide by kv_heads = {self.kv}: choose a divisor",
        )

    def _check_positions(self) -> None:
        if self.positions == "rotary":
            require(self.head % 2 == 0, f"ModelConfig.head_dim = {self.head}: rotary positions need an even size")
        if self.positions in ("sinusoidal", "relative"):
            require(
                self.width % 2 == 0, f"ModelConfig.width = {self.width}: {self.positions} positions need an even one"
            )
        require(
            (self.positions == "learned") == (self.position_length is not None),
            f"ModelConfig.position_length = {self.position_length} with positions = {self.positions!r}: "
            "learned positions need it (the longest context), no others have it",
        )

    def _check_base(self) -> None:
        name = self.parametrization
        one_of("ModelConfig.parametrization", name, tuple(PARAMETRIZATIONS))
        needed = PARAMETRIZATIONS[name]
        allowed = (*needed, "base_head") if needed else ()
        for field in ("base_width", "base_depth", "base_head"):
            if getattr(self, field) is not None:
                given = f"ModelConfig.{field} = {getattr(self, field)} with parametrization = {name!r}"
                require(field in allowed, f"{given}: allowed are {', '.join(allowed) or 'none'}")
                positive(self, field)
            require(
                field not in needed or getattr(self, field) is not None,
                f"ModelConfig.{field}: parametrization = {name!r} needs it: the shape at which it is the standard one",
            )

    def _check_experts(self) -> None:
        not_negative(self, "experts", "shared_experts", "balance_loss", "router_z_loss")
        if not self.experts:
            require(not self.shared_experts, "ModelConfig.shared_experts: need routed ones beside them: set experts")
            return
        require(
            1 <= self.experts_chosen <= self.experts,
            f"ModelConfig.experts_chosen = {self.experts_chosen}: must be from 1 to experts = {self.experts}",
        )
        require(self.biases != "all", "ModelConfig.biases = 'all': experts have none: allowed are none, qkv")

    def _check_kind(self) -> None:
        positive(self, "buckets", "bucket_distance")
        require(
            (self.kind == "decoder") == (self.positions != "buckets"),
            f"ModelConfig.positions = {self.positions!r} with kind = {self.kind!r}: "
            "encoders have buckets, decoders alone anything else",
        )
        require(
            self.encoder_layers is None or (self.kind == "encoder-decoder" and self.encoder_layers > 0),
            f"ModelConfig.encoder_layers = {self.encoder_layers}: must be 1 or more, of an encoder-decoder alone",
        )
        if self.kind == "decoder":
            return
        require(self.buckets % 4 == 0, f"ModelConfig.buckets = {self.buckets}: must be a multiple of 4")
        require(
            self.bucket_distance > self.buckets // 2,
            f"ModelConfig.bucket_distance = {self.bucket_distance}: must be more than half of buckets = {self.buckets}",
        )
        usual = ModelConfig(vocab=self.vocab, width=2, layers=1, heads=1, mlp_width=1)
        for name in DECODERS_OWN:
            value, only = getattr(self, name), getattr(usual, name)
            require(value == only, f"ModelConfig.{name} = {value!r} with kind = {self.kind!r}: must be {only!r}")
