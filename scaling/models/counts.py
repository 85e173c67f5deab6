"""Parameters and FLOPs of a model from its config alone: exact, by group and by part, allocating nothing.

A multiply-add is 2 FLOPs; only matrix products count (Kaplan 2020, section 2.1; Hoffmann 2022,
appendix F). Tests hold these counts against what Flax holds and what XLA counts.

Key: V vocabulary, D width, F hidden units, H query heads, K key-value heads, h head size, L context.
"""

from __future__ import annotations

from scaling.config import ModelConfig, RunConfig

PARTS = ("attention_projections", "attention_causal", "attention_full", "mlp", "head")


def parameters(model: ModelConfig) -> dict[str, int]:
    """Parameters by group (embedding, attention, mlp, norm, head) and `total`.

    A tied head has no parameters of its own: the group is absent.
    """
    V, D, F, h = model.vocab, model.width, model.mlp_width, model.head
    groups = {
        "embedding": V * D,
        "attention": model.layers * D * h * (2 * model.heads + 2 * model.kv),
        "mlp": model.layers * D * F * (3 if model.mlp == "swiglu" else 2),
        "norm": D * (2 * model.layers + 1),
    }
    if not model.tied:
        groups["head"] = D * V
    return {"total": sum(groups.values()), **groups}


def forward_flops(model: ModelConfig, length: int) -> dict[str, int]:
    """Forward FLOPs of one sequence of `length` tokens by part.

    attention_causal counts the L(L+1)/2 pairs that the mask lets through, attention_full all L²:
    they are two conventions for one part, never to be added.
    """
    V, D, F, h = model.vocab, model.width, model.mlp_width, model.head
    pair = 4 * model.layers * model.heads * h  # one score and one weighted sum
    return {
        "attention_projections": length * model.layers * 2 * D * h * (2 * model.heads + 2 * model.kv),
        "attention_causal": pair * (length * (length + 1) // 2),
        "attention_full": pair * length * length,
        "mlp": length * model.layers * 2 * D * F * (3 if model.mlp == "swiglu" else 2),
        "head": length * 2 * D * V,
    }


def training_flops(model: ModelConfig, length: int, sequences: int) -> dict[str, int]:
    """FLOPs of training on `sequences` sequences: each part forward and backward (twice the forward).

    `total` is the exact count used for C: projections, causal attention, MLP and head, both ways.
    """
    forward = {part: flops * sequences for part, flops in forward_flops(model, length).items()}
    counted = sum(flops for part, flops in forward.items() if part != "attention_full")
    return {
        "total": 3 * counted,
        **{f"{part}_forward": flops for part, flops in forward.items()},
        **{f"{part}_backward": 2 * flops for part, flops in forward.items()},
    }


def run_flops(config: RunConfig) -> dict[str, int]:
    """Training FLOPs of a whole run by part, evaluation left out."""
    return training_flops(config.model, config.data.length, config.batch * config.steps)
