"""Two architectures with the same sizes, budgets, batch sizes and learning rates.

`python -m analysis multiplier STORE --by model.mlp` estimates the compute multiplier of one over the other.
"""

from __future__ import annotations

import dataclasses

from scaling.config.run import RunConfig, override
from scaling.config.validation import ConfigError
from sweeps.definitions.isoflop import isoflop
from sweeps.errors import SweepError
from sweeps.planning import rules
from sweeps.planning.budget import steps_for_flops
from sweeps.planning.corpus import Corpus
from sweeps.planning.rules import TPU, Rules

GATED = ("swiglu", "geglu")  # MLPs with three matrices; the others have two


def compare(
    corpus: Corpus,
    *,
    seed: int = 0,
    rule_set: Rules = TPU,
    change: tuple[str, ...] = ("mlp=gelu",),
    budgets: tuple[float, ...] = (1e17, 3e17, 1e18, 3e18),
    sizes: int = 5,
    prior: str = "besiroglu",
) -> list[RunConfig]:
    """Two architectures compared: isoFLOP grids of the rules' model and of the same model with `change`.

    Both use the same budgets, so their numbers of steps differ. An MLP with two matrices has 3/2 of the hidden units of
    one with three (Shazeer 2020, section 2), unless the change sets mlp_width.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
        rule_set: The rules.
        change: Fields of the model, such as mlp=gelu.
        budgets: Budgets in FLOPs.
        sizes: Sizes per budget.
        prior: Law that centres the sizes (sweeps/planning/prior.py).
    """
    grid = isoflop(corpus, seed=seed, rule_set=rule_set, budgets=budgets, sizes=sizes, prior=prior)
    if not change:
        raise SweepError("--set change=: must be fields of the model such as mlp=gelu or norm=layernorm,biases=all")
    return [config for run in grid for config in (run, change_architecture(run, change, rule_set))]


def change_architecture(run: RunConfig, change: tuple[str, ...], rule_set: Rules) -> RunConfig:
    """Returns the run of the changed model at the same budget.

    Args:
        run: The run.
        change: Fields of the model.
        rule_set: The rules.

    Raises:
        SweepError: The change is invalid or has no effect.
    """
    try:
        model = override(run.model, list(change), "field")
    except ConfigError as error:
        raise SweepError(f"--set change={','.join(change)}: {error}") from None
    if model == run.model:
        raise SweepError(f"--set change={','.join(change)}: the rules' model already has these values: change others")
    if model.layers > rules.MAX_LAYERS:
        raise SweepError(
            f"--set change={','.join(change)}: {model.layers:,} layers: at most {rules.MAX_LAYERS:,} are allowed"
        )
    if not any(text.startswith("mlp_width=") for text in change) and (model.mlp in GATED) != (run.model.mlp in GATED):
        ratio = 2 / 3 if model.mlp in GATED else 3 / 2
        model = dataclasses.replace(model, mlp_width=rules.round_up(model.mlp_width * ratio, rule_set.mlp_multiple))
    assert run.budget is not None
    steps = steps_for_flops(model, length=run.data.length, batch=run.batch, flops=run.budget)
    return dataclasses.replace(run, model=model, steps=steps)
