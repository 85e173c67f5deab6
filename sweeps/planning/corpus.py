"""The corpus a sweep trains on, as far as planning needs it: its hash, its vocabulary, its length."""

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
    """A token file, seen from a plan."""

    name: str  # what a person calls it, as given to `prepare`
    tokens: str  # content hash, 64 hex digits
    vocab: int
    train: int  # tokens of the train split
    facts: dict[str, Any] = field(default_factory=dict)  # what is known of it, as its token file has it


def find(folder: Path, corpus: str, tokenizer: str = "bytes") -> Corpus | None:
    """The corpus as prepared in a folder of token files, None where it has not been.

    What a name stands for is settled by its latest preparation in a store: a text that changed needs
    `prepare` to be run again, and is then another corpus by its hash. A corpus that brings its own tokens
    (markov, seqio) is found whatever the tokenizer.
    """
    from scaling.data.tokens import CorpusError, find_corpus

    try:
        path = find_corpus(folder, corpus, tokenizer)
    except CorpusError as error:
        raise SweepError(str(error)) from None
    return read(path) if path is not None else None


def read(path: Path) -> Corpus:
    """The corpus in a token file; SweepError where the file is damaged."""
    from scaling.data.tokens import CorpusError, open_tokens

    try:
        file = open_tokens(path)
    except CorpusError as error:
        raise SweepError(str(error)) from None
    return Corpus(name=file.corpus, tokens=file.content_hash, vocab=file.vocab, train=len(file.train), facts=file.facts)


def prepare(store: Path, corpus: str, tokenizer: str = "bytes") -> Corpus:
    """Makes the token file with a process of its own, so that no TensorFlow is imported here."""
    command = [*PREPARE, corpus, "--store", str(store), "--tokenizer", tokenizer, "--json"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode < 0:
        print(f"corpus {corpus}: `prepare` was killed by {signal.Signals(-ended.returncode).name}", file=sys.stderr)
        raise PrepareError(corpus, 1)
    if ended.returncode != 0:
        raise PrepareError(corpus, ended.returncode)
    return read(Path(json.loads(ended.stdout.splitlines()[-1])["path"]))


def find_or_prepare(store: Path, corpus: str, tokenizer: str = "bytes") -> Corpus:
    """The corpus in a store, prepared first where it is not there."""
    found = find(store / "tokens", corpus, tokenizer)
    if found is not None:
        return found
    made = prepare(store, corpus, tokenizer)
    print(f"prepared corpus {corpus}: {made.train:,} training tokens, vocabulary {made.vocab}", file=sys.stderr)
    return made


@contextmanager
def for_planning(store: Path | None, corpus: str, tokenizer: str = "bytes") -> Iterator[Corpus]:
    """The corpus in a store or, where none is given, prepared in a folder that goes again.

    A run is named by the content of its text, so no plan without it.
    """
    if store is not None:
        yield find_or_prepare(store, corpus, tokenizer)
        return
    with tempfile.TemporaryDirectory(prefix="plan-") as folder:
        yield find_or_prepare(Path(folder), corpus, tokenizer)
