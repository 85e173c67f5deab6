"""IsoFLOP grid on the text at hand: 7 budgets × 5 sizes, some minutes on two CPU cores.

Expected: 1.2e13 FLOPs with shared prefixes; 2e10 FLOP/s on two busy cores, 6e10 on quick and quiet ones. On `cpython`
the lowest held-out losses lay at widths 24, 24, 32, 48, 48, 48 and 48 (1.906, 1.832, 1.776, 1.705, 1.643, 1.588, 1.532
nats a token). Of four budgets approach 2's interval of a is 1.6 times as wide: .47 to .80, not .50 to .71.
"""

from __future__ import annotations

from scaling.config.run import RunConfig
from sweeps.planning.budget import by_ratio, isoflop
from sweeps.planning.corpus import Corpus

CORPUS = "cpython"
LENGTH = 128
WIDTHS = (16, 24, 32, 48, 64, 80, 96)  # one ladder for all budgets
BUDGETS = (2e11, 2.8e11, 4e11, 5.7e11, 8e11, 1.13e12, 1.6e12)  # one between two costs a fifth of itself: decays alone
SIZES_PER_BUDGET = 5
TOKENS_PER_PARAMETER = 40.0  # where each budget's sizes are centred; bytes carry less than tokens, so above 20


def quickstart(corpus: Corpus, *, seed: int = 0) -> list[RunConfig]:
    """IsoFLOP grid on the text at hand: 7 budgets × 5 sizes, some minutes on two CPU cores."""
    return isoflop(
        corpus,
        widths=WIDTHS,
        budgets=BUDGETS,
        sizes_per_budget=SIZES_PER_BUDGET,
        centre=by_ratio(TOKENS_PER_PARAMETER),
        length=LENGTH,
        seed=seed,
    )
