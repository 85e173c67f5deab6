"""Mixtures by shares of tokens: text, whose tokens are counted by the tokenizer, or token streams of one vocabulary.

Documents are read once and none is cut, so that shares are met to a document. Without a total, a mixture ends with the
first part that ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np

from scaling.data.corpus import TextCorpus, TokenCorpus
from scaling.data.tokens import CorpusError

DEFAULT_TOKENS = 4_000_000  # of a mixture in which no part ends
Document = TypeVar("Document")  # bytes of text, or an array of tokens


@dataclass(frozen=True)
class TokenPart(Generic[Document]):
    """One part of a mixture.

    Attributes:
        name: Its name in the specification.
        share: Share of the tokens.
        documents: Starts a new iteration over the documents.
        ends: Whether the documents end.
    """

    name: str
    share: float
    documents: Callable[[], Iterator[Document]]
    ends: bool = True


def mix_tokens(
    parts: Sequence[TokenPart[Document]], total: int | None, count: Callable[[Document], int]
) -> Iterator[Document]:
    """Yields documents, next of the part that is furthest behind its share.

    Args:
        parts: The parts.
        total: Tokens of the mixture; None to end with the first part that ends.
        count: Counts the tokens of a document.

    Raises:
        CorpusError: A part has fewer tokens than its share of the total.
    """
    streams, tokens, unfinished = [part.documents() for part in parts], [0] * len(parts), set(range(len(parts)))
    while unfinished:
        i = min(unfinished, key=lambda i: (tokens[i] / parts[i].share, i))
        if total is not None and tokens[i] >= parts[i].share * total:
            unfinished.discard(i)
            continue
        document = next(streams[i], None)
        if document is None and total is None:
            return
        if document is None:
            limit = int(tokens[i] / parts[i].share)
            raise CorpusError(
                f"corpus mix: tokens={total}: the share of {parts[i].name} suffices for {limit}: lower tokens"
            )
        tokens[i] += count(document)
        yield document


def text_mixture(parts: list[TokenPart[bytes]], total: int | None, facts: dict[str, Any]) -> TextCorpus:
    """Makes a mixture of text. Before a tokenizer is known, shares are of the bytes: it is trained on these documents.

    Args:
        parts: The parts.
        total: Tokens of the mixture; None for as many as the parts suffice for.
        facts: Facts for the header of the token file.
    """
    if total is None and not any(part.ends for part in parts):
        total = DEFAULT_TOKENS

    def by_tokens(count: Callable[[bytes], int]) -> TextCorpus:
        return TextCorpus(partial(mix_tokens, parts, total, count), facts=facts)

    return TextCorpus(
        partial(mix_tokens, parts, total, lambda document: len(document) + 1), facts=facts, by_tokens=by_tokens
    )


def stream_mixture(
    corpora: dict[str, TokenCorpus], shares: dict[str, float], total: int | None, facts: dict[str, Any]
) -> TokenCorpus:
    """Makes a mixture of token streams.

    Args:
        corpora: The parts by their names.
        shares: Shares of the tokens by name.
        total: Tokens of the mixture; None for as many as the parts suffice for.
        facts: Facts for the header of the token file.

    Raises:
        CorpusError: The parts differ in vocabulary, end of a document or tokenizer.
    """
    for field in ("vocab", "eod", "tokenizer"):
        values = {name: getattr(corpus, field) for name, corpus in corpora.items()}
        if len(set(values.values())) > 1:
            listed = ", ".join(f"{name}: {value}" for name, value in values.items())
            raise CorpusError(f"corpus mix: parts must have one {field} ({listed}): set {field}= of each part")
    parts = [TokenPart(name, shares[name], corpus.documents) for name, corpus in corpora.items()]
    notes = [f"{name}: {note}" for name, corpus in corpora.items() for note in corpus.notes]
    notes += [f"{name}: the training split" for name, corpus in corpora.items() if corpus.validation is not None]
    first = next(iter(corpora.values()))
    documents, facts = partial(mix_tokens, parts, total, array_size), {**first.facts, **facts}
    return TokenCorpus(documents, first.vocab, first.eod, first.tokenizer, facts, notes=notes)


def array_size(tokens: np.ndarray) -> int:
    """Returns the number of tokens of an array."""
    return tokens.size
