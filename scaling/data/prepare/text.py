"""What the preparation of a text needs beside its documents: the tokeniser, skipped records, shares by tokens."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from scaling.data import tokenizers
from scaling.data.corpus import OWN_TOKENS, TextCorpus, TokenCorpus
from scaling.data.prepare.options import BadRecords
from scaling.data.prepare.progress import print_note
from scaling.data.tokens import CorpusError

Corpus = TypeVar("Corpus", TextCorpus, TokenCorpus)


def make_tokenizer(spec: str, name: str, training: Callable[[], Iterator[bytes]], folder: Path) -> tokenizers.Tokenizer:
    """Makes the tokeniser of a corpus; what it does not give back is said once.

    Args:
        spec: Specification of the corpus.
        name: The tokeniser as the user names it.
        training: Yields the documents that a tokeniser is trained on.
        folder: Folder of the token files.
    """
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(f"{spec}: tokenizer {name}") if sys.stderr.isatty() else contextlib.nullcontext():
        tokenizer = tokenizers.make_tokenizer(name, training, folder)
    if lost := tokenizer.facts.get("tokenizer_not_reversible"):
        print_note(spec, f"the tokenizer is not reversible: its tokens do not give back {', '.join(lost)}")
    return tokenizer


def mixture_for_tokenizer(corpus: TextCorpus, tokenizer: tokenizers.Tokenizer) -> TextCorpus:
    """Returns the corpus, of a mixture by tokens the one for a tokeniser.

    Args:
        corpus: The corpus.
        tokenizer: The tokeniser.
    """
    if corpus.by_tokens is None:
        return corpus
    extra = 1 if tokenizer.bos is None else 2  # the tokens that end and begin a document
    return corpus.by_tokens(lambda document: len(tokenizer.encode(document)) + extra)


def skip_bad_records(spec: str, corpus: Corpus, bad: BadRecords) -> Corpus:
    """Returns a corpus that leaves out bad records.

    Args:
        spec: Specification of the corpus.
        corpus: The corpus.
        bad: Counts them.

    Raises:
        CorpusError: The corpus has no records of files.
    """
    if not bad.limit:
        return corpus
    source, validation = corpus.source, corpus.validation_source
    if source is None:
        raise CorpusError(f"corpus {spec}: --skip-bad is for corpora of records in files, such as jsonl: and parquet:")
    corpus = replace(corpus, documents=lambda: source.documents(bad))
    return corpus if validation is None else replace(corpus, validation=lambda: validation.documents(bad))


def keep_tokenizer(spec: str, corpus: TokenCorpus, folder: Path) -> TokenCorpus:
    """Returns a corpus of tokens with the name and facts of their tokeniser, whose file is kept; others as they are.

    Args:
        spec: Specification of the corpus.
        corpus: The corpus.
        folder: Folder of the token files.
    """
    if OWN_TOKENS not in corpus.facts:
        return corpus
    tokenizer = make_tokenizer(spec, corpus.tokenizer, lambda: iter(()), folder)
    return replace(corpus, tokenizer=tokenizer.name, facts={**corpus.facts, **tokenizer.facts})
