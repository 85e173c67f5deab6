"""The corpus of a sweep: content hash, vocabulary and length, found or prepared in a store."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeps.errors import PrepareError, SweepError

PREPARE = (sys.executable, "-m", "scaling", "prepare")


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The facts about a token file that planning needs.

    Attributes:
        name: The corpus as given to `prepare`.
        tokens: Content hash, 64 hexadecimal digits.
        vocab: Size of the vocabulary.
        train: Tokens of the training split.
        facts: Facts from the token file, such as the entropy rate of a Markov chain.
    """

    name: str
    tokens: str
    vocab: int
    train: int
    facts: dict[str, Any] = field(default_factory=dict)


def locate_corpus(folder: Path, corpus: str, tokenizer: str = "bytes") -> Corpus | None:
    """Finds a prepared corpus.

    A name refers to the most recently prepared token file: after a text has changed, `prepare` writes a new file with
    another hash. Corpora that define their own tokens (markov, seqio) are found with any tokenizer.

    Args:
        folder: Folder of token files.
        corpus: The corpus as given to `prepare`.
        tokenizer: The tokenizer as given to `prepare`.

    Returns:
        The corpus, or None if it has not been prepared.
    """
    from scaling.data.corpora.specification import stored_corpus_name
    from scaling.data.tokenizers import stored_tokenizer_name
    from scaling.data.tokens import CorpusError, find_corpus

    try:
        path = find_corpus(folder, stored_corpus_name(corpus, folder), stored_tokenizer_name(tokenizer))
    except CorpusError as error:
        raise SweepError(str(error)) from None
    return read_corpus(path) if path is not None else None


def read_corpus(path: Path) -> Corpus:
    """Reads the corpus of a token file; SweepError if the file is damaged."""
    from scaling.data.tokens import CorpusError, open_tokens

    try:
        file = open_tokens(path)
    except CorpusError as error:
        raise SweepError(str(error)) from None
    return Corpus(name=file.corpus, tokens=file.content_hash, vocab=file.vocab, train=len(file.train), facts=file.facts)


def corpus_of_tokens(folder: Path, tokens: str) -> Corpus:
    """Returns the corpus with a content hash.

    Args:
        folder: Folder of token files.
        tokens: The hash.

    Raises:
        SweepError: There is none.
    """
    from scaling.data.tokens import CorpusError, find_tokens

    try:
        return read_corpus(find_tokens(folder, tokens))
    except CorpusError as error:
        raise SweepError(str(error)) from None


def prepare_corpus(store: Path, corpus: str, tokenizer: str = "bytes") -> Corpus:
    """Prepares a corpus in a child process, which may import TensorFlow.

    Args:
        store: The store's folder.
        corpus: The corpus as given to `prepare`.
        tokenizer: The tokenizer.

    Raises:
        PrepareError: `prepare` failed; it has printed the reason.
    """
    command = [*PREPARE, corpus, "--store", str(store), "--tokenizer", tokenizer, "--json"]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode < 0:
        print(f"corpus {corpus}: `prepare` was killed by {signal.Signals(-process.returncode).name}", file=sys.stderr)
        raise PrepareError(corpus, 1)
    if process.returncode != 0:
        raise PrepareError(corpus, process.returncode)
    return read_corpus(Path(json.loads(process.stdout.splitlines()[-1])["path"]))


def find_or_prepare(store: Path, corpus: str, tokenizer: str = "bytes") -> Corpus:
    """Returns a corpus of a store; prepares it first if necessary (see `prepare_corpus`).

    Args:
        store: The store.
        corpus: The corpus.
        tokenizer: The tokenizer as given to `prepare`.
    """
    existing = locate_corpus(store / "tokens", corpus, tokenizer)
    if existing is not None:
        return existing
    prepared = prepare_corpus(store, corpus, tokenizer)
    print(f"prepared corpus {corpus}: {prepared.train:,} training tokens, vocabulary {prepared.vocab}", file=sys.stderr)
    return prepared


@contextmanager
def planning_corpus(store: Path | None, corpus: str, tokenizer: str = "bytes") -> Iterator[Corpus]:
    """Context with the corpus of a store or, without a store, prepared in a temporary folder.

    A plan needs the prepared corpus, because run ids depend on the hash of the corpus.

    Args:
        store: The store's folder.
        corpus: The corpus as given to `prepare`.
        tokenizer: The tokenizer.
    """
    if store is not None:
        yield find_or_prepare(store, corpus, tokenizer)
        return
    with tempfile.TemporaryDirectory(prefix="plan-") as folder:
        yield find_or_prepare(Path(folder), corpus, tokenizer)
