"""Codes of the warnings in verdicts on fits, optima and predictions.

A verdict is a list of lines "code: sentence", or ["converged"] if there are no warnings.
"""

from __future__ import annotations

from collections.abc import Iterable

CONVERGED = "converged"
VERDICTS = {
    CONVERGED: "There are no warnings.",
    "parameter-at-bound": "The best value of a parameter is at its bound, often 0.",
    "unidentifiable": "The points do not determine a parameter or an exponent.",
    "too-few-points": "The number of points minus the number of parameters is less than five.",
    "too-few-sizes": "The envelope of approach 1 consists of fewer than four model sizes.",
    "too-few-budgets": "Approach 2 has fewer than three minima to fit a power law to.",
    "disagreeing-starts": "Few starts of the search reach the lowest objective.",
    "local-minima": "Other parameters fit equally well within noise.",
    "outliers": "Some points are far from the law.",
    "duplicate-points": "Some points occur twice and are counted twice.",
    "correlated-points": "Rows of one run are taken as independent, so the intervals are too narrow.",
    "group-effect": "Runs of different groups, such as corpora, do not follow one law.",
    "no-effect": "The points do not show that the output depends on an input.",
    "repeated-data": "Runs repeat their data, and the law counts repeated tokens like new ones.",
    "rounded-budgets": "Stated budgets differ from the compute of their runs.",
    "mixed-budgets": "Runs of one budget differ in compute.",
    "influential-points": "Dropping some points moves a parameter out of its interval.",
    "regime-change": "The residuals have a changepoint in compute.",
    "edge-minimum": "The best size of a budget is the smallest or largest, or its interval extends beyond them.",
    "concave-parabola": "The losses of a budget have no minimum in model size.",
    "parabola-bias": "Approach 2 is biased for this design, by more than half its standard error.",
    "lack-of-fit": "Losses deviate from the curve of their budget by more than their noise.",
    "no-optimum": "The loss has no minimum in model size at this compute.",
    "unreachable": "Some bootstrap samples never reach the target loss.",
    "extrapolation": "The inputs are outside of the range of the fitted points.",
}


def warning(code: str, sentence: str) -> str:
    """Returns a line of a verdict.

    Args:
        code: A key of VERDICTS.
        sentence: Description with numbers.
    """
    if code not in VERDICTS:
        raise KeyError(f"verdict {code!r}: must be one of {', '.join(VERDICTS)}")
    return f"{code}: {sentence}"


def verdict(warnings: Iterable[str]) -> tuple[str, ...]:
    """Returns the warnings as a verdict, ("converged",) if there are none."""
    return tuple(warnings) or (CONVERGED,)


def has_warnings(verdict: Iterable[str]) -> bool:
    """Returns whether a verdict differs from ("converged",)."""
    return tuple(verdict) != (CONVERGED,)
