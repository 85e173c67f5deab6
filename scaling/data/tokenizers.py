"""Text to tokens: bytes, or a SentencePiece model trained on the corpus."""

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

from scaling.data.tokens import DataError
from scaling.store.files import write_atomic

BYTES_EOD = 256
LONGEST = 1 << 14  # characters of a line trained on at once: a word of 65,536 makes SentencePiece abort
SPACE = "▁"  # U+2581, which SentencePiece writes for a space


@dataclass(frozen=True)
class Tokenizer:
    """encode(document) -> tokens without the end-of-document token; decode undoes it, byte for byte."""

    name: str
    vocab: int
    eod: int
    encode: Callable[[bytes], np.ndarray]
    decode: Callable[[np.ndarray], bytes]
    facts: dict[str, Any]


def make(name: str, training: Callable[[], Iterator[bytes]], folder: Path) -> Tokenizer:
    """`bytes`, or `sentencepiece:V` trained on the documents that `training` yields, its model kept in `folder`."""
    kind, _, size = name.partition(":")
    if name == "bytes":
        return Tokenizer("bytes", 257, BYTES_EOD, lambda d: np.frombuffer(d, np.uint8), _bytes, {})
    if kind == "sentencepiece" and size.isdecimal() and int(size) >= 300:
        return sentencepiece(name, train_sentencepiece(int(size), training), folder)
    raise DataError(f"unknown tokenizer {name!r}: allowed are bytes and sentencepiece:V with V of 300 or more")


def _bytes(tokens: np.ndarray) -> bytes:
    return np.asarray(tokens)[np.asarray(tokens) != BYTES_EOD].astype(np.uint8).tobytes()


def of_tokens(name: str, facts: dict[str, Any], folder: Path, *, vocab: int, eod: int | None) -> Tokenizer:
    """The tokeniser of a token file, by its header's name and facts; DataError where its model is gone or altered.

    Tokens that came from elsewhere (seqio, markov) are written as their numbers, separated by spaces.
    """
    if name == "bytes":
        return make(name, lambda: iter(()), folder)
    if not name.startswith("sentencepiece:"):
        return Tokenizer(name, vocab, -1 if eod is None else eod, partial(_numbers, vocab=vocab), _spelled, {})
    kept = folder / str(facts.get("tokenizer_model"))
    model = kept.read_bytes() if kept.is_file() else b""
    if hashlib.sha256(model).hexdigest() != facts.get("tokenizer_sha256"):
        state = "altered" if model else "not there"
        raise DataError(
            f"{kept}: {state}: it is the {name} model of the run's text: copy it there from where it was made"
        )
    return sentencepiece(name, model, folder)


def _numbers(document: bytes, *, vocab: int) -> np.ndarray:
    words = document.decode().split()
    if not all(word.isdecimal() and int(word) < vocab for word in words):
        raise DataError(f"prompt {document.decode()[:60]!r}: must be tokens, numbers below {vocab} separated by spaces")
    return np.asarray([int(word) for word in words], np.int64)


def _spelled(tokens: np.ndarray) -> bytes:
    return " ".join(str(int(token)) for token in tokens).encode()


def train_sentencepiece(size: int, training: Callable[[], Iterator[bytes]]) -> bytes:
    """A BPE model of `size` pieces with byte fallback: every text comes back as it was."""
    try:
        import sentencepiece as sp
    except ImportError:
        raise DataError("tokenizer sentencepiece needs the [data] extra: pip install 'scaling[data]'") from None
    lines = (line for doc in training() for line in doc.decode().splitlines() if line.strip())
    pieces = (line[at : at + LONGEST] for line in lines for at in range(0, len(line), LONGEST))
    model = io.BytesIO()
    try:
        sp.SentencePieceTrainer.train(
            sentence_iterator=pieces, model_writer=model, vocab_size=size, model_type="bpe", byte_fallback=True,
            normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False,
            split_by_whitespace=True, allow_whitespace_only_pieces=True, num_threads=1, shuffle_input_sentence=False,
            user_defined_symbols=["\n", "\t"], pad_id=-1, bos_id=-1, eos_id=1, unk_id=0, minloglevel=2,
            character_coverage=0.9995, max_sentence_length=1 << 20,
        )  # fmt: skip
    except RuntimeError as error:
        why = (
            "there is no text to train it on" if "sentences_.empty()" in str(error) else str(error).rpartition("] ")[2]
        )
        raise DataError(f"tokenizer sentencepiece:{size}: {' '.join(why.split())[:300]}") from None
    return model.getvalue()


def sentencepiece(name: str, model: bytes, folder: Path) -> Tokenizer:
    """The tokeniser of a trained model, which is kept beside the token files under its own hash."""
    import sentencepiece as sp

    digest = hashlib.sha256(model).hexdigest()
    kept = folder / f"sentencepiece-{digest[:16]}.model"
    if not kept.exists() or kept.read_bytes() != model:
        write_atomic(kept, model)
    processor = sp.SentencePieceProcessor(model_proto=model)
    # As a piece, SPACE means a space; as bytes, itself. So a SPACE in the text goes in as bytes, and so
    # does a space where the model has no piece for it.
    spelled = {c: [processor.piece_to_id(f"<0x{b:02X}>") for b in c.encode()] for c in (SPACE, " ")}
    if processor.piece_to_id(SPACE) != processor.unk_id():
        del spelled[" "]
    parts = re.compile(f"([{''.join(spelled)}])")

    def encode(document: bytes) -> np.ndarray:
        ids = [spelled[part] if part in spelled else processor.encode(part) for part in parts.split(document.decode())]
        return np.asarray(list(itertools.chain.from_iterable(ids)), np.int64)

    def decode(tokens: np.ndarray) -> bytes:
        return processor.decode([int(t) for t in tokens if t != processor.eos_id()]).encode()

    facts = {"tokenizer_model": kept.name, "tokenizer_sha256": digest}
    return Tokenizer(name, processor.vocab_size(), processor.eos_id(), encode, decode, facts)
