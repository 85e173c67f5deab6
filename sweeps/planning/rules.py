"""The rules that give a width its shape, learning rate, batch and warm-up: one place, each with its source.

Each depends on the size of a model alone, never on its budget: runs of one size then differ in
`steps` and nothing else, and share their trajectory up to the decay (Hägele 2024).
There are two sets of them: SMALL, for laptops and text in bytes, and TPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import EvalConfig, RunConfig
from scaling.config.schedule import ScheduleConfig
from scaling.models.counts import parameters
from sweeps.errors import SweepError
from sweeps.planning.corpus import Corpus

# Width a layer. The loss moves by a few per cent over a 40-fold range of aspect ratios (Kaplan 2020, section 3.1), so
# the number matters little; 32 gives models that fit a laptop 2 to 5 layers: few kernels a step.
ASPECT = 32
MIN_LAYERS = 2
# Head sizes tried in turn: the largest that divides the width and leaves 4 heads, 16 where the width is below 64.
HEADS = (128, 64, 32, 16, 8)
# SwiGLU has three matrices for two: 2/3 of the usual 4·D keeps parameters and FLOPs (Shazeer 2020, section 2).
MLP_RATIO = 8 / 3
MLP_MULTIPLE = 8
# The best peak rate falls with size: the Step law (Li 2025, 1.79 N^-0.713 D^0.307) gives N^-0.41 along D ∝ N. The level
# is measured on `cpython`: of 0.5, 1, 2 and 4 times a rate, this one was nearest the best at widths 24 and 64.
LR = 4e-3  # at LR_PARAMETERS
LR_PARAMETERS = 133_568  # width 64
LR_EXPONENT = -0.41
# Tokens a step. The Step law's best batch, 0.58 D^0.571 tokens, gives 1,500 at D = 1e6 and 5,700 at D = 1e7;
# one batch for all sizes and lengths, or no two runs could share a trunk. 1,024 tokens reached 1.858 nats where 2,048
# reached 1.932 (width 24, D = 1.4e6, `cpython`).
BATCH_TOKENS = 1024
# Warm-up in tokens a parameter, so that it grows with the model and never with the budget (Porian 2024 takes 1, where
# every run reads 20 or more; the largest model of a budget here reads 2, and must be through in a third of its steps).
WARMUP = 0.5
MIN_WARMUP = 10  # steps
# A model is counted layer by layer: more than any shape here wants are refused.
MOST_LAYERS = 10_000
# Small batches want a longer second moment than 0.95 (Porian 2024).
BETA2 = 0.99
# Held-out tokens: the noise of sampling them, some 1.5 / sqrt(EVAL_TOKENS) nats, is common to all runs of a sweep and
# goes into E in full.
EVAL_TOKENS = 131_072
# Matrix units of TPUs and their memory's tiles are 128 wide (Google Cloud TPU documentation, performance guide):
# widths, MLPs, heads and the vocabulary are multiples of it. GPT-2 and GPT-3 small have 64 of width a layer (Brown
# 2020, table 2.1); Chinchilla's models of table A9 have 57 to 102 (Hoffmann 2022).
TPU_MULTIPLE = 128
TPU_ASPECT = 64
TPU_LENGTH = 2048
# At this many tokens a parameter the Step law is asked for a size's rate and batch: about the best ratio at most
# budgets (Hoffmann 2022), and one for all lengths, so that they share a trunk. It was measured from 6e7 parameters on;
# below, it asks for more than any size here was seen to bear (LR): that is the most.
STEP_RATIO = 20.0
# Batches are powers of two, at least one sequence for each chip of the slices a sweep begins on.
TPU_LEAST_BATCH = 16
TPU_EVAL_TOKENS = 4_194_304
# The share of steps spent decaying, and its shape: 20% reaches cosine's loss, 1-sqrt is a little ahead (Hägele 2024).
DECAY = 0.2
DECAY_SHAPE = "1-sqrt"


def measured_rate(of: ModelConfig) -> float:
    """Peak learning rate as measured on small models of bytes."""
    return LR * (parameters(of)["total"] / LR_PARAMETERS) ** LR_EXPONENT


def step_rate(of: ModelConfig) -> float:
    """Peak learning rate by the Step law (Li 2025, equation 1): N without embedding and head, D of STEP_RATIO."""
    counted = parameters(of)
    n = counted["total"] - counted["embedding"] - counted.get("head", 0)
    return min(LR, float(1.79 * n**-0.713 * (STEP_RATIO * counted["total"]) ** 0.307))


def measured_batch(of: ModelConfig) -> float:
    """Tokens a step of small models: one figure."""
    return BATCH_TOKENS


def step_batch(of: ModelConfig) -> float:
    """Tokens a step by the Step law (Li 2025, equation 1)."""
    return float(0.58 * (STEP_RATIO * parameters(of)["total"]) ** 0.571)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How a width becomes a run. rate: of a model; tokens: of a step; mup_base: width at which muP is the standard."""

    widths: tuple[int, ...]  # the ladder of sizes, one for all budgets: what two of them share is trained once
    length: int
    aspect: int
    heads: tuple[int, ...] = HEADS
    mlp_multiple: int = MLP_MULTIPLE
    vocab_multiple: int = 1
    rate: Callable[[ModelConfig], float] = measured_rate
    tokens: Callable[[ModelConfig], float] = measured_batch
    least_batch: int = 1
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
    rate=step_rate,
    tokens=step_batch,
    least_batch=TPU_LEAST_BATCH,
    power_of_two=True,
    eval_tokens=TPU_EVAL_TOKENS,
    beta2=0.95,  # Li 2025, section 3: as the law was measured
)
RULES = {"tpu": TPU, "small": SMALL}


def layers(width: int, by: Rules = SMALL) -> int:
    """Layers of a model of this width."""
    return max(MIN_LAYERS, round(width / by.aspect))


def head_size(width: int, by: Rules = SMALL) -> int:
    """Size of one attention head."""
    most = max(by.heads[-1], 16, width // 4)
    sizes = [size for size in by.heads if size <= most and width % size == 0]
    if not sizes:
        raise SweepError(f"width {width}: must be a multiple of {by.heads[-1]}, the smallest head of the rules")
    return sizes[0]


def rounded_up(count: float, multiple: int) -> int:
    """The next multiple."""
    return -(-round(count) // multiple) * multiple


def mlp_width(width: int, by: Rules = SMALL) -> int:
    """Hidden units of the MLP, rounded up to a multiple."""
    return rounded_up(MLP_RATIO * width, by.mlp_multiple)


def model(width: int, vocab: int, by: Rules = SMALL) -> ModelConfig:
    """The model of a width: SMALL's vocabulary is the token file's, exactly, TPU's padded to whole tiles."""
    return ModelConfig(
        vocab=rounded_up(vocab, by.vocab_multiple),
        width=width,
        layers=layers(width, by),
        heads=width // head_size(width, by),
        mlp_width=mlp_width(width, by),
        parametrization="mup" if by.mup_base else "standard",
        base_width=by.mup_base,
    )


def learning_rate(of: ModelConfig, by: Rules = SMALL) -> float:
    """Peak learning rate, to two digits (a rate is not known better, and the config stays readable).

    Under muP the rate of its base width, at every width (Yang 2022).
    """
    if by.mup_base:
        of = model(by.mup_base, of.vocab, by)
    return float(f"{by.rate(of):.1e}")


def batch(length: int, of: ModelConfig | None = None, by: Rules = SMALL) -> int:
    """Sequences a step; `of` is needed where it depends on the model (not by SMALL)."""
    if of is None:
        assert by.tokens is measured_batch
        return max(1, round(BATCH_TOKENS / length))
    wanted = by.tokens(of) / length
    if by.power_of_two:
        wanted = 2 ** round(math.log2(max(wanted, 1)))
    return max(by.least_batch, round(wanted))


def warmup(of: ModelConfig, length: int, by: Rules = SMALL) -> int:
    """Steps of warm-up."""
    return max(MIN_WARMUP, round(WARMUP * parameters(of)["total"] / (batch(length, of, by) * length)))


def run(
    width: int, corpus: Corpus, *, length: int, steps: int, budget: float | None, seed: int = 0, by: Rules = SMALL
) -> RunConfig:
    """The run of a width and a number of steps, all else by the rules."""
    return run_of(model(width, corpus.vocab, by), corpus, length=length, steps=steps, budget=budget, seed=seed, by=by)


def run_of(
    of: ModelConfig,
    corpus: Corpus,
    *,
    length: int,
    steps: int,
    budget: float | None = None,
    seed: int = 0,
    by: Rules = SMALL,
) -> RunConfig:
    """The run of a model and a number of steps, all else by the rules."""
    return RunConfig(
        model=of,
        data=DataConfig(tokens=corpus.tokens, length=length, corpus=corpus.name),
        optimizer=OptimizerConfig(lr=learning_rate(of, by), beta2=by.beta2),
        batch=batch(length, of, by),
        steps=steps,
        schedule=ScheduleConfig(warmup=warmup(of, length, by), decay=DECAY, decay_shape=DECAY_SHAPE),
        eval=EvalConfig(sequences=max(1, by.eval_tokens // length)),
        seed=seed,
        budget=budget,
    )
