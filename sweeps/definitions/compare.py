"""Two architectures under equal rules: the same sizes, budgets, batches and rates.

`python -m analysis multiplier STORE --by model.mlp` says how many times the compute the one needs of the other.
"""

from __future__ import annotations

import dataclasses

from scaling.config.run import RunConfig, override
from scaling.config.validation import ConfigError
from sweeps.definitions.isoflop import REACH
from sweeps.errors import SweepError
from sweeps.planning import rules
from sweeps.planning.budget import isoflop, whole_steps
from sweeps.planning.corpus import Corpus
from sweeps.planning.prior import prior as law
from sweeps.planning.rules import TPU, Rules

GATED = ("swiglu", "geglu")  # MLPs of three matrices, the others have two


def compare(
    corpus: Corpus,
    *,
    seed: int = 0,
    by: Rules = TPU,
    change: tuple[str, ...] = ("mlp=gelu",),
    budgets: tuple[float, ...] = (1e17, 3e17, 1e18, 3e18),
    sizes: int = 5,
    prior: str = "besiroglu",
) -> list[RunConfig]:
    """Two architectures under equal rules: isoFLOP grids of the rules' model and of it with `change`.

    Each budget is met by both: the changed model gets the steps that its own FLOPs leave it. An MLP of two matrices
    has 3/2 the hidden units of one of three (Shazeer 2020, section 2), unless the change says mlp_width.
    """
    grid = isoflop(
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
    if not change:
        raise SweepError("--set change=: must be fields of the model such as mlp=gelu or norm=layernorm,biases=all")
    return [one for run in grid for one in (run, changed(run, change, by))]


def changed(run: RunConfig, change: tuple[str, ...], by: Rules) -> RunConfig:
    """The run of the changed model at the same budget; SweepError for a change that cannot be."""
    try:
        model = override(run.model, list(change))
    except ConfigError as error:
        raise SweepError(f"--set change={','.join(change)}: {error}") from None
    if model == run.model:
        raise SweepError(f"--set change={','.join(change)}: is what the rules give anyway: nothing to compare")
    if model.layers > rules.MOST_LAYERS:
        raise SweepError(
            f"--set change={','.join(change)}: {model.layers:,} layers: take {rules.MOST_LAYERS:,} or fewer"
        )
    if not any(text.startswith("mlp_width=") for text in change) and (model.mlp in GATED) != (run.model.mlp in GATED):
        ratio = 2 / 3 if model.mlp in GATED else 3 / 2
        model = dataclasses.replace(model, mlp_width=rules.rounded_up(model.mlp_width * ratio, by.mlp_multiple))
    assert run.budget is not None
    steps = whole_steps(model, length=run.data.length, batch=run.batch, flops=run.budget)
    return dataclasses.replace(run, model=model, steps=steps)
