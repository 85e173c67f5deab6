"""hf:PATH: a `tokenizer.json` of Hugging Face's library `tokenizers`, or a folder that has one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scaling.data.tokenizers.files import keep_tokenizer_file, read_kept_file, read_tokenizer_file
from scaling.data.tokenizers.options import TokenizerSpec
from scaling.data.tokenizers.special import SpecialTokens, encode_as_text, find_token
from scaling.data.tokenizers.tokenizer import Tokenizer, not_reversible
from scaling.data.tokens import CorpusError

FILE = "tokenizer.json"
CONFIG_FILES = ("tokenizer_config.json", "special_tokens_map.json")  # which name the special tokens
END_TEXTS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[SEP]")  # of tokenizers without such a file


def tokenizer_path(argument: str) -> Path:
    """Returns the file of a tokeniser: PATH itself, or `tokenizer.json` in the folder PATH."""
    path = Path(argument)
    return path / FILE if path.is_dir() else path


def open_tokenizer(spec: TokenizerSpec, folder: Path) -> Tokenizer:
    """Opens a tokeniser and keeps its file.

    Args:
        spec: File or folder, and options.
        folder: Folder of the token files.

    Raises:
        CorpusError: There is no such file, it is no tokenizer.json, or no token ends a document.
    """
    path = tokenizer_path(spec.argument)
    if not path.is_file():
        raise CorpusError(
            f"tokenizer {spec.text}: no file {path}: must be a {FILE} or a folder that has it; nothing is downloaded"
        )
    data = read_tokenizer_file(path, spec.text)
    library = _load_library(spec.text, data)
    vocab = _vocab_size(library)
    named = _named_tokens(path.parent)
    eod = find_token(spec.text, "eod", spec.eod or _end_text(spec, library, named), library.token_to_id, vocab)
    bos_text = named.get("bos_token") if spec.bos == "yes" else spec.bos
    if spec.bos == "yes" and bos_text is None:
        raise CorpusError(f"tokenizer {spec.text}: its files name no token that begins a text: give ,bos=TOKEN")
    bos = None if bos_text is None else find_token(spec.text, "bos", bos_text, library.token_to_id, vocab)
    facts = keep_tokenizer_file(folder, "tokenizer", ".json", data) | {
        "tokenizer_eod_id": eod, "tokenizer_special_ids": _special_ids(library, data, named),
    }  # fmt: skip
    label = Path(spec.argument).name or FILE
    return _make(spec.stored_name(label, facts["tokenizer_sha256"]), library, facts, bos)


def load_kept(name: str, facts: dict[str, Any], folder: Path) -> Tokenizer:
    """Loads the tokeniser of a token file; CorpusError where its file is missing or altered."""
    library = _load_library(name, read_kept_file(name, facts, folder))
    keys = ("tokenizer_model", "tokenizer_sha256", "tokenizer_eod_id", "tokenizer_special_ids")
    return _make(name, library, {key: facts[key] for key in keys}, facts.get("tokenizer_bos_id"))


def _load_library(name: str, data: bytes) -> Any:
    try:
        from tokenizers import Tokenizer as LibraryTokenizer
    except ImportError:
        raise CorpusError("tokenizer hf needs the [data] extra: pip install 'scaling[data]'") from None
    try:
        library = LibraryTokenizer.from_buffer(data)
    except Exception as error:  # the library raises Exception itself
        reason = " ".join(str(error).split())[:200]
        raise CorpusError(f"tokenizer {name}: is no {FILE} of the library tokenizers: {reason}") from None
    library.no_truncation()
    library.no_padding()
    library.encode_special_tokens = True  # the text of a special token in a document stays text
    return library


def _vocab_size(library: Any) -> int:
    return max(library.get_vocab(with_added_tokens=True).values(), default=-1) + 1


def _special_ids(library: Any, data: bytes, named: dict[str, str]) -> list[int]:
    """Returns the special tokens, without the one for unknown text, which any document may have."""
    model = json.loads(data)["model"]
    unknown = model.get("unk_token")
    if isinstance(model.get("unk_id"), int):  # of a Unigram model
        unknown = model["vocab"][model["unk_id"]][0]
    ids = {i for i, token in library.get_added_tokens_decoder().items() if token.special}
    ids |= {i for token in named.values() if (i := library.token_to_id(token)) is not None}
    return sorted(ids - {library.token_to_id(unknown) if unknown else None})


def _named_tokens(folder: Path) -> dict[str, str]:
    """Returns the special tokens that the files beside a tokenizer.json name, such as `eos_token`, by their names."""
    named: dict[str, str] = {}
    for name in reversed(CONFIG_FILES):
        with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):  # an optional file
            for key, value in json.loads((folder / name).read_bytes()).items():
                text = value.get("content") if isinstance(value, dict) else value
                if key.endswith("_token") and isinstance(text, str):
                    named[key] = text
    return named


def _end_text(spec: TokenizerSpec, library: Any, named: dict[str, str]) -> str:
    special = {token.content for token in library.get_added_tokens_decoder().values() if token.special}
    text = named.get("eos_token") or next((text for text in END_TEXTS if text in special), None)
    if text is None:
        files = " or ".join(CONFIG_FILES)
        raise CorpusError(
            f"tokenizer {spec.text}: no token ends a document: there is no eos_token in {files} beside it: "
            "name one with ,eod=TOKEN"
        )
    return text


def _make(name: str, library: Any, facts: dict[str, Any], bos: int | None) -> Tokenizer:
    vocab, eod = _vocab_size(library), facts["tokenizer_eod_id"]
    ids = {i: library.id_to_token(i) or "" for i in (*facts["tokenizer_special_ids"], eod)}
    special = SpecialTokens(ids if bos is None else ids | {bos: library.id_to_token(bos) or ""}, eod, bos)

    def encode_texts(texts: Sequence[str]) -> list[np.ndarray]:
        encodings = library.encode_batch_fast(texts, add_special_tokens=False)
        return [np.asarray(encoding.ids, np.int64) for encoding in encodings]

    def encode_many(documents: Sequence[bytes], threads: int) -> list[np.ndarray]:
        return encode_as_text([document.decode() for document in documents], encode_texts, special, vocab)

    def encode(document: bytes) -> np.ndarray:
        return encode_many([document], 1)[0]

    byte_pieces = _byte_pieces(library)

    def decode(tokens: np.ndarray) -> bytes:
        kept = special.drop_ends(tokens)
        if byte_pieces is None:
            return library.decode(kept, skip_special_tokens=False).encode()
        return b"".join(byte_pieces.get(token, b"") for token in kept)

    facts = facts | ({} if bos is None else {"tokenizer_bos_id": bos}) | not_reversible(encode, decode)
    return Tokenizer(name, vocab, eod, encode, decode, facts, encode_many, bos, drops_space=byte_pieces is None)


def _byte_pieces(library: Any) -> dict[int, bytes] | None:
    """Returns the bytes of each token of a byte-level tokeniser, None for others.

    The library decodes tokens that end within a character to a replacement character; bytes can be joined.
    """
    if type(library.decoder).__name__ != "ByteLevel":
        return None
    byte_of = byte_characters()
    added = {i: token.content.encode() for i, token in library.get_added_tokens_decoder().items()}
    vocab = library.get_vocab(with_added_tokens=False)
    pieces = {i: bytes(byte_of.get(c, 63) for c in text) for text, i in vocab.items()}
    return pieces | added


def byte_characters() -> dict[str, int]:
    """Returns the byte of each character of byte-level BPE (Radford 2019): printable bytes stand for themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
