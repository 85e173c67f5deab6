"""Opens a corpus by its specification, such as `text:PATH` or `markov:order=2`."""

from __future__ import annotations

import importlib

from scaling.data.corpora import CORPORA
from scaling.data.corpus import TextCorpus, TokenCorpus
from scaling.data.tokens import CorpusError


def parse_corpus(spec: str) -> tuple[str, str, dict[str, str]]:
    """Splits `kind:argument,key=value,...` into its parts; of text:PATH everything after the colon is the path.

    Raises:
        CorpusError: The kind is unknown, or a part is neither the argument nor key=value.
    """
    kind, _, rest = spec.partition(":")
    if kind not in CORPORA:
        raise CorpusError(f"unknown corpus {spec!r}: must be one of {', '.join(CORPORA)}")
    if kind == "text":
        return kind, rest, {}
    argument, options = "", {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if equals:
            options[key] = value
        elif argument:
            raise CorpusError(f"corpus {spec!r}: {part!r} must be key=value")
        else:
            argument = part
    return kind, argument, options


def open_corpus(spec: str) -> TextCorpus | TokenCorpus:
    """Opens the corpus of a specification such as `markov:order=2`; CorpusError where there is none."""
    kind, argument, options = parse_corpus(spec)
    return importlib.import_module(CORPORA[kind]).open_corpus(argument, options)
