"""markov: text with a known truth. An order-k chain over V symbols with Zipf-like next-symbol
probabilities, whose entropy rate is computed exactly: a sweep on it has a known irreducible loss E.
"""

from __future__ import annotations

import itertools
import math
import random
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scaling.data.corpus import Tokens, known_options, number
from scaling.data.tokens import DataError

DEFAULTS = {"order": "1", "vocab": "64", "tokens": "2000000", "seed": "0", "zipf": "1.0"}
CHUNK = 1 << 16


@dataclass(frozen=True)
class Chain:
    """transition[c, s]: probability of symbol s after the context c (its last `order` symbols in base V)."""

    order: int
    transition: np.ndarray  # (V^order, V), float64

    @property
    def vocab(self) -> int:
        return self.transition.shape[1]


def open_corpus(argument: str, options: dict[str, str]) -> Tokens:
    """Options: order, vocab, tokens, seed, zipf (the exponent). The stream has no document ends."""
    known_options("markov", {**options, **({argument: ""} if argument else {})}, tuple(DEFAULTS))
    given = {**DEFAULTS, **options}
    whole = (int(number("markov", name, given[name], int)) for name in ("order", "vocab", "tokens", "seed"))
    (order, vocab, tokens, seed), zipf = whole, number("markov", "zipf", given["zipf"], float)
    if not (1 <= order <= 16 and vocab >= 2 and tokens >= 1 and 0 <= zipf < math.inf and vocab**order <= 1 << 16):
        allowed = "order ≥ 1, vocab ≥ 2, tokens ≥ 1, zipf ≥ 0 and vocab^order ≤ 65,536"
        raise DataError(f"corpus markov: allowed are {allowed}; given were {given}".replace("'", ""))
    chain = make_chain(order, vocab, seed, zipf)
    facts = {"entropy_rate": entropy_rate(chain), "order": order}
    return Tokens(lambda: sample(chain, tokens, seed), vocab, None, "symbols", facts, tokens)


def make_chain(order: int, vocab: int, seed: int, zipf: float) -> Chain:
    """After each context the symbols have probabilities ∝ rank^-zipf.

    They rank by an affinity between context and symbol whose k-th direction has size 1/k: a power-law
    spectrum, so that a model of twice the width, or one that has read twice the text, knows more of it
    by a power too. Independent ranks would be learned all at once, when the model's rank suffices.
    """
    draw = random.Random(f"chain {seed}").random  # a stream that Python guarantees
    contexts = vocab**order
    u_CK, v_SK = (np.array([draw() for _ in range(n * vocab)]).reshape(n, vocab) - 0.5 for n in (contexts, vocab))
    affinity_CS = (u_CK / np.arange(1, vocab + 1)) @ v_SK.T
    weights = np.arange(1, vocab + 1, dtype=np.float64) ** -zipf
    transition = np.empty((contexts, vocab))
    best_first = np.argsort(-affinity_CS, axis=1, kind="stable")
    np.put_along_axis(transition, best_first, weights[None] / weights.sum(), axis=1)
    return Chain(order, transition)


def stationary(chain: Chain) -> np.ndarray:
    """Long-run probability of each context, shape (V^order,), to a residual under 1e-14."""
    contexts = len(chain.transition)
    p = np.full(contexts, 1 / contexts)
    for _ in range(100_000):
        moved = step(chain, p)
        if np.abs(moved - p).sum() < 1e-14:
            return moved / moved.sum()
        p = 0.5 * (p + moved)  # damped: a periodic chain converges too
    raise DataError("corpus markov: the chain's stationary distribution did not converge")


def step(chain: Chain, p: np.ndarray) -> np.ndarray:
    """Probabilities of the contexts one symbol later: (c0 … ck-1) and s lead to (c1 … ck-1 s)."""
    vocab = chain.vocab
    joint = p[:, None] * chain.transition  # (V^order, V): context, next symbol
    return joint.reshape(vocab, -1).sum(axis=0)


def entropy_rate(chain: Chain) -> float:
    """H = -Σ_c π(c) Σ_s p(s|c) ln p(s|c), nats a symbol (Cover & Thomas 2006, theorem 4.2.4)."""
    p = chain.transition
    logs = np.log(p, where=p > 0, out=np.zeros_like(p))
    return float(-(stationary(chain)[:, None] * p * logs).sum())


def loss_floor(chain: Chain, length: int) -> float:
    """Least mean loss over the `length` targets of a window: the first ones see fewer than `order` symbols.

    Target i (0-based) sees the i + 1 symbols before it. For order 1 this is the entropy rate.
    """
    vocab, pi = chain.vocab, stationary(chain)
    joint = (pi[:, None] * chain.transition).reshape(*(vocab,) * (chain.order + 1))

    def block(symbols: int) -> float:
        marginal = joint.sum(axis=tuple(range(chain.order + 1 - symbols)))
        seen = marginal[marginal > 0]
        return float(-(seen * np.log(seen)).sum())

    rate = entropy_rate(chain)
    short = [block(i + 2) - block(i + 1) for i in range(min(chain.order - 1, length))]
    return (sum(short) + (length - len(short)) * rate) / length


def sample(chain: Chain, tokens: int, seed: int) -> Iterator[np.ndarray]:
    """One unbroken stream of `tokens` symbols in chunks, begun in the most likely context of the long run."""
    draw = random.Random(f"stream {seed}").random
    ladders = [list(itertools.accumulate(row)) for row in chain.transition.tolist()]
    vocab, contexts = chain.vocab, len(ladders)
    context, last = int(np.argmax(stationary(chain))), vocab - 1
    for start in range(0, tokens, CHUNK):
        out = np.empty(min(CHUNK, tokens - start), np.uint32)
        for i in range(len(out)):
            symbol = min(bisect(ladders[context], draw()), last)
            out[i] = symbol
            context = (context * vocab + symbol) % contexts
        yield out
