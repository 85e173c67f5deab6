"""The verdict on a task: smooth, an artefact of the metric, a break, or cannot say, from its score and its
log-probability over the same scales.

The score is what one would report (exact match, accuracy); its rise is sharp where the scales below the change-point
foretold less than a third of it. The log-probability of the right answer, a token, has no floor to hide behind, so
more is asked of it: it is sharp where it jumps (half of its rise or more within half a decade, or between two
neighbouring scales, and less than half foretold), or where it too gave no sign until the score left its floor. Sharp
under both: a break. Sharp in the score alone: an artefact of the metric (Schaeffer 2023).

Where the limits stand was set on simulated truths (analysis/studies/planted_truths.py) alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.evals.changepoint import BELOW, LEAST, Sharpness, gain_before, sharpness
from analysis.evals.series import Series

SMOOTH, ARTEFACT, BREAK, CANNOT = "smooth", "artefact of the metric", "break", "cannot say"
VERDICTS = (SMOOTH, ARTEFACT, BREAK, CANNOT)
ALPHA = 0.01  # of a hinge, and of a rise
STRAIGHT = 0.1  # a line that noise takes as far from straight so often is straight
UNFORETOLD = 2 / 3  # share of a score's rise that makes it sharp
JUMP = 0.5  # share of the log-probability's rise that is a jump where it is made at once
SILENT = 0.25  # share of its rise that the log-probability may have made by the score's change-point and be no sign
LEAST_RISE = 0.05  # of a score, in shares of answers
DECADE = 0.5  # width of a jump, in decades
PART = 0.25  # and at most this part of all scales


@dataclass(frozen=True)
class Verdict:
    """What is said, why in one line, and what decides it. before: share of the log-probability's rise made by then."""

    verdict: str
    why: str
    score: Sharpness | None = None
    logp: Sharpness | None = None
    before: float | None = None
    codes: tuple[str, ...] = field(default=())


def judge(score: Series, logp: Series | None, *, decades: bool = True, level: float = 0.95) -> Verdict:
    """The verdict on one task. decades: whether x is in decades (else a jump is only bounded by a part of the span)."""
    n, span = len(score.x), float(score.x[-1] - score.x[0]) if len(score.x) else 0.0
    narrow = min(DECADE, PART * span) if decades else PART * span / 2
    if n < LEAST:
        return _cannot(f"{n} scales: at least {LEAST} are needed, {BELOW} of them below a change", "few")
    s = sharpness(score, narrow, level)
    assert s is not None
    g = sharpness(logp, narrow, level) if logp is not None else None
    if s.p_rise > ALPHA or s.rise < LEAST_RISE:
        return _cannot("the score does not rise above its floor by more than noise", "floor", s, g)
    moved = g is not None and g.p_rise <= ALPHA
    before = gain_before(logp, s.change) if logp is not None and moved else None
    jumps = g is not None and moved and g.steepest >= JUMP and g.unforetold >= JUMP
    silent = g is not None and before is not None and before <= SILENT and g.unforetold >= UNFORETOLD
    apart = (jumps or silent) and g is not None and g.p <= ALPHA
    if s.unforetold < UNFORETOLD or s.p > STRAIGHT:
        if apart:
            return _cannot("the log-probability jumps where the score does not", "apart", s, g, before)
        return Verdict(SMOOTH, _steady(s), s, g, before)
    if s.p > ALPHA:
        return _cannot(f"the score looks sharp, but noise does as much in {s.p:.0%} of straight lines", "noise", s, g)
    if g is None:
        return _cannot("the score is sharp, and there is no continuous metric beside it", "one", s)
    if not moved:
        return _cannot("the score is sharp, and the log-probability moves by no more than noise", "still", s, g)
    if (jumps or silent) and not apart:
        return _cannot(
            f"the log-probability looks sharp too, but noise does as much in {g.p:.0%} of lines", "noise", s, g, before
        )
    if apart:
        return Verdict(BREAK, _broke(g, jumps, before), s, g, before)
    return Verdict(
        ARTEFACT,
        f"the score rises after a stretch that foretold {max(0, 1 - s.unforetold):.0%} of it; the log-probability had "
        f"made {before or 0:.0%} of its way by then, and no jump",
        s,
        g,
        before,
    )


def _steady(s: Sharpness) -> str:
    if s.p > STRAIGHT:
        return "the score rises in a straight line, as far as noise lets one see"
    return f"the scales below foretold {min(1, 1 - s.unforetold):.0%} of the rise"


def _broke(g: Sharpness, jumps: bool, before: float | None) -> str:
    if jumps:
        return (
            f"{g.steepest:.0%} of the log-probability's rise is one jump, {max(0, 1 - g.unforetold):.0%} of it foretold"
        )
    return f"by the score's change the log-probability had made {before or 0:.0%} of its way: it gave no sign either"


def _cannot(
    why: str, code: str, s: Sharpness | None = None, g: Sharpness | None = None, before: float | None = None
) -> Verdict:
    return Verdict(CANNOT, why, s, g, before, (code,))
