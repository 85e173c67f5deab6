"""From budgets in FLOPs to runs: how many steps of which sizes.

FLOPs are the exact count, `run_flops(config)["total"]`: projections, causal attention, MLP and
head, forward and backward, evaluation left out. Budgets are planned figures and stay round numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scaling.config.model import ModelConfig
from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError
from scaling.models.counts import parameters, total_run_flops, total_step_flops, training_flops
from sweeps.errors import SweepError
from sweeps.planning import rules
from sweeps.planning.corpus import Corpus
from sweeps.planning.rules import SMALL, Rules

LEAST_SIZES = 3  # of a budget: a parabola's
TOLERANCE = 0.01  # the most by which achieved training FLOPs may miss the budget


def step_flops(config: RunConfig) -> int:
    """Training FLOPs of one step of the full batch."""
    return total_step_flops(config, config.batch)


def flops_until(config: RunConfig, step: int) -> int:
    """Training FLOPs of the first `step` steps."""
    return total_run_flops(config, step)


def whole_steps(of: ModelConfig, *, length: int, batch: int, flops: float) -> int:
    """Steps that spend `flops` on a model; SweepError where whole steps miss it by over 1%."""
    a_step = training_flops(of, length, batch, batch)["total"]
    steps = round(flops / a_step)
    if abs(steps * a_step / flops - 1) > TOLERANCE:
        least = math.ceil(a_step * 0.5 / TOLERANCE)
        raise SweepError(
            f"budget {flops:.3g} FLOPs at width {of.width} is {flops / a_step:.1f} steps: rounding them misses it by "
            f"over {TOLERANCE:.0%}; take a smaller width, a smaller batch, or a budget of {least:.1e} or more"
        )
    return steps


def steps_for(width: int, corpus: Corpus, *, length: int, flops: float, by: Rules = SMALL) -> int:
    """Steps that spend `flops` on the model of this width; SweepError where whole steps miss it by over 1%."""
    of = rules.model(width, corpus.vocab, by)
    return whole_steps(of, length=length, batch=rules.batch(length, of, by), flops=flops)


def steps_reading(of: ModelConfig, tokens: float, by: Rules) -> int:
    """Steps that read so many tokens, by the rules' batch; SweepError where whole steps miss them by over 1%."""
    a_step = rules.batch(by.length, of, by) * by.length
    steps = max(1, round(tokens / a_step))
    if abs(steps * a_step / tokens - 1) > TOLERANCE:
        raise SweepError(
            f"{tokens:.3g} tokens at width {of.width} are {tokens / a_step:.1f} steps of {a_step:,}: rounding them "
            f"misses by over {TOLERANCE:.0%}; take {50 * a_step:,} tokens or more, or a smaller batch"
        )
    return steps


def size(width: int, corpus: Corpus, by: Rules) -> int:
    """Parameters of the model of a width."""
    return int(parameters(rules.model(width, corpus.vocab, by))["total"])


def nearest(
    widths: tuple[int, ...], corpus: Corpus, *, parameters_wanted: float, count: int, by: Rules = SMALL
) -> list[int]:
    """The `count` neighbouring widths of the ladder whose sizes lie around a number of parameters, evenly in log N."""
    ladder = sorted(widths)
    sizes = [math.log(size(width, corpus, by)) for width in ladder]
    wanted = math.log(parameters_wanted)
    starts = range(max(1, len(ladder) - count + 1))
    best = min(starts, key=lambda i: abs((sizes[i] + sizes[min(i + count, len(ladder)) - 1]) / 2 - wanted))
    return ladder[best : best + count]


def by_ratio(tokens_per_parameter: float) -> Callable[[float], float]:
    """The size that reads so many tokens a parameter, of a budget in FLOPs: sqrt(C / 6r) at C = 6 N D."""
    return lambda flops: math.sqrt(flops / (6 * tokens_per_parameter))


def isoflop(
    corpus: Corpus,
    *,
    widths: tuple[int, ...],
    budgets: tuple[float, ...],
    sizes_per_budget: int,
    centre: Callable[[float], float],
    length: int,
    seed: int = 0,
    by: Rules = SMALL,
    reach: float | None = None,
) -> list[RunConfig]:
    """An isoFLOP grid (Hoffmann 2022, section 3.2): at each budget, neighbouring sizes of one ladder.

    The sizes of a budget C lie around `centre(C)` parameters; a first guess suffices, the grid is wide. One ladder for
    all budgets: a size that two of them share is trained once up to the shorter one's decay. reach: the most by which a
    size may differ from the centre, as a factor; LEAST_SIZES are taken all the same.
    """
    runs = []
    for flops in budgets:
        ladder, wanted, count = widths, centre(flops), sizes_per_budget
        if reach is not None:
            inside = tuple(w for w in widths if 1 / reach <= size(w, corpus, by) / wanted <= reach)
            count = min(count, max(len(inside), LEAST_SIZES))
            ladder = inside if len(inside) >= count else widths
        for width in nearest(ladder, corpus, parameters_wanted=wanted, count=count, by=by):
            steps = steps_for(width, corpus, length=length, flops=flops, by=by)
            try:
                runs.append(rules.run(width, corpus, length=length, steps=steps, budget=flops, seed=seed, by=by))
            except ConfigError as error:
                raise SweepError(
                    f"budget {flops:.3g} FLOPs at width {width} with a vocabulary of {corpus.vocab:,}: {error}; "
                    "this sweep is meant for smaller vocabularies, as bytes"
                ) from None
    return runs


def achieved(config: RunConfig) -> int:
    """Training FLOPs of a run, C."""
    return total_run_flops(config)
