"""How initialisation, products and optimizer steps scale with width and depth. Standard library only.

m = width / base_width, l = layers / base_depth. An entry (a, b) of the table is the multiplier m^a · l^b over the
standard parametrisation; at the base shape all multipliers are 1. In the standard parametrisation, embedding, head and
router have a fixed standard deviation, matrices of layers have 1/√fan-in, and those that write into the residual stream
are divided by √(2 · layers) (Radford 2019).

mup: Tensor Programs V (Yang 2022), table 8, which allows a tied head. Matrices of layers have learning rates ∝ 1/m,
outputs of fixed size that read the whole width (head, and router: Małaśnicki 2025) are divided by m, and attention
scores are divided by the head dimension instead of its root (definition 4.1). Weight decay is multiplied by the
learning rate, so its coefficient grows as the rate falls. Adam's epsilon scales with the gradients, 1/m (Dey 2025,
table 1, column muP).
completep: Dey 2025, table 1 with alpha = 1: mup, with both branches of a layer divided by l, no 1/√layers at
initialisation, and epsilon within layers divided by l.
Muon: the entries of its updates have a fixed size, as those of AdamW have, but the updates have full rank, so that
their norm grows as √m and not as m. The spectral condition (Yang 2023, condition 1) then gives m^-1/2 for its rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scaling.config.model import ModelConfig
from scaling.config.validation import ConfigError

Powers = tuple[float, float]  # exponents of m and of l
UNIT: Powers = (0.0, 0.0)


@dataclass(frozen=True)
class Multipliers:
    """Multipliers of one group of parameters, as exponents of m and l."""

    init: Powers = UNIT  # of the standard deviation at initialisation
    forward: Powers = UNIT  # of the result of the product; for matrices that write into the stream, of the branch
    lr: Powers = UNIT
    decay: Powers = UNIT  # of the weight-decay coefficient, which the learning rate multiplies
    eps: Powers = UNIT
    muon_lr: Powers = UNIT
    muon_decay: Powers = UNIT


FIXED = Multipliers()
VECTOR = Multipliers(eps=(-1, 0))  # one axis of fixed size: embedding, gains, biases
READ = Multipliers(forward=(-1, 0), eps=(-1, 0))  # from the width to a fixed size
HIDDEN = Multipliers(lr=(-1, 0), decay=(1, 0), eps=(-1, 0), muon_lr=(-0.5, 0), muon_decay=(0.5, 0))  # width to width
DEEP = replace(HIDDEN, eps=(-1, -1))
WRITE = replace(DEEP, init=(0, 0.5), forward=(0, -1))  # into the stream

MULTIPLIERS: dict[str, dict[str, Multipliers]] = {
    "standard": dict.fromkeys(
        ("embedding", "position", "attention_in", "attention_out", "mlp_in", "mlp_out", "experts_in", "experts_out",
         "router", "norm", "bias", "last_norm", "head", "other"), FIXED),
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

PARAMETER_GROUPS = {  # by name of a parameter; for gains and biases see `parameter_group`
    "embedding_VD": "embedding", "position_LD": "position", "bucket_RK": "position", "head_DV": "head",
    "qkv_DKJh": "attention_in", "q_DH": "attention_in", "k_DH": "attention_in", "v_DH": "attention_in",
    "distance_DH": "attention_in", "out_HD": "attention_out",
    "gate_DF": "mlp_in", "up_DF": "mlp_in", "down_FD": "mlp_out", "router_DE": "router",
    "gate_EDF": "experts_in", "up_EDF": "experts_in", "down_EFD": "experts_out",
}  # fmt: skip


BLOCK_NAMES = ("gate_DF", "up_DF", "down_FD", "q_DH", "k_DH", "v_DH", "out_HD")  # of matrices, for users' blocks


def parameter_group(path: Sequence[str]) -> str:
    """Returns the group of a parameter from the names on its path."""
    if path[-1].startswith(("g_", "b_")):
        if "blocks" not in path:
            return "last_norm"
        return "norm" if path[-1].startswith("g_") else "bias"
    return PARAMETER_GROUPS.get(path[-1], "other")  # other: of a block in a user's file


def multiplier(model: ModelConfig, group: str, quantity: str) -> float:
    """Returns a multiplier over the standard parametrisation.

    Args:
        model: The model.
        group: Group of parameters, a key of MULTIPLIERS.
        quantity: A field of Multipliers: init, forward, lr, decay, eps, muon_lr or muon_decay.
    """
    if group not in MULTIPLIERS[model.parametrization]:
        raise ConfigError(
            f"ModelConfig.parametrization = {model.parametrization!r}: does not know how a parameter of your block "
            f"scales with the width: name it {', '.join(BLOCK_NAMES)}, g_... (gain) or b_... (bias), or use 'standard'"
        )
    a, b = getattr(MULTIPLIERS[model.parametrization][group], quantity)
    m = model.width / (model.base_width or model.width)
    l = model.layers / (model.base_depth or model.layers)
    return m**a * l**b


def score_multiplier(model: ModelConfig) -> float:
    """Returns the multiplier that divides attention scores by the head dimension, relative to the base shape."""
    return (model.base_head / model.head) ** 0.5 if model.base_head else 1.0
