"""Learning rates × widths, standard and muP: whether the best rate of a narrow model is a wide one's too.

Expected: 9.7e12 FLOPs, seven minutes on two CPU cores. `python -m analysis figure transfer STORE --out FILE.png` shows
it: on `cpython` the best rates at widths 16, 32, 64 and 128 were 0.0099, 0.0061, 0.0038 and 0.0018 (standard) and
0.0099, 0.0102, 0.0109 and 0.0119 (muP). Each width's own best rate served the widest standard model better (2.15 nats a
token) than the narrowest's served muP's (2.26).
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
DECAY = 0.5  # share of the steps: what is left of a high rate's noise would hide what it has learned
HELD_OUT = 512  # windows


def transfer(corpus: Corpus, *, seed: int = 0) -> list[RunConfig]:
    """Learning rates × widths under standard and muP: does the best rate transfer? Some minutes on two CPU cores."""
    runs = []
    for width in WIDTHS:
        standard = ModelConfig(
            vocab=corpus.vocab, width=width, layers=LAYERS, heads=width // HEAD, mlp_width=MLP_RATIO * width
        )
        mup = dataclasses.replace(standard, parametrization="mup", base_width=WIDTHS[0])
        runs += [run(model, rate, corpus, seed) for model in (standard, mup) for rate in RATES]
    return runs


def run(model: ModelConfig, rate: float, corpus: Corpus, seed: int) -> RunConfig:
    """One model at one peak learning rate; no weight decay, so that the rate alone is asked about."""
    return RunConfig(
        model=model,
        data=DataConfig(tokens=corpus.tokens, length=LENGTH, corpus=corpus.name),
        optimizer=OptimizerConfig(lr=rate, beta2=rules.BETA2, weight_decay=0.0),
        batch=BATCH_TOKENS // LENGTH,
        steps=STEPS,
        schedule=ScheduleConfig(warmup=WARMUP, decay=DECAY),
        eval=EvalConfig(sequences=HELD_OUT),
        seed=seed,
    )
