"""Corpora: documents of text to be tokenised, or documents that are arrays of tokens already.

A corpus in files is a `DocumentSource`: parts, each of which any process can read on its own, so that a pool of spawned
processes can share the work. The documents of all parts in their order are the corpus, however many processes read it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from scaling.config.text import printable
from scaling.data.tokens import CorpusError

VALIDATION = "validation"  # name of the split that is held out where a data set has it
HELD_OUT_NOTE = "the held-out text is its own split {}; validation=none holds out part of the training split instead"
OWN_TOKENS = "own_tokens"  # fact of a corpus that brings tokens of a tokenizer of text
VALIDATION_SHARE = 0.05  # of the documents, by hash
Number = TypeVar("Number", int, float)
Document = TypeVar("Document")  # bytes of text in UTF-8, or an array of tokens


@dataclass(frozen=True)
class Part:
    """A part of a corpus that is read on its own: a file, or a range of one.

    Attributes:
        file: Path or address of the file.
        start: First byte, row group, or record of the range, by the format.
        stop: End of the range, exclusive; None for the end of the file.
        size: Bytes that are read for it, for progress; None where that is not known beforehand.
    """

    file: str
    start: int = 0
    stop: int | None = None
    size: int | None = None


@dataclass(frozen=True)
class BadRecord:
    """A record that cannot be used.

    Attributes:
        file: Path or address of the file.
        record: Number of the record in the file, counted from 1; None for the whole file.
        offset: Byte at which the fault is, in the decompressed file; None where the format has no such place.
        problem: What is wrong, and what to do.
        unit: What a record is in this format: record, line, row, document.
    """

    file: str
    record: int | None
    offset: int | None
    problem: str
    unit: str = "record"

    def __str__(self) -> str:
        """One line: `FILE, line 3, byte 120: PROBLEM`."""
        record = "" if self.record is None else f", {self.unit} {self.record}"
        offset = "" if self.offset is None else f", byte {self.offset}"
        return printable(f"{self.file}{record}{offset}: {self.problem}")


OnBad = Callable[[BadRecord], None]  # raises CorpusError, or returns to skip the record


def raise_bad(record: BadRecord) -> None:
    """Raises CorpusError for any bad record."""
    raise CorpusError(str(record))


@dataclass(frozen=True)
class DocumentSource(Generic[Document]):
    """The documents of a corpus.

    Attributes:
        parts: Parts in the order of the corpus. It depends on names and contents of the files, not on the order in
            which a file system lists them.
        reader: Yields the documents of a part and calls its second argument for each bad record; a function of a
            module or a `functools.partial` of one, so that it pickles.
    """

    parts: tuple[Part, ...]
    reader: Callable[[Part, OnBad], Iterator[Document]]

    def read_part(self, part: Part, on_bad: OnBad = raise_bad) -> Iterator[Document]:
        """Yields the documents of a part, whole and in order; empty ones are left out.

        Args:
            part: One of `parts`.
            on_bad: Called for each bad record: raises CorpusError, or returns to skip it.

        Raises:
            CorpusError: The file cannot be read any more, or `on_bad` raises it.
        """
        return self.reader(part, on_bad)

    def documents(self, on_bad: OnBad = raise_bad) -> Iterator[Document]:
        """Yields the documents of all parts in order.

        Args:
            on_bad: Called for each bad record.
        """
        for part in self.parts:
            yield from self.read_part(part, on_bad)


@dataclass(frozen=True)
class TextCorpus:
    """Documents of text.

    Attributes:
        documents: Starts a new iteration over the documents each time it is called: UTF-8, in a fixed order.
        total: Number of documents, where known beforehand.
        notes: Lines for the user, such as what was left out; complete after the documents are read.
        facts: Known properties of the corpus, for the header of its token file.
        validation: Starts a new iteration over the validation split, where the corpus brings one; `documents` is the
            training split then.
        source: The same documents as `documents` in parts that several processes can read, where the corpus has them;
            everything in it pickles.
        validation_source: The same documents as `validation`, where the corpus has them in parts.
        by_tokens: Where shares of a mixture are of tokens: returns the corpus for a tokenizer, from the function that
            counts the tokens of a document with its end. `documents` is the text to train a tokenizer on.
    """

    documents: Callable[[], Iterator[bytes]]
    total: int | None = None
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    validation: Callable[[], Iterator[bytes]] | None = None
    source: DocumentSource[bytes] | None = None
    validation_source: DocumentSource[bytes] | None = None
    by_tokens: Callable[[Callable[[bytes], int]], TextCorpus] | None = None


@dataclass(frozen=True)
class TokenCorpus:
    """Documents as arrays of tokens of a vocabulary of their own.

    Attributes:
        documents: Starts a new iteration over the documents; of the training split where `validation` is given.
        vocab: Vocabulary size.
        eod: Token that ends each document; None where the arrays are parts of one stream.
        tokenizer: Name of the tokeniser.
        facts: Known properties of the corpus, for the header of its token file.
        total: Number of tokens, where known beforehand.
        notes: Lines for the user.
        validation: Starts a new iteration over the validation split, where the corpus brings one.
        source: The same arrays as `documents` in parts that several processes can read, where the corpus has them.
        validation_source: The same arrays as `validation`, where the corpus has them in parts.
    """

    documents: Callable[[], Iterator[np.ndarray]]
    vocab: int
    eod: int | None
    tokenizer: str
    facts: dict[str, Any] = field(default_factory=dict)
    total: int | None = None
    notes: list[str] = field(default_factory=list)
    validation: Callable[[], Iterator[np.ndarray]] | None = None
    source: DocumentSource[np.ndarray] | None = None
    validation_source: DocumentSource[np.ndarray] | None = None


def validation_split(corpus: str, options: Mapping[str, str], split: str, splits: Collection[str]) -> str | None:
    """Returns the split that is held out, None where documents of the training split are.

    Args:
        corpus: The corpus, for messages.
        options: Its options; `validation` names the split, or is `none`. Without it, a split named validation is used
            with the split train.
        split: The training split.
        splits: The splits that the corpus has.

    Raises:
        CorpusError: The split is unknown, or is the training split.
    """
    name = options.get("validation", VALIDATION if split == "train" and VALIDATION in splits else "none")
    if name == "none":
        return None
    if name not in splits or name == split:
        others = ", ".join(sorted(set(splits) - {split}))
        raise CorpusError(f"{corpus}: validation={name}: must be none (held out by hash) or one of {others or 'none'}")
    return name


def check_options(kind: str, options: Collection[str], allowed: Collection[str], argument: str = "") -> None:
    """Checks the options of a corpus.

    Args:
        kind: Kind of the corpus.
        options: Names of the given options.
        allowed: Names of the allowed options.
        argument: The argument of a corpus that takes none.

    Raises:
        CorpusError: An option is not allowed, or an argument is given.
    """
    for name in (*options, *filter(None, [argument])):
        if name not in allowed:
            choice = f"must be one of {', '.join(allowed)}" if allowed else "this corpus takes no options"
            raise CorpusError(f"corpus {kind}: unknown option {name!r}: {choice}")


def format_options(options: dict[str, str]) -> str:
    """Returns options as `key=value,...`, as a specification has them."""
    return ",".join(f"{name}={value}" for name, value in options.items())


def parse_number(kind: str, name: str, text: str, number_type: type[Number]) -> Number:
    """Parses an option as a number.

    Args:
        kind: Kind of the corpus.
        name: Name of the option.
        text: Its value.
        number_type: int or float.

    Raises:
        CorpusError: The value is no such number.
    """
    try:
        return number_type(text)
    except ValueError:
        expected = "an integer" if number_type is int else "a number"
        raise CorpusError(f"corpus {kind}: {name}={text}: must be {expected}") from None


def is_validation(document: bytes) -> bool:
    """Whether a document belongs to the validation split.

    The split depends on the hash of the document alone: other documents do not move it, and a document that occurs
    twice is in one split.
    """
    return hash_in_validation(hashlib.sha256(document).digest())


def hash_in_validation(digest: bytes) -> bool:
    """Whether a document with a hash belongs to the validation split.

    Args:
        digest: SHA-256 of the document.
    """
    return int.from_bytes(digest[:8], "big") < VALIDATION_SHARE * 2**64
