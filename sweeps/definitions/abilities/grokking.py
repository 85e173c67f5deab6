"""Grokking (Power 2022): training fraction × weight decay × seeds, on sums modulo a prime.

A Transformer of one layer memorises the training equations long before it generalises. All runs are evaluated on the
same held-out equations, and the training equations of a smaller fraction are among those of a larger one.

Expected: some minutes on two CPU cores. `python -m analysis grokking STORE` analyses it.
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
LENGTH = 3  # a, b and =
WIDTH = 48
HEADS = 4
MLP_RATIO = 4
RATE = 1e-3  # as BETA2 from Power 2022, appendix A.1.2
BETA2 = 0.98
WARMUP = 10
BATCH = 256
STEPS = 8000
EVERY = 50  # steps between evaluations
EVALUATED_EQUATIONS = 4096  # per split, at most


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
    """Grokking (Power 2022): data fraction × weight decay × seeds on sums modulo a prime; minutes on two CPU cores.

    Args:
        corpus: The corpus.
        seed: First seed.
        fractions: Shares of all equations to train on.
        decays: Weight decays.
        seeds: Number of seeds.
        steps: Training steps.
        width: Width of the model.
    """
    equations = corpus.facts.get("equations")
    if equations is None:
        raise SweepError(f"corpus {corpus.name}: has no equations: use modular:p=P,op=OP,fraction=F")
    available = corpus.train // (LENGTH + 1)
    runs = []
    for fraction in fractions:
        examples = round(fraction * equations)
        if not 0 < examples <= available:
            raise SweepError(
                f"--set fractions={fraction:g}: must be above 0 and at most {available / equations:g}: "
                f"{corpus.name} has {available:,} of {equations:,} equations for training"
            )
        for decay in decays:
            runs += [grokking_run(corpus, examples, decay, seed + i, steps, width) for i in range(seeds)]
    return runs


def grokking_run(corpus: Corpus, examples: int, decay: float, seed: int, steps: int, width: int) -> RunConfig:
    """Returns a run on a number of equations, with a constant learning rate.

    Args:
        corpus: The corpus.
        examples: Number of training equations.
        decay: Weight decay.
        seed: Seed of the run.
        steps: Training steps.
        width: Width of the model.
    """
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
        eval=EvalConfig(every=EVERY, sequences=EVALUATED_EQUATIONS),
        seed=seed,
    )  # fmt: skip
