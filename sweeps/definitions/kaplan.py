"""Kaplan's sweeps (2020): in N, in D, in C, in batch, in shape.

Each run has the rules' rate, batch and warm-up, and a decay of its own (WSD), where Kaplan had one long cosine for all:
so that lengths of one size are branches of one trunk, and their losses those of finished runs.
"""

from __future__ import annotations

import dataclasses

from scaling.config.model import ModelConfig
from scaling.config.run import EvalConfig, RunConfig
from scaling.models.counts import parameters
from sweeps.definitions.brackets import with_batch
from sweeps.definitions.isoflop import REACH
from sweeps.errors import SweepError
from sweeps.planning import budget, rules
from sweeps.planning.budget import steps_reading
from sweeps.planning.corpus import Corpus
from sweeps.planning.prior import prior as law
from sweeps.planning.rules import TPU, Rules

CLOSE = 0.01  # the most by which sizes of `in_shape` may differ from the one asked for
MLP_RATIOS = (1.5, 5.0)  # of MLP to width, within which a shape may make up for whole layers
EVALUATIONS = 40  # along a run of `in_batch`, whose steps to a loss are read off its curve


def in_n(
    corpus: Corpus,
    *,
    seed: int = 0,
    by: Rules = TPU,
    widths: tuple[int, ...] = (128, 256, 384, 512, 640, 768, 1024, 1280),
    tokens: float = 2e10,
) -> list[RunConfig]:
    """Kaplan's L(N) (2020, section 3.2): sizes at one large D."""
    return [reading(rules.model(width, corpus.vocab, by), corpus, tokens, seed, by) for width in widths]


def in_d(
    corpus: Corpus,
    *,
    seed: int = 0,
    by: Rules = TPU,
    width: int = 1024,
    tokens: tuple[float, ...] = (3e8, 6e8, 1.25e9, 2.5e9, 5e9, 1e10, 2e10),
) -> list[RunConfig]:
    """Kaplan's L(D) (2020, section 3.3): tokens, read once, at one large N."""
    return [reading(rules.model(width, corpus.vocab, by), corpus, each, seed, by) for each in tokens]


def in_c(
    corpus: Corpus,
    *,
    seed: int = 0,
    by: Rules = TPU,
    budgets: tuple[float, ...] = (1e17, 2e17, 4e17, 8e17, 1.6e18, 3.2e18, 6.4e18, 1.28e19, 2.56e19),
    sizes: int = 3,
    prior: str = "besiroglu",
) -> list[RunConfig]:
    """Kaplan's L(C) (2020, section 6): budgets along the frontier, few sizes about a prior law's best."""
    return budget.isoflop(
        corpus,
        widths=by.widths,
        budgets=budgets,
        sizes_per_budget=sizes,
        centre=law(prior).best_size,
        length=by.length,
        seed=seed,
        by=by,
        reach=REACH,
    )


def in_batch(
    corpus: Corpus,
    *,
    seed: int = 0,
    by: Rules = TPU,
    width: int = 512,
    factors: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
    rates: tuple[float, ...] = (0.5, 1.0, 2.0),
    ratio: float = 20.0,
) -> list[RunConfig]:
    """Batch and the critical one (Kaplan 2020, section 5.1): batches × rates, tokens to a loss read off curves.

    E = E_min (1 + B / B_crit): a batch above the rule's gets the tokens that B_crit at the rule's batch would ask for.
    The rate is constant, so that every point of a curve is a run that could have ended there.
    """
    of = rules.model(width, corpus.vocab, by)
    base = reading(of, corpus, ratio * parameters(of)["total"], seed, by)
    runs = []
    for factor in factors:
        if base.batch * factor < 1:
            continue
        run = with_batch(base, round(base.batch * factor))
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
    by: Rules = TPU,
    width: int = 768,
    widths: tuple[int, ...] = (384, 512, 640, 768, 1024, 1280, 1536, 2048),
    ratio: float = 20.0,
) -> list[RunConfig]:
    """Depth against width at fixed N (Kaplan 2020, section 3.1): N without embeddings of `width`, met to 1%."""
    base = rules.model(width, corpus.vocab, by)
    wanted = without_vocabulary(base)
    first = reading(base, corpus, ratio * parameters(base)["total"], seed, by)
    return [dataclasses.replace(first, model=shaped(each, wanted, base, by)) for each in widths]


def reading(of: ModelConfig, corpus: Corpus, tokens: float, seed: int, by: Rules) -> RunConfig:
    """The run of a model that reads so many tokens."""
    return rules.run_of(of, corpus, length=by.length, steps=steps_reading(of, tokens, by), seed=seed, by=by)


def without_vocabulary(of: ModelConfig) -> int:
    """Parameters without embedding and head."""
    counted = parameters(of)
    return counted["total"] - counted["embedding"] - counted.get("head", 0)


def shaped(width: int, wanted: int, base: ModelConfig, by: Rules) -> ModelConfig:
    """The model of a width with `wanted` parameters beside the vocabulary's: layers and MLP make up for it."""
    shapes = []
    for layers in range(1, 1 + min(rules.MOST_LAYERS, wanted // (4 * width * width))):
        mlp = round((wanted / layers - 4 * width**2 - 2 * width) / (3 * width * by.mlp_multiple)) * by.mlp_multiple
        if MLP_RATIOS[0] * width <= mlp <= MLP_RATIOS[1] * width:
            shapes.append((layers, mlp))
    heads = width // rules.head_size(width, by)
    for layers, mlp in sorted(shapes, key=lambda shape: abs(shape[1] / width - base.mlp_width / base.width)):
        made = dataclasses.replace(base, width=width, layers=layers, heads=heads, mlp_width=mlp)
        if abs(without_vocabulary(made) / wanted - 1) <= CLOSE:
            return made
    raise SweepError(
        f"width {width}: no number of layers up to {rules.MOST_LAYERS:,} gives {wanted:,} parameters within "
        f"{CLOSE:.0%}: take widths nearer the base's, or another base"
    )
