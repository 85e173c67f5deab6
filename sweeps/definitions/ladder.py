"""Over-training ladders (Gadre 2024, section 3): each size at 5 to 640 tokens per parameter.

The runs of one size are branches of one trunk, so that the ladder costs little more than its longest run.
"""

from __future__ import annotations

from scaling.config.run import RunConfig
from sweeps.planning import rules
from sweeps.planning.budget import parameters_at_width, steps_for_tokens
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
    return [
        rules.run_at_width(
            width,
            corpus,
            length=rule_set.length,
            steps=steps_for_tokens(
                rules.model_at_width(width, corpus.vocab, rule_set),
                ratio * parameters_at_width(width, corpus, rule_set),
                rule_set,
            ),
            budget=None,
            seed=seed,
            rule_set=rule_set,
        )
        for width in widths
        for ratio in ratios
    ]
