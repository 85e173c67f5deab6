"""The dataclass of a tokeniser, and which texts it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Texts by what is tried with them: a tokeniser that normalises does not give all of them back.
SAMPLES = {
    "code": 'def f(x):\n    """Adds."""\n\treturn x + 1  # two spaces\n',
    "runs of spaces": "a  b   c \n\n  d ",
    "leading spaces": " a",
    "Japanese": "日本語のテキスト、カタカナ。",
    "emoji": "😀 👩\u200d👩\u200d👧 🇯🇵",
    "control characters": "a\tb\rc\x00d\x07e\x1b[0m\x7f",
    "decomposed and compatibility characters": "e\u0301 é ﬁ ① Ａ",
    "upper case": "Upper CASE",
    "the character ▁": "a▁b",
}


@dataclass(frozen=True)
class Tokenizer:
    """A tokeniser of documents.

    Attributes:
        name: Its name, such as `bytes`.
        vocab: Vocabulary size.
        eod: Token that ends a document; -1 where documents have no end.
        encode: Maps a document to tokens, without the token that ends it.
        decode: Maps tokens to the document, byte for byte unless `facts` say what is not reversible.
        facts: What the header of a token file records of it.
        encode_many: Maps documents and a number of threads to an array of tokens each, where that is faster.
        bos: Token that begins each document of a token file; None where there is none.
        drops_space: Whether `decode` drops the space before the first token.
    """

    name: str
    vocab: int
    eod: int
    encode: Callable[[bytes], np.ndarray]
    decode: Callable[[np.ndarray], bytes]
    facts: dict[str, Any]
    encode_many: Callable[[Sequence[bytes], int], list[np.ndarray]] | None = None
    bos: int | None = None
    drops_space: bool = False

    def encode_documents(self, documents: Sequence[bytes], dtype: str, threads: int = 1) -> list[np.ndarray]:
        """Encodes documents for a token file, each with the tokens that begin and end it.

        Args:
            documents: Text in UTF-8.
            dtype: NumPy type of a token.
            threads: Threads that encode at the same time.

        Returns:
            An array of tokens per document.
        """
        many = self.encode_many
        arrays = [self.encode(document) for document in documents] if many is None else many(documents, threads)
        return [self._enclose(tokens, dtype) for tokens in arrays]

    def decode_after(self, context: np.ndarray, tokens: np.ndarray) -> bytes:
        """Decodes tokens as the continuation of others: with the space before the first of them.

        Args:
            context: The tokens before.
            tokens: The tokens to decode.
        """
        if not self.drops_space:
            return self.decode(tokens)
        before, whole = self.decode(context), self.decode(np.concatenate([context, tokens]))
        return whole[len(before) :] if whole.startswith(before) else self.decode(tokens)

    def _enclose(self, tokens: np.ndarray, dtype: str) -> np.ndarray:
        start = 0 if self.bos is None else 1
        out = np.empty(start + len(tokens) + 1, dtype)
        out[start:-1], out[-1] = tokens, self.eod
        if self.bos is not None:
            out[0] = self.bos
        return out


def not_reversible(encode: Callable[[bytes], np.ndarray], decode: Callable[[np.ndarray], bytes]) -> dict[str, Any]:
    """Returns the fact that names what a tokeniser does not give back; nothing where it gives back all samples.

    Args:
        encode: Maps a document to tokens.
        decode: Maps tokens to the document.
    """
    lost = [name for name, text in SAMPLES.items() if decode(encode(text.encode())) != text.encode()]
    return {"tokenizer_not_reversible": lost} if lost else {}
