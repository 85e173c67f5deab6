"""The chains whose entropy rate is known: it is the one that they say."""

import math
from pathlib import Path

import numpy as np
import pytest

from scaling.data.corpora import markov
from scaling.data.prepare import prepare
from scaling.data.tokens import open_tokens


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.4), (0.5, 0.5), (1.0, 1.0), (0.999, 0.2), (1e-3, 0.3)])
def test_the_entropy_rate_of_two_states_is_the_closed_form(a: float, b: float) -> None:
    """Cover & Thomas 2006, example 4.2: H = b/(a+b) H(a) + a/(a+b) H(b); (1, 1) is periodic."""
    chain = markov.Chain(1, np.array([[1 - a, a], [b, 1 - b]]))

    def h(p: float) -> float:
        return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)

    np.testing.assert_allclose(markov.stationary_distribution(chain), [b / (a + b), a / (a + b)], rtol=1e-10)
    assert markov.entropy_rate(chain) == pytest.approx(b / (a + b) * h(a) + a / (a + b) * h(b), abs=1e-12)


def test_the_entropy_rate_of_a_chain_that_goes_to_and_fro_is_the_closed_form() -> None:
    """States 0 and 1 lead to 2, which leads to 0 or 1: from anywhere else the distribution never settles."""
    chain = markov.Chain(1, np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.3, 0.7, 0.0]]))
    np.testing.assert_allclose(markov.stationary_distribution(chain), [0.15, 0.35, 0.5], rtol=1e-10)
    assert markov.entropy_rate(chain) == pytest.approx(-(0.3 * math.log(0.3) + 0.7 * math.log(0.7)) / 2, abs=1e-12)


def test_the_stationary_distribution_stays_where_it_is_at_every_order() -> None:
    for order, vocab in ((1, 2), (1, 64), (2, 12), (3, 5), (8, 2)):
        chain = markov.make_chain(order, vocab, seed=3, zipf=1.3)
        pi = markov.stationary_distribution(chain)
        np.testing.assert_allclose(chain.transition.sum(axis=1), 1, rtol=1e-14)
        np.testing.assert_allclose(markov.next_distribution(chain, pi), pi, atol=1e-15)
        assert pi.min() >= 0 and pi.sum() == pytest.approx(1, abs=1e-14)
        # the same chain over contexts as states, its eigenvector by another road
        contexts = vocab**order
        matrix = np.zeros((contexts, contexts))
        for c in range(contexts):
            for s in range(vocab):
                matrix[c, (c * vocab + s) % contexts] += chain.transition[c, s]
        values, vectors = np.linalg.eig(matrix.T)
        lead = np.real(vectors[:, np.argmax(values.real)])
        np.testing.assert_allclose(pi, lead / lead.sum(), atol=1e-10)


def test_each_context_is_zipf_like_so_the_rate_is_that_of_the_zipf_law() -> None:
    p = np.arange(1, 33) ** -1.5
    p /= p.sum()
    chain = markov.make_chain(2, 32, seed=1, zipf=1.5)
    np.testing.assert_allclose(np.sort(chain.transition, axis=1)[:, ::-1], np.tile(p, (32 * 32, 1)), rtol=1e-14)
    assert markov.entropy_rate(chain) == pytest.approx(-(p * np.log(p)).sum(), abs=1e-12)
    assert markov.entropy_rate(markov.make_chain(1, 10, 0, 0.0)) == pytest.approx(math.log(10), abs=1e-14)


def entropy(counts: np.ndarray) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


@pytest.mark.parametrize(("order", "vocab"), [(1, 12), (2, 6), (3, 3)])
def test_the_entropy_rate_is_the_conditional_entropy_of_a_long_sample(order: int, vocab: int) -> None:
    chain = markov.make_chain(order, vocab, seed=5, zipf=1.0)
    stream = np.concatenate(list(markov.sample_stream(chain, 300_000, seed=5))).astype(np.int64)
    codes = sum(stream[i : len(stream) - order + i] * vocab ** (order - i) for i in range(order + 1))
    joint = np.bincount(codes, minlength=vocab ** (order + 1)).reshape(-1, vocab)
    measured = entropy(joint.ravel()) - entropy(joint.sum(axis=1))
    # the plug-in estimate is low by about (V - 1) V^k / 2n; its noise is about std(ln p) / sqrt(n)
    measured += (vocab - 1) * vocab**order / (2 * len(stream))
    assert measured == pytest.approx(markov.entropy_rate(chain), abs=4 / math.sqrt(len(stream)))
    expected = joint.sum(axis=1, keepdims=True) * chain.transition
    chi2, freedom = ((joint - expected) ** 2 / expected).sum(), (vocab - 1) * vocab**order
    assert chi2 < freedom + 6 * math.sqrt(2 * freedom), "each context is followed as the chain says"
    short = entropy(joint.sum(axis=1)) - entropy(joint.reshape(vocab ** (order - 1), -1, vocab).sum(axis=(1, 2)))
    assert order == 1 or short > measured + 0.01, "a shorter memory loses something"


def test_markov_is_one_stream_golden_and_says_its_entropy_rate(tmp_path: Path) -> None:
    tokens = open_tokens(prepare("markov:order=2,vocab=16,tokens=100000,seed=4", tmp_path))
    chain = markov.make_chain(2, 16, 4, 1.0)
    whole = np.concatenate([tokens.train, tokens.validation])
    np.testing.assert_array_equal(whole, np.concatenate(list(markov.sample_stream(chain, 100_000, 4))))
    assert tokens.counts == (95_000, 5_000) and (tokens.eod, tokens.vocab, tokens.tokenizer) == (None, 16, "symbols")
    assert tokens.facts == {"entropy_rate": markov.entropy_rate(chain), "order": 2}
    assert tokens.content_hash[:16] == "cc4d259008feb361"
    other = open_tokens(prepare("markov:order=2,vocab=16,tokens=100000,seed=5", tmp_path))
    assert other.content_hash != tokens.content_hash
