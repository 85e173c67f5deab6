"""Double descent (Nakkiran 2019): test error over width, data and epochs, with some wrong training labels.

A Transformer of one layer classifies short strings: widths × seeds on all data, then amounts of data × seeds at one
width; the curve of each run is the descent over epochs.

Expected: some minutes on two CPU cores. `python -m analysis double-descent STORE` analyses it: test error over width
peaked at 12, the first width that fits the 500 examples, 4.9 [0.9, 8.8] points above the minimum before (six seeds).
"""

from __future__ import annotations

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import EvalConfig, RunConfig
from scaling.config.schedule import ScheduleConfig
from sweeps.errors import SweepError
from sweeps.planning.corpus import Corpus

# With this blur almost all inputs are distinct; wrong labels of equal inputs could not be fitted.
CORPUS = "labels:classes=10,examples=500,held=2000,noise=0.3,length=8,symbols=16,blur=0.25"
HEADS = 1
MLP_RATIO = 4
RATE = 3e-3
BETA2 = 0.99
WARMUP = 10
BATCH = 500  # all examples: smaller steps would take as long
STEPS = 1200
EVALUATIONS = 20
EVALUATED_EXAMPLES = 1000  # per split, at most


def double_descent(
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

    Args:
        corpus: The corpus.
        seed: First seed.
        widths: Widths, on all examples.
        shares: Shares of the training examples, at one width.
        at: Width of the runs on a share of the examples.
        seeds: Number of seeds.
        steps: Training steps.
    """
    if corpus.facts.get("example") is None:
        raise SweepError(f"corpus {corpus.name}: has no labelled examples: use labels:classes=...,noise=...")
    available, length = corpus.train // corpus.facts["example"], corpus.facts["example"] - 1
    amounts = {round(share * available) for share in shares}
    if not all(1 <= amount <= available for amount in amounts):
        raise SweepError(f"--set shares={min(shares):g} to {max(shares):g}: {corpus.name} has {available:,} examples")
    pairs = [(width, None) for width in widths] + [(at, amount) for amount in sorted(amounts - {available})]
    return [
        descent_run(corpus, width, length, amount, seed + i, steps)
        for width, amount in dict.fromkeys(pairs)
        for i in range(seeds)
    ]


def descent_run(corpus: Corpus, width: int, length: int, examples: int | None, seed: int, steps: int) -> RunConfig:
    """Returns a run that trains long after the training error is 0, without weight decay, which would hide the peak.

    Args:
        corpus: The corpus.
        width: Width of the model.
        length: Context length.
        examples: Number of training examples, all for None.
        seed: Seed of the run.
        steps: Training steps.
    """
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
        eval=EvalConfig(every=max(1, steps // EVALUATIONS), sequences=EVALUATED_EXAMPLES),
        seed=seed,
    )  # fmt: skip
