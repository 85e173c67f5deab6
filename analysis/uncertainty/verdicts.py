"""Codes of the warnings in verdicts on fits, optima and predictions.

A verdict is a list of lines "code: sentence", or ["converged"] if there are no warnings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

CONVERGED = "converged"


@dataclass(frozen=True)
class Explanation:
    """What a verdict means, for the reference.

    Attributes:
        meaning: What was found.
        cause: Usual causes.
        remedy: What to do.
    """

    meaning: str
    cause: str
    remedy: str


VERDICTS = {
    CONVERGED: Explanation(
        "There are no warnings.",
        "The checks found nothing: the starts agree, the points determine each parameter, and the residuals show no "
        "pattern.",
        "None. The intervals still hold only within the range of the points.",
    ),
    "parameter-at-bound": Explanation(
        "The best value of a parameter is at its bound, often 0.",
        "The term of this parameter does not improve the fit, or `--bounds` excludes the optimum.",
        "Fit a law without the term, widen `--bounds`, or add runs that vary the input of the term.",
    ),
    "unidentifiable": Explanation(
        "The points do not determine a parameter or an exponent.",
        "N and D vary together, an input has two values only, or its range is small compared with the noise.",
        "Add runs off the line of the others (`analysis next` proposes them), or fix or tie a parameter with `--fix` "
        "or `--tie`. Do not quote the parameter; predictions within the range of the points can still be determined.",
    ),
    "too-few-points": Explanation(
        "The number of points minus the number of parameters is less than five.",
        "There are few runs, or `--where` or a frontier leaves few.",
        "Add runs, or fit a law with fewer parameters.",
    ),
    "too-few-sizes": Explanation(
        "The envelope of approach 1 consists of fewer than four model sizes.",
        "Few sizes are the best at some compute: the others are too large or too small, or trained too briefly.",
        "Add sizes between those of the envelope, or use approach 2 or 3.",
    ),
    "too-few-budgets": Explanation(
        "Approach 2 has fewer than three minima to fit a power law to.",
        "There are few budgets, or the minima of some are outside of their sizes.",
        "Add budgets, or sizes on both sides of each minimum.",
    ),
    "disagreeing-starts": Explanation(
        "Few starts of the search reach the lowest objective.",
        "The objective has many local minima, often because the points hardly determine a parameter.",
        "Compare the minima with `--start`, fix a parameter, or add runs.",
    ),
    "local-minima": Explanation(
        "Other parameters fit equally well within noise.",
        "The points do not distinguish two descriptions of the same losses.",
        "Report all of them, or choose one with `--start` and say so.",
    ),
    "unmixed-chains": Explanation(
        "The chains that sample the posterior have not reached one distribution, or have few effective draws.",
        "The posterior has several modes, or a long curved ridge, because the points hardly determine a parameter.",
        "Fix a parameter, fit a law with fewer parameters, or use `--intervals bootstrap`.",
    ),
    "divergent-transitions": Explanation(
        "The sampler of the posterior made errors in a region of strong curvature, which it may have missed.",
        "The points hardly determine a parameter, or nearly all of the noise is in a few points.",
        "Fix a parameter or narrow its bounds, or use `--intervals bootstrap`.",
    ),
    "prior-dominated": Explanation(
        "The interval of a parameter is mostly that of its prior.",
        "The points say little about the parameter.",
        "Quote the parameter as undetermined, or add runs that vary the input of its term. Predictions within the "
        "range of the points can still be determined.",
    ),
    "outliers": Explanation(
        "Some points are far from the law.",
        "A run diverged, was not tuned, or has a wrong entry; or the law does not hold for it.",
        "Check these runs. Leave a run out with `--where` only for a reason that does not depend on its loss.",
    ),
    "duplicate-points": Explanation(
        "Some points occur twice and are counted twice.",
        "Two files were joined, or a run was exported twice.",
        "Remove the copies. Rows of one configuration with different seeds are not copies: see `--replicates`.",
    ),
    "correlated-points": Explanation(
        "Rows of one run are taken as independent, so the intervals are too narrow.",
        "The table has several checkpoints of each run, and the bootstrap draws rows.",
        "Use `--resampling runs`, or `--checkpoints final`.",
    ),
    "group-effect": Explanation(
        "Runs of different groups, such as corpora, do not follow one law.",
        "The source mixes corpora, architectures, optimizers or evaluation sets.",
        "Fit each group with `--by COLUMN`, or keep one with `--where`.",
    ),
    "no-effect": Explanation(
        "The points do not show that the output depends on an input.",
        "The range of the input is small compared with the noise, or a column was assigned to the wrong input.",
        "Check `--columns`, add runs with a wider range, or fit a law without this input.",
    ),
    "repeated-data": Explanation(
        "Runs repeat their data, and the law counts repeated tokens like new ones.",
        "Runs train for more tokens than the corpus has.",
        "Use `--law data-constrained`, or leave these runs out with `--where`.",
    ),
    "rounded-budgets": Explanation(
        "Stated budgets differ from the compute of their runs.",
        "The column of C has rounded values, such as 1e20 for 9.4e19.",
        "State the exact compute, or use `--flops 6nd` where C is 6·N·D.",
    ),
    "mixed-budgets": Explanation(
        "Runs of one budget differ in compute.",
        "Neighbouring budgets were joined, or runs of a budget were stopped at different compute.",
        "Name the column of budgets with `--columns budget=NAME`.",
    ),
    "influential-points": Explanation(
        "Dropping some points moves a parameter out of its interval.",
        "A few runs determine the parameter: the largest, or those of one budget or size.",
        "Check these runs, add runs near them, and report the parameter with and without them.",
    ),
    "regime-change": Explanation(
        "The residuals have a changepoint in compute.",
        "Small runs follow another law, for example because of warm-up, of embeddings in N, or of untuned "
        "hyperparameters.",
        "Fit only one side with `--where`, count N or C in another way (`--params`, `--flops`), or use a broken law.",
    ),
    "edge-minimum": Explanation(
        "The best size of a budget is the smallest or largest, or its interval extends beyond them.",
        "The sizes of the budget do not enclose its minimum.",
        "Add sizes beyond the edge that is named.",
    ),
    "concave-parabola": Explanation(
        "The losses of a budget have no minimum in model size.",
        "The sizes are too close for the noise, or a run of the budget diverged.",
        "Add sizes further apart, and check the runs of this budget. It is not used in the power law.",
    ),
    "parabola-bias": Explanation(
        "Approach 2 is biased for this design, by more than half its standard error.",
        "The losses of a budget are not symmetric about their minimum, and the sizes are far from it or not centred.",
        "Use `--minimum chinchilla` or approach 3, or add sizes near the minima.",
    ),
    "lack-of-fit": Explanation(
        "Losses deviate from the curve of their budget by more than their noise.",
        "Hyperparameters or the shape of the models vary between sizes, so that losses are not smooth in N.",
        "Tune each size; compare with `--minimum akima`. The intervals include the difference.",
    ),
    "no-optimum": Explanation(
        "The loss has no minimum in model size at this compute.",
        "An exponent is near 0, or the loss falls with N or D without limit in the fitted law.",
        "Add runs that vary N at fixed compute.",
    ),
    "unreachable": Explanation(
        "Some bootstrap samples never reach the target loss.",
        "The target is near the irreducible loss E, whose interval contains it.",
        "Choose a higher target, or add large runs, which narrow the interval of E.",
    ),
    "extrapolation": Explanation(
        "The inputs are outside of the range of the fitted points.",
        "A prediction was requested beyond the largest run, by more than `--extrapolation-ratio`.",
        "Take the interval as a lower limit of the uncertainty; measure the error of extrapolation with "
        "`analysis backtest`.",
    ),
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
