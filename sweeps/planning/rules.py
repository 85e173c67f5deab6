"""Default hyperparameters of a model of given width: shape, learning rate, batch size and warm-up, with their sources.

They depend on the size of the model alone, never on the budget: runs of one size then differ only in `steps` and share
their trajectory up to the decay (Hägele 2024). There are two sets: SMALL, for laptops and byte-level text, and TPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import EvalConfig, RunConfig
from scaling.config.schedule import ScheduleConfig
from scaling.counting.counts import parameters
from sweeps.errors import SweepError
from sweeps.planning.corpus import Corpus

# Width per layer. The loss changes by a few per cent over a 40-fold range of aspect ratios (Kaplan 2020, section 3.1);
# 32 gives models that fit a laptop 2 to 5 layers, hence few kernels per step.
ASPECT = 32
MIN_LAYERS = 2
# Head sizes tried in turn: the largest that divides the width and leaves 4 heads, 16 where the width is below 64.
HEADS = (128, 64, 32, 16, 8)
# SwiGLU has three matrices instead of two: 2/3 of the usual 4·D keeps parameters and FLOPs (Shazeer 2020, section 2).
MLP_RATIO = 8 / 3
MLP_MULTIPLE = 8
# The best peak rate falls with size: the Step law (Li 2025, 1.79 N^-0.713 D^0.307) gives N^-0.41 along D ∝ N. The level
# was measured on `cpython`: among 0.5, 1, 2 and 4 times a rate, it was nearest the best at widths 24 and 64.
LR = 4e-3  # at LR_PARAMETERS
LR_PARAMETERS = 133_568  # width 64
LR_EXPONENT = -0.41
# Tokens per step. The Step law's best batch, 0.58 D^0.571 tokens, gives 1,500 at D = 1e6 and 5,700 at D = 1e7;
# all sizes and lengths have the same batch, so that runs can share a trunk. 1,024 tokens reached 1.858 nats where 2,048
# reached 1.932 (width 24, D = 1.4e6, `cpython`).
BATCH_TOKENS = 1024
# Warm-up in tokens per parameter, which grows with the model but not with the budget (Porian 2024 takes 1, for runs of
# 20 or more; here the largest model of a budget reads 2, and warm-up must end within a third of its steps).
WARMUP = 0.5
MIN_WARMUP = 10  # steps
MAX_LAYERS = 10_000  # counting parameters takes time per layer
# Small batches need a longer average of second moments than 0.95 (Porian 2024).
BETA2 = 0.99
# Validation tokens: their sampling noise, about 1.5 / sqrt(EVAL_TOKENS) nats, is the same for all runs of a sweep and
# adds to E.
EVAL_TOKENS = 131_072
# Matrix units of TPUs and their memory's tiles are 128 wide (Google Cloud TPU documentation, performance guide):
# widths, MLPs, heads and the vocabulary are multiples of it. GPT-2 and GPT-3 small have a width of 64 per layer (Brown
# 2020, table 2.1); Chinchilla's models of table A9 have 57 to 102 (Hoffmann 2022).
TPU_MULTIPLE = 128
TPU_ASPECT = 64
TPU_LENGTH = 2048
# Tokens per parameter at which the Step law gives the rate and batch of a size: near-optimal at most budgets (Hoffmann
# 2022), and the same for all lengths, so that they share a trunk. The law was measured above 6e7 parameters; below, its
# rates exceed LR, the highest that trained well here, which is therefore the limit.
STEP_RATIO = 20.0
# Batches are powers of two, with at least one sequence per chip of the smallest slices that sweeps use.
TPU_MIN_BATCH = 16
TPU_EVAL_TOKENS = 4_194_304
# Share of steps with decay, and its shape: 20% reaches the loss of a cosine, 1-sqrt is slightly better (Hägele 2024).
DECAY = 0.2
DECAY_SHAPE = "1-sqrt"
CACHED_MODELS = 2**12  # models of a plan that are made once and shared by their runs


def quickstart_learning_rate(model: ModelConfig) -> float:
    """Returns the peak learning rate measured on small byte-level models."""
    return LR * (parameters(model)["total"] / LR_PARAMETERS) ** LR_EXPONENT


def step_law_learning_rate(model: ModelConfig) -> float:
    """Returns the peak learning rate of the Step law (Li 2025, equation 1).

    N leaves out embedding and head; D = STEP_RATIO·N.
    """
    group_counts = parameters(model)
    n = group_counts["total"] - group_counts["embedding"] - group_counts.get("head", 0)
    return min(LR, float(1.79 * n**-0.713 * (STEP_RATIO * group_counts["total"]) ** 0.307))


def quickstart_batch_tokens(model: ModelConfig) -> float:
    """Returns the tokens per step of small models, a constant."""
    return BATCH_TOKENS


def step_law_batch_tokens(model: ModelConfig) -> float:
    """Returns the Step law's tokens per step (Li 2025, equation 1)."""
    return float(0.58 * (STEP_RATIO * parameters(model)["total"]) ** 0.571)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Default hyperparameters of a model of given width.

    Attributes:
        widths: Widths that grids choose from, the same for all budgets, so that budgets share trunks.
        length: Context length in tokens.
        aspect: Width per layer.
        heads: Head sizes tried in turn.
        mlp_multiple: Divisor of the number of hidden units of the MLP.
        vocab_multiple: Divisor of the vocabulary size, which is padded.
        learning_rate: Function from a model to its peak learning rate.
        batch_tokens: Function from a model to its tokens per step.
        min_batch: Smallest number of sequences per step.
        power_of_two: Round the number of sequences to a power of two.
        eval_tokens: Validation tokens.
        beta2: Adam's second-moment coefficient.
        mup_base: Base width of muP; None for the standard parametrisation.
    """

    widths: tuple[int, ...]
    length: int
    aspect: int
    heads: tuple[int, ...] = HEADS
    mlp_multiple: int = MLP_MULTIPLE
    vocab_multiple: int = 1
    learning_rate: Callable[[ModelConfig], float] = quickstart_learning_rate
    batch_tokens: Callable[[ModelConfig], float] = quickstart_batch_tokens
    min_batch: int = 1
    power_of_two: bool = False
    eval_tokens: int = EVAL_TOKENS
    beta2: float = BETA2
    mup_base: int | None = None


SMALL = Rules(widths=(16, 24, 32, 48, 64, 80, 96, 128, 160, 192, 256), length=128, aspect=ASPECT)
TPU = Rules(
    widths=(*range(128, 1153, 128), *range(1280, 2561, 256), *range(3072, 5121, 512)),
    length=TPU_LENGTH,
    aspect=TPU_ASPECT,
    heads=(128, 64),  # 64 where the width leaves fewer than 4 of 128
    mlp_multiple=TPU_MULTIPLE,
    vocab_multiple=TPU_MULTIPLE,
    learning_rate=step_law_learning_rate,
    batch_tokens=step_law_batch_tokens,
    min_batch=TPU_MIN_BATCH,
    power_of_two=True,
    eval_tokens=TPU_EVAL_TOKENS,
    beta2=0.95,  # Li 2025, section 3: as the law was measured
)
RULES = {"tpu": TPU, "small": SMALL}


def layers_at_width(width: int, rule_set: Rules = SMALL) -> int:
    """Returns the number of layers of a model of this width.

    Args:
        width: Width of the model.
        rule_set: The rules.
    """
    return max(MIN_LAYERS, round(width / rule_set.aspect))


def head_size(width: int, rule_set: Rules = SMALL) -> int:
    """Returns the size of an attention head; SweepError where no allowed size divides the width.

    Args:
        width: Width of the model.
        rule_set: The rules.
    """
    largest = max(rule_set.heads[-1], 16, width // 4)
    sizes = [size for size in rule_set.heads if size <= largest and width % size == 0]
    if not sizes:
        raise SweepError(f"width {width}: must be a multiple of the smallest head size, {rule_set.heads[-1]}")
    return sizes[0]


def round_up(count: float, multiple: int) -> int:
    """Rounds up to a multiple.

    Args:
        count: The number.
        multiple: The multiple.
    """
    return -(-round(count) // multiple) * multiple


def mlp_width(width: int, rule_set: Rules = SMALL) -> int:
    """Returns the hidden units of the MLP, rounded up to a multiple.

    Args:
        width: Width of the model.
        rule_set: The rules.
    """
    return round_up(MLP_RATIO * width, rule_set.mlp_multiple)


@lru_cache(maxsize=CACHED_MODELS)
def model_at_width(width: int, vocab: int, rule_set: Rules = SMALL) -> ModelConfig:
    """Returns the model of a width.

    Args:
        width: The width.
        vocab: Vocabulary of the token file; TPU rules pad it to a multiple of 128.
        rule_set: The rules.
    """
    return ModelConfig(
        vocab=round_up(vocab, rule_set.vocab_multiple),
        width=width,
        layers=layers_at_width(width, rule_set),
        heads=width // head_size(width, rule_set),
        mlp_width=mlp_width(width, rule_set),
        parametrization="mup" if rule_set.mup_base else "standard",
        base_width=rule_set.mup_base,
    )


def learning_rate(model: ModelConfig, rule_set: Rules = SMALL) -> float:
    """Returns the peak learning rate, rounded to two digits; under muP that of the base width (Yang 2022).

    Args:
        model: The model.
        rule_set: The rules.
    """
    if rule_set.mup_base:
        model = model_at_width(rule_set.mup_base, model.vocab, rule_set)
    return float(f"{rule_set.learning_rate(model):.1e}")


def batch_sequences(length: int, model: ModelConfig | None = None, rule_set: Rules = SMALL) -> int:
    """Returns the number of sequences per step.

    Args:
        length: Context length in tokens.
        model: The model; not needed by the SMALL rules, whose batch is constant.
        rule_set: The rules.
    """
    if model is None:
        assert rule_set.batch_tokens is quickstart_batch_tokens
        return max(1, round(BATCH_TOKENS / length))
    sequences = rule_set.batch_tokens(model) / length
    if rule_set.power_of_two:
        sequences = 2 ** round(math.log2(max(sequences, 1)))
    return max(rule_set.min_batch, round(sequences))


def warmup_steps(model: ModelConfig, length: int, rule_set: Rules = SMALL) -> int:
    """Returns the number of warm-up steps.

    Args:
        model: The model.
        length: Context length in tokens.
        rule_set: The rules.
    """
    return max(
        MIN_WARMUP, round(WARMUP * parameters(model)["total"] / (batch_sequences(length, model, rule_set) * length))
    )


def run_at_width(
    width: int, corpus: Corpus, *, length: int, steps: int, budget: float | None, seed: int = 0, rule_set: Rules = SMALL
) -> RunConfig:
    """Returns the run of a width and a number of steps; everything else follows the rules.

    Args:
        width: The width.
        corpus: The corpus.
        length: Context length in tokens.
        steps: Training steps.
        budget: Planned FLOPs, a label of the run.
        seed: Seed of initialisation and data order.
        rule_set: The rules.
    """
    return run_with_model(
        model_at_width(width, corpus.vocab, rule_set),
        corpus,
        length=length,
        steps=steps,
        budget=budget,
        seed=seed,
        rule_set=rule_set,
    )


def run_with_model(
    model: ModelConfig,
    corpus: Corpus,
    *,
    length: int,
    steps: int,
    budget: float | None = None,
    seed: int = 0,
    rule_set: Rules = SMALL,
) -> RunConfig:
    """Returns the run of a model and a number of steps; see `run_at_width` for the arguments.

    Args:
        model: The model.
        corpus: The corpus.
        length: Context length in tokens.
        steps: Training steps.
        budget: Planned FLOPs, a label of the run.
        seed: Seed of every run.
        rule_set: The rules.
    """
    common = _common_config(model, corpus.tokens, corpus.name, length, rule_set)
    return RunConfig(
        model=model, data=common.data, optimizer=common.optimizer, batch=common.batch, steps=steps,
        schedule=common.schedule, eval=common.eval, seed=seed, budget=budget,
    )  # fmt: skip


class _CommonConfig(NamedTuple):
    """What runs of one model have in common by the rules."""

    data: DataConfig
    optimizer: OptimizerConfig
    batch: int
    schedule: ScheduleConfig
    eval: EvalConfig


@lru_cache(maxsize=CACHED_MODELS)
def _common_config(model: ModelConfig, tokens: str, corpus: str, length: int, rule_set: Rules) -> _CommonConfig:
    """Returns what runs of one model have in common; a grid of ten thousand runs makes it once per model."""
    return _CommonConfig(
        DataConfig(tokens=tokens, length=length, corpus=corpus),
        OptimizerConfig(lr=learning_rate(model, rule_set), beta2=rule_set.beta2),
        batch_sequences(length, model, rule_set),
        ScheduleConfig(warmup=warmup_steps(model, length, rule_set), decay=DECAY, decay_shape=DECAY_SHAPE),
        EvalConfig(sequences=max(1, rule_set.eval_tokens // length)),
    )
