"""Tokenisers of text: bytes, or a SentencePiece model trained on the corpus."""

from __future__ import annotations

import hashlib
import io
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scaling.data.tokens import CorpusError
from scaling.store.files import write_atomic

BYTES_EOD = 256  # the token after the 256 bytes ends a document
MIN_PIECES = 300  # the 256 bytes, the special pieces and room for some text
MAX_LINE_LENGTH = 1 << 14  # characters of a training line: a word of 65,536 makes SentencePiece abort
PIECE_SPACE = "▁"  # U+2581, which SentencePiece writes for a space


@dataclass(frozen=True)
class Tokenizer:
    """A tokeniser of documents.

    Attributes:
        name: Its name, such as `bytes`.
        vocab: Vocabulary size.
        eod: Token that ends a document; -1 where documents have no end.
        encode: Maps a document to tokens, without the token that ends it.
        decode: Maps tokens to the document, byte for byte.
        facts: What the header of a token file records of it.
    """

    name: str
    vocab: int
    eod: int
    encode: Callable[[bytes], np.ndarray]
    decode: Callable[[np.ndarray], bytes]
    facts: dict[str, Any]


def make_tokenizer(name: str, training: Callable[[], Iterator[bytes]], folder: Path) -> Tokenizer:
    """Makes the tokeniser of a corpus.

    Args:
        name: `bytes`, or `sentencepiece:V` for a model of V pieces.
        training: Yields the documents that a SentencePiece model is trained on.
        folder: Where that model is saved.

    Raises:
        CorpusError: The name is unknown, or the model cannot be trained.
    """
    kind, _, size = name.partition(":")
    if name == "bytes":
        return Tokenizer("bytes", 257, BYTES_EOD, lambda d: np.frombuffer(d, np.uint8), _decode_bytes, {})
    if kind == "sentencepiece" and size.isdecimal() and int(size) >= MIN_PIECES:
        return sentencepiece_tokenizer(name, train_sentencepiece(int(size), training), folder)
    raise CorpusError(f"unknown tokenizer {name!r}: must be bytes, or sentencepiece:V with V of {MIN_PIECES} or more")


def _decode_bytes(tokens: np.ndarray) -> bytes:
    return np.asarray(tokens)[np.asarray(tokens) != BYTES_EOD].astype(np.uint8).tobytes()


def load_tokenizer(name: str, facts: dict[str, Any], folder: Path, *, vocab: int, eod: int | None) -> Tokenizer:
    """Loads the tokeniser of a token file.

    Tokens of other origin (seqio, markov) are encoded and decoded as numbers separated by spaces.

    Args:
        name: Name of the tokeniser, from the header.
        facts: Facts from the header, which name the SentencePiece model.
        folder: Folder of the token file.
        vocab: Vocabulary size, for tokens of other origin.
        eod: Token that ends a document, for tokens of other origin.

    Raises:
        CorpusError: The SentencePiece model is missing or altered.
    """
    if name == "bytes":
        return make_tokenizer(name, lambda: iter(()), folder)
    if not name.startswith("sentencepiece:"):
        encode = partial(_parse_token_numbers, vocab=vocab)
        return Tokenizer(name, vocab, -1 if eod is None else eod, encode, _format_token_numbers, {})
    path = folder / str(facts.get("tokenizer_model"))
    model = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(model).hexdigest() != facts.get("tokenizer_sha256"):
        state = "altered" if model else "missing"
        raise CorpusError(f"{path}: {state}: it is the {name} model of the run's text: copy it from the original store")
    return sentencepiece_tokenizer(name, model, folder)


def _parse_token_numbers(document: bytes, *, vocab: int) -> np.ndarray:
    numbers = document.decode().split()
    if not all(number.isdecimal() and int(number) < vocab for number in numbers):
        raise CorpusError(
            f"prompt {document.decode()[:60]!r}: must be tokens, numbers below {vocab} separated by spaces"
        )
    return np.asarray([int(number) for number in numbers], np.int64)


def _format_token_numbers(tokens: np.ndarray) -> bytes:
    return " ".join(str(int(token)) for token in tokens).encode()


def train_sentencepiece(size: int, training: Callable[[], Iterator[bytes]]) -> bytes:
    """Trains a BPE model with byte fallback, which decodes every text exactly.

    Args:
        size: Number of pieces.
        training: Yields the documents to train on.

    Returns:
        The serialised model.

    Raises:
        CorpusError: SentencePiece is not installed, or the text has fewer pieces.
    """
    try:
        import sentencepiece as sp
    except ImportError:
        raise CorpusError("tokenizer sentencepiece needs the [data] extra: pip install 'scaling[data]'") from None
    lines = (line for document in training() for line in document.decode().splitlines() if line.strip())
    starts = ((line, start) for line in lines for start in range(0, len(line), MAX_LINE_LENGTH))
    model = io.BytesIO()
    try:
        sp.SentencePieceTrainer.train(
            sentence_iterator=(line[start : start + MAX_LINE_LENGTH] for line, start in starts), model_writer=model,
            vocab_size=size, model_type="bpe", byte_fallback=True,
            normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False,
            split_by_whitespace=True, allow_whitespace_only_pieces=True, num_threads=1, shuffle_input_sentence=False,
            user_defined_symbols=["\n", "\t"], pad_id=-1, bos_id=-1, eos_id=1, unk_id=0, minloglevel=2,
            character_coverage=0.9995, max_sentence_length=1 << 20,
        )  # fmt: skip
    except RuntimeError as error:
        empty = "sentences_.empty()" in str(error)
        reason = "there is no text to train it on" if empty else str(error).rpartition("] ")[2]
        raise CorpusError(f"tokenizer sentencepiece:{size}: {' '.join(reason.split())[:300]}") from None
    return model.getvalue()


def sentencepiece_tokenizer(name: str, model: bytes, folder: Path) -> Tokenizer:
    """Makes the tokeniser of a trained model and saves the model under its hash.

    Args:
        name: Name of the tokeniser.
        model: The serialised model.
        folder: Folder of the token files.
    """
    import sentencepiece as sp

    digest = hashlib.sha256(model).hexdigest()
    path = folder / f"sentencepiece-{digest[:16]}.model"
    if not path.exists() or path.read_bytes() != model:
        write_atomic(path, model)
    processor = sp.SentencePieceProcessor(model_proto=model)
    # As a piece, PIECE_SPACE means a space; as bytes, itself. So a PIECE_SPACE in the text is encoded as bytes, and so
    # is a space where the model has no piece for it.
    byte_ids = {c: [processor.piece_to_id(f"<0x{b:02X}>") for b in c.encode()] for c in (PIECE_SPACE, " ")}
    if processor.piece_to_id(PIECE_SPACE) != processor.unk_id():
        del byte_ids[" "]
    separators = re.compile(f"([{''.join(byte_ids)}])")

    def encode(document: bytes) -> np.ndarray:
        parts = separators.split(document.decode())
        ids = [byte_ids[part] if part in byte_ids else processor.encode(part) for part in parts]
        return np.asarray(list(itertools.chain.from_iterable(ids)), np.int64)

    def decode(tokens: np.ndarray) -> bytes:
        return processor.decode([int(t) for t in tokens if t != processor.eos_id()]).encode()

    facts = {"tokenizer_model": path.name, "tokenizer_sha256": digest}
    return Tokenizer(name, processor.vocab_size(), processor.eos_id(), encode, decode, facts)
