"""Tasks whose truth is known, drawn at random, and how often the verdict finds it.

Every draw has its own number of scales (6 to 12, over 2 to 4 decades), items (100 to 1000), tokens an answer (2 to 8),
runs a scale (1 or 3) and noise between runs. The logit of a token's probability goes
  artefact   straight up with the log of scale, from a floor of nothing or of one in ten digits; exact match is its k-th
             power, and sits below 5% for at least the lower 40% of scales;
  break      along a slight slope, and through a jump less than a tenth of a decade wide;
  smooth     straight up, one token an answer or a choice of four, and the score with it;
  floor      nowhere;
  few        as in artefact or break, at 3 to 5 scales.

Key: n scales, R runs a scale, I items, k tokens an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from analysis.evals import verdict
from analysis.evals.series import Series, choices, values

CHANCE = 0.1  # of a digit


@dataclass(frozen=True)
class Truth:
    """A task by scale: x (n,) log10 C; z (n,) logit of a token; k tokens; chance of a token; choice of four or not."""

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
        """The score without noise (n,)."""
        return np.asarray(self.token**self.k)


def artefact(rng: np.random.Generator, n: int) -> Truth:
    x = _scales(rng, n)
    while True:
        k, chance = int(rng.integers(2, 9)), float(rng.choice([0.0, CHANCE]))
        top = (rng.uniform(0.5, 0.95)) ** (1 / k)
        high = logit((top - chance) / (1 - chance))
        low = logit(rng.uniform(0.02, 0.15)) if not chance else rng.uniform(-5.0, -2.0)
        truth = Truth(x, low + (high - low) * _share(x), k, chance)
        if np.mean(truth.score < 0.05) >= 0.4:
            return truth


def break_(rng: np.random.Generator, n: int) -> Truth:
    x, k = _scales(rng, n), int(rng.integers(2, 9))
    low = logit(rng.uniform(0.08, 0.3))
    high = logit(rng.uniform(0.4, 0.9) ** (1 / k))
    width = rng.uniform(0.005, 0.025)  # of a logistic; from a tenth to nine tenths it takes 4.4 of them
    first = x[2] + 4 * width  # three scales below know nothing of it
    at = rng.uniform(first, max(first, x[-2]))
    drift = rng.uniform(0.0, 0.4) * (_share(x) - 0.5)
    return Truth(x, low + drift + (high - low) * expit((x - at) / width), k)


def smooth(rng: np.random.Generator, n: int) -> Truth:
    x = _scales(rng, n)
    if rng.random() < 0.5:
        low, high = logit(rng.uniform(0.1, 0.3)), logit(rng.uniform(0.7, 0.9))
        return Truth(x, low + (high - low) * _share(x), 1)
    low, high = logit(rng.uniform(0.3, 0.4)), logit(rng.uniform(0.6, 0.9))
    return Truth(x, low + (high - low) * _share(x), 1, choice=True)


def floor(rng: np.random.Generator, n: int) -> Truth:
    x = _scales(rng, n)
    return Truth(x, np.full(n, logit(rng.uniform(0.05, 0.3))), int(rng.integers(2, 9)))


def few(rng: np.random.Generator, n: int) -> Truth:
    return (artefact if rng.random() < 0.5 else break_)(rng, n)


TRUTHS: dict[str, tuple[Callable[[np.random.Generator, int], Truth], tuple[int, int], str]] = {
    "artefact": (artefact, (6, 12), verdict.ARTEFACT),
    "break": (break_, (6, 12), verdict.BREAK),
    "smooth": (smooth, (6, 12), verdict.SMOOTH),
    "floor": (floor, (6, 12), verdict.CANNOT),
    "few": (few, (4, 5), verdict.CANNOT),
}


def drawn(truth: Truth, rng: np.random.Generator, items: int, runs: int, seeds: float) -> tuple[Series, Series]:
    """A score and a log-probability as measured: the same items at all scales, harder and easier ones among them."""
    n, k = len(truth.x), truth.k
    harder = rng.normal(0, 0.7, items)
    noise = rng.normal(0, seeds, (n, runs, 1))
    p = truth.chance + (1 - truth.chance) * expit(truth.z[:, None, None] + noise + harder)
    own = expit(logit(p)[..., None] + rng.normal(0, 0.3, (n, runs, items, k)))  # tokens differ
    right = rng.random(own.shape) < own
    x = np.repeat(truth.x, runs)
    hits = right.all(-1).sum(-1).ravel()
    logp = np.log(own).mean(-1).reshape(-1, items)
    return choices(x, hits, np.full(len(x), items)), values(x, logp.mean(-1), logp.var(-1) / items)


def study(draws: int, seed: int = 0, said: Callable[[int], None] = lambda done: None) -> dict[str, Counter[str]]:
    """{truth: {verdict: how many of `draws`}}."""
    found: dict[str, Counter[str]] = {}
    for name, (make, (least, most), _) in TRUTHS.items():
        found[name] = Counter()
        for i in range(draws):
            rng = np.random.default_rng([seed, i, *name.encode()])
            truth = make(rng, int(rng.integers(least, most + 1)))
            items, runs = int(np.exp(rng.uniform(np.log(100), np.log(1000)))), int(rng.choice([1, 3]))
            both = drawn(truth, rng, items, runs, rng.uniform(0.0, 0.15))
            found[name][verdict.judge(*both).verdict] += 1
            said(sum(sum(c.values()) for c in found.values()))
    return found


def _scales(rng: np.random.Generator, n: int) -> np.ndarray:
    """log10 C of n scales, not quite evenly apart."""
    gaps = rng.uniform(0.7, 1.3, n - 1)
    return 18 + rng.uniform(2, 4) * np.concatenate([[0.0], np.cumsum(gaps) / gaps.sum()])


def _share(x: np.ndarray) -> np.ndarray:
    return np.asarray((x - x[0]) / (x[-1] - x[0]))
