"""IsoFLOP grid on a Markov chain, whose entropy rate is known: the fitted E must find it."""

from __future__ import annotations

from scaling.config import RunConfig
from sweeps.budget import isoflop
from sweeps.corpus import Corpus

CORPUS = "markov:order=1,vocab=64,tokens=3000000,seed=0"
LENGTH = 64
WIDTHS = (8, 16, 24, 32, 48, 64)
BUDGETS = (4e10, 8e10, 1.6e11, 3.2e11)
SIZES_PER_BUDGET = 5
TOKENS_PER_PARAMETER = 160.0


def markov(corpus: Corpus, *, seed: int = 0) -> list[RunConfig]:
    """IsoFLOP grid on a Markov chain of known entropy: 4 budgets × 5 sizes, a minute or two on two CPU cores."""
    return isoflop(
        corpus,
        widths=WIDTHS,
        budgets=BUDGETS,
        sizes_per_budget=SIZES_PER_BUDGET,
        tokens_per_parameter=TOKENS_PER_PARAMETER,
        length=LENGTH,
        seed=seed,
    )
