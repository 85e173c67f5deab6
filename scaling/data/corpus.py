"""What a corpus is: documents of text to be tokenised, or token arrays that are tokens already."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scaling.data import CORPORA
from scaling.data.tokens import DataError

VALIDATION_SHARE = 0.05  # of the documents, by hash


@dataclass(frozen=True)
class Text:
    """Documents in a fixed order, as UTF-8; `documents()` starts anew each time it is called."""

    documents: Callable[[], Iterator[bytes]]
    total: int | None = None  # documents, where known beforehand
    notes: list[str] = field(default_factory=list)  # what was left out, filled while reading
    facts: dict[str, Any] = field(default_factory=dict)  # what is known of it, for the token file's header


@dataclass(frozen=True)
class Tokens:
    """Documents as token arrays with their own vocabulary, or (eod None) one unbroken stream."""

    documents: Callable[[], Iterator[np.ndarray]]
    vocab: int
    eod: int | None
    tokenizer: str
    facts: dict[str, Any] = field(default_factory=dict)
    total: int | None = None  # tokens, where known beforehand
    notes: list[str] = field(default_factory=list)  # what a person should know of it
    validation: Callable[[], Iterator[np.ndarray]] | None = None  # a split of its own; `documents` then is training's


def parse(spec: str) -> tuple[str, str, dict[str, str]]:
    """`kind:argument,key=value,...` in its parts; text:PATH takes all that follows as the path."""
    kind, _, rest = spec.partition(":")
    if kind not in CORPORA:
        raise DataError(f"unknown corpus {spec!r}: known are {', '.join(CORPORA)}")
    if kind == "text":
        return kind, rest, {}
    argument, options = "", {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if equals:
            options[key] = value
        elif argument:
            raise DataError(f"corpus {spec!r}: {part!r} must be key=value")
        else:
            argument = part
    return kind, argument, options


def open_corpus(spec: str) -> Text | Tokens:
    """The corpus that `spec` names; DataError where there is none such."""
    kind, argument, options = parse(spec)
    return importlib.import_module(CORPORA[kind]).open_corpus(argument, options)


def known_options(kind: str, options: dict[str, str], allowed: tuple[str, ...]) -> None:
    """DataError where an option is not one of `allowed`."""
    for key in options:
        if key not in allowed:
            raise DataError(f"corpus {kind}: unknown option {key!r}: known are {', '.join(allowed) or 'none'}")


def number(kind: str, name: str, text: str, of: type[int] | type[float]) -> float:
    """An option's number; DataError where it is none."""
    try:
        return of(text)
    except ValueError:
        what = "a whole number" if of is int else "a number"
        raise DataError(f"corpus {kind}: {name}={text}: must be {what}") from None


def held_out(document: bytes) -> bool:
    """Whether a document belongs to validation: by its own hash, so others coming or going move nothing,
    and a document that occurs twice falls in one split."""
    return int.from_bytes(hashlib.sha256(document).digest()[:8], "big") < VALIDATION_SHARE * 2**64
