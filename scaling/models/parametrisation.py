"""What changes with width and depth: one table of multipliers over the standard parametrisation. Standard library only.

m = width / base_width, l = layers / base_depth. An entry (a, b) is the multiplier m^a · l^b; at the base shape all
are 1, and every parametrisation is the standard one. Standard here: embedding, head and router of a fixed standard
deviation, matrices of layers of 1/√fan-in, those that write into the stream divided by √(2 · layers) (Radford 2019).

mup: Tensor Programs V (Yang 2022), table 8, which allows a tied head: matrices of layers learn at 1/m, what reads
the whole width to a fixed number of outputs (head, router: Małaśnicki 2025) is divided by m, and scores by the size of
a head instead of its root (definition 4.1). Decay is multiplied by a rate, so it grows as the rate falls; Adam's
epsilon follows the gradients, 1/m (Dey 2025, table 1, column muP).
completep: Dey 2025, table 1 with alpha = 1: mup, each layer's two branches divided by l, no 1/√layers at the start,
and epsilon within layers divided by l.
Muon's updates here have an entry's size fixed as AdamW's is, yet their full rank makes the norm of one √m, where
Adam's is m: the spectral condition (Yang 2023, condition 1) then asks for m^-1/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scaling.config.model import ModelConfig

Powers = tuple[float, float]  # of m, of l
ONE: Powers = (0.0, 0.0)


@dataclass(frozen=True)
class Row:
    """Multipliers of one group of parameters, as powers."""

    init: Powers = ONE  # of the standard deviation at the start
    forward: Powers = ONE  # of the product's result; of a layer's branch for what writes into the stream
    lr: Powers = ONE
    decay: Powers = ONE  # of the coefficient, which the rate then multiplies
    eps: Powers = ONE
    muon_lr: Powers = ONE
    muon_decay: Powers = ONE


FIXED = Row()
VECTOR = Row(eps=(-1, 0))  # one side of fixed size: embedding, gains, biases
READ = Row(forward=(-1, 0), eps=(-1, 0))  # from the width to a fixed size
HIDDEN = Row(lr=(-1, 0), decay=(1, 0), eps=(-1, 0), muon_lr=(-0.5, 0), muon_decay=(0.5, 0))  # width to width
DEEP = replace(HIDDEN, eps=(-1, -1))
WRITE = replace(DEEP, init=(0, 0.5), forward=(0, -1))  # into the stream

TABLE: dict[str, dict[str, Row]] = {
    "standard": dict.fromkeys(
        ("embedding", "position", "attention_in", "attention_out", "mlp_in", "mlp_out", "experts_in", "experts_out",
         "router", "norm", "bias", "last_norm", "head"), FIXED),
    "mup": {
        "embedding": VECTOR, "position": VECTOR,
        "attention_in": HIDDEN, "attention_out": HIDDEN, "mlp_in": HIDDEN, "mlp_out": HIDDEN,
        "experts_in": HIDDEN, "experts_out": HIDDEN, "router": READ,
        "norm": VECTOR, "bias": VECTOR, "last_norm": VECTOR, "head": READ,
    },
    "completep": {
        "embedding": VECTOR, "position": VECTOR,
        "attention_in": DEEP, "attention_out": WRITE, "mlp_in": DEEP, "mlp_out": WRITE,
        "experts_in": DEEP, "experts_out": WRITE, "router": replace(READ, eps=(-1, -1)),
        "norm": replace(VECTOR, eps=(-1, -1)), "bias": replace(VECTOR, eps=(-1, -1)),
        "last_norm": VECTOR, "head": READ,
    },
}  # fmt: skip

GROUPS = {  # by a parameter's name; of gains and biases see `group`
    "embedding_VD": "embedding", "position_LD": "position", "bucket_RK": "position", "head_DV": "head",
    "qkv_DKJh": "attention_in", "q_DH": "attention_in", "k_DH": "attention_in", "v_DH": "attention_in",
    "distance_DH": "attention_in", "out_HD": "attention_out",
    "gate_DF": "mlp_in", "up_DF": "mlp_in", "down_FD": "mlp_out", "router_DE": "router",
    "gate_EDF": "experts_in", "up_EDF": "experts_in", "down_EFD": "experts_out",
}  # fmt: skip


def group(path: Sequence[str]) -> str:
    """The group of a parameter from the names on the way to it."""
    if path[-1].startswith(("g_", "b_")):
        if "blocks" not in path:
            return "last_norm"
        return "norm" if path[-1].startswith("g_") else "bias"
    return GROUPS[path[-1]]


def multiplier(model: ModelConfig, of: str, what: str) -> float:
    """A multiplier of the group `of`: init, forward, lr, decay, eps, muon_lr or muon_decay."""
    a, b = getattr(TABLE[model.parametrization][of], what)
    m = model.width / (model.base_width or model.width)
    l = model.layers / (model.base_depth or model.layers)
    return m**a * l**b


def score_multiplier(model: ModelConfig) -> float:
    """Of attention's scores: with it they are divided by the size of a head, as the base's are by its root."""
    return (model.base_head / model.head) ** 0.5 if model.base_head else 1.0
