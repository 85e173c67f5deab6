"""Learning rates × widths, standard and muP: whether the best learning rate transfers from narrow to wide models.

Expected: 9.7e12 FLOPs, seven minutes on two CPU cores. `python -m analysis figure transfer STORE --out FILE.png` shows
it: on `cpython` the best rates at widths 16, 32, 64 and 128 were 0.0099, 0.0061, 0.0038 and 0.0018 (standard) and
0.0099, 0.0102, 0.0109 and 0.0119 (muP). The widest standard model reached 2.15 nats per token at its own best rate,
muP's reached 2.26 at the rate of the narrowest model.
"""

from __future__ import annotations

import dataclasses

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import EvalConfig, RunConfig
from scaling.config.schedule import ScheduleConfig
from sweeps.planning import rules
from sweeps.planning.corpus import Corpus

CORPUS = "cpython"
LENGTH = 64
WIDTHS = (16, 32, 64, 128)  # the first is the base
LAYERS = 2
HEAD = 16  # size of a head, at every width
MLP_RATIO = 3
RATES = tuple(2.0**-k for k in range(10, 2, -1))  # 0.001 to 0.125
BATCH_TOKENS = 512
STEPS = 300
WARMUP = 30
DECAY = 0.5  # share of the steps; with less, the noise of high rates would hide what was learned
VALIDATION_SEQUENCES = 512


def transfer(corpus: Corpus, *, seed: int = 0) -> list[RunConfig]:
    """Learning-rate transfer over widths, standard and muP: some minutes on two CPU cores.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
    """
    runs = []
    for width in WIDTHS:
        standard = ModelConfig(
            vocab=corpus.vocab, width=width, layers=LAYERS, heads=width // HEAD, mlp_width=MLP_RATIO * width
        )
        mup = dataclasses.replace(standard, parametrization="mup", base_width=WIDTHS[0])
        runs += [transfer_run(model, rate, corpus, seed) for model in (standard, mup) for rate in RATES]
    return runs


def transfer_run(model: ModelConfig, rate: float, corpus: Corpus, seed: int) -> RunConfig:
    """Returns the run of one model at one peak learning rate, without weight decay.

    Args:
        model: The model.
        rate: Peak learning rate.
        corpus: The corpus.
        seed: Seed of every run.
    """
    return RunConfig(
        model=model,
        data=DataConfig(tokens=corpus.tokens, length=LENGTH, corpus=corpus.name),
        optimizer=OptimizerConfig(lr=rate, beta2=rules.BETA2, weight_decay=0.0),
        batch=BATCH_TOKENS // LENGTH,
        steps=STEPS,
        schedule=ScheduleConfig(warmup=WARMUP, decay=DECAY),
        eval=EvalConfig(sequences=VALIDATION_SEQUENCES),
        seed=seed,
    )
