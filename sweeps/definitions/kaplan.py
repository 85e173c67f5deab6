"""The sweeps of Kaplan 2020: over N, D, C, batch size and shape.

Learning rate, batch size and warm-up follow the rules. Each run has its own decay (WSD), where Kaplan used one long
cosine; runs of one size are then branches of one trunk, and their losses are those of finished runs.
"""

from __future__ import annotations

import dataclasses

from scaling.config.model import ModelConfig
from scaling.config.run import EvalConfig, RunConfig
from scaling.counting.counts import parameters
from sweeps.definitions.brackets import scale_batch
from sweeps.definitions.isoflop import isoflop
from sweeps.errors import SweepError
from sweeps.planning import rules
from sweeps.planning.budget import steps_for_tokens
from sweeps.planning.corpus import Corpus
from sweeps.planning.rules import TPU, Rules

SIZE_TOLERANCE = 0.01  # largest relative difference of the sizes in `in_shape`
MLP_RATIOS = (1.5, 5.0)  # range of hidden units per width within which `in_shape` adjusts the size
EVALUATIONS = 40  # per run of `in_batch`: its curve gives the number of steps to a loss


def in_n(
    corpus: Corpus,
    *,
    seed: int = 0,
    rule_set: Rules = TPU,
    widths: tuple[int, ...] = (128, 256, 384, 512, 640, 768, 1024, 1280),
    tokens: float = 2e10,
) -> list[RunConfig]:
    """Kaplan's L(N) (2020, section 3.2): sizes at one large D.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
        rule_set: The rules.
        widths: Widths of the models.
        tokens: Training tokens.
    """
    return [
        run_for_tokens(rules.model_at_width(width, corpus.vocab, rule_set), corpus, tokens, seed, rule_set)
        for width in widths
    ]


def in_d(
    corpus: Corpus,
    *,
    seed: int = 0,
    rule_set: Rules = TPU,
    width: int = 1024,
    tokens: tuple[float, ...] = (3e8, 6e8, 1.25e9, 2.5e9, 5e9, 1e10, 2e10),
) -> list[RunConfig]:
    """Kaplan's L(D) (2020, section 3.3): numbers of tokens, read once, at one large N.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
        rule_set: The rules.
        width: Width of the model.
        tokens: Training tokens.
    """
    return [
        run_for_tokens(rules.model_at_width(width, corpus.vocab, rule_set), corpus, value, seed, rule_set)
        for value in tokens
    ]


def in_c(
    corpus: Corpus,
    *,
    seed: int = 0,
    rule_set: Rules = TPU,
    budgets: tuple[float, ...] = (1e17, 2e17, 4e17, 8e17, 1.6e18, 3.2e18, 6.4e18, 1.28e19, 2.56e19),
    sizes: int = 3,
    prior: str = "besiroglu",
) -> list[RunConfig]:
    """Kaplan's L(C) (2020, section 6): budgets × a few sizes around the optimum of a published law.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
        rule_set: The rules.
        budgets: Budgets in FLOPs.
        sizes: Sizes per budget.
        prior: Law that centres the sizes (sweeps/planning/prior.py).
    """
    return isoflop(corpus, seed=seed, rule_set=rule_set, budgets=budgets, sizes=sizes, prior=prior)


def in_batch(
    corpus: Corpus,
    *,
    seed: int = 0,
    rule_set: Rules = TPU,
    width: int = 512,
    factors: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
    rates: tuple[float, ...] = (0.5, 1.0, 2.0),
    ratio: float = 20.0,
) -> list[RunConfig]:
    """Critical batch size (Kaplan 2020, section 5.1): batch sizes × learning rates.

    E = E_min (1 + B / B_crit): larger batches get the tokens that they would need if B_crit were the rules' batch. The
    learning rate is constant, so that every point of a curve is the loss of a run of that length.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
        rule_set: The rules.
        width: Width of the model.
        factors: Multiples of the rules' batch size.
        rates: Multiples of the learning rate at each batch size.
        ratio: Tokens per parameter at the rules' batch size.
    """
    model = rules.model_at_width(width, corpus.vocab, rule_set)
    base = run_for_tokens(model, corpus, ratio * parameters(model)["total"], seed, rule_set)
    runs = []
    for factor in factors:
        if base.batch * factor < 1:
            continue
        run = scale_batch(base, round(base.batch * factor))
        steps = round(run.steps * max(1.0, (1 + factor) / 2))
        schedule = dataclasses.replace(run.schedule, name="constant")
        held_out = EvalConfig(every=max(1, steps // EVALUATIONS), sequences=run.eval.sequences)
        for rate in rates:
            optimizer = dataclasses.replace(run.optimizer, lr=float(f"{run.optimizer.lr * rate:.3g}"))
            runs.append(dataclasses.replace(run, steps=steps, schedule=schedule, eval=held_out, optimizer=optimizer))
    return runs


def in_shape(
    corpus: Corpus,
    *,
    seed: int = 0,
    rule_set: Rules = TPU,
    width: int = 768,
    widths: tuple[int, ...] = (384, 512, 640, 768, 1024, 1280, 1536, 2048),
    ratio: float = 20.0,
) -> list[RunConfig]:
    """Depth against width at fixed N without embeddings, to 1% (Kaplan 2020, section 3.1).

    Args:
        corpus: The corpus.
        seed: Seed of every run.
        rule_set: The rules.
        width: Width of the model that determines N.
        widths: Widths of the models.
        ratio: Tokens per parameter.
    """
    base = rules.model_at_width(width, corpus.vocab, rule_set)
    target = nonembedding_parameters(base)
    first = run_for_tokens(base, corpus, ratio * parameters(base)["total"], seed, rule_set)
    return [dataclasses.replace(first, model=model_of_size(value, target, base, rule_set)) for value in widths]


def run_for_tokens(model: ModelConfig, corpus: Corpus, tokens: float, seed: int, rule_set: Rules) -> RunConfig:
    """Returns the run of a model that reads a number of tokens.

    Args:
        model: The model.
        corpus: The corpus.
        tokens: Training tokens.
        seed: Seed of the run.
        rule_set: The rules.
    """
    return rules.run_with_model(
        model,
        corpus,
        length=rule_set.length,
        steps=steps_for_tokens(model, tokens, rule_set),
        seed=seed,
        rule_set=rule_set,
    )


def nonembedding_parameters(model: ModelConfig) -> int:
    """Returns the number of parameters without embedding and head."""
    group_counts = parameters(model)
    return group_counts["total"] - group_counts["embedding"] - group_counts.get("head", 0)


def model_of_size(width: int, target: int, base: ModelConfig, rule_set: Rules) -> ModelConfig:
    """Returns a model of a width with a given number of non-embedding parameters; layers and MLP are adjusted.

    Args:
        width: The width.
        target: Parameters without embedding and head.
        base: Model that determines all other fields.
        rule_set: The rules.

    Raises:
        SweepError: No number of layers comes within 1%.
    """
    shapes = []
    for layers in range(1, 1 + min(rules.MAX_LAYERS, target // (4 * width * width))):
        mlp = (
            round((target / layers - 4 * width**2 - 2 * width) / (3 * width * rule_set.mlp_multiple))
            * rule_set.mlp_multiple
        )
        if MLP_RATIOS[0] * width <= mlp <= MLP_RATIOS[1] * width:
            shapes.append((layers, mlp))
    heads = width // rules.head_size(width, rule_set)
    for layers, mlp in sorted(shapes, key=lambda shape: abs(shape[1] / width - base.mlp_width / base.width)):
        candidate = dataclasses.replace(base, width=width, layers=layers, heads=heads, mlp_width=mlp)
        if abs(nonembedding_parameters(candidate) / target - 1) <= SIZE_TOLERANCE:
            return candidate
    raise SweepError(
        f"width {width}: no number of layers up to {rules.MAX_LAYERS:,} gives {target:,} parameters within "
        f"{SIZE_TOLERANCE:.0%}: use widths closer to the base's, or another base"
    )
