"""Turns a corpus into a token file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scaling.data.prepare import PrepareOptions
from scaling.data.prepare import prepare as write_tokens
from scaling.data.tokens import TokenFile, open_tokens
from scaling.store.open import as_store
from scaling.store.record import Store


def prepare(
    corpus: str,
    store: Store | str | Path,
    *,
    tokenizer: str = "bytes",
    options: PrepareOptions = PrepareOptions(),
) -> TokenFile:
    """Writes the tokens of a corpus into a store; preparing the same corpus again keeps them as they are.

    A large corpus, or one whose `options` ask for it, becomes shards, encoded by a process per core. A script that does
    this needs `if __name__ == "__main__":`, as with the module multiprocessing.

    Args:
        corpus: Such as "cpython", "text:FOLDER" or "my_corpus.py:documents,count=1000" (a function of your file, which
            is run); `python -m scaling prepare --help` lists all.
        store: Folder or address of the store.
        tokenizer: "bytes", "sentencepiece:V" for a vocabulary of V pieces, or the file of a tokenizer:
            "sentencepiece:FILE.model", "hf:PATH", "tiktoken:FILE".
        options: Processes, size of shards, address that they are written to, and bad records that are skipped.

    Returns:
        The token file, or the sharded corpus: `content_hash` is the config's `data.tokens`, `vocab` its `model.vocab`,
        and `counts` has the tokens of the training and validation split.

    Raises:
        CorpusError: The corpus is unknown or cannot be used.
        UserCodeError: Your file cannot be loaded or raises an error; the message has its line.
    """
    opened = as_store(store)
    opened.check_writable()
    opened.fetch_tokens()
    if isinstance(address := getattr(opened, "address", None), str):
        options = replace(options, shards_at=f"{address}/tokens")
    path = write_tokens(corpus, opened.token_files, tokenizer=tokenizer, options=options)
    opened.upload_tokens()
    return open_tokens(path)
