"""Runs for budgets in FLOPs: numbers of steps and sizes of models.

FLOPs are exact training counts (scaling/counting/counts.py): projections, causal attention, MLP and head, forward and
backward, without evaluation. Budgets are planned figures and stay round numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scaling.config.model import ModelConfig
from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError
from scaling.counting.counts import model_step_flops, total_parameters, total_run_flops, total_step_flops
from sweeps.errors import SweepError
from sweeps.planning import rules
from sweeps.planning.corpus import Corpus
from sweeps.planning.rules import SMALL, Rules

MIN_SIZES_PER_BUDGET = 3  # a parabola needs three points
BUDGET_TOLERANCE = 0.01  # largest relative difference between a budget and the FLOPs of whole steps


def step_flops(config: RunConfig) -> int:
    """Returns the training FLOPs of one step of the full batch."""
    return total_step_flops(config, config.batch)


def flops_until(config: RunConfig, step: int) -> int:
    """Returns the training FLOPs of the first `step` steps.

    Args:
        config: The run.
        step: Number of finished steps.
    """
    return total_run_flops(config, step)


def steps_for_flops(model: ModelConfig, *, length: int, batch: int, flops: float) -> int:
    """Returns the number of steps with which training a model uses a budget.

    Args:
        model: The model.
        length: Context length in tokens.
        batch: Sequences per step.
        flops: The budget.

    Raises:
        SweepError: Whole steps miss the budget by more than 1%.
    """
    flops_per_step = model_step_flops(model, length, batch)
    steps = round(flops / flops_per_step)
    if abs(steps * flops_per_step / flops - 1) > BUDGET_TOLERANCE:
        smallest = math.ceil(flops_per_step * 0.5 / BUDGET_TOLERANCE)
        raise SweepError(
            f"budget {flops:.3g} FLOPs at width {model.width} is {flops / flops_per_step:.1f} steps, and "
            f"whole steps miss it by over {BUDGET_TOLERANCE:.0%}: take a smaller width, a smaller batch, "
            f"or a budget of {smallest:.1e} or more"
        )
    return steps


def steps_at_width(width: int, corpus: Corpus, *, length: int, flops: float, rule_set: Rules = SMALL) -> int:
    """Returns the number of steps with which the model of a width uses a budget; see `steps_for_flops`.

    Args:
        width: Width of the model.
        corpus: The corpus.
        length: Context length in tokens.
        flops: The budget.
        rule_set: The rules.
    """
    model = rules.model_at_width(width, corpus.vocab, rule_set)
    return steps_for_flops(model, length=length, batch=rules.batch_sequences(length, model, rule_set), flops=flops)


def steps_for_tokens(model: ModelConfig, tokens: float, rule_set: Rules) -> int:
    """Returns the number of steps that read a number of tokens at the rules' batch size.

    Args:
        model: The model.
        tokens: Tokens to read.
        rule_set: The rules.

    Raises:
        SweepError: Whole steps miss the number by more than 1%.
    """
    tokens_per_step = rules.batch_sequences(rule_set.length, model, rule_set) * rule_set.length
    steps = max(1, round(tokens / tokens_per_step))
    if abs(steps * tokens_per_step / tokens - 1) > BUDGET_TOLERANCE:
        raise SweepError(
            f"{tokens:.3g} tokens at width {model.width} are {tokens / tokens_per_step:.1f} steps of "
            f"{tokens_per_step:,} tokens, and whole steps miss them by over {BUDGET_TOLERANCE:.0%}: take "
            f"{50 * tokens_per_step:,} tokens or "
            "more, or a smaller batch"
        )
    return steps


def parameters_at_width(width: int, corpus: Corpus, rule_set: Rules) -> int:
    """Returns the number of parameters of the model of a width.

    Args:
        width: Width of the model.
        corpus: The corpus.
        rule_set: The rules.
    """
    return total_parameters(rules.model_at_width(width, corpus.vocab, rule_set))


def nearest_widths(
    widths: tuple[int, ...], corpus: Corpus, *, target_parameters: float, count: int, rule_set: Rules = SMALL
) -> list[int]:
    """Returns neighbouring widths whose sizes are centred, in log N, on a number of parameters.

    Args:
        widths: Widths to choose from.
        corpus: The corpus, whose vocabulary the models have.
        target_parameters: The centre.
        count: Number of widths.
        rule_set: The rules.
    """
    ladder = sorted(widths)
    sizes = [math.log(parameters_at_width(width, corpus, rule_set)) for width in ladder]
    target = math.log(target_parameters)
    starts = range(max(1, len(ladder) - count + 1))
    best = min(starts, key=lambda i: abs((sizes[i] + sizes[min(i + count, len(ladder)) - 1]) / 2 - target))
    return ladder[best : best + count]


def size_at_ratio(tokens_per_parameter: float) -> Callable[[float], float]:
    """Returns the function C -> sqrt(C / 6r), the size that reads r tokens per parameter at C = 6ND."""
    return lambda flops: math.sqrt(flops / (6 * tokens_per_parameter))


@dataclass(frozen=True, kw_only=True)
class IsoflopDesign:
    """An isoFLOP grid: at each budget, neighbouring sizes (Hoffmann 2022, section 3.2).

    Attributes:
        widths: Widths to choose from, the same for all budgets, so that a size that occurs in two shares its trunk.
        budgets: Budgets in FLOPs.
        sizes_per_budget: Number of sizes per budget.
        centre: Function from a budget to the number of parameters at the centre of its sizes.
        length: Context length in tokens.
        rule_set: The rules for everything else.
        max_size_ratio: Largest factor between a size and the centre; at least MIN_SIZES_PER_BUDGET sizes are used.
    """

    widths: tuple[int, ...]
    budgets: tuple[float, ...]
    sizes_per_budget: int
    centre: Callable[[float], float]
    length: int
    rule_set: Rules = SMALL
    max_size_ratio: float | None = None


def isoflop_grid(corpus: Corpus, design: IsoflopDesign, *, seed: int = 0) -> list[RunConfig]:
    """Returns the runs of an isoFLOP grid.

    Args:
        corpus: The corpus.
        design: Budgets and sizes.
        seed: Seed of every run.

    Raises:
        SweepError: A budget cannot be met.
    """
    runs, rule_set = [], design.rule_set
    for flops in design.budgets:
        for width in _budget_widths(corpus, design, design.centre(flops)):
            steps = steps_at_width(width, corpus, length=design.length, flops=flops, rule_set=rule_set)
            try:
                runs.append(
                    rules.run_at_width(
                        width, corpus, length=design.length, steps=steps, budget=flops, seed=seed, rule_set=rule_set
                    )
                )
            except ConfigError as error:
                raise SweepError(
                    f"budget {flops:.3g} FLOPs at width {width} with a vocabulary of {corpus.vocab:,}: {error}; "
                    "use a smaller vocabulary, such as bytes"
                ) from None
    return runs


def _budget_widths(corpus: Corpus, design: IsoflopDesign, target: float) -> list[int]:
    """Returns the widths of one budget, whose sizes lie around `target` parameters."""
    widths, count, ratio = design.widths, design.sizes_per_budget, design.max_size_ratio
    if ratio is not None:
        inside = tuple(
            width
            for width in widths
            if 1 / ratio <= parameters_at_width(width, corpus, design.rule_set) / target <= ratio
        )
        count = min(count, max(len(inside), MIN_SIZES_PER_BUDGET))
        widths = inside if len(inside) >= count else widths
    return nearest_widths(widths, corpus, target_parameters=target, count=count, rule_set=design.rule_set)
