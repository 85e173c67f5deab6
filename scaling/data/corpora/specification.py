"""Opens a corpus by its specification, such as `text:PATH`, `markov:order=2` or `FILE.py:NAME`."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from scaling.config.user_code import CodeReference, UserCodeError, parse_reference, read_code
from scaling.data.corpora import CORPORA, PATH_KINDS
from scaling.data.corpus import TextCorpus, TokenCorpus
from scaling.data.tasks import FAMILIES
from scaling.data.tokens import CorpusError
from scaling.store.origin.anonymous import corpus_label, is_anonymous

COMMA = re.compile(r"(?<!\\),")  # between parts; a comma of a path has a backslash before it
ENCLOSED = re.compile(r"\((?P<spec>.*?)\)(?P<share>=[^,()]*)(?:,|$)")  # a part of a mixture with options of its own
PART = re.compile(r"(?P<reference>.*?:\w+?)(?P<range>:\d+(?:-\d+)?)?(?P<share>=.*)?")  # of a mixture, in a user's file


def parse_corpus(spec: str) -> tuple[str, str, dict[str, str]]:
    """Splits `kind:argument,key=value,...` into its parts; of text:PATH everything after the colon is the path.

    Of the kinds that read files, the path is what follows the colon, up to the first comma without a backslash.

    Raises:
        CorpusError: The kind is unknown, or a part is neither the argument nor key=value.
    """
    kind, _, rest = spec.partition(":")
    if kind not in CORPORA:
        known = f"must be one of {', '.join(CORPORA)}, or FILE.py:NAME, a function of yours that yields documents"
        raise CorpusError(f"unknown corpus {spec!r}: {known}")
    if kind == "text":
        return kind, rest, {}
    if kind in PATH_KINDS:
        path, *parts = (part.replace("\\,", ",") for part in COMMA.split(rest))
        return kind, path, parse_options(spec, parts)[1]
    return kind, *parse_options(spec, split_mixture(rest) if kind == "mix" else rest.split(","))


def split_mixture(parts: str) -> list[str]:
    """Splits the parts of a mixture, `NAME=SHARE` or `(SPECIFICATION)=SHARE`, and its options.

    Args:
        parts: The parts, separated by commas; a specification with options of its own is in parentheses.

    Raises:
        CorpusError: A parenthesis is not closed.
    """
    items, position = [], 0
    while position < len(parts):
        if parts[position] == "(":
            match = ENCLOSED.match(parts, position)
            if match is None:
                raise CorpusError(f"corpus mix: {parts[position:]!r}: must be (KIND:ARGUMENT,key=value)=SHARE")
            end = match.end() - parts[match.end() - 1 : match.end()].count(",")
        else:
            end = parts.find(",", position)
            end = len(parts) if end < 0 else end
        items.append(parts[position:end])
        position = end + 1
    return items


def open_corpus(spec: str) -> TextCorpus | TokenCorpus:
    """Opens the corpus of a specification such as `markov:order=2`; CorpusError where there is none.

    A user's file is run: `spec` is what the user gave on the command line or in a Python call.
    """
    if (reference := user_reference(spec.partition(",")[0])) is not None:
        from scaling.data.corpora import user_file  # not needed for the corpora of the package

        return user_file.open_corpus(reference, parse_options(spec, spec.split(",")[1:])[1])
    kind, argument, options = parse_corpus(spec)
    return importlib.import_module(CORPORA[kind]).open_corpus(argument, options)


def user_reference(name: str) -> CodeReference | None:
    """Returns the function of a user's file that a name refers to, None for a corpus or task of the package."""
    return None if name.partition(":")[0] in {*CORPORA, *FAMILIES} else parse_reference(name)


def split_part(name: str) -> tuple[CodeReference | None, str]:
    """Splits the name of a mixture's part in a user's file, such as FILE.py:NAME:1-5, into function and range."""
    match = None if name.startswith("(") else PART.fullmatch(name)
    reference = user_reference(match["reference"]) if match else None
    return reference, (match["range"] or "").removeprefix(":") if match and reference else ""


def stored_corpus_name(spec: str, token_files: Path) -> str:
    """Returns the name of a corpus in a store, which in an anonymous store has no folders; runs nothing.

    Args:
        spec: The specification.
        token_files: Folder of the store's token files.
    """
    name = corpus_name(spec)
    return corpus_label(name) if is_anonymous(token_files.parent) else name


def corpus_name(spec: str) -> str:
    """Returns the name of a corpus in the header of its token file; runs nothing.

    It is the specification, with file name and content hash of each user's file instead of its path: a changed file is
    another corpus. Where such a file does not exist, the specification is returned as it is.
    """
    kind, colon, rest = spec.partition(":")
    separator = spec.partition(",")
    try:
        if kind == "mix":
            return f"{kind}{colon}{','.join(map(_canonical_part, split_mixture(rest)))}"
        return "".join((_canonical(separator[0]), *separator[1:]))
    except (UserCodeError, CorpusError):
        return spec


def _canonical_part(part: str) -> str:
    if (enclosed := ENCLOSED.match(part)) is not None:
        return f"({corpus_name(enclosed['spec'])}){enclosed['share']}"
    match = PART.fullmatch(part)
    if match is None:
        return part
    return _canonical(match["reference"]) + (match["range"] or "") + (match["share"] or "")


def _canonical(name: str) -> str:
    reference = user_reference(name)
    return name if reference is None else f"{reference.label}@{read_code(reference.source).digest}"


def parse_options(spec: str, parts: list[str]) -> tuple[str, dict[str, str]]:
    """Returns the argument, empty where there is none, and the options.

    Args:
        spec: The specification, for messages.
        parts: The argument, and `key=value` of each option.

    Raises:
        CorpusError: A part is a second argument.
    """
    argument, options = "", {}
    for part in filter(None, parts):
        enclosed = ENCLOSED.match(part)
        key, equals, value = (f"({enclosed['spec']})", "=", enclosed["share"][1:]) if enclosed else part.partition("=")
        if equals:
            options[key] = value
        elif argument:
            raise CorpusError(f"corpus {spec!r}: {part!r} must be key=value")
        else:
            argument = part
    return argument, options
