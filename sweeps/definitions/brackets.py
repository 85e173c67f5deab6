"""Brackets of learning rate and batch size per model size, and replicates under several seeds."""

from __future__ import annotations

import dataclasses
import math

from scaling.config.run import RunConfig
from sweeps.planning import rules
from sweeps.planning.budget import parameters_at_width, steps_for_tokens
from sweeps.planning.corpus import Corpus
from sweeps.planning.rules import TPU, Rules

WIDTHS = (256, 384, 512, 768)
FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def lr_bracket(
    corpus: Corpus,
    *,
    seed: int = 0,
    rule_set: Rules = TPU,
    widths: tuple[int, ...] = WIDTHS,
    factors: tuple[float, ...] = FACTORS,
    ratio: float = 20.0,
) -> list[RunConfig]:
    """Learning rates around the rules' value, per size; `analysis figure transfer` shows the best.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
        rule_set: The rules.
        widths: Widths of the models.
        factors: Multiples of the rules' learning rate.
        ratio: Tokens per parameter.
    """
    runs = []
    for run in base_runs(corpus, widths, ratio, seed, rule_set):
        for factor in factors:
            lr = float(f"{run.optimizer.lr * factor:.3g}")
            runs.append(dataclasses.replace(run, optimizer=dataclasses.replace(run.optimizer, lr=lr)))
    return runs


def batch_bracket(
    corpus: Corpus,
    *,
    seed: int = 0,
    rule_set: Rules = TPU,
    widths: tuple[int, ...] = WIDTHS,
    factors: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0),
    ratio: float = 20.0,
) -> list[RunConfig]:
    """Batch sizes around the rules' value, per size, at equal tokens; the learning rate scales with their square root.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
        rule_set: The rules.
        widths: Widths of the models.
        factors: Multiples of the rules' batch size.
        ratio: Tokens per parameter.
    """
    return [
        scale_batch(run, round(run.batch * factor))
        for run in base_runs(corpus, widths, ratio, seed, rule_set)
        for factor in factors
        if run.batch * factor >= 1
    ]


def seeds(
    corpus: Corpus,
    *,
    seed: int = 0,
    rule_set: Rules = TPU,
    widths: tuple[int, ...] = WIDTHS,
    count: int = 5,
    ratio: float = 20.0,
) -> list[RunConfig]:
    """The same runs under several seeds, to measure the noise between seeds.

    Args:
        corpus: The corpus.
        seed: First seed, in units of `count`.
        rule_set: The rules.
        widths: Widths of the models.
        count: Number of seeds.
        ratio: Tokens per parameter.
    """
    return [
        dataclasses.replace(run, seed=seed * count + i)
        for run in base_runs(corpus, widths, ratio, seed, rule_set)
        for i in range(count)
    ]


def base_runs(corpus: Corpus, widths: tuple[int, ...], ratio: float, seed: int, rule_set: Rules) -> list[RunConfig]:
    """Returns a run by the rules for each width.

    Args:
        corpus: The corpus.
        widths: The widths.
        ratio: Tokens per parameter.
        seed: Seed of every run.
        rule_set: The rules.
    """
    return [run_at_ratio(corpus, width, ratio, seed, rule_set) for width in widths]


def run_at_ratio(corpus: Corpus, width: int, ratio: float, seed: int, rule_set: Rules) -> RunConfig:
    """Returns the run of a width by the rules that reads a number of tokens per parameter.

    Args:
        corpus: The corpus.
        width: The width.
        ratio: Tokens per parameter.
        seed: Seed of the run.
        rule_set: The rules.
    """
    model = rules.model_at_width(width, corpus.vocab, rule_set)
    steps = steps_for_tokens(model, ratio * parameters_at_width(width, corpus, rule_set), rule_set)
    return rules.run_at_width(
        width, corpus, length=rule_set.length, steps=steps, budget=None, seed=seed, rule_set=rule_set
    )


def scale_batch(run: RunConfig, batch: int) -> RunConfig:
    """Returns the run at another batch size, with as many tokens of training and warm-up.

    The learning rate scales with the square root of the batch (Malladi 2022, adaptive optimisers).

    Args:
        run: The run.
        batch: Sequences per step.
    """
    ratio = batch / run.batch
    lr = float(f"{run.optimizer.lr * math.sqrt(ratio):.3g}")
    return dataclasses.replace(
        run,
        batch=batch,
        steps=max(1, round(run.steps / ratio)),
        optimizer=dataclasses.replace(run.optimizer, lr=lr),
        schedule=dataclasses.replace(run.schedule, warmup=max(1, round(run.schedule.warmup / ratio))),
    )
