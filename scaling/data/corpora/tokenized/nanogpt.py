"""nanogpt:PATH: token streams as nanoGPT (uint16, no header) and llm.c (header of 256 int32) write them.

PATH is a file, a glob, or a folder, in which files with `val` in their names, such as val.bin, are the validation split
and the other .bin files the training split. `vocab=` is the vocabulary size, `eod=` the token that ends (or precedes)
each document, 50256 for GPT-2, `tokenizer=` the tokenizer to decode with, `dtype=` the type where it is not uint16.
"""

from __future__ import annotations

import re
from functools import partial

import numpy as np

from scaling.data.corpora.files.addresses import File, list_files, name_of, open_binary
from scaling.data.corpora.files.records import RecordError
from scaling.data.corpora.tokenized.streams import (
    COMMON_OPTIONS,
    Layout,
    parse_dtype,
    parse_token_options,
    plain_layout,
    stream_source,
    token_corpus,
)
from scaling.data.corpus import HELD_OUT_NOTE, TokenCorpus, check_options

NAMES = re.compile(r"\.bin$", re.IGNORECASE)
VALIDATION_NAME = re.compile(r"(?:^|[_.-])val(?:id|idation)?(?:[_.-]|$)", re.IGNORECASE)
HEADER_INTEGERS = 256  # int32: magic number, version, number of tokens, zeros (llm.c, dev/data/data_common.py)
MAGIC = {(20240520, 1): "<u2", (20240801, 7): "<u4"}  # of GPT-2's and of Llama 3's tokens


def open_corpus(argument: str, options: dict[str, str]) -> TokenCorpus:
    """Opens the corpus.

    Args:
        argument: A file, a folder, a glob, or an address.
        options: vocab, eod, tokenizer, dtype.

    Raises:
        CorpusError: There is no such file, or an option is unknown.
    """
    check_options("nanogpt", options, (*COMMON_OPTIONS, "dtype"))
    opts = parse_token_options("nanogpt", options)
    layout = partial(read_layout, dtype=parse_dtype("nanogpt", options) or "<u2")
    listing = list_files("nanogpt", argument, NAMES)
    held_out = tuple(file for file in listing.files if VALIDATION_NAME.search(name_of(file.address)))
    train = tuple(file for file in listing.files if file not in held_out)
    if not train or not held_out:
        return token_corpus(stream_source(listing.files, layout, opts.eod), opts, list(listing.notes))
    note = HELD_OUT_NOTE.format(", ".join(name_of(file.address) for file in held_out)).partition(";")[0]
    validation = stream_source(held_out, layout, opts.eod)
    return token_corpus(stream_source(train, layout, opts.eod), opts, [*listing.notes, note], validation)


def read_layout(file: File, *, dtype: str) -> Layout:
    """Returns where the tokens of a file are.

    Args:
        file: The file.
        dtype: Type of a token in a file without a header.

    Raises:
        RecordError: The header does not fit the size of the file.
        CorpusError: The file cannot be read.
    """
    with open_binary(file.address, sequential=False) as opened:
        head = opened.read(4 * HEADER_INTEGERS)
    header = np.frombuffer(head, "<i4") if len(head) == 4 * HEADER_INTEGERS else np.zeros(HEADER_INTEGERS, "<i4")
    magic, version, count = header[:3].tolist()
    if not any(magic == known for known, _ in MAGIC) or header[3:].any():
        return plain_layout(file.size, dtype)
    if (magic, version) not in MAGIC:
        raise RecordError(f"has version {version} of llm.c's header: must be 1 (uint16) or 7 (uint32)")
    layout = Layout(len(head), count, MAGIC[magic, version])
    expected = len(head) + count * np.dtype(layout.dtype).itemsize
    if file.size != expected or count < 0:
        raise RecordError(f"{file.size} bytes where the header says {expected}: truncated or damaged")
    return layout
