"""FILE.py:NAME: a function of a user's file that yields documents.

Documents are text (str, or bytes in UTF-8), or arrays of tokens where the function has an attribute `vocab`. A function
may return a `TextCorpus` or `TokenCorpus` instead. It is called once for each pass over the documents, which must be
the same each time. Options of the specification are its arguments: FILE.py:NAME,key=value.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from scaling.config.user_code import CodeReference, UserCodeError, load_object, user_errors
from scaling.data.corpus import TextCorpus, TokenCorpus

Function = Callable[[], Any]


def open_corpus(reference: CodeReference, options: dict[str, str]) -> TextCorpus | TokenCorpus:
    """Runs the user's file and opens the corpus.

    Args:
        reference: The function, as the user gave it.
        options: Its arguments; a value is JSON, or plain text if it is not JSON.

    Raises:
        UserCodeError: The file cannot be loaded, an option is no argument of the function, or it raises an error. While
            reading: a document is neither text nor an array of tokens below `vocab`.
    """
    function = load_object(reference, kind="a function that yields documents", accepts=callable)
    try:
        inspect.signature(function).bind(**options)
    except TypeError as error:
        arguments = ", ".join(inspect.signature(function).parameters) or "none"
        raise UserCodeError(f"corpus {reference}: {error}: the arguments of {reference.name} are {arguments}") from None
    call = partial(function, **{name: _parse(text) for name, text in options.items()})
    with user_errors():
        result = call()
        if isinstance(result, TextCorpus | TokenCorpus):
            return result
        if not isinstance(result, Iterable) or isinstance(result, str | bytes):
            raise UserCodeError(
                f"corpus {reference}: returns {type(result).__name__}: must yield documents, str or arrays of tokens"
            )
        first = next(iter(result), None)
    if first is None:
        raise UserCodeError(f"corpus {reference}: yields no documents")
    if isinstance(first, str | bytes):
        return TextCorpus(partial(_texts, reference, call))
    vocab, eod = getattr(function, "vocab", None), getattr(function, "eod", None)
    if vocab is None:
        raise UserCodeError(
            f"corpus {reference}: yields {type(first).__name__}: must be text (str); for arrays of tokens set "
            f"{reference.name}.vocab, and {reference.name}.eod where a token ends each document"
        )
    return TokenCorpus(partial(_arrays, reference, call, vocab), vocab, eod, "symbols")


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _numbered(function: Function) -> Iterator[tuple[int, Any]]:
    """Yields the documents, counted from 1; an error in the user's code names its line."""
    with user_errors():
        yield from enumerate(function(), 1)


def _texts(reference: CodeReference, function: Function) -> Iterator[bytes]:
    """Yields the documents as UTF-8; empty ones are left out."""
    for number, document in _numbered(function):
        try:
            data = document.encode() if isinstance(document, str) else bytes(memoryview(document))
            data.decode()
        except (TypeError, UnicodeError) as error:
            reason = f"is {type(document).__name__}" if isinstance(error, TypeError) else f"is not UTF-8: {error}"
            raise UserCodeError(f"corpus {reference}: document {number} {reason}: must be text (str)") from None
        if data:
            yield data


def _arrays(reference: CodeReference, function: Function, vocab: int) -> Iterator[np.ndarray]:
    """Yields the documents as arrays of tokens, one axis, from 0 to vocab - 1."""
    for number, document in _numbered(function):
        tokens = np.asarray(document)
        is_valid = tokens.ndim == 1 and tokens.dtype.kind in "iu"
        if not is_valid or (tokens.size and not 0 <= tokens.min() <= tokens.max() < vocab):
            raise UserCodeError(
                f"corpus {reference}: document {number} is {tokens.dtype} {tokens.shape}: must be integers from 0 to "
                f"{vocab - 1}, one axis"
            )
        yield tokens
