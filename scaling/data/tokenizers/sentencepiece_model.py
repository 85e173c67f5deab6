"""SentencePiece: a model trained on the corpus (`sentencepiece:V`), or the user's (`sentencepiece:FILE.model`)."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scaling.data.tokenizers.files import keep_tokenizer_file, read_kept_file, read_tokenizer_file
from scaling.data.tokenizers.options import TokenizerSpec
from scaling.data.tokenizers.special import SpecialTokens, encode_as_text, find_token
from scaling.data.tokenizers.tokenizer import Tokenizer, not_reversible
from scaling.data.tokens import CorpusError

MAX_LINE_LENGTH = 1 << 14  # characters of a training line: a word of 65,536 makes SentencePiece abort
PIECE_SPACE = "▁"  # U+2581, which SentencePiece writes for a space


def import_sentencepiece() -> Any:
    """Imports the package; CorpusError where it is not installed."""
    try:
        import sentencepiece
    except ImportError:
        raise CorpusError("tokenizer sentencepiece needs the [data] extra: pip install 'scaling[data]'") from None
    return sentencepiece


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
    sp = import_sentencepiece()
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
    """Makes the tokeniser of a model that `train_sentencepiece` trained, and saves the model under its hash.

    Args:
        name: Name of the tokeniser.
        model: The serialised model.
        folder: Folder of the token files.
    """
    processor = import_sentencepiece().SentencePieceProcessor(model_proto=model)
    facts = keep_tokenizer_file(folder, "sentencepiece", ".model", model)
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

    def encode_many(documents: Sequence[bytes], threads: int) -> list[np.ndarray]:
        texts = [document.decode() for document in documents]
        plain = [text for text in texts if not separators.search(text)]
        encoded = iter(processor.encode(plain, num_threads=threads) if plain else [])
        return [
            encode(document) if separators.search(text) else np.asarray(next(encoded), np.int64)
            for document, text in zip(documents, texts, strict=True)
        ]

    def decode(tokens: np.ndarray) -> bytes:
        return processor.decode([int(t) for t in tokens if t != processor.eos_id()]).encode()

    return Tokenizer(name, processor.vocab_size(), processor.eos_id(), encode, decode, facts, encode_many)


def open_model_file(spec: TokenizerSpec, folder: Path) -> Tokenizer:
    """Opens the tokeniser of a model file, such as those of Llama 2, Gemma and T5, and keeps the file.

    Args:
        spec: The file, and options.
        folder: Folder of the token files.

    Raises:
        CorpusError: The file is no SentencePiece model, or has no token that ends a document.
    """
    path = Path(spec.argument)
    model = read_tokenizer_file(path, spec.text)
    processor = _load_processor(spec.text, model)
    find, vocab = _finder(processor), processor.vocab_size()
    ends: dict[str, int | None] = {"eod": None, "bos": None}
    if spec.eod is not None:
        ends["eod"] = find_token(spec.text, "eod", spec.eod, find, vocab)
    elif (eos := processor.eos_id()) >= 0:
        ends["eod"] = eos
    else:
        raise CorpusError(f"tokenizer {spec.text}: the model has no end-of-sentence token: name one with ,eod=TOKEN")
    if spec.bos == "yes" and (begin := processor.bos_id()) >= 0:
        ends["bos"] = begin
    elif spec.bos is not None:
        ends["bos"] = find_token(spec.text, "bos", spec.bos, find, vocab)
    facts = keep_tokenizer_file(folder, "sentencepiece", ".model", model)
    name = spec.stored_name(path.name, facts["tokenizer_sha256"])
    return _model_tokenizer(name, processor, facts, ends["eod"], ends["bos"])


def load_model_file(name: str, facts: dict[str, Any], folder: Path) -> Tokenizer:
    """Loads the tokeniser of a token file made with a model file; CorpusError where the file is missing or altered."""
    processor = _load_processor(name, read_kept_file(name, facts, folder))
    kept = {key: facts[key] for key in ("tokenizer_model", "tokenizer_sha256")}
    return _model_tokenizer(name, processor, kept, facts.get("tokenizer_eod_id"), facts.get("tokenizer_bos_id"))


def _load_processor(name: str, model: bytes) -> Any:
    sp = import_sentencepiece()
    processor = sp.SentencePieceProcessor()
    try:
        loaded = bool(model) and processor.LoadFromSerializedProto(model)
    except RuntimeError:
        loaded = False
    if not loaded:
        raise CorpusError(f"tokenizer {name}: is no SentencePiece model: give the file that SentencePiece wrote")
    return processor


def _finder(processor: Any) -> Callable[[str], int | None]:
    def find(text: str) -> int | None:
        token = processor.piece_to_id(text)
        return None if token == processor.unk_id() and text != processor.id_to_piece(token) else token

    return find


def _model_tokenizer(name: str, processor: Any, kept: dict[str, Any], eod: Any, bos: Any) -> Tokenizer:
    vocab = processor.vocab_size()
    control = [i for i in range(vocab) if processor.is_control(i)]
    ids = {i: processor.id_to_piece(i) for i in (*control, eod, *([] if bos is None else [bos]))}
    special = SpecialTokens(ids, eod, bos)

    def encode_many(documents: Sequence[bytes], threads: int) -> list[np.ndarray]:
        def encode_texts(texts: Sequence[str]) -> list[np.ndarray]:
            return [np.asarray(ids, np.int64) for ids in processor.encode(list(texts), num_threads=threads)]

        return encode_as_text([document.decode() for document in documents], encode_texts, special, vocab)

    def encode(document: bytes) -> np.ndarray:
        return encode_many([document], 1)[0]

    def decode(tokens: np.ndarray) -> bytes:
        return processor.decode(special.drop_ends(tokens)).encode()

    facts = kept | {"tokenizer_eod_id": eod} | ({} if bos is None else {"tokenizer_bos_id": bos})
    facts = facts | not_reversible(encode, decode)
    return Tokenizer(name, vocab, eod, encode, decode, facts, encode_many, bos, drops_space=True)
