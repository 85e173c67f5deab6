"""Verdict on a task (smooth, metric artefact, break or inconclusive) from its score and log-probability by scale.

The score is the metric that is usually reported (exact match, accuracy). Its rise is sharp if the scales below the
changepoint predict less than a third of it. The log-probability of the correct answer per token has no floor, so the
test is stricter: it is sharp if it jumps (half of its rise or more within half a decade, or between two neighbouring
scales, less than half of it predicted), or if it did not rise either before the score left its floor. A rise that is
sharp in both is a break. A rise that is sharp only in the score is an artefact of the metric (Schaeffer 2023).

The thresholds were set only on simulated tasks (analysis/studies/simulations/simulated_tasks.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.evals.changepoint import MIN_SCALES, MIN_SCALES_BELOW, Sharpness, rise_share_before, sharpness
from analysis.evals.series import Series
from analysis.uncertainty.verdicts import Explanation

SMOOTH, ARTEFACT, BREAK, INCONCLUSIVE = "smooth", "metric artefact", "break", "inconclusive"
VERDICTS = {  # and the explanation of each
    SMOOTH: Explanation(
        "The score rises gradually: smaller scales predict it.",
        "The ability improves with scale like the loss.",
        "None. The score can be extrapolated, with its interval.",
    ),
    ARTEFACT: Explanation(
        "The score rises sharply, but the log-probability of the correct answer rises gradually before.",
        "The score counts only answers that are right as a whole, or the most probable choice (Schaeffer 2023).",
        "Report the log-probability beside the score, and extrapolate it instead.",
    ),
    BREAK: Explanation(
        "The score and the log-probability of the correct answer both rise sharply, at a scale with an interval.",
        "Smaller models do not show the ability in any measured quantity.",
        "Add scales near the changepoint, and seeds, to narrow its interval.",
    ),
    INCONCLUSIVE: Explanation(
        "The scores do not decide between the other verdicts; the reason is given.",
        "One of the reasons below.",
        "See the reason.",
    ),
}
INCONCLUSIVE_REASONS = {  # code: what is missing, and what to do
    "few": Explanation("There are too few scales.", "The sweep has few sizes.", "Add sizes, above all small ones."),
    "floor": Explanation(
        "The rise of the score above its floor is within the noise.",
        "The task is too hard for these models, or has few items.",
        "Add larger models, an easier version of the task, or items.",
    ),
    "disagree": Explanation(
        "The log-probability jumps where the score does not.",
        "A few items or one run determine the log-probability.",
        "Check the items of the runs at the jump, and add seeds.",
    ),
    "noise": Explanation(
        "A straight line with this noise can look as sharp.",
        "There are few items, few scales, or large differences between seeds.",
        "Add items, seeds, or scales near the rise.",
    ),
    "score-only": Explanation(
        "The score is sharp, but there is no continuous metric to compare it with.",
        "The table has only scores.",
        "Store the log-probability of the answers: `scaling evaluate` does, or name its column.",
    ),
    "logp-flat": Explanation(
        "The score is sharp, but the change of the log-probability is within the noise.",
        "The log-probability is of few items or of another form of the task.",
        "Add items and seeds.",
    ),
}
ALPHA = 0.01  # significance level of a hinge, and of a rise
LINEAR_P = 0.1  # p-value of the hinge above which a curve counts as a straight line
UNPREDICTED = 2 / 3  # smallest unpredicted share of the rise of a sharp score
JUMP = 0.5  # smallest share of the rise of the log-probability that counts as a jump if it is sudden
MAX_EARLY_RISE = (
    0.25  # share of the rise of the log-probability before the changepoint of the score that counts as none
)
MIN_RISE = 0.05  # smallest rise of a score, as a share of correct answers
JUMP_DECADES = 0.5  # largest width of a jump, in decades
JUMP_SPAN = 0.25  # largest width of a jump, as a share of the range of scales


@dataclass(frozen=True)
class Verdict:
    """A verdict and the measurements that decide it.

    Attributes:
        verdict: One of VERDICTS.
        reason: Reason in one line.
        score: Sharpness of the score.
        logp: Sharpness of the continuous metric.
        logp_before: Share of the rise of the continuous metric below the changepoint of the score.
        codes: Reason code of an inconclusive verdict: few, floor, disagree, noise, score-only or logp-flat.
    """

    verdict: str
    reason: str
    score: Sharpness | None = None
    logp: Sharpness | None = None
    logp_before: float | None = None
    codes: tuple[str, ...] = field(default=())


def judge_emergence(score: Series, logp: Series | None, *, decades: bool = True, level: float = 0.95) -> Verdict:
    """Returns the verdict on one task.

    Args:
        score: Share of correct answers by scale.
        logp: Log-probability of the correct answer, or another continuous metric, by scale; None if there is none.
        decades: Whether x is in decades; otherwise only JUMP_SPAN limits the width of a jump.
        level: Coverage of the interval of the changepoint.
    """
    n, span = len(score.x), float(score.x[-1] - score.x[0]) if len(score.x) else 0.0
    width = min(JUMP_DECADES, JUMP_SPAN * span) if decades else JUMP_SPAN * span / 2
    s = sharpness(score, width, level)
    if s is None:
        reason = (
            f"{n} scales are too few: at least {MIN_SCALES} are needed, {MIN_SCALES_BELOW} of them below a changepoint"
        )
        return _inconclusive(reason, "few")
    g = sharpness(logp, width, level) if logp is not None else None
    if s.p_rise > ALPHA or s.rise < MIN_RISE:
        return _inconclusive("the rise of the score above its floor is within the noise", "floor", s, g)
    before = rise_share_before(logp, s.changepoint) if logp is not None and _rises(g) else None
    if s.unpredicted < UNPREDICTED or s.p_hinge > LINEAR_P:
        if g is not None and _looks_sharp(g, before) and g.p_hinge <= ALPHA:
            return _inconclusive("the log-probability jumps where the score does not", "disagree", s, g, before)
        return Verdict(SMOOTH, _smooth_reason(s), s, g, before)
    return _judge_sharp_score(s, g, before)


def _judge_sharp_score(s: Sharpness, g: Sharpness | None, before: float | None) -> Verdict:
    """Verdict on a task whose score rises sharply, by its log-probability."""
    if s.p_hinge > ALPHA:
        chance = f"the score looks sharp, but {s.p_hinge:.0%} of straight lines with this noise look as sharp"
        return _inconclusive(chance, "noise", s, g)
    if g is None:
        return _inconclusive(
            "the score is sharp, but there is no continuous metric to compare it with", "score-only", s
        )
    if not _rises(g):
        return _inconclusive(
            "the score is sharp, but the change of the log-probability is within the noise", "logp-flat", s, g
        )
    if not _looks_sharp(g, before):
        reason = (
            f"the scales below the changepoint predict {max(0, 1 - s.unpredicted):.0%} of the rise of the score; "
            f"{before or 0:.0%} of the rise of the log-probability occurs below it, without a jump"
        )
        return Verdict(ARTEFACT, reason, s, g, before)
    if g.p_hinge > ALPHA:
        chance = (
            f"the log-probability looks sharp too, but {g.p_hinge:.0%} of straight lines with this noise look as sharp"
        )
        return _inconclusive(chance, "noise", s, g, before)
    return Verdict(BREAK, _break_reason(g, before), s, g, before)


def _rises(g: Sharpness | None) -> bool:
    """Whether the log-probability rises beyond its noise."""
    return g is not None and g.p_rise <= ALPHA


def _jumps(g: Sharpness) -> bool:
    return _rises(g) and g.steepest >= JUMP and g.unpredicted >= JUMP


def _looks_sharp(g: Sharpness, before: float | None) -> bool:
    """Whether the log-probability jumps, or does not rise before the changepoint of the score."""
    return _jumps(g) or (before is not None and before <= MAX_EARLY_RISE and g.unpredicted >= UNPREDICTED)


def _smooth_reason(s: Sharpness) -> str:
    if s.p_hinge > LINEAR_P:
        return "the score is consistent with a straight line within the noise"
    return f"the scales below the changepoint predict {min(1, 1 - s.unpredicted):.0%} of the rise"


def _break_reason(g: Sharpness, before: float | None) -> str:
    if _jumps(g):
        predicted = max(0, 1 - g.unpredicted)
        return (
            f"{g.steepest:.0%} of the rise of the log-probability occurs in one jump, and {predicted:.0%} is predicted"
        )
    return f"only {before or 0:.0%} of the rise of the log-probability occurs below the changepoint of the score"


def _inconclusive(
    reason: str, code: str, s: Sharpness | None = None, g: Sharpness | None = None, before: float | None = None
) -> Verdict:
    return Verdict(INCONCLUSIVE, reason, s, g, before, (code,))
