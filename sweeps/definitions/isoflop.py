"""IsoFLOP grid centred on a published law, 1e17 to 3e20 FLOPs, 25 million to over one billion parameters.

`plan isoflop --slice v5e-16` shows its cost; on a laptop use `--set rules=small --set budgets=2e11,4e11,8e11`.
"""

from __future__ import annotations

from scaling.config.run import RunConfig
from sweeps.planning import budget
from sweeps.planning.corpus import Corpus
from sweeps.planning.prior import find_prior
from sweeps.planning.rules import TPU, Rules

BUDGETS = (1e17, 3e17, 1e18, 3e18, 1e19, 3e19, 1e20, 3e20)
MAX_SIZE_RATIO = 4.0  # of a size to the centre; larger models would read fewer than two tokens per parameter


def isoflop(
    corpus: Corpus,
    *,
    seed: int = 0,
    rule_set: Rules = TPU,
    budgets: tuple[float, ...] = BUDGETS,
    sizes: int = 7,
    prior: str = "besiroglu",
) -> list[RunConfig]:
    """IsoFLOP grid (Hoffmann 2022, section 3.2): budgets × sizes around the optimum of a published law.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
        rule_set: The rules.
        budgets: Budgets in FLOPs.
        sizes: Sizes per budget.
        prior: Law that centres the sizes (sweeps/planning/prior.py).
    """
    return budget.isoflop_grid(
        corpus,
        budget.IsoflopDesign(
            widths=rule_set.widths,
            budgets=budgets,
            sizes_per_budget=sizes,
            centre=find_prior(prior).best_size,
            length=rule_set.length,
            rule_set=rule_set,
            max_size_ratio=MAX_SIZE_RATIO,
        ),
        seed=seed,
    )
