"""Parameters and FLOPs of a model from its config alone: exact, by group and by part, allocating nothing.

A multiply-add is 2 FLOPs; only matrix products count (Kaplan 2020, section 2.1; Hoffmann 2022,
appendix F). Tests hold these counts against what Flax holds and what XLA counts.

Key: V vocabulary, D width, F hidden units, H query heads, K key-value heads, h head size, L context, E experts.
"""

from __future__ import annotations

from functools import lru_cache

from scaling.config.model import GATED_MLPS, ModelConfig
from scaling.config.objective import WindowLayout
from scaling.config.run import RunConfig

# two conventions for one part, of which the second is never added to the first
ALTERNATIVE_COUNTS = ("attention_full", "experts_slots")


def parameters(model: ModelConfig) -> dict[str, int]:
    """Parameters by group (embedding, position, attention, mlp, router, experts, norm, head) and `total`.

    A group that a model has none of is absent: a tied head, say. With experts there are two figures more,
    which belong to no sum: experts_active, those that one token passes, and active, the total with them alone.
    """
    if model.kind != "decoder":
        return _encoder_parameters(model)
    D, layers, matrices = model.width, model.layers, _matrices(model)
    groups = {"embedding": model.vocab * D, "attention": layers * _attention(model)}
    if model.position_length is not None:
        groups["position"] = model.position_length * D
    if _dense_width(model):
        groups["mlp"] = layers * D * _dense_width(model) * matrices
        if model.biases == "all":
            groups["mlp"] += layers * ((matrices - 1) * model.mlp_width + D)
    if model.experts:
        groups["router"] = layers * D * model.experts
        groups["experts"] = layers * model.experts * D * model.mlp_width * matrices
    groups["norm"] = _norms(model)
    if not model.tied:
        groups["head"] = D * model.vocab
    total = sum(groups.values())
    if not model.experts:
        return {"total": total, **groups}
    active = groups["experts"] // model.experts * model.experts_chosen
    return {"total": total, **groups, "experts_active": active, "active": total - groups["experts"] + active}


def _matrices(model: ModelConfig) -> int:
    """Matrices of an MLP or an expert."""
    return 3 if model.mlp in GATED_MLPS else 2


def _dense_width(model: ModelConfig) -> int:
    """Hidden units that every token passes."""
    return model.mlp_width * (model.shared_experts if model.experts else 1)


def _attention(model: ModelConfig) -> int:
    """Parameters of one layer's attention."""
    D, H, K, h = model.width, model.heads, model.kv, model.head
    count = D * h * (2 * H + 2 * K)
    if model.biases != "none":
        count += h * (H + 2 * K)
    if model.biases == "all":
        count += D
    if model.positions == "relative":  # a projection of distances and two biases of queries
        count += D * H * h + 2 * H * h
    return count


def _norms(model: ModelConfig) -> int:
    """Gains, and biases where LayerNorm has them, of the whole model."""
    each = model.width * (2 if model.norm == "layernorm" and model.biases == "all" else 1)
    blocks = model.layers * (4 if model.norm_placement == "sandwich" else 2)
    last = 0 if model.norm_placement == "post" else 1
    return each * (blocks + last) + (2 * model.head * model.layers if model.qk_norm else 0)


def _encoder_parameters(model: ModelConfig) -> dict[str, int]:
    """Of an encoder-decoder or an encoder; a decoder's layer has a second attention and a third norm."""
    D, (encoder, decoder), stacks = model.width, model.depths, sum(n > 0 for n in model.depths)
    groups = {
        "embedding": model.vocab * D,
        "attention": (encoder + 2 * decoder) * 4 * D * model.heads * model.head,
        "position": stacks * model.buckets * model.heads,
        "mlp": (encoder + decoder) * D * model.mlp_width * _matrices(model),
        "norm": D * (2 * encoder + 3 * decoder + stacks),
    }
    if not model.tied:
        groups["head"] = D * model.vocab
    return {"total": sum(groups.values()), **groups}


def _encoder_flops(model: ModelConfig, parts: WindowLayout, batch: int) -> dict[str, int]:
    """Of an encoder-decoder or an encoder: what the encoder reads passes its layers, and the decoder's keys and
    values of it; the decoder's tokens pass the rest; the head reads what is scored."""
    D, (encoder, decoder), width = model.width, model.depths, model.heads * model.head
    M, L = parts.inputs, parts.outputs
    projected = M * (encoder * 8 + decoder * 4) + L * decoder * (8 + 4)
    whole = encoder * M * M + decoder * L * M  # an encoder is seen whole
    return {
        "attention_projections": batch * projected * D * width,
        "attention_causal": batch * 4 * width * (whole + decoder * _pairs(L, None)),
        "attention_full": batch * 4 * width * (whole + decoder * L * L),
        "mlp": batch * (encoder * M + decoder * L) * 2 * D * model.mlp_width * _matrices(model),
        "head": batch * parts.scored * 2 * D * model.vocab,
    }


def forward_flops(model: ModelConfig, length: int, batch: int = 1, parts: WindowLayout | None = None) -> dict[str, int]:
    """Forward FLOPs of `batch` sequences of `length` tokens, run together, by part.

    parts: what an encoder and its decoder read of each, and how many the head does; None: `length` tokens, all scored.

    attention_causal counts the pairs that the mask (and a local layer's window) lets through, attention_full
    all L² of them; experts counts the products of each token with the experts it chose, experts_slots those
    of every slot that a capacity leaves them. Each two are conventions for one part, never to be added.
    """
    if model.kind != "decoder":
        return _encoder_flops(model, parts or WindowLayout(length, length, length, 0, 0, length), batch)
    D, H, h, matrices = model.width, model.heads, model.head, _matrices(model)
    tokens = batch * length
    pair = H * h * (6 if model.positions == "relative" else 4)  # a score and a weighted sum, 2 each; a distance's score
    counted = {
        "attention_projections": tokens * model.layers * 2 * D * h * (2 * H + 2 * model.kv),
        "attention_causal": batch * pair * sum(_pairs(length, window) for window in model.windows),
        "attention_full": batch * pair * model.layers * length * length,
    }
    if model.positions == "relative":  # distances are projected once for all sequences
        counted["attention_distances"] = length * model.layers * 2 * D * H * h
    if _dense_width(model):
        counted["mlp"] = tokens * model.layers * 2 * D * _dense_width(model) * matrices
    if model.experts:
        one = model.layers * 2 * D * model.mlp_width * matrices  # one token through one expert of each layer
        counted["router"] = tokens * model.layers * 2 * D * model.experts
        counted["experts"] = tokens * model.experts_chosen * one
        if model.capacity is not None:
            counted["experts_slots"] = batch * model.experts * model.slots(length) * one
    counted["head"] = batch * (parts.scored if parts else length) * 2 * D * model.vocab
    return counted


def _pairs(length: int, window: int | None) -> int:
    """Pairs of a query and a key that it sees."""
    seen = length if window is None else min(window, length)
    return seen * (seen + 1) // 2 + (length - seen) * seen


def training_flops(
    model: ModelConfig, length: int, sequences: int, batch: int = 1, parts: WindowLayout | None = None
) -> dict[str, int]:
    """FLOPs of training on `sequences` sequences, `batch` a step: each part forward and backward (twice the forward).

    `total` is the exact count used for C: every part both ways, attention causal, experts as chosen.
    """
    once = forward_flops(model, length, batch, parts)
    forward = {part: flops * (sequences // batch) for part, flops in once.items()}
    counted = sum(flops for part, flops in forward.items() if part not in ALTERNATIVE_COUNTS)
    return {
        "total": 3 * counted,
        **{f"{part}_forward": flops for part, flops in forward.items()},
        **{f"{part}_backward": 2 * flops for part, flops in forward.items()},
    }


def run_flops(config: RunConfig, steps: int | None = None) -> dict[str, int]:
    """Training FLOPs of a run, or of its first `steps` steps, by part, evaluation left out."""
    counted = config.steps if steps is None else steps
    parts: dict[str, int] = {}
    for batch, first, end in config.batch_stages:
        taken = max(0, min(end, counted) - first)
        of = training_flops(config.model, config.data.length, batch * taken, batch, config.data.layout)
        parts = {part: flops + parts.get(part, 0) for part, flops in of.items()}
    return parts


def total_run_flops(config: RunConfig, steps: int | None = None) -> int:
    """The total of `run_flops` alone, which plans ask of ten thousand runs."""
    counted = config.steps if steps is None else steps
    return sum(
        total_step_flops(config, batch) * (min(end, counted) - first)
        for batch, first, end in config.batch_stages
        if first < counted
    )


def total_step_flops(config: RunConfig, batch: int) -> int:
    """Training FLOPs of one step of `batch` sequences."""
    return _step_total(config.model, config.data.length, batch, config.data.layout)


@lru_cache(maxsize=2**14)
def _step_total(model: ModelConfig, length: int, batch: int, parts: WindowLayout) -> int:
    return training_flops(model, length, batch, batch, parts)["total"]
