"""Grokking (Power 2022): share of the equations to train on × weight decay × seeds.

Sums modulo a prime; a Transformer of one layer knows the training equations by heart long before it answers those it
has not seen. All runs are measured on the same held-out equations, and what a smaller share trains on is a part of
what a larger one does.

Some minutes on two CPU cores. `python -m analysis grokking STORE` says what came of it.
"""

from __future__ import annotations

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import EvalConfig, RunConfig
from scaling.config.schedule import ScheduleConfig
from sweeps.errors import SweepError
from sweeps.planning.corpus import Corpus

CORPUS = "modular:p=47,op=add,fraction=0.7,seed=0"
LENGTH = 3  # a, b and the sign =
WIDTH = 48
HEADS = 4
MLP_RATIO = 4
RATE = 1e-3  # with BETA2 as of Power 2022, appendix A.1.2
BETA2 = 0.98
WARMUP = 10
BATCH = 256
STEPS = 8000
EVERY = 50  # steps between evaluations
HELD_OUT = 4096  # equations measured, at most, of each split


def grokking(
    corpus: Corpus,
    *,
    seed: int = 0,
    fractions: tuple[float, ...] = (0.4, 0.5),
    decays: tuple[float, ...] = (1.0, 3.0),
    seeds: int = 3,
    steps: int = STEPS,
    width: int = WIDTH,
) -> list[RunConfig]:
    """Grokking (Power 2022): data fraction × weight decay × seeds on sums modulo a prime; minutes on two CPU cores."""
    whole = corpus.facts.get("equations")
    if whole is None:
        raise SweepError(f"corpus {corpus.name}: has no equations: choose modular:p=P,op=OP,fraction=F")
    there = corpus.train // (LENGTH + 1)
    runs = []
    for fraction in fractions:
        examples = round(fraction * whole)
        if not 0 < examples <= there:
            raise SweepError(
                f"--set fractions={fraction:g}: of {whole:,} equations {corpus.name} has {there:,} to train on: "
                f"must be above 0 and at most {there / whole:g}"
            )
        for decay in decays:
            runs += [run(corpus, examples, decay, seed + i, steps, width) for i in range(seeds)]
    return runs


def run(corpus: Corpus, examples: int, decay: float, seed: int, steps: int, width: int) -> RunConfig:
    """One model on so many equations; a constant rate, so that nothing but the run itself sets the moment."""
    return RunConfig(
        model=ModelConfig(
            vocab=corpus.vocab, width=width, layers=1, heads=HEADS, mlp_width=MLP_RATIO * width, mlp="relu",
            positions="learned", position_length=LENGTH,
        ),
        data=DataConfig(
            tokens=corpus.tokens, length=LENGTH, objective="examples", unique=examples * LENGTH, corpus=corpus.name
        ),
        optimizer=OptimizerConfig(lr=RATE, beta2=BETA2, weight_decay=decay),
        batch=BATCH,
        steps=steps,
        schedule=ScheduleConfig(name="constant", warmup=min(WARMUP, steps)),
        eval=EvalConfig(every=EVERY, sequences=HELD_OUT),
        seed=seed,
    )  # fmt: skip
