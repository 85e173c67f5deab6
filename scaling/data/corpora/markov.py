"""markov: a Markov chain of known entropy rate, so that a sweep on it has a known irreducible loss E.

The chain has order k over V symbols, with Zipf-like probabilities of the next symbol.

Axes: C contexts (V^k), S symbols (V), K directions.
"""

from __future__ import annotations

import itertools
import math
import random
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scaling.data.corpus import TokenCorpus, check_options, format_options, parse_number
from scaling.data.tokens import CorpusError

DEFAULTS = {"order": "1", "vocab": "64", "tokens": "2000000", "seed": "0", "zipf": "1.0"}
CHUNK_SYMBOLS = 1 << 16
MAX_CONTEXTS = 1 << 16
STATIONARY_RESIDUAL = 1e-14  # absolute change of the distribution in one step, in total
MAX_ITERATIONS = 100_000


@dataclass(frozen=True)
class Chain:
    """A Markov chain.

    Attributes:
        order: Symbols of a context, k.
        transition: Probability of each symbol after each context, float64 (C, S). The index of a context is its last
            `order` symbols in base V.
    """

    order: int
    transition: np.ndarray

    @property
    def vocab(self) -> int:
        """Number of symbols, V."""
        return self.transition.shape[1]


def open_corpus(argument: str, options: dict[str, str]) -> TokenCorpus:
    """Opens the corpus, one stream without document ends.

    Args:
        argument: Not used; must be empty.
        options: order, vocab, tokens, seed, zipf (the exponent); DEFAULTS for those not given.

    Raises:
        CorpusError: An option is unknown or out of range.
    """
    check_options("markov", options, DEFAULTS, argument)
    values = {**DEFAULTS, **options}
    order, vocab, tokens, seed = (
        parse_number("markov", name, values[name], int) for name in ("order", "vocab", "tokens", "seed")
    )
    zipf = parse_number("markov", "zipf", values["zipf"], float)
    if not (1 <= order <= 16 and vocab >= 2 and tokens >= 1 and 0 <= zipf < math.inf and vocab**order <= MAX_CONTEXTS):
        allowed = f"order ≥ 1, vocab ≥ 2, tokens ≥ 1, zipf ≥ 0 and vocab^order ≤ {MAX_CONTEXTS:,}"
        raise CorpusError(f"corpus markov: {format_options(values)}: requires {allowed}")
    chain = make_chain(order, vocab, seed, zipf)
    facts = {"entropy_rate": entropy_rate(chain), "order": order}
    return TokenCorpus(lambda: sample_stream(chain, tokens, seed), vocab, None, "symbols", facts, tokens)


def make_chain(order: int, vocab: int, seed: int, zipf: float) -> Chain:
    """Makes a chain in which the symbols after each context have probabilities ∝ rank^-zipf.

    The ranks follow an affinity between context and symbol whose k-th direction has size 1/k. With this power-law
    spectrum a model of twice the width, or one trained on twice the text, improves by a power law too. With
    independent ranks everything would be learned at once, when the rank of the model suffices.

    Args:
        order: Symbols of a context.
        vocab: Number of symbols.
        seed: Names the random stream.
        zipf: Exponent of the probabilities.
    """
    uniform = random.Random(f"chain {seed}").random  # a stream that Python guarantees
    contexts = vocab**order
    u_CK, v_SK = (
        np.array([uniform() for _ in range(rows * vocab)]).reshape(rows, vocab) - 0.5 for rows in (contexts, vocab)
    )
    affinity_CS = (u_CK / np.arange(1, vocab + 1)) @ v_SK.T
    weights_S = np.arange(1, vocab + 1, dtype=np.float64) ** -zipf
    transition_CS = np.empty((contexts, vocab))
    order_CS = np.argsort(-affinity_CS, axis=1, kind="stable")
    np.put_along_axis(transition_CS, order_CS, weights_S[None] / weights_S.sum(), axis=1)
    return Chain(order, transition_CS)


def stationary_distribution(chain: Chain) -> np.ndarray:
    """Returns the long-run probability of each context, (C,); CorpusError where the iteration does not converge."""
    contexts = len(chain.transition)
    p_C = np.full(contexts, 1 / contexts)
    for _ in range(MAX_ITERATIONS):
        next_C = next_distribution(chain, p_C)
        if np.abs(next_C - p_C).sum() < STATIONARY_RESIDUAL:
            return next_C / next_C.sum()
        p_C = 0.5 * (p_C + next_C)  # damped: a periodic chain converges too
    raise CorpusError("corpus markov: the chain's stationary distribution did not converge")


def next_distribution(chain: Chain, p_C: np.ndarray) -> np.ndarray:
    """Returns the distribution of contexts one symbol later: (c0 … ck-1) and s lead to (c1 … ck-1 s).

    Args:
        chain: The chain.
        p_C: Distribution of contexts.
    """
    joint_CS = p_C[:, None] * chain.transition
    return joint_CS.reshape(chain.vocab, -1).sum(axis=0)


def entropy_rate(chain: Chain) -> float:
    """Returns H = -Σ_c π(c) Σ_s p(s|c) ln p(s|c) in nats per symbol (Cover & Thomas 2006, theorem 4.2.4)."""
    p_CS = chain.transition
    log_CS = np.log(p_CS, where=p_CS > 0, out=np.zeros_like(p_CS))
    return float(-(stationary_distribution(chain)[:, None] * p_CS * log_CS).sum())


def sample_stream(chain: Chain, tokens: int, seed: int) -> Iterator[np.ndarray]:
    """Samples one stream in chunks, starting in the most likely context.

    Args:
        chain: The chain.
        tokens: Symbols in total.
        seed: Names the random stream.
    """
    uniform = random.Random(f"stream {seed}").random
    cumulative = [list(itertools.accumulate(row)) for row in chain.transition.tolist()]
    vocab, contexts = chain.vocab, len(cumulative)
    context, last = int(np.argmax(stationary_distribution(chain))), vocab - 1
    for start in range(0, tokens, CHUNK_SYMBOLS):
        chunk = np.empty(min(CHUNK_SYMBOLS, tokens - start), np.uint32)
        for i in range(len(chunk)):
            symbol = min(bisect(cumulative[context], uniform()), last)
            chunk[i] = symbol
            context = (context * vocab + symbol) % contexts
        yield chunk
