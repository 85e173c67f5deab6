"""IsoFLOP grid on local text: 7 budgets × 5 sizes, some minutes on two CPU cores.

Expected: 1.2e13 FLOPs with shared prefixes; 2e10 FLOP/s on two busy cores, 6e10 on fast idle ones. On `cpython` the
lowest validation losses were at widths 24, 24, 32, 48, 48, 48 and 48 (1.906, 1.832, 1.776, 1.705, 1.643, 1.588, 1.532
nats per token). With four of the budgets the interval of a by approach 2 is 1.6 times as wide, .47 to .80 instead of
.50 to .71.
"""

from __future__ import annotations

from scaling.config.run import RunConfig
from sweeps.planning.budget import IsoflopDesign, isoflop_grid, size_at_ratio
from sweeps.planning.corpus import Corpus

CORPUS = "cpython"
LENGTH = 128
WIDTHS = (16, 24, 32, 48, 64, 80, 96)  # the same for all budgets
BUDGETS = (
    2e11,
    2.8e11,
    4e11,
    5.7e11,
    8e11,
    1.13e12,
    1.6e12,
)  # a budget between two others costs only the decays, a fifth of it
SIZES_PER_BUDGET = 5
TOKENS_PER_PARAMETER = 40.0  # centre of each budget's sizes; above 20, because a byte carries less than a token


def quickstart(corpus: Corpus, *, seed: int = 0) -> list[RunConfig]:
    """IsoFLOP grid on local text: 7 budgets × 5 sizes, some minutes on two CPU cores.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
    """
    return isoflop_grid(
        corpus,
        IsoflopDesign(
            widths=WIDTHS,
            budgets=BUDGETS,
            sizes_per_budget=SIZES_PER_BUDGET,
            centre=size_at_ratio(TOKENS_PER_PARAMETER),
            length=LENGTH,
        ),
        seed=seed,
    )
