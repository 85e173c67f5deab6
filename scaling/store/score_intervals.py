"""Confidence intervals of scores over items: of a share by Wilson, of a mean and of a ratio of sums by Student's t.

SciPy is imported by the functions that need it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LEVEL = 0.95  # coverage of an interval unless another is requested


def wilson_interval(hits: float, items: float, level: float = LEVEL) -> tuple[float, float]:
    """Returns Wilson's interval of a share (Wilson 1927), which has the right coverage also near 0 and 1.

    Args:
        hits: Number of correct answers.
        items: Number of items.
        level: Coverage.
    """
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    share = hits / items
    middle = (share + z * z / (2 * items)) / (1 + z * z / items)
    half = z / (1 + z * z / items) * math.sqrt(share * (1 - share) / items + z * z / (4 * items * items))
    return (0.0 if hits == 0 else float(middle - half), 1.0 if hits == items else float(middle + half))


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], level: float = LEVEL
) -> tuple[float, float] | None:
    """Returns the interval of sum(numerators) / sum(denominators) over items (Cochran 1977, section 6.4).

    With denominators of 1 this is Student's interval of a mean. None for fewer than two items.

    Args:
        numerators: One value per item, such as the nats of a text.
        denominators: One value per item, such as its tokens.
        level: Coverage.
    """
    from scipy.special import stdtrit

    count, total = len(numerators), math.fsum(denominators)
    if count < 2:
        return None
    ratio = math.fsum(numerators) / total
    squares = math.fsum((x - ratio * y) ** 2 for x, y in zip(numerators, denominators, strict=True))
    half = float(stdtrit(count - 1, (1 + level) / 2)) * math.sqrt(count / (count - 1) * squares) / total
    return ratio - half, ratio + half
