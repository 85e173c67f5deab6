"""Prepares a corpus: one token file, or shards."""

from __future__ import annotations

from pathlib import Path

from scaling.data.corpora.specification import open_corpus
from scaling.data.corpus import TextCorpus
from scaling.data.prepare.options import PrepareOptions
from scaling.data.prepare.progress import print_note
from scaling.data.prepare.sharded import is_sharded, write_shards
from scaling.data.prepare.single import write_text_corpus, write_token_corpus
from scaling.data.prepare.text import keep_tokenizer


def prepare(spec: str, folder: Path, *, tokenizer: str = "bytes", options: PrepareOptions = PrepareOptions()) -> Path:
    """Writes the tokens of a corpus; preparing the same corpus again keeps them as they are.

    Documents are split into training and validation by their hash. Of a corpus with few documents, or of one stream,
    the end is the validation split.

    Args:
        spec: Specification of the corpus, such as `text:PATH`, or FILE.py:NAME, a function of a user's file.
        folder: Folder of token files, made where it is missing.
        tokenizer: The tokeniser, as `make_tokenizer` takes it; not used by a corpus that brings its own tokens.
        options: Processes, shards, bad records.

    Returns:
        The path of the token file, or of the folder with the manifest of the shards.

    Raises:
        CorpusError: The corpus is unknown or cannot be used.
        OSError: A file cannot be read or written; it names the file or the folder.
    """
    corpus = open_corpus(spec)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not isinstance(corpus, TextCorpus):
            corpus = keep_tokenizer(spec, corpus, folder)
            if tokenizer != "bytes":
                print_note(spec, f"brings its own tokens, the tokenizer {tokenizer} is not used")
        if is_sharded(corpus, options):
            return write_shards(spec, corpus, folder, tokenizer, options)
        if isinstance(corpus, TextCorpus):
            return write_text_corpus(spec, corpus, folder, tokenizer, options)
        return write_token_corpus(spec, corpus, folder, options)
    except OSError as error:
        if error.filename is None:  # a full disk
            raise OSError(error.errno, error.strerror, str(folder)) from None
        raise
