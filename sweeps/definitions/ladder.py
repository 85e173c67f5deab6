"""Over-training ladders (Gadre 2024, section 3): each size at 5 to 640 tokens a parameter.

All lengths of a size are one trunk with branches: the ladder costs little more than its longest run.
"""

from __future__ import annotations

from scaling.config.run import RunConfig
from sweeps.planning import rules
from sweeps.planning.budget import size, steps_reading
from sweeps.planning.corpus import Corpus
from sweeps.planning.rules import TPU, Rules

RATIOS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)


def ladder(
    corpus: Corpus,
    *,
    seed: int = 0,
    by: Rules = TPU,
    widths: tuple[int, ...] = (128, 256, 384, 512, 768),
    ratios: tuple[float, ...] = RATIOS,
) -> list[RunConfig]:
    """Over-training (Gadre 2024): sizes × 5 to 640 tokens a parameter."""
    return [
        rules.run(
            width,
            corpus,
            length=by.length,
            steps=steps_reading(rules.model(width, corpus.vocab, by), ratio * size(width, corpus, by), by),
            budget=None,
            seed=seed,
            by=by,
        )
        for width in widths
        for ratio in ratios
    ]
