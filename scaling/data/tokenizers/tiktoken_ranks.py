"""tiktoken:NAME|FILE: a `.tiktoken` file of ranks, or an encoding whose file is in tiktoken's local cache.

A file of ranks does not contain the regular expression that splits text nor special tokens. Those of a NAME are
tiktoken's own; those of a FILE are the options `pattern=`, a name in PATTERNS or a regular expression, and `eod=`.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling.data.tokenizers.files import keep_tokenizer_file, read_kept_file, read_tokenizer_file
from scaling.data.tokenizers.options import TokenizerSpec
from scaling.data.tokenizers.special import SpecialTokens, encode_as_text, find_token
from scaling.data.tokenizers.tokenizer import Tokenizer, not_reversible
from scaling.data.tokens import CorpusError

SUFFIX = ".tiktoken"
END = "<|endoftext|>"
DEFAULT_PATTERN = "cl100k_base"  # of a FILE without pattern=; that of Llama 3's ranks is close to it
PATTERNS = {  # as tiktoken's own encodings have them
    "gpt2": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",
    "cl100k_base": (
        r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|"""
        r"""\s*[\r\n]|\s+(?!\S)|\s"""
    ),
    "o200k_base": (
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"""
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"""
        r"""\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
    ),
}
MAX_SPACES = 50_000  # white space in a row: of 1,000,000 the library's regular expression overflows its stack
LONG_SPACES = re.compile(rf"\s{{{MAX_SPACES}}}")
KEPT_FACTS = (
    "tokenizer_model", "tokenizer_sha256", "tokenizer_eod_id", "tokenizer_bos_id", "tokenizer_pattern",
    "tokenizer_special",
)  # fmt: skip


@dataclass(frozen=True)
class Ranks:
    """What an encoding of tiktoken consists of.

    Attributes:
        ranks: Token of each piece of bytes.
        pattern: Regular expression that splits text.
        special: Special tokens by their text.
    """

    ranks: dict[bytes, int]
    pattern: str
    special: dict[str, int]

    @property
    def vocab(self) -> int:
        """Vocabulary size."""
        return max((*self.ranks.values(), *self.special.values()), default=-1) + 1


def open_ranks(spec: TokenizerSpec, folder: Path) -> Tokenizer:
    """Opens the tokeniser and keeps its ranks as a file.

    Args:
        spec: A file or the name of an encoding, and options.
        folder: Folder of the token files.

    Raises:
        CorpusError: The file is no file of ranks, the name is unknown, or its file is not in the cache.
    """
    _import_tiktoken()
    path = Path(spec.argument)
    is_file = path.is_file() or path.suffix == SUFFIX or os.sep in spec.argument
    data = read_tokenizer_file(path, spec.text) if is_file else b""
    encoding = _parse_file(spec, data) if is_file else _read_cached(spec)

    def find(text: str) -> int | None:
        token = encoding.special.get(text)
        return encoding.ranks.get(text.encode()) if token is None else token

    ends = {"tokenizer_eod_id": find_token(spec.text, "eod", spec.eod or END, find, encoding.vocab)}
    if spec.bos == "yes":
        raise CorpusError(f"tokenizer {spec.text}: tiktoken names no token that begins a text: give ,bos=TOKEN")
    if spec.bos is not None:
        ends["tokenizer_bos_id"] = find_token(spec.text, "bos", spec.bos, find, encoding.vocab)
    kept = keep_tokenizer_file(folder, "tiktoken", SUFFIX, data or _format_ranks(encoding.ranks))
    facts = kept | ends | {"tokenizer_pattern": encoding.pattern, "tokenizer_special": encoding.special}
    return _make(spec.stored_name(path.name, facts["tokenizer_sha256"]) if is_file else spec.text, encoding, facts)


def load_kept(name: str, facts: dict[str, Any], folder: Path) -> Tokenizer:
    """Loads the tokeniser of a token file; CorpusError where its file is missing or altered."""
    _import_tiktoken()
    ranks = _parse_ranks(name, read_kept_file(name, facts, folder))
    kept = {key: facts[key] for key in KEPT_FACTS if key in facts}
    return _make(name, Ranks(ranks, facts["tokenizer_pattern"], facts["tokenizer_special"]), kept)


def _import_tiktoken() -> Any:
    try:
        import tiktoken
    except ImportError:
        raise CorpusError("tokenizer tiktoken needs the [data] extra: pip install 'scaling[data]'") from None
    return tiktoken


def _parse_file(spec: TokenizerSpec, data: bytes) -> Ranks:
    ranks = _parse_ranks(spec.text, data)
    pattern = spec.pattern or DEFAULT_PATTERN
    first_free = max(ranks.values()) + 1
    special = {END: first_free}
    if spec.eod is not None and spec.eod.encode() not in ranks:  # its id, or its text with the first free id
        is_id = spec.eod.isdecimal() and first_free <= int(spec.eod) < 2 * first_free
        special = {END: int(spec.eod)} if is_id else special if spec.eod.isdecimal() else {spec.eod: first_free}
    if spec.bos is not None and spec.bos.isdecimal() and first_free <= int(spec.bos) < 2 * first_free:
        special["<|begin_of_text|>"] = int(spec.bos)
    return Ranks(ranks, PATTERNS.get(pattern, pattern), special)


def _read_cached(spec: TokenizerSpec) -> Ranks:
    """Reads an encoding of tiktoken from its local cache; nothing is downloaded."""
    import tiktoken.load
    from tiktoken_ext import openai_public

    if spec.pattern is not None:
        raise CorpusError(f"tokenizer {spec.text}: pattern= is for a FILE: {spec.argument} brings its own")
    constructor = openai_public.ENCODING_CONSTRUCTORS.get(spec.argument)
    if constructor is None:
        known = ", ".join(openai_public.ENCODING_CONSTRUCTORS)
        raise CorpusError(f"tokenizer {spec.text}: must be a file of ranks (FILE{SUFFIX}), or one of {known}")

    def refuse(blobpath: str) -> bytes:
        file = blobpath.rpartition("/")[2]
        key = hashlib.sha1(blobpath.encode()).hexdigest()  # as tiktoken/load.py names files in its cache
        raise CorpusError(
            f"tokenizer {spec.text}: {file} is not in tiktoken's cache, and nothing is downloaded: "
            f"put that file there as {_cache_folder() / key}, or give a file of ranks, tiktoken:FILE{SUFFIX}"
        )

    download, tiktoken.load.read_file = tiktoken.load.read_file, refuse
    try:
        parts = constructor()
    finally:
        tiktoken.load.read_file = download
    return Ranks(parts["mergeable_ranks"], parts["pat_str"], parts["special_tokens"])


def _cache_folder() -> Path:
    variables = (os.environ.get(name) for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"))
    return Path(next(filter(None, variables), None) or Path(tempfile.gettempdir()) / "data-gym-cache")


def _parse_ranks(name: str, data: bytes) -> dict[bytes, int]:
    """Parses a file of ranks: in each line a piece in base64 and its rank.

    Raises:
        CorpusError: A line has another form, a rank or piece occurs twice, or one of the 256 bytes has no rank.
    """
    ranks: dict[bytes, int] = {}
    lines = data.splitlines()
    for number, line in enumerate(lines, 1):
        piece, _, rank = line.partition(b" ")
        try:
            ranks[base64.b64decode(piece, validate=True)] = int(rank)
        except ValueError:
            raise CorpusError(
                f"tokenizer {name}: line {number}: must be a piece in base64 and its rank: is no file of tiktoken"
            ) from None
    if len(set(ranks.values())) != len(lines) or any(rank < 0 for rank in ranks.values()):
        raise CorpusError(f"tokenizer {name}: a piece or a rank occurs twice, or a rank is negative")
    if missing := [byte for byte in range(256) if bytes([byte]) not in ranks]:
        raise CorpusError(f"tokenizer {name}: the byte {missing[0]} has no rank: every byte must have one")
    return ranks


def _format_ranks(ranks: dict[bytes, int]) -> bytes:
    in_order = sorted(ranks.items(), key=lambda item: item[1])
    return b"".join(base64.b64encode(piece) + b" %d\n" % rank for piece, rank in in_order)


def _make(name: str, encoding: Ranks, facts: dict[str, Any]) -> Tokenizer:
    vocab, eod, bos = encoding.vocab, facts["tokenizer_eod_id"], facts.get("tokenizer_bos_id")
    try:
        library = _import_tiktoken().Encoding(
            name, pat_str=encoding.pattern, mergeable_ranks=encoding.ranks, special_tokens=encoding.special
        )
    except (ValueError, TypeError) as error:
        raise CorpusError(f"tokenizer {name}: pattern={encoding.pattern}: {' '.join(str(error).split())}") from None
    special = SpecialTokens(_texts(encoding, {eod, bos}), eod, bos)

    def encode_texts(texts: Sequence[str]) -> list[np.ndarray]:
        return [_encode_text(library, text) for text in texts]

    def encode_many(documents: Sequence[bytes], threads: int) -> list[np.ndarray]:
        return encode_as_text([document.decode() for document in documents], encode_texts, special, vocab)

    def encode(document: bytes) -> np.ndarray:
        return encode_many([document], 1)[0]

    def decode(tokens: np.ndarray) -> bytes:
        known = (token for token in special.drop_ends(tokens) if token in pieces)
        return b"".join(pieces[token] for token in known)

    pieces = {token: piece for piece, token in encoding.ranks.items()}
    pieces |= {token: text.encode() for text, token in encoding.special.items()}
    facts = facts | not_reversible(encode, decode)
    return Tokenizer(name, vocab, eod, encode, decode, facts, encode_many, bos)


def _texts(encoding: Ranks, ends: set[int | None]) -> dict[int, str]:
    texts = {token: text for text, token in encoding.special.items()}
    ranked = {token: piece.decode(errors="replace") for piece, token in encoding.ranks.items() if token in ends}
    return texts | ranked


def _encode_text(library: Any, text: str) -> np.ndarray:
    """Encodes a text, with special tokens as text; cut within white space that is too long for the library."""
    if len(text) <= MAX_SPACES:
        return np.asarray(library.encode_ordinary(text), np.int64)
    cuts = [0, *(match.end() for match in LONG_SPACES.finditer(text)), len(text)]
    ids = [token for start, stop in itertools.pairwise(cuts) for token in library.encode_ordinary(text[start:stop])]
    return np.asarray(ids, np.int64)
