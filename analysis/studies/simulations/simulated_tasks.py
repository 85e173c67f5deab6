"""Accuracy of the verdicts on emergence, on simulated tasks with a known truth.

Each task has a random number of scales (6 to 12, over 2 to 4 decades), of items (100 to 1000), of tokens per answer
(2 to 8), of runs per scale (1 or 3), and random noise between runs. The logit of the probability of a token is
  artefact   a straight line in log scale, above a floor of 0 or of one in ten digits; exact match is its k-th power and
             lies below 5% for at least the lower 40% of scales;
  break      a slight slope with a jump less than a tenth of a decade wide;
  smooth     a straight line, with one token per answer or a choice of four, so that the score rises smoothly;
  floor      constant;
  few        as in artefact or break, at 4 or 5 scales.

Key: n scales, R runs per scale, I items, k tokens per answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from analysis.evals import verdict
from analysis.evals.series import Series, binomial_series, mean_series
from analysis.studies.options import SimulatedTaskOptions

DIGIT_CHANCE = 0.1  # probability that a guessed digit is right
ITEM_SPREAD = 0.7  # standard deviation of the difficulty of items, in logits
TOKEN_SPREAD = 0.3  # standard deviation between tokens of an answer, in logits
LARGEST_RUN_SPREAD = 0.15  # largest standard deviation between runs of one scale, in logits


@dataclass(frozen=True)
class Truth:
    """A task by scale, without noise.

    Attributes:
        x: log10 of C (n,).
        z: Logit of the probability of a token (n,), above chance.
        k: Tokens per answer.
        chance: Probability that a guessed token is right.
        choice: Whether the task is a choice of four.
    """

    x: np.ndarray
    z: np.ndarray
    k: int
    chance: float = 0.0
    choice: bool = False

    @property
    def token(self) -> np.ndarray:
        """Probability of a token (n,)."""
        return np.asarray(self.chance + (1 - self.chance) * expit(self.z))

    @property
    def score(self) -> np.ndarray:
        """Exact match (n,)."""
        return np.asarray(self.token**self.k)


def artefact_task(rng: np.random.Generator, n: int) -> Truth:
    """Returns a task whose probability rises smoothly and whose exact match rises suddenly.

    Args:
        rng: Random number generator.
        n: Number of scales.
    """
    x = _log_compute(rng, n)
    while True:
        k, chance = int(rng.integers(2, 9)), float(rng.choice([0.0, DIGIT_CHANCE]))
        top = (rng.uniform(0.5, 0.95)) ** (1 / k)
        high = logit((top - chance) / (1 - chance))
        low = logit(rng.uniform(0.02, 0.15)) if not chance else rng.uniform(-5.0, -2.0)
        truth = Truth(x, low + (high - low) * _unit_range(x), k, chance)
        if np.mean(truth.score < 0.05) >= 0.4:
            return truth


def break_task(rng: np.random.Generator, n: int) -> Truth:
    """Returns a task whose probability jumps.

    Args:
        rng: Random number generator.
        n: Number of scales.
    """
    x, k = _log_compute(rng, n), int(rng.integers(2, 9))
    low = logit(rng.uniform(0.08, 0.3))
    high = logit(rng.uniform(0.4, 0.9) ** (1 / k))
    width = rng.uniform(0.005, 0.025)  # of a logistic, which rises from 10% to 90% within 4.4 widths
    first = x[2] + 4 * width  # the three scales below do not predict the jump
    center = rng.uniform(first, max(first, x[-2]))
    drift = rng.uniform(0.0, 0.4) * (_unit_range(x) - 0.5)
    return Truth(x, low + drift + (high - low) * expit((x - center) / width), k)


def smooth_task(rng: np.random.Generator, n: int) -> Truth:
    """Returns a task whose score rises smoothly.

    Args:
        rng: Random number generator.
        n: Number of scales.
    """
    x = _log_compute(rng, n)
    if rng.random() < 0.5:
        low, high = logit(rng.uniform(0.1, 0.3)), logit(rng.uniform(0.7, 0.9))
        return Truth(x, low + (high - low) * _unit_range(x), 1)
    low, high = logit(rng.uniform(0.3, 0.4)), logit(rng.uniform(0.6, 0.9))
    return Truth(x, low + (high - low) * _unit_range(x), 1, choice=True)


def floor_task(rng: np.random.Generator, n: int) -> Truth:
    """Returns a task whose probability does not change.

    Args:
        rng: Random number generator.
        n: Number of scales.
    """
    x = _log_compute(rng, n)
    return Truth(x, np.full(n, logit(rng.uniform(0.05, 0.3))), int(rng.integers(2, 9)))


def few_scales_task(rng: np.random.Generator, n: int) -> Truth:
    """Returns an artefact or a break with too few scales.

    Args:
        rng: Random number generator.
        n: Number of scales.
    """
    return (artefact_task if rng.random() < 0.5 else break_task)(rng, n)


class SimulatedTruth(NamedTuple):
    """Simulation of the tasks of one truth.

    Attributes:
        make: Function that simulates a task with n scales.
        scales: Smallest and largest number of scales.
        verdict: The correct verdict.
    """

    make: Callable[[np.random.Generator, int], Truth]
    scales: tuple[int, int]
    verdict: str


TRUTHS = {
    "artefact": SimulatedTruth(artefact_task, (6, 12), verdict.ARTEFACT),
    "break": SimulatedTruth(break_task, (6, 12), verdict.BREAK),
    "smooth": SimulatedTruth(smooth_task, (6, 12), verdict.SMOOTH),
    "floor": SimulatedTruth(floor_task, (6, 12), verdict.INCONCLUSIVE),
    "few": SimulatedTruth(few_scales_task, (4, 5), verdict.INCONCLUSIVE),
}


def simulate_measurements(
    truth: Truth, rng: np.random.Generator, items: int, runs: int, run_spread: float
) -> tuple[Series, Series]:
    """Simulates the score and the log-probability of a task, measured on the same items at all scales.

    Args:
        truth: The task.
        rng: Random number generator.
        items: Number of items.
        runs: Runs per scale.
        run_spread: Standard deviation between runs of one scale, in logits.
    """
    n, k = len(truth.x), truth.k
    difficulty_I = rng.normal(0, ITEM_SPREAD, items)
    noise_nR1 = rng.normal(0, run_spread, (n, runs, 1))
    p_nRI = truth.chance + (1 - truth.chance) * expit(truth.z[:, None, None] + noise_nR1 + difficulty_I)
    p_nRIk = expit(logit(p_nRI)[..., None] + rng.normal(0, TOKEN_SPREAD, (n, runs, items, k)))
    right_nRIk = rng.random(p_nRIk.shape) < p_nRIk
    x_r = np.repeat(truth.x, runs)
    hits_r = right_nRIk.all(-1).sum(-1).ravel()
    logp_rI = np.log(p_nRIk).mean(-1).reshape(-1, items)
    score = binomial_series(x_r, hits_r, np.full(len(x_r), items))
    return score, mean_series(x_r, logp_rI.mean(-1), logp_rI.var(-1) / items)


def verdict_counts(
    options: SimulatedTaskOptions = SimulatedTaskOptions(), progress: Callable[[int, int], None] | None = None
) -> dict[str, Counter[str]]:
    """Counts the verdicts on simulated tasks of each truth: {truth: {verdict: count}}.

    Args:
        options: Number of tasks of each truth, and the seed.
        progress: Called with the number of tasks done and in total.
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in TRUTHS}
    for name, simulated in TRUTHS.items():
        smallest, largest = simulated.scales
        for i in range(options.draws):
            rng = np.random.default_rng([options.seed, i, *name.encode()])
            truth = simulated.make(rng, int(rng.integers(smallest, largest + 1)))
            items, runs = int(np.exp(rng.uniform(np.log(100), np.log(1000)))), int(rng.choice([1, 3]))
            score, logp = simulate_measurements(truth, rng, items, runs, rng.uniform(0.0, LARGEST_RUN_SPREAD))
            counts[name][verdict.judge_emergence(score, logp).verdict] += 1
            if progress is not None:
                progress(sum(count.total() for count in counts.values()), options.draws * len(TRUTHS))
    return counts


def _log_compute(rng: np.random.Generator, n: int) -> np.ndarray:
    """log10 of C of n scales with uneven gaps."""
    gaps = rng.uniform(0.7, 1.3, n - 1)
    return 18 + rng.uniform(2, 4) * np.concatenate([[0.0], np.cumsum(gaps) / gaps.sum()])


def _unit_range(x: np.ndarray) -> np.ndarray:
    return np.asarray((x - x[0]) / (x[-1] - x[0]))
