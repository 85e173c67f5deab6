"""mix:cpython=0.8,addition:1-5=0.2: text and task families in given shares of the bytes, without held-out items.

A part is a text corpus, a task family with its difficulties (addition:3, addition:1-5, or just addition), a function
of a user's file that yields documents or draws questions (FILE.py:NAME, FILE.py:NAME:1-5), or canary:1-64: random
documents that occur 1, 2, 4, ... 64 times, listed in the header of the token file. A part with options of its own is in
parentheses: mix:(jsonl:web,field=content)=0.9,(parquet:code,column=content)=0.1. Options: tokens (bytes in total; as
many as the text suffices for unless given) and seed. With by=tokens, shares and `tokens` are of tokens, not of bytes;
all parts may be token streams of one vocabulary then.

A document of a family has up to MAX_QUESTIONS items of one difficulty with their answers, from the family's training
split. Text documents that contain a question of any family are left out, so that no held-out item occurs.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from scaling.config.user_code import UserCodeError, load_object
from scaling.config.validation import ConfigError
from scaling.data import canary
from scaling.data.corpora import CORPORA, mixed_tokens, specification
from scaling.data.corpus import TextCorpus, TokenCorpus
from scaling.data.tasks import FAMILIES
from scaling.data.tasks.family import check_difficulty, draw_items, get_family, is_task, question_pattern
from scaling.data.tokens import CorpusError

DEFAULT_BYTES = 4_000_000  # of a mixture without text
MAX_QUESTIONS = 8  # of a document
OPTIONS = ("tokens", "seed", "by")
Documents = Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Part:
    """One part of a mixture.

    Attributes:
        share: Share of the bytes.
        documents: Starts a new iteration over the documents.
        size: Bytes of all documents; None where they never end.
    """

    share: float
    documents: Documents
    size: int | None = None


def open_corpus(argument: str, options: dict[str, str]) -> TextCorpus | TokenCorpus:
    """Opens a mixture; its facts are the shares, bytes and seed, and the canaries with their repetitions.

    Args:
        argument: Not used; must be empty.
        options: Shares by the name of the part, and tokens, seed and by.

    Raises:
        CorpusError: A part is unknown, the shares do not sum to 1, or a text is too short for its share.
    """
    if argument:
        raise CorpusError(f"corpus mix: {argument!r} has no share: write {argument}=0.5")
    try:
        return open_mixture(options)
    except UserCodeError:
        raise
    except ConfigError as error:  # of a family
        raise CorpusError(f"corpus mix: {error}") from None


def open_mixture(options: dict[str, str]) -> TextCorpus | TokenCorpus:
    """Opens the mixture of these shares; ConfigError where a family does not have a difficulty."""
    seed = parse_integer("seed", options.get("seed", "0"))
    shares = {name: parse_share(name, text) for name, text in options.items() if name not in OPTIONS}
    if not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        listed = ", ".join(f"{name}={share:g}" for name, share in shares.items()) or "nothing"
        raise CorpusError(f"corpus mix: shares must sum to 1, not to {sum(shares.values()):g} ({listed})")
    if options.get("by", "bytes") != "bytes":
        return open_token_mixture(shares, options, seed)
    notes: list[str] = []
    parts = {
        name: make_part(name, share, seed, notes, list(FAMILIES) + own_tasks(shares))
        for name, share in shares.items()
        if not name.startswith("canary")
    }
    total = total_bytes(options.get("tokens"), parts, notes)
    facts: dict[str, Any] = {"mix": {"shares": shares, "bytes": total, "seed": seed}}
    for name in (name for name in shares if name.startswith("canary")):
        min_repeats, max_repeats = parse_range(name, name.partition(":")[2])
        canaries = canary.make_canaries(min_repeats, max_repeats, shares[name] * total, seed)
        parts[name] = Part(shares[name], partial(canary.shuffled_copies, canaries, seed))
        facts["canary"] = [{"text": text, "times": times} for text, times in canaries]
    return TextCorpus(lambda: mix_documents(list(parts.values()), total), notes=notes, facts=facts)


def open_token_mixture(shares: dict[str, float], options: dict[str, str], seed: int) -> TextCorpus | TokenCorpus:
    """Opens the mixture in which shares are of tokens, of text and families of tasks, or of token streams.

    Args:
        shares: Shares by the names of the parts.
        options: Options of the mixture.
        seed: Names the random streams of families.

    Raises:
        CorpusError: A part is unknown, or text and token streams are mixed.
    """
    if options["by"] != "tokens":
        raise CorpusError(f"corpus mix: by={options['by']}: must be bytes or tokens")
    for name in (name for name in shares if name.startswith("canary")):
        raise CorpusError(f"corpus mix: {name} has shares of bytes: leave out by=tokens")
    total = parse_integer("tokens", options["tokens"]) if "tokens" in options else None
    facts: dict[str, Any] = {"mix": {"shares": shares, "by": "tokens", "seed": seed}}
    if total is not None:
        facts["mix"]["tokens"] = total
    tasks = list(FAMILIES) + own_tasks(shares)
    opened = {name: open_part(name, seed, tasks) for name in shares}
    streams = {name: part for name, part in opened.items() if isinstance(part, TokenCorpus)}
    if len(streams) == len(opened):
        return mixed_tokens.stream_mixture(streams, shares, total, facts)
    if streams:
        raise CorpusError(f"corpus mix: {next(iter(streams))} brings its own tokens: mix it with token streams alone")
    parts = []
    for name, part in opened.items():
        documents = partial(filter_questions, part, tasks) if isinstance(part, TextCorpus) else cast(Documents, part)
        parts.append(mixed_tokens.TokenPart(name, shares[name], documents, ends=isinstance(part, TextCorpus)))
    return mixed_tokens.text_mixture(parts, total, facts)


def own_tasks(names: Iterable[str]) -> list[str]:
    """Returns the parts that are tasks of a user's file, as `get_family` takes them; runs the files."""
    references = filter(None, (specification.split_part(name)[0] for name in names))
    return [str(reference) for reference in references if is_task(load_object(reference))]


def make_part(name: str, share: float, seed: int, notes: list[str], tasks: list[str]) -> Part:
    """Makes the part of a task family or a text corpus.

    Args:
        name: Name of the part, such as addition:1-5.
        share: Share of the bytes.
        seed: Names the random stream of a family.
        notes: Lines for the user, extended by what is left out of a text.
        tasks: Names of the families whose questions a text must not contain.

    Raises:
        CorpusError: The part is unknown, or is no text.
    """
    text = open_part(name, seed, tasks)
    if isinstance(text, TokenCorpus):
        raise CorpusError(f"corpus mix: {name} brings its own tokens: only text can be mixed, or by=tokens streams")
    if not isinstance(text, TextCorpus):
        return Part(share, text)
    documents = partial(filter_questions, text, tasks)
    size = sum(len(document) + 1 for document in documents())
    excluded = sum(1 for _ in text.documents()) - sum(1 for _ in documents())
    notes += [f"{name}: {note}" for note in text.notes]
    if excluded:
        notes.append(f"{name}: left out {excluded} documents that contain a question of a task")
    return Part(share, documents, size)


def open_part(name: str, seed: int, tasks: list[str]) -> Documents | TextCorpus | TokenCorpus:
    """Opens a part: the endless documents of a task family, or a corpus.

    Args:
        name: Name of the part, such as addition:1-5, or a specification in parentheses.
        seed: Names the random stream of a family.
        tasks: Names of the families.

    Raises:
        CorpusError: The part is unknown.
    """
    enclosed = name.startswith("(")
    spec = name[1:-1] if enclosed else name
    reference, range_ = (None, "") if enclosed else specification.split_part(name)
    kind = str(reference) if reference else spec.partition(":")[0]
    if kind in tasks and not enclosed:
        range_ = range_ if reference else name.partition(":")[2]
        return partial(question_documents, kind, difficulties(name, kind, range_), seed)
    is_file = specification.user_reference(spec.partition(",")[0]) is not None if enclosed else reference is not None
    if not is_file and (kind not in CORPORA or kind == "mix"):
        known = [*(k for k in CORPORA if k != "mix"), *FAMILIES, "canary"]
        options = "=, ".join(OPTIONS)
        raise CorpusError(f"corpus mix: unknown part {name!r}: must be one of {', '.join(known)}, or {options}=")
    return specification.open_corpus(spec)


def total_bytes(requested: str | None, parts: dict[str, Part], notes: list[str]) -> int:
    """Returns the bytes of the mixture: those requested, or as many as every text suffices for.

    Args:
        requested: Value of the option `tokens`, None where it is not given.
        parts: The parts by name.
        notes: Lines for the user, extended by what is not used of a text.

    Raises:
        CorpusError: A text is too short for its share.
    """
    limits = {name: int(part.size / part.share) for name, part in parts.items() if part.size is not None}
    scarcest = min(limits, key=lambda name: limits[name]) if limits else None
    if requested is not None:
        total = parse_integer("tokens", requested)
    else:
        total = limits[scarcest] if scarcest else DEFAULT_BYTES
    if scarcest and total > limits[scarcest]:
        raise CorpusError(
            f"corpus mix: tokens={total}: the share of {scarcest} suffices for {limits[scarcest]}: lower tokens"
        )
    for name, limit in limits.items():
        if limit > total + 1:
            used, size = parts[name].share * total, parts[name].size
            notes.append(f"{name}: {used:,.0f} of its {size:,} bytes are used")
    return total


def mix_documents(parts: list[Part], total: int) -> Iterator[bytes]:
    """Yields documents, next of the part that is furthest behind its share, until each has its share.

    Args:
        parts: The parts.
        total: Bytes of the mixture.
    """
    streams, bytes_read, open_parts = [part.documents() for part in parts], [0] * len(parts), set(range(len(parts)))
    while open_parts:
        i = min(open_parts, key=lambda i: (bytes_read[i] / parts[i].share, i))
        document = next(streams[i], None) if bytes_read[i] < parts[i].share * total else None
        if document is None:
            open_parts.discard(i)
            continue
        bytes_read[i] += len(document) + 1  # and the token that ends it
        yield document


def filter_questions(text: TextCorpus, tasks: list[str]) -> Iterator[bytes]:
    """Yields the documents that contain no question of any of these families.

    Args:
        text: The documents.
        tasks: Names of the families.
    """
    question = question_pattern(tasks)
    return (document for document in text.documents() if not question.search(document.decode()))


def difficulties(name: str, family: str, range_: str) -> tuple[int | None, ...]:
    """Returns the difficulties of a part; ConfigError where the family does not have one.

    Args:
        name: Name of the part, for messages.
        family: Name of its family.
        range_: Its range, such as 1-5; empty for the default of the family.
    """
    default = get_family(family).default_difficulties
    if not range_ and default is None:
        return (None,)
    lowest, highest = parse_range(name, range_) if range_ or default is None else default
    check_difficulty(family, lowest)
    check_difficulty(family, highest)
    return tuple(range(lowest, highest + 1))


def question_documents(name: str, levels: tuple[int | None, ...], seed: int) -> Iterator[bytes]:
    """Yields documents of a family without end, each difficulty and each number of own examples equally likely.

    Args:
        name: Name of the family.
        levels: Difficulties.
        seed: Names the random stream.
    """
    uniform = random.Random(f"documents {get_family(name).name} {levels[0]} {levels[-1]} {seed}").random
    streams = [draw_items(name, difficulty, "train", f"mix {seed}") for difficulty in levels]
    while True:
        stream = streams[int(uniform() * len(streams))]
        items = [next(stream) for _ in range(1 + int(uniform() * MAX_QUESTIONS))]
        yield "".join(item.solved(int(uniform() * (len(item.examples) + 1))) for item in items).encode()


def parse_range(name: str, text: str) -> tuple[int, int]:
    """Parses `1-5` as a range of integers, `3` as the range of that one.

    Args:
        name: Name of the part, for the message.
        text: The range.
    """
    lowest, dash, highest = text.partition("-")
    valid = lowest.isdecimal() and (not dash or (highest.isdecimal() and int(lowest) <= int(highest)))
    if not valid:
        raise CorpusError(f"corpus mix: {name}: must be one integer or a range, as {name.partition(':')[0]}:1-5")
    return int(lowest), int(highest) if dash else int(lowest)


def parse_share(name: str, text: str) -> float:
    """Parses the share of a part; CorpusError where it is not in (0, 1].

    Args:
        name: Name of the part.
        text: The share.
    """
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise CorpusError(f"corpus mix: {name}={text}: a share must be above 0 and at most 1")
    return share


def parse_integer(name: str, text: str) -> int:
    """Parses a non-negative integer option; `tokens` must be positive.

    Args:
        name: Name of the option.
        text: Its value.
    """
    if not text.isdecimal() or (name == "tokens" and not int(text)):
        raise CorpusError(f"corpus mix: {name}={text}: must be an integer, {'1' if name == 'tokens' else '0'} or more")
    return int(text)
