"""Exact parameters and FLOPs of a model from its config alone, by group and by part; nothing is allocated.

A multiply-add is 2 FLOPs; only matrix products count (Kaplan 2020, section 2.1; Hoffmann 2022, appendix F). Tests
compare the counts with the parameters of the Flax modules and the FLOPs that XLA counts. Standard library only.

Key: V vocabulary, D width, F hidden units, H query heads, K key-value heads, h head dimension, L context, E experts.
"""

from __future__ import annotations

from functools import lru_cache

from scaling.config.model import ATTENTIONS, GATED_MLPS, MLPS, NORMS, ModelConfig
from scaling.config.objective import WindowLayout
from scaling.config.run import RunConfig
from scaling.config.user_code.blocks import user_blocks
from scaling.counting.sae_counts import sae_flops, sae_parameters

# parts that count another part in a second convention, and so belong to no sum
ALTERNATIVE_COUNTS = ("attention_full", "experts_slots")


def parameters(model: ModelConfig) -> dict[str, int]:
    """Returns the parameters by group (embedding, position, attention, mlp, router, experts, norm, head) and `total`.

    A group without parameters is absent, such as a tied head. With experts there are two more counts, which belong to
    no sum: `experts_active`, the parameters of experts that one token passes, and `active`, the total with only these.
    """
    if model.kind != "decoder":
        return _encoder_parameters(model)
    D, layers, matrices = model.width, model.layers, _matrices(model)
    groups = {"embedding": model.vocab * D, "attention": layers * _attention(model)}
    if model.position_length is not None:
        groups["position"] = model.position_length * D
    if _dense_width(model):
        groups["mlp"] = layers * (D * _dense_width(model) * matrices if model.mlp in MLPS else _block(model, "mlp"))
        if model.biases == "all" and model.mlp in MLPS:
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


@lru_cache(maxsize=2**14)
def total_parameters(model: ModelConfig) -> int:
    """Returns the total of `parameters`, cached: plans need it for ten thousand runs of a few models."""
    return parameters(model)["total"]


def _matrices(model: ModelConfig) -> int:
    """Returns the number of matrices of an MLP or an expert."""
    return 3 if model.mlp in GATED_MLPS else 2


def _dense_width(model: ModelConfig) -> int:
    """Returns the hidden units that every token passes."""
    return model.mlp_width * (model.shared_experts if model.experts else 1)


def _attention(model: ModelConfig) -> int:
    """Returns the parameters of the attention of one layer."""
    if model.attention not in ATTENTIONS:
        return _block(model, "attention")
    D, H, K, h = model.width, model.heads, model.kv, model.head
    count = D * h * (2 * H + 2 * K)
    if model.biases != "none":
        count += h * (H + 2 * K)
    if model.biases == "all":
        count += D
    if model.positions == "relative":  # a projection of distances, and two biases of queries
        count += D * H * h + 2 * H * h
    return count


def _norms(model: ModelConfig) -> int:
    """Returns the parameters of all norms: gains, and biases of LayerNorm."""
    per_norm = model.width * (2 if model.norm == "layernorm" and model.biases == "all" else 1)
    if model.norm not in NORMS:
        per_norm = _block(model, "norm")
    qk_norm = model.qk_norm and model.attention in ATTENTIONS
    blocks = model.layers * (4 if model.norm_placement == "sandwich" else 2)
    last = 0 if model.norm_placement == "post" else 1
    return per_norm * (blocks + last) + (2 * model.head * model.layers if qk_norm else 0)


def _block(model: ModelConfig, field: str) -> int:
    """Returns the parameters of one block in a user's file."""
    from scaling.models.block_counts import block_parameters  # imports JAX, as such a file does

    return block_parameters(model, field)


def _block_flops(model: ModelConfig, length: int) -> dict[str, int]:
    """Returns the forward FLOPs of the blocks in users' files for one sequence, all layers, by part."""
    if not user_blocks(model):
        return {}
    from scaling.models.block_counts import block_flops  # imports JAX, as such a file does

    flops = {}
    if model.attention not in ATTENTIONS:
        flops["attention"] = sum(block_flops(model, "attention", length, window) for window in model.windows)
    if model.mlp not in MLPS:
        flops["mlp"] = model.layers * block_flops(model, "mlp", length)
    if model.norm not in NORMS and (norm := block_flops(model, "norm", length)):
        last = 0 if model.norm_placement == "post" else 1
        flops["norm"] = norm * (model.layers * (4 if model.norm_placement == "sandwich" else 2) + last)
    return flops


def _encoder_parameters(model: ModelConfig) -> dict[str, int]:
    """Returns the parameters of an encoder-decoder or an encoder; decoder layers have two attentions, three norms."""
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


def _encoder_flops(model: ModelConfig, layout: WindowLayout, batch: int) -> dict[str, int]:
    """Returns the forward FLOPs of an encoder-decoder or an encoder.

    Inputs pass the layers of the encoder, and the key and value projections of cross-attention; outputs pass the rest
    of the decoder; scored positions pass the head.
    """
    D, (encoder, decoder), width = model.width, model.depths, model.heads * model.head
    M, L = layout.inputs, layout.outputs
    projected = M * (encoder * 8 + decoder * 4) + L * decoder * (8 + 4)
    whole = encoder * M * M + decoder * L * M  # an encoder is not causal
    return {
        "attention_projections": batch * projected * D * width,
        "attention_causal": batch * 4 * width * (whole + decoder * _pairs(L, None)),
        "attention_full": batch * 4 * width * (whole + decoder * L * L),
        "mlp": batch * (encoder * M + decoder * L) * 2 * D * model.mlp_width * _matrices(model),
        "head": batch * layout.scored * 2 * D * model.vocab,
    }


def forward_flops(
    model: ModelConfig, length: int, batch: int = 1, layout: WindowLayout | None = None
) -> dict[str, int]:
    """Returns the forward FLOPs of a batch by part.

    attention_causal counts the pairs of a query and a key that the mask (and the window of a local layer) allows,
    attention_full all L² of them; attention of a user's file has one part instead, `attention`. experts counts the
    products of each token with its experts, experts_slots those of all slots that a capacity gives. Each two are
    conventions for one part, never to be added.

    Args:
        model: The model.
        length: Tokens of a sequence.
        batch: Sequences that are computed together.
        layout: Positions of encoder, decoder and loss; None: `length` each.
    """
    if model.kind != "decoder":
        return _encoder_flops(model, layout or WindowLayout(length, length, length, 0, 0, length), batch)
    D, matrices, tokens = model.width, _matrices(model), batch * length
    flops = _attention_flops(model, length, batch) if model.attention in ATTENTIONS else {}
    if _dense_width(model) and model.mlp in MLPS:
        flops["mlp"] = tokens * model.layers * 2 * D * _dense_width(model) * matrices
    if model.experts:
        per_token = model.layers * 2 * D * model.mlp_width * matrices  # one expert in each layer
        flops["router"] = tokens * model.layers * 2 * D * model.experts
        flops["experts"] = tokens * model.experts_chosen * per_token
        if model.capacity is not None:
            flops["experts_slots"] = batch * model.experts * model.slots(length) * per_token
    flops |= {part: batch * count for part, count in _block_flops(model, length).items()}
    flops["head"] = batch * (layout.scored if layout else length) * 2 * D * model.vocab
    return flops


def _attention_flops(model: ModelConfig, length: int, batch: int) -> dict[str, int]:
    """Returns the forward FLOPs of attention by part."""
    D, H, h, tokens = model.width, model.heads, model.head, batch * length
    # 2 each for a score, a weighted sum, and the score of a distance
    pair = H * h * (6 if model.positions == "relative" else 4)
    flops = {
        "attention_projections": tokens * model.layers * 2 * D * h * (2 * H + 2 * model.kv),
        "attention_causal": batch * pair * sum(_pairs(length, window) for window in model.windows),
        "attention_full": batch * pair * model.layers * length * length,
    }
    if model.positions == "relative":  # distances are projected once for all sequences
        flops["attention_distances"] = length * model.layers * 2 * D * H * h
    return flops


def _pairs(length: int, window: int | None) -> int:
    """Returns the number of pairs of a query and a key that it attends to."""
    keys = length if window is None else min(window, length)
    return keys * (keys + 1) // 2 + (length - keys) * keys


def training_flops(
    model: ModelConfig, length: int, sequences: int, batch: int = 1, layout: WindowLayout | None = None
) -> dict[str, int]:
    """Returns the training FLOPs by part, forward and backward (twice the forward).

    `total` is the exact count used for C: both directions of every part, attention causal, experts as chosen.

    Args:
        model: The model.
        length: Tokens of a sequence.
        sequences: Sequences of all steps.
        batch: Sequences per step.
        layout: As for `forward_flops`.
    """
    per_step = forward_flops(model, length, batch, layout)
    forward = {part: flops * (sequences // batch) for part, flops in per_step.items()}
    total = sum(flops for part, flops in forward.items() if part not in ALTERNATIVE_COUNTS)
    return {
        "total": 3 * total,
        **{f"{part}_forward": flops for part, flops in forward.items()},
        **{f"{part}_backward": 2 * flops for part, flops in forward.items()},
    }


def run_parameters(config: RunConfig) -> dict[str, int]:
    """Returns the trained parameters of a run by group: of its sparse autoencoder, if it has one, else of its model.

    Args:
        config: The run.
    """
    if config.sae is not None:
        return sae_parameters(config.sae, config.model.width)
    return parameters(config.model)


def run_flops(config: RunConfig, steps: int | None = None) -> dict[str, int]:
    """Returns the training FLOPs of a run, or of its first `steps` steps, by part, without evaluation.

    Args:
        config: The run.
        steps: First steps to count; None: all.
    """
    last = config.steps if steps is None else min(steps, config.steps)
    if config.sae is not None:
        return sae_flops(config.sae, config.model.width, config.sequences(last) * config.data.length)
    total: dict[str, int] = {}
    for batch, first, end in config.batch_stages:
        count = max(0, min(end, last) - first)
        flops = training_flops(config.model, config.data.length, batch * count, batch, config.data.layout)
        total = {part: value + total.get(part, 0) for part, value in flops.items()}
    return total


def total_run_flops(config: RunConfig, steps: int | None = None) -> int:
    """Returns the total of `run_flops`, faster: plans need it for ten thousand runs.

    Args:
        config: The run.
        steps: First steps to count; None: all.
    """
    last = config.steps if steps is None else steps
    if config.sae is not None:
        return run_flops(config, steps)["total"]
    if not config.schedule.batch_ramp:
        return total_step_flops(config, config.batch) * min(last, config.steps)
    return sum(
        total_step_flops(config, batch) * (min(end, last) - first)
        for batch, first, end in config.batch_stages
        if first < last
    )


def total_step_flops(config: RunConfig, batch: int) -> int:
    """Returns the training FLOPs of one step of `batch` sequences.

    Args:
        config: The run.
        batch: Sequences of the step.
    """
    if config.sae is not None:
        return sae_flops(config.sae, config.model.width, batch * config.data.length)["total"]
    return model_step_flops(config.model, config.data.length, batch, config.data.layout)


@lru_cache(maxsize=2**14)
def model_step_flops(model: ModelConfig, length: int, batch: int, layout: WindowLayout | None = None) -> int:
    """Returns the training FLOPs of one step of a model, cached: plans need it for ten thousand runs of a few models.

    Args:
        model: The model.
        length: Tokens of a sequence.
        batch: Sequences of the step.
        layout: As for `forward_flops`.
    """
    return training_flops(model, length, batch, batch, layout)["total"]
