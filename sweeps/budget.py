"""From budgets in FLOPs to runs: how many steps of which sizes.

FLOPs are the exact count, `run_flops(config)["total"]`: projections, causal attention, MLP and
head, forward and backward, evaluation left out. Budgets are planned figures and stay round numbers.
"""

from __future__ import annotations

import math

from scaling.config import ConfigError, RunConfig
from scaling.models.counts import parameters, run_flops, training_flops
from sweeps import rules
from sweeps.corpus import Corpus, SweepError

TOLERANCE = 0.01  # the most by which achieved training FLOPs may miss the budget


def step_flops(config: RunConfig) -> int:
    """Training FLOPs of one step of the full batch."""
    return training_flops(config.model, config.data.length, config.batch, parts=config.data.parts)["total"]


def flops_until(config: RunConfig, step: int) -> int:
    """Training FLOPs of the first `step` steps."""
    return run_flops(config, step)["total"]


def steps_for(width: int, corpus: Corpus, *, length: int, flops: float) -> int:
    """Steps that spend `flops` on the model of this width; SweepError where whole steps miss it by over 1%."""
    a_step = training_flops(rules.model(width, corpus.vocab), length, rules.batch(length))["total"]
    steps = round(flops / a_step)
    if abs(steps * a_step / flops - 1) > TOLERANCE:
        least = math.ceil(a_step * 0.5 / TOLERANCE)
        raise SweepError(
            f"budget {flops:.3g} FLOPs at width {width} is {flops / a_step:.1f} steps: rounding them misses it by over "
            f"{TOLERANCE:.0%}; take a smaller width, a smaller batch, or a budget of {least:.1e} or more"
        )
    return steps


def nearest(widths: tuple[int, ...], corpus: Corpus, *, parameters_wanted: float, count: int) -> list[int]:
    """The `count` neighbouring widths of the ladder whose sizes lie around a number of parameters, evenly in log N."""
    ladder = sorted(widths)
    sizes = [math.log(parameters(rules.model(width, corpus.vocab))["total"]) for width in ladder]
    wanted = math.log(parameters_wanted)
    starts = range(max(1, len(ladder) - count + 1))
    best = min(starts, key=lambda i: abs((sizes[i] + sizes[min(i + count, len(ladder)) - 1]) / 2 - wanted))
    return ladder[best : best + count]


def isoflop(
    corpus: Corpus,
    *,
    widths: tuple[int, ...],
    budgets: tuple[float, ...],
    sizes_per_budget: int,
    tokens_per_parameter: float,
    length: int,
    seed: int = 0,
) -> list[RunConfig]:
    """An isoFLOP grid (Hoffmann 2022, section 3.2): at each budget, neighbouring sizes of one ladder.

    The sizes of a budget C lie around N = sqrt(C / (6 r)), the size that reads r = `tokens_per_parameter`
    tokens a parameter at C = 6 N D; a first guess at r suffices, the grid is wide. One ladder for all
    budgets: a size that two of them share is trained once up to the shorter one's decay.
    """
    runs = []
    for flops in budgets:
        around = math.sqrt(flops / (6 * tokens_per_parameter))
        for width in nearest(widths, corpus, parameters_wanted=around, count=sizes_per_budget):
            steps = steps_for(width, corpus, length=length, flops=flops)
            try:
                runs.append(rules.run(width, corpus, length=length, steps=steps, budget=flops, seed=seed))
            except ConfigError as error:
                raise SweepError(
                    f"budget {flops:.3g} FLOPs at width {width} with a vocabulary of {corpus.vocab:,}: {error}; "
                    "this sweep is meant for smaller vocabularies, as bytes"
                ) from None
    return runs


def achieved(config: RunConfig) -> int:
    """Training FLOPs of a run, C."""
    return run_flops(config)["total"]
