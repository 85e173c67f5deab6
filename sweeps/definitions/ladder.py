"""Over-training ladders (Gadre 2024, section 3): each size at 5 to 640 tokens per parameter.

The runs of one size are branches of one trunk, so that the ladder costs little more than its longest run.
"""

from __future__ import annotations

from scaling.config.run import RunConfig
from sweeps.definitions.brackets import run_at_ratio
from sweeps.planning.corpus import Corpus
from sweeps.planning.rules import TPU, Rules

RATIOS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)


def ladder(
    corpus: Corpus,
    *,
    seed: int = 0,
    rule_set: Rules = TPU,
    widths: tuple[int, ...] = (128, 256, 384, 512, 768),
    ratios: tuple[float, ...] = RATIOS,
) -> list[RunConfig]:
    """Over-training (Gadre 2024): sizes × 5 to 640 tokens per parameter.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
        rule_set: The rules.
        widths: Widths of the models.
        ratios: Tokens per parameter.
    """
    return [run_at_ratio(corpus, width, ratio, seed, rule_set) for width in widths for ratio in ratios]
