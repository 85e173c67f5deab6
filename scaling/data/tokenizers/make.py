"""Makes a tokeniser: the one that the user names, or the one of a token file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scaling.data.tokenizers import hugging_face, sentencepiece_model, tiktoken_ranks
from scaling.data.tokenizers.files import MAX_BYTES
from scaling.data.tokenizers.options import KNOWN, MIN_PIECES, parse_tokenizer
from scaling.data.tokenizers.plain import bytes_tokenizer, numbers_tokenizer
from scaling.data.tokenizers.tokenizer import Tokenizer
from scaling.data.tokens import CorpusError


def make_tokenizer(name: str, training: Callable[[], Iterator[bytes]], folder: Path) -> Tokenizer:
    """Makes the tokeniser of a corpus, and keeps its file beside the token files.

    Args:
        name: `bytes`, `sentencepiece:V` for a model of V pieces, or one that others made: `sentencepiece:FILE.model`,
            `hf:PATH` or `tiktoken:NAME|FILE`, with options such as `,eod=TOKEN`.
        training: Yields the documents that a SentencePiece model is trained on.
        folder: Where the tokeniser's file is saved.

    Raises:
        CorpusError: The name is unknown, its file cannot be used, or the model cannot be trained.
    """
    if name == "bytes":
        return bytes_tokenizer()
    kind, _, size = name.partition(":")
    if kind == "sentencepiece" and size.isdecimal() and int(size) >= MIN_PIECES:
        trained = sentencepiece_model.train_sentencepiece(int(size), training)
        return sentencepiece_model.sentencepiece_tokenizer(name, trained, folder)
    spec = parse_tokenizer(name, ("eod", "bos", "pattern") if kind == "tiktoken" else ("eod", "bos"))
    if kind == "sentencepiece" and _is_model_file(spec.argument):
        return sentencepiece_model.open_model_file(spec, folder)
    if kind == "hf" and spec.argument:
        return hugging_face.open_tokenizer(spec, folder)
    if kind == "tiktoken" and spec.argument:
        return tiktoken_ranks.open_ranks(spec, folder)
    raise CorpusError(f"unknown tokenizer {name!r}: {KNOWN}")


def load_tokenizer(name: str, facts: dict[str, Any], folder: Path, *, vocab: int, eod: int | None) -> Tokenizer:
    """Loads the tokeniser of a token file.

    Tokens of other origin (seqio, markov) are encoded and decoded as numbers separated by spaces.

    Args:
        name: Name of the tokeniser, from the header.
        facts: Facts from the header, which name the tokeniser's file.
        folder: Folder of the token file.
        vocab: Vocabulary size, for tokens of other origin.
        eod: Token that ends a document, for tokens of other origin.

    Raises:
        CorpusError: The tokeniser's file is missing or altered.
    """
    kind, _, argument = name.partition(":")
    if name == "bytes":
        return bytes_tokenizer()
    try:
        if kind == "sentencepiece" and not argument.isdecimal():
            return sentencepiece_model.load_model_file(name, facts, folder)
        if kind == "sentencepiece":
            model = sentencepiece_model.read_kept_file(name, facts, folder)
            return sentencepiece_model.sentencepiece_tokenizer(name, model, folder)
        if kind == "hf":
            return hugging_face.load_kept(name, facts, folder)
        if kind == "tiktoken":
            return tiktoken_ranks.load_kept(name, facts, folder)
    except (KeyError, TypeError, IndexError, AttributeError):
        raise CorpusError(f"tokenizer {name}: damaged facts of the token file: prepare the corpus again") from None
    return numbers_tokenizer(name, vocab, eod)


def stored_tokenizer_name(name: str) -> str:
    """Returns the name of a tokeniser in the header of a token file: file name and hash in place of a path.

    Args:
        name: The tokeniser as the user names it; returned as it is where it has no file, or the file cannot be read.
    """
    kind, _, argument = name.partition(":")
    if kind not in ("hf", "sentencepiece", "tiktoken") or argument.isdecimal():
        return name
    try:
        spec = parse_tokenizer(name)
        path = hugging_face.tokenizer_path(spec.argument) if kind == "hf" else Path(spec.argument)
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return name
        return spec.stored_name(Path(spec.argument).name, hashlib.sha256(path.read_bytes()).hexdigest())
    except (CorpusError, OSError):
        return name


def _is_model_file(argument: str) -> bool:
    return argument.endswith(".model") or Path(argument).is_file()
