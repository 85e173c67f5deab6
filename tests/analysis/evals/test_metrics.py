"""Metrics of items: by hand, at chance, unbiased, and with intervals that hold what they promise."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from analysis.evals import metrics
from analysis.evals.metrics import METRICS, levenshtein_distance, pass_at_k_estimate, pass_until_estimate
from scaling.store.score_intervals import wilson_interval


def items(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame(columns)


CHOICES = items(
    choice_logp=[[-2.0, -1.0, -4.0], [-2.0, -8.0, -9.0]],
    choice_tokens=[[1, 1, 4], [1, 8, 3]],
    choice_bytes=[[2, 2, 40], [1, 2, 3]],
    choice_prior_logp=[[-1.0, -0.5, -8.0], [-1.0, -9.0, -9.0]],
    gold=[2, 1],
)


@pytest.mark.parametrize(
    ("metric", "right"),
    [("accuracy", [0, 0]), ("accuracy-token", [0.5, 1]), ("accuracy-byte", [1, 0]), ("accuracy-prior", [1, 1])],
)
def test_the_right_choice_is_the_likeliest_by_each_norm(metric: str, right: list[float]) -> None:
    """By token the first item has two likeliest, -1 each: it counts half."""
    assert METRICS[metric].compute(CHOICES) == pytest.approx(right)


def test_choices_alike_are_at_chance_and_not_right() -> None:
    alike = items(choice_logp=[[-3.0] * 4] * 5, gold=[0, 0, 0, 0, 0])
    assert metrics.accuracy(alike) == pytest.approx(0.25)
    assert metrics.choice_logp(alike) == pytest.approx(np.log(0.25))
    assert metrics.brier_score(alike) == pytest.approx(0.75**2 + 3 * 0.25**2)


def test_log_probability_of_the_answer_a_token_a_byte_and_in_all() -> None:
    table = items(answer_logp=[[-1.0, -3.0], [-0.5]], answer_bytes=[8, 2], choice_logp=[None, None], gold=[None, None])
    assert metrics.answer_logp(table) == pytest.approx([-2.0, -0.5])
    assert metrics.answer_logp(table, "all") == pytest.approx([-4.0, -0.5])
    assert metrics.answer_logp(table, "byte") == pytest.approx([-0.5, -0.25])
    assert metrics.brier_score(table) == pytest.approx([(1 - np.exp(-4)) ** 2, (1 - np.exp(-0.5)) ** 2])


def test_what_was_not_kept_is_none_and_never_0() -> None:
    bare = items(answer=["12"], greedy=[None], passed=[None], generated=[None])
    assert all(metric.compute(bare) is None for metric in METRICS.values())
    subset = items(greedy=[True, None, False])
    assert np.array_equal(metrics.exact_match(subset), [1.0, np.nan, 0.0], equal_nan=True)


def test_edit_distance_is_the_fewest_changes() -> None:
    words = ["", "a", "ab", "ba", "abc", "bca", "aab"]
    for a, b in itertools.product(words, repeat=2):
        assert levenshtein_distance(a, b) == levenshtein_distance(b, a) and (levenshtein_distance(a, b) == 0) == (
            a == b
        )
        assert abs(len(a) - len(b)) <= levenshtein_distance(a, b) <= max(len(a), len(b))
        for c in words:
            assert levenshtein_distance(a, c) <= levenshtein_distance(a, b) + levenshtein_distance(b, c)
    assert levenshtein_distance("kitten", "sitting") == 3
    table = items(generated=[["1235", "x"], ["7 1 2"], ["9"]], answer=["1234", "1 2 3", "99"])
    assert metrics.edit_distance(table) == pytest.approx([1 / 4, 2 / 3, 1 / 2])


def test_pass_at_k_is_unbiased() -> None:
    """Chen 2021, equation 1: its mean over samples is 1 − (1 − p)^k exactly; that of 1 − (1 − c/n)^k is not."""
    n, k, p = 12, 5, 0.15
    c = np.arange(n + 1)
    chances = binom.pmf(c, n, p)
    assert chances @ [pass_at_k_estimate(n, int(x), k) for x in c] == pytest.approx(1 - (1 - p) ** k, rel=1e-12)
    assert abs(chances @ (1 - (1 - c / n) ** k) - (1 - (1 - p) ** k)) > 0.01
    assert (
        pass_at_k_estimate(5, 5, 1) == 1
        and pass_at_k_estimate(5, 0, 5) == 0
        and pass_at_k_estimate(10, 3, 1) == pytest.approx(0.3)
    )


def test_pass_at_k_takes_k_samples() -> None:
    table = items(passed=[[False, True, False, False], [True, False]])  # the first is greedy
    assert np.array_equal(metrics.pass_at_k(table, 2), [pass_at_k_estimate(3, 1, 2), np.nan], equal_nan=True)
    assert metrics.pass_at_k(table, 4) is None


def test_pass_until_is_passes_over_samples_up_to_the_last_of_them() -> None:
    """Hu 2023: r/K; where the samples end before the r-th pass, what there is."""
    passed = np.array([0, 0, 1, 0, 1, 1], bool)
    assert pass_until_estimate(passed, 1) == pytest.approx(1 / 3) and pass_until_estimate(passed, 2) == pytest.approx(
        2 / 5
    )
    assert pass_until_estimate(passed, 3) == pytest.approx(1 / 2) and pass_until_estimate(passed, 5) == pytest.approx(
        1 / 2
    )
    assert pass_until_estimate(np.zeros(9, bool), 1) == 0


def test_wilson_covers() -> None:
    """Averaged over shares, Wilson's 95% interval holds the truth 95 times in 100; at 0 of n it goes on above 0."""
    n, p = 50, np.linspace(0.02, 0.98, 97)
    k = np.arange(n + 1)
    low, high = np.array([wilson_interval(x, n) for x in k]).T
    covered = (binom.pmf(k, n, p[:, None]) * ((low <= p[:, None]) & (p[:, None] <= high))).sum(1)
    assert covered.mean() == pytest.approx(0.95, abs=0.01)
    assert wilson_interval(0, 50)[0] == 0 and wilson_interval(0, 50)[1] > 0.05 and wilson_interval(50, 50)[1] == 1
