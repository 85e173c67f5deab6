"""IsoFLOP grid on the text at hand: 4 budgets × 6 sizes, some five minutes on two CPU cores.

Expected: about 1.1e13 FLOPs with shared prefixes, at 3e10 to 6e10 FLOP/s.
"""

from __future__ import annotations

from scaling.config import RunConfig
from sweeps.budget import isoflop
from sweeps.corpus import Corpus

CORPUS = "cpython"
LENGTH = 128
WIDTHS = (8, 16, 24, 32, 48, 64, 80, 96, 128)  # one ladder for all budgets
BUDGETS = (2e11, 4e11, 8e11, 1.6e12)
SIZES_PER_BUDGET = 6
TOKENS_PER_PARAMETER = 40.0  # where each budget's sizes are centred; bytes carry less than tokens, so above 20


def quickstart(corpus: Corpus, *, seed: int = 0) -> list[RunConfig]:
    """IsoFLOP grid on the text at hand: 4 budgets × 6 sizes, some minutes on two CPU cores."""
    return isoflop(
        corpus,
        widths=WIDTHS,
        budgets=BUDGETS,
        sizes_per_budget=SIZES_PER_BUDGET,
        tokens_per_parameter=TOKENS_PER_PARAMETER,
        length=LENGTH,
        seed=seed,
    )
