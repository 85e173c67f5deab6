"""npy:PATH: arrays of tokens, as OLMo's memory-mapped files, which are named .npy but have no header, and as NumPy's.

PATH is a file, a glob, a folder that is searched recursively for .npy, or an address (gs://, s3://) of one. `dtype=` is
the type of a token where the file has no header; `vocab=` is the vocabulary size, `eod=` the token that ends
each document, `tokenizer=` the tokenizer to decode with.
"""

from __future__ import annotations

import re
from functools import partial

import numpy as np

from scaling.data.corpora.files.addresses import File, list_files, open_binary
from scaling.data.corpora.files.records import RecordError
from scaling.data.corpora.tokenized.streams import (
    COMMON_OPTIONS,
    DTYPES,
    Layout,
    parse_dtype,
    parse_token_options,
    plain_layout,
    stream_source,
    token_corpus,
)
from scaling.data.corpus import TokenCorpus, check_options

NAMES = re.compile(r"\.npy$", re.IGNORECASE)
TOKEN_KINDS = "iu"  # of NumPy's types
MAX_HEADER = 1 << 16  # bytes of NumPy's header


def open_corpus(argument: str, options: dict[str, str]) -> TokenCorpus:
    """Opens the corpus.

    Args:
        argument: A file, a folder, a glob, or an address.
        options: dtype, vocab, eod, tokenizer.

    Raises:
        CorpusError: There is no such file, or an option is unknown.
    """
    check_options("npy", options, (*COMMON_OPTIONS, "dtype"))
    opts, dtype = parse_token_options("npy", options), parse_dtype("npy", options)
    listing = list_files("npy", argument, NAMES)
    source = stream_source(listing.files, partial(read_layout, dtype=dtype), opts.eod)
    return token_corpus(source, opts, list(listing.notes))


def read_layout(file: File, *, dtype: str | None) -> Layout:
    """Returns where the tokens of a file are.

    Args:
        file: The file.
        dtype: Type of a token in a file without a header; None where it was not given.

    Raises:
        RecordError: The header does not fit the file, or the type is not known.
        CorpusError: The file cannot be read.
    """
    with open_binary(file.address, sequential=False) as opened:
        if opened.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            if dtype is None:
                raise RecordError(f"has no NumPy header, as OLMo's files: say dtype={' or '.join(list(DTYPES)[:2])}")
            return plain_layout(file.size, dtype)
        opened.seek(0)
        try:
            version = np.lib.format.read_magic(opened)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, _, kind = read_header(opened, max_header_size=MAX_HEADER)
        except (ValueError, EOFError) as error:
            raise RecordError(f"has a damaged NumPy header ({' '.join(str(error).split())[:120]})") from None
        offset = opened.tell()
    if len(shape) != 1 or kind.kind not in TOKEN_KINDS:
        raise RecordError(f"is an array of {kind} with shape {shape}: must be integers, one axis")
    if file.size != offset + shape[0] * kind.itemsize:
        raise RecordError(f"{file.size} bytes where the header says {offset + shape[0] * kind.itemsize}: truncated")
    return Layout(offset, shape[0], kind.str)
