"""IsoFLOP grid by a prior law's centres, 1e17 FLOPs to 3e20: from 25 million parameters past one thousand million.

What it costs: `plan isoflop --slice v5e-16`. A laptop's: `--set rules=small --set budgets=2e11,4e11,8e11`.
"""

from __future__ import annotations

from scaling.config.run import RunConfig
from sweeps.planning import budget
from sweeps.planning.corpus import Corpus
from sweeps.planning.prior import prior as law
from sweeps.planning.rules import TPU, Rules

BUDGETS = (1e17, 3e17, 1e18, 3e18, 1e19, 3e19, 1e20, 3e20)
REACH = 4.0  # sizes at most so far from the centre: beyond, a budget leaves some less than two tokens a parameter


def isoflop(
    corpus: Corpus,
    *,
    seed: int = 0,
    by: Rules = TPU,
    budgets: tuple[float, ...] = BUDGETS,
    sizes: int = 7,
    prior: str = "besiroglu",
) -> list[RunConfig]:
    """IsoFLOP grid (Hoffmann 2022, section 3.2): budgets × sizes about a prior law's best."""
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
