"""Turns a corpus into a token file."""

from __future__ import annotations

from pathlib import Path

from scaling.data.prepare import prepare as write_tokens
from scaling.data.tokens import TokenFile, open_tokens
from scaling.store.open import as_store
from scaling.store.record import Store


def prepare(corpus: str, store: Store | str | Path, *, tokenizer: str = "bytes") -> TokenFile:
    """Writes the token file of a corpus into a store; preparing the same corpus again keeps the file as it is.

    Args:
        corpus: Such as "cpython", "text:FOLDER" or "my_corpus.py:documents,count=1000" (a function of your file, which
            is run); `python -m scaling prepare --help` lists all.
        store: Folder or address of the store.
        tokenizer: "bytes", or "sentencepiece:V" for a vocabulary of V pieces.

    Returns:
        The token file: `content_hash` is the config's `data.tokens`, `vocab` its `model.vocab`, and `counts` has the
        tokens of the training and validation split.

    Raises:
        CorpusError: The corpus is unknown or cannot be used.
        UserCodeError: Your file cannot be loaded or raises an error; the message has its line.
    """
    opened = as_store(store)
    opened.check_writable()
    opened.fetch_tokens()
    tokens = open_tokens(write_tokens(corpus, opened.token_files, tokenizer=tokenizer))
    opened.upload_tokens()
    return tokens
