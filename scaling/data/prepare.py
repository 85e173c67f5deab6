"""`python -m scaling prepare CORPUS`: a corpus to a token file, once; after that nothing imports TensorFlow."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from scaling.data import CORPORA
from scaling.data.corpus import Text, Tokens, held_out, open_corpus
from scaling.data.tokens import TokenFile, open_tokens, write_tokens

END = 20  # one part in so many of a stream, its end, is held out
FEW = 100  # documents: with fewer, a split by hash would be a lottery

Split = Callable[[bool], Iterator[np.ndarray]]  # held out or not -> token arrays in order


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("corpus", metavar="CORPUS", help=f"{', '.join(CORPORA)}: kind:argument,key=value,...")
    parser.add_argument("--store", required=True, type=Path, metavar="DIR")
    parser.add_argument("--tokenizer", default="bytes", help="bytes (default) or sentencepiece:V")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Prepares and says what came of it."""
    tokens = open_tokens(prepare(args.corpus, args.store / "tokens", tokenizer=args.tokenizer))
    if args.json:
        print(json.dumps(describe(tokens)))
    else:
        print(
            f"{tokens.path}\n  {tokens.counts[0]:,} training and {tokens.counts[1]:,} validation tokens of "
            f"{tokens.documents:,} documents, vocabulary {tokens.vocab}\n  data.tokens = {tokens.content_hash}"
        )
    return 0


def describe(tokens: TokenFile) -> dict[str, object]:
    """What `--json` prints."""
    return {
        "path": str(tokens.path), "tokens": tokens.content_hash, "corpus": tokens.corpus,
        "tokenizer": tokens.tokenizer, "vocab": tokens.vocab, "eod": tokens.eod, "train": tokens.counts[0],
        "validation": tokens.counts[1], "documents": tokens.documents, "facts": tokens.facts,
    }  # fmt: skip


def prepare(spec: str, folder: Path, *, tokenizer: str = "bytes") -> Path:
    """The token file of a corpus in `folder`; the same corpus twice gives the same file, left as it is.

    Documents are split into training and validation by their own hash. A corpus of few documents
    (or one unbroken stream) has its end held out instead.
    """
    corpus = open_corpus(spec)
    if isinstance(corpus, Tokens):
        return _tokens(spec, corpus, folder)
    return _text(spec, corpus, folder, tokenizer)


def _tokens(spec: str, corpus: Tokens, folder: Path) -> Path:
    def documents(held: bool | None) -> Iterator[np.ndarray]:
        return (d for d in corpus.documents() if held in (None, held_out(d.astype("<i8").tobytes())))

    def write(split: Split, counted: dict[bool, int]) -> Path:
        return _write(spec, split, counted, folder, corpus.tokenizer, corpus.vocab, corpus.eod, corpus.facts)

    for note in corpus.notes:
        print(f"{spec}: {note}", file=sys.stderr)
    if corpus.eod is None:
        return write(_cut(corpus.documents, corpus.total), {False: 1})
    counted: dict[bool, int] = {}
    if sum(1 for _ in itertools.islice(corpus.documents(), FEW)) < FEW:
        print(f"{spec}: fewer than {FEW} documents: the end of the corpus is held out", file=sys.stderr)
        return write(_cut(lambda: _counted(spec, documents(None), False, counted, None)), counted)
    return write(lambda held: _counted(spec, documents(held), held, counted, None), counted)


def _text(spec: str, corpus: Text, folder: Path, name: str) -> Path:
    from scaling.data import tokenizers

    few = sum(1 for _ in itertools.islice(corpus.documents(), FEW)) < FEW
    counted: dict[bool, int] = {}

    def chosen(held: bool | None) -> Iterator[bytes]:
        return (d for d in corpus.documents() if held in (None, held_out(d)))

    tokenizer = tokenizers.make(name, lambda: chosen(None if few else False), folder)

    def encoded(held: bool | None) -> Iterator[np.ndarray]:
        ended = (np.append(tokenizer.encode(d), tokenizer.eod) for d in chosen(held))
        return _counted(spec, ended, bool(held), counted, corpus.total)

    split = _cut(lambda: encoded(None)) if few else encoded
    path = _write(spec, split, counted, folder, name, tokenizer.vocab, tokenizer.eod, tokenizer.facts)
    notes = [f"fewer than {FEW} documents: the end of the corpus is held out"] if few else []
    for note in [*corpus.notes, *notes]:
        print(f"{spec}: {note}", file=sys.stderr)
    return path


def _cut(stream: Callable[[], Iterator[np.ndarray]], total: int | None = None) -> Split:
    """Splits a stream of arrays: all but the last part trains, the last is held out. To be read in that order, once."""
    if total is None:
        total = sum(len(part) for part in stream())
    left, parts, over = total - total // END, stream(), np.zeros(0, np.uint32)

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


def _write(
    spec: str, split: Split, counted: dict[bool, int], folder: Path,
    tokenizer: str, vocab: int, eod: int | None, facts: dict,
) -> Path:  # fmt: skip
    return write_tokens(
        folder, split(False), split(True), corpus=spec, tokenizer=tokenizer, vocab=vocab, eod=eod,
        documents=lambda: sum(counted.values()), facts=facts,
    )  # fmt: skip


def _counted(
    spec: str, documents: Iterator[np.ndarray], held: bool, counted: dict[bool, int], total: int | None
) -> Iterator[np.ndarray]:
    """The documents as they are, counted, with progress on standard error where a person watches."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"{spec}: {'validation' if held else 'training'} split", total=total)
        for count, document in enumerate(documents, 1):
            counted[held] = count
            progress.advance(task)
            yield document
