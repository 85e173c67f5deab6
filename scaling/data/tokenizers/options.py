"""Specification of a tokeniser: `KIND:ARGUMENT,eod=TOKEN,bos=TOKEN`."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from scaling.data.tokens import CorpusError

OPTION = re.compile(r",(eod|bos|pattern)=")
MIN_PIECES = 300  # of a trained model: the 256 bytes, the special pieces and room for some text
KNOWN = (
    f"must be bytes, or sentencepiece:V with V of {MIN_PIECES} or more, sentencepiece:FILE.model, hf:PATH or "
    "tiktoken:NAME|FILE"
)


@dataclass(frozen=True)
class TokenizerSpec:
    """A tokeniser as the user names it.

    Attributes:
        text: The whole specification.
        kind: Kind of the tokeniser.
        argument: File, folder, name or size.
        eod: Token that ends a document, by its text or id; None: that of the tokeniser's files.
        bos: Token that begins each document; `yes` for that of the tokeniser's files; None for no token.
        pattern: Regular expression that splits text, or the name of one; None for the default.
    """

    text: str
    kind: str
    argument: str
    eod: str | None = None
    bos: str | None = None
    pattern: str | None = None

    def stored_name(self, label: str, digest: str) -> str:
        """Returns the name in the header of a token file: label and hash of the file instead of its path.

        Args:
            label: Name of the file.
            digest: SHA-256 of the file.
        """
        options = "".join(f",{name}={value}" for name in ("eod", "bos") if (value := getattr(self, name)) is not None)
        pattern = f",pattern={self.pattern}" if self.pattern is not None else ""
        return f"{self.kind}:{label}@{digest[:12]}{options}{pattern}"


def parse_tokenizer(text: str, allowed: Collection[str] = ("eod", "bos", "pattern")) -> TokenizerSpec:
    """Parses a specification; the kind and its argument are not checked.

    Args:
        text: The specification.
        allowed: Names of the allowed options.

    Raises:
        CorpusError: An option is given twice or not allowed.
    """
    start, *rest = OPTION.split(text)
    options = dict(zip(rest[::2], rest[1::2], strict=True))
    if len(options) < len(rest) // 2:
        raise CorpusError(f"tokenizer {text}: an option is given twice: give each once")
    for name in options:
        if name not in allowed:
            raise CorpusError(f"tokenizer {text}: {name} is no option here: must be one of {', '.join(allowed)}")
    kind, _, argument = start.partition(":")
    return TokenizerSpec(text, kind, argument, **options)
