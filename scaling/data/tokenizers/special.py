"""Special tokens: which token a tokeniser's option names, and documents that contain the text of one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scaling.data.tokens import CorpusError

EncodeTexts = Callable[[Sequence[str]], list[np.ndarray]]


@dataclass(frozen=True)
class SpecialTokens:
    """Tokens that no text is encoded as.

    Attributes:
        ids: Text of each token by its id.
        eod: Token that ends a document.
        bos: Token that begins a document; None where there is none.
    """

    ids: dict[int, str]
    eod: int
    bos: int | None = None

    def drop_ends(self, tokens: np.ndarray) -> list[int]:
        """Returns the tokens without those that begin and end documents."""
        return [token for token in np.asarray(tokens).tolist() if token not in (self.eod, self.bos)]


def find_token(name: str, option: str, text: str, find: Callable[[str], int | None], vocab: int) -> int:
    """Returns the id of a token that an option names by its text or its id.

    Args:
        name: The tokeniser, for messages.
        option: The option.
        text: Its value; a number is an id.
        find: Returns the id of a token by its text, None where there is none.
        vocab: Vocabulary size.

    Raises:
        CorpusError: There is no such token.
    """
    token = int(text) if text.isdecimal() else find(text)
    if token is None or not 0 <= token < vocab:
        raise CorpusError(
            f"tokenizer {name}: {option}={text}: must be the text of one of its tokens, or an id below {vocab}"
        )
    return token


def encode_as_text(texts: Sequence[str], encode: EncodeTexts, special: SpecialTokens, vocab: int) -> list[np.ndarray]:
    """Encodes texts so that the text of a special token, such as `</s>`, never becomes that token.

    The library encodes special tokens as text. Where a model has the same text as an ordinary piece, as a Unigram model
    has, such a document is encoded again in parts that end inside the text of each special token.

    Args:
        texts: The texts.
        encode: Encodes texts, without special tokens.
        special: The special tokens.
        vocab: Vocabulary size.

    Raises:
        CorpusError: A single character of a text is a special token.
    """
    table = np.zeros(vocab, bool)
    table[list(special.ids)] = True
    arrays = encode(texts)
    for i, array in enumerate(arrays):
        if not table[array].any():
            continue
        for parts in (_inside_special(special).split(texts[i]), list(texts[i])):
            tokens = np.concatenate([*encode([part for part in parts if part]), array[:0]])
            if not table[tokens].any():
                arrays[i] = tokens
                break
        else:
            token = int(tokens[table[tokens]][0])
            raise CorpusError(f"a document has the text of the special token {special.ids[token]!r}: remove it there")
    return arrays


def _inside_special(special: SpecialTokens) -> re.Pattern[str]:
    """Returns the pattern of the places after the first character of each special token."""
    texts = sorted({text for text in special.ids.values() if len(text) > 1})
    return re.compile("|".join(f"(?<={re.escape(text[0])})(?={re.escape(text[1:])})" for text in texts) or r"(?!)")
