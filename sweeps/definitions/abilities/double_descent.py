"""Double descent (Nakkiran 2019): test error over width, over data and over epochs, some training labels wrong.

A Transformer of one layer sorts short strings into classes. Widths × seeds on all of the data, then amounts of data ×
seeds at one width; every run's curve is the descent over epochs.

Some minutes on two CPU cores. `python -m analysis double-descent STORE` says what came of it: over width test error
peaked at 12, where 500 examples are fitted for the first time, 4.9 [0.9, 8.8] points over its shoulder (six seeds).
"""

from __future__ import annotations

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import EvalConfig, RunConfig
from scaling.config.schedule import ScheduleConfig
from sweeps.errors import SweepError
from sweeps.planning.corpus import Corpus

# Blurred enough that hardly two inputs are alike: wrong labels of equal inputs could never be fitted.
CORPUS = "labels:classes=10,examples=500,held=2000,noise=0.3,length=8,symbols=16,blur=0.25"
HEADS = 1
MLP_RATIO = 4
RATE = 3e-3
BETA2 = 0.99
WARMUP = 10
BATCH = 500  # all of the examples: a small step costs as much to start as to compute
STEPS = 1200
EVALUATIONS = 20
HELD_OUT = 1000  # examples measured, at most, of each split


def descent(
    corpus: Corpus,
    *,
    seed: int = 0,
    widths: tuple[int, ...] = (4, 6, 8, 12, 20, 40),
    shares: tuple[float, ...] = (0.2, 0.4, 0.7),
    at: int = 12,
    seeds: int = 6,
    steps: int = STEPS,
) -> list[RunConfig]:
    """Double descent (Nakkiran 2019): width, data and epochs, with wrong labels; minutes on two CPU cores.

    shares: of the training examples, at width `at`.
    """
    if corpus.facts.get("example") is None:
        raise SweepError(f"corpus {corpus.name}: has no examples: choose labels:classes=..,noise=..")
    there, length = corpus.train // corpus.facts["example"], corpus.facts["example"] - 1
    amounts = {round(share * there) for share in shares}
    if not all(1 <= amount <= there for amount in amounts):
        raise SweepError(f"--set shares={min(shares):g} to {max(shares):g}: {corpus.name} has {there:,} examples")
    asked = [(width, None) for width in widths] + [(at, amount) for amount in sorted(amounts - {there})]
    return [
        run(corpus, width, length, amount, seed + i, steps)
        for width, amount in dict.fromkeys(asked)
        for i in range(seeds)
    ]


def run(corpus: Corpus, width: int, length: int, examples: int | None, seed: int, steps: int) -> RunConfig:
    """One model, trained far beyond the end of its training error; no weight decay, which would hide the peak."""
    return RunConfig(
        model=ModelConfig(
            vocab=corpus.vocab, width=width, layers=1, heads=HEADS, mlp_width=MLP_RATIO * width, mlp="relu",
            positions="learned", position_length=length,
        ),
        data=DataConfig(
            tokens=corpus.tokens, length=length, objective="examples", corpus=corpus.name,
            unique=examples and examples * length,
        ),
        optimizer=OptimizerConfig(lr=RATE, beta2=BETA2, weight_decay=0.0),
        batch=BATCH,
        steps=steps,
        schedule=ScheduleConfig(name="constant", warmup=min(WARMUP, steps)),
        eval=EvalConfig(every=max(1, steps // EVALUATIONS), sequences=HELD_OUT),
        seed=seed,
    )  # fmt: skip
