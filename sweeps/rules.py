"""The rules that give a width its shape, learning rate, batch and warm-up: one place, each with its source.

Each depends on the size of a model alone, never on its budget: runs of one size then differ in
`steps` and nothing else, and share their trajectory up to the decay (Hägele 2024).
"""

from __future__ import annotations

from scaling.config import DataConfig, EvalConfig, ModelConfig, OptimizerConfig, RunConfig, ScheduleConfig
from scaling.models.counts import parameters
from sweeps.corpus import Corpus

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
# Small batches want a longer second moment than 0.95 (Porian 2024).
BETA2 = 0.99
# Held-out tokens: the noise of sampling them, some 1.5 / sqrt(EVAL_TOKENS) nats, is common to all runs of a sweep and
# goes into E in full.
EVAL_TOKENS = 131_072
# The share of steps spent decaying, and its shape: 20% reaches cosine's loss, 1-sqrt is a little ahead (Hägele 2024).
DECAY = 0.2
DECAY_SHAPE = "1-sqrt"


def layers(width: int) -> int:
    """Layers of a model of this width."""
    return max(MIN_LAYERS, round(width / ASPECT))


def head_size(width: int) -> int:
    """Size of one attention head."""
    most = max(16, width // 4)
    sizes = [size for size in HEADS if size <= most and width % size == 0]
    if not sizes:
        raise ValueError(f"width {width}: must be a multiple of {HEADS[-1]}")
    return sizes[0]


def mlp_width(width: int) -> int:
    """Hidden units of the MLP, rounded up to MLP_MULTIPLE."""
    return -(-round(MLP_RATIO * width) // MLP_MULTIPLE) * MLP_MULTIPLE


def model(width: int, vocab: int) -> ModelConfig:
    """The model of a width: the vocabulary is the token file's, exactly."""
    return ModelConfig(
        vocab=vocab,
        width=width,
        layers=layers(width),
        heads=width // head_size(width),
        mlp_width=mlp_width(width),
    )


def learning_rate(of: ModelConfig) -> float:
    """Peak learning rate, to two digits (a rate is not known better, and the config stays readable)."""
    return float(f"{LR * (parameters(of)['total'] / LR_PARAMETERS) ** LR_EXPONENT:.1e}")


def batch(length: int) -> int:
    """Sequences a step."""
    return max(1, round(BATCH_TOKENS / length))


def warmup(of: ModelConfig, length: int) -> int:
    """Steps of warm-up."""
    return max(MIN_WARMUP, round(WARMUP * parameters(of)["total"] / (batch(length) * length)))


def run(width: int, corpus: Corpus, *, length: int, steps: int, budget: float | None, seed: int = 0) -> RunConfig:
    """The run of a width and a number of steps, all else by the rules."""
    of = model(width, corpus.vocab)
    return RunConfig(
        model=of,
        data=DataConfig(tokens=corpus.tokens, length=length, corpus=corpus.name),
        optimizer=OptimizerConfig(lr=learning_rate(of), beta2=BETA2),
        batch=batch(length),
        steps=steps,
        schedule=ScheduleConfig(warmup=warmup(of, length), decay=DECAY, decay_shape=DECAY_SHAPE),
        eval=EvalConfig(sequences=EVAL_TOKENS // length),
        seed=seed,
        budget=budget,
    )
