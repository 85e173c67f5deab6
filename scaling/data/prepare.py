"""A corpus to a token file, once; after that nothing imports TensorFlow."""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from scaling.data.corpus import Text, Tokens, held_out, open_corpus
from scaling.data.tokens import CHUNK, pack, token_type, write_tokens

END = 20  # one part in so many of a stream, its end, is held out
FEW = 100  # documents: with fewer, a split by hash would be a lottery
SPEAK = 30.0  # seconds between lines of progress where nobody watches a terminal

Split = Callable[[bool], Iterator[np.ndarray]]  # held out or not -> token arrays; to be read in that order, once
Document = tuple[bool, np.ndarray]  # held out or not, tokens
Item = TypeVar("Item")


def prepare(spec: str, folder: Path, *, tokenizer: str = "bytes") -> Path:
    """The token file of a corpus in `folder`; the same corpus twice gives the same file, left as it is.

    Documents are split into training and validation by their own hash. A corpus of few documents
    (or one unbroken stream) has its end held out instead. An OSError names the folder or the file.
    """
    corpus = open_corpus(spec)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(corpus, Text):
            return _text(spec, corpus, folder, tokenizer)
        if tokenizer != "bytes":
            _say(spec, f"brings its own tokens, the tokenizer {tokenizer} is not used")
        return _tokens(spec, corpus, folder)
    except OSError as error:
        if error.filename is None:  # a full disk
            raise OSError(error.errno, error.strerror, str(folder)) from None
        raise


def _say(spec: str, line: str) -> None:
    print(f"{spec}: {line}", file=sys.stderr)


def _tokens(spec: str, corpus: Tokens, folder: Path) -> Path:
    for note in corpus.notes:
        _say(spec, note)
    about: dict[str, Any] = {"vocab": corpus.vocab, "eod": corpus.eod, "tokenizer": corpus.tokenizer}
    if corpus.validation is not None:
        splits = (corpus.documents(), corpus.validation())
        return write_tokens(folder, *splits, corpus=spec, documents=lambda: 1, facts=corpus.facts, **about)
    if corpus.eod is None:
        total = corpus.total if corpus.total is not None else sum(len(part) for part in corpus.documents())
        split = _end_held_out(_watched(spec, corpus.documents(), total, "tokens", len), total)
        return write_tokens(
            folder, split(False), split(True), corpus=spec, documents=lambda: 1, facts=corpus.facts, **about
        )
    documents = ((held_out(d.astype("<i8").tobytes()), d) for d in corpus.documents())
    few = _few(corpus.documents())
    return _write(spec, documents, None, folder, few=few, facts=corpus.facts, **about)


def _text(spec: str, corpus: Text, folder: Path, name: str) -> Path:
    from rich.console import Console

    from scaling.data import tokenizers

    few = _few(corpus.documents())
    console = Console(stderr=True)
    with console.status(f"{spec}: tokenizer {name}") if console.is_terminal else contextlib.nullcontext():
        tokenizer = tokenizers.make(name, lambda: (d for d in corpus.documents() if few or not held_out(d)), folder)
    dtype = token_type(tokenizer.vocab)

    def ended(document: bytes) -> np.ndarray:
        tokens = tokenizer.encode(document)
        out = np.empty(len(tokens) + 1, dtype)
        out[:-1], out[-1] = tokens, tokenizer.eod
        return out

    path = _write(
        spec, ((held_out(d), ended(d)) for d in corpus.documents()), corpus.total, folder, few=few,
        tokenizer=name, vocab=tokenizer.vocab, eod=tokenizer.eod,
        facts={**corpus.facts, **tokenizer.facts},
    )  # fmt: skip
    for note in corpus.notes:
        _say(spec, note)
    return path


def _few(documents: Iterator[object]) -> bool:
    return sum(1 for _ in itertools.islice(documents, FEW)) < FEW


def _write(
    spec: str, documents: Iterator[Document], total: int | None, folder: Path, *, few: bool, vocab: int, **about: Any
) -> Path:
    """Writes documents that are read once: what must wait for its split waits in a file without a name."""
    counted = 0

    def counting() -> Iterator[Document]:
        nonlocal counted
        for document in _watched(spec, documents, total, "documents"):
            counted += 1
            yield document

    with tempfile.TemporaryFile(dir=folder) as spool:
        split = _by_place(counting(), spool, vocab) if few else _by_hash(counting(), spool, vocab)
        path = write_tokens(
            folder, split(False), split(True), corpus=spec, vocab=vocab, documents=lambda: counted, **about
        )
    if few:
        _say(spec, f"fewer than {FEW} documents: the end of the corpus is held out")
    return path


def _by_hash(documents: Iterator[Document], spool: BinaryIO, vocab: int) -> Split:
    def split(held: bool) -> Iterator[np.ndarray]:
        if held:
            yield from _back(spool, vocab)
            return
        for out, document in documents:
            if out:
                spool.write(pack(document, vocab))
            else:
                yield document

    return split


def _by_place(documents: Iterator[Document], spool: BinaryIO, vocab: int) -> Split:
    def stream() -> Iterator[np.ndarray]:
        yield from _back(spool, vocab)

    for _, document in documents:
        spool.write(pack(document, vocab))
    return _end_held_out(stream(), spool.tell() // np.dtype(token_type(vocab)).itemsize)


def _back(spool: BinaryIO, vocab: int) -> Iterator[np.ndarray]:
    spool.seek(0)
    while chunk := spool.read(CHUNK):
        yield np.frombuffer(chunk, token_type(vocab))


def _end_held_out(parts: Iterator[np.ndarray], total: int) -> Split:
    """Splits a stream of arrays: all but the last part trains, the last is held out."""
    left, over = total - total // END, np.zeros(0, np.uint32)

    def split(held: bool) -> Iterator[np.ndarray]:
        nonlocal left, over
        if held:
            yield over
            yield from parts
            return
        while left:
            part = next(parts)
            over, part = part[left:], part[:left]
            left -= len(part)
            yield part

    return split


def _watched(
    spec: str, items: Iterator[Item], total: int | None, unit: str, size: Callable[[Any], int] = lambda _: 1
) -> Iterator[Item]:
    """The items as they are, with a bar where a person watches, elsewhere a line now and then."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    done, spoke = 0, time.monotonic()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(spec, total=total)
        for item in items:
            yield item
            done += size(item)
            progress.update(task, completed=done)
            if progress.disable and time.monotonic() - spoke > SPEAK:
                spoke = time.monotonic()
                _say(spec, f"{done:,} {f'of {total:,} ' if total else ''}{unit}")
