"""mix:cpython=0.8,addition:1-5=0.2: text and families of tasks in chosen shares of the bytes, and nothing held out.

A part is a corpus of text, a family of tasks with its difficulties (addition:3, addition:1-5, or addition alone), or
canary:1-64, documents of random letters, as many that occur once, twice, four times, ... up to 64 times: which, the
token file's header says. Options: tokens (bytes altogether; default: as much as the text goes round for), seed.

A document of a family is up to LINES questions of one difficulty with their answers, all of the family's training
split. A text document in which a question of any family occurs is left out, so a held-out one occurs nowhere.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from scaling.config.validation import ConfigError
from scaling.data import CORPORA, canary, corpus
from scaling.data.corpus import Text
from scaling.data.tasks.family import checked, draws, family, pattern
from scaling.data.tasks.registry import FAMILIES
from scaling.data.tokens import DataError

TOKENS = 4_000_000  # where no text says how much there is
LINES = 8  # questions of a document, at most
Documents = Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Part:
    """One part: its share of the bytes, its documents, and all their bytes where they end."""

    share: float
    documents: Documents
    size: int | None = None


def open_corpus(argument: str, options: dict[str, str]) -> Text:
    """The mixture; facts: its shares, bytes and seed, and its canaries with how often each occurs."""
    if argument:
        raise DataError(f"corpus mix: {argument!r} has no share: write {argument}=0.5")
    try:
        return opened(options)
    except ConfigError as error:  # of a family
        raise DataError(f"corpus mix: {error}") from None


def opened(options: dict[str, str]) -> Text:
    seed = whole("seed", options.get("seed", "0"))
    shares = {name: share(name, text) for name, text in options.items() if name not in ("tokens", "seed")}
    if not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        said = ", ".join(f"{name}={of:g}" for name, of in shares.items()) or "nothing"
        raise DataError(f"corpus mix: shares must sum to 1, not to {sum(shares.values()):g} ({said})")
    notes: list[str] = []
    parts = {name: part(name, of, seed, notes) for name, of in shares.items() if not name.startswith("canary")}
    total = bytes_of(options.get("tokens"), parts, notes)
    facts: dict[str, Any] = {"mix": {"shares": shares, "bytes": total, "seed": seed}}
    for name in (name for name in shares if name.startswith("canary")):
        texts = canary.planted(*span(name, name.partition(":")[2]), shares[name] * total, seed)
        parts[name] = Part(shares[name], partial(canary.scattered, texts, seed))
        facts["canary"] = [{"text": text, "times": times} for text, times in texts]
    return Text(lambda: mixed(list(parts.values()), total), notes=notes, facts=facts)


def part(name: str, of: float, seed: int, notes: list[str]) -> Part:
    """The part of a name; DataError lists the known ones."""
    kind, colon, range_ = name.partition(":")
    if kind in FAMILIES:
        low, high = span(name, range_) if colon else family(kind).USUAL
        return Part(of, partial(questions, kind, checked(kind, low), checked(kind, high), seed))
    if kind not in CORPORA or kind == "mix":
        known = [*(k for k in CORPORA if k != "mix"), *FAMILIES, "canary"]
        raise DataError(f"corpus mix: unknown part {name!r}: known are {', '.join(known)}, and tokens= and seed=")
    text = corpus.open_corpus(name)
    if not isinstance(text, Text):
        raise DataError(f"corpus mix: {name} brings its own tokens: only text can be mixed")
    documents = partial(without_questions, text)
    size = sum(len(document) + 1 for document in documents())
    left_out = sum(1 for _ in text.documents()) - sum(1 for _ in documents())
    notes += [f"{name}: {note}" for note in text.notes]
    notes += [f"{name}: {left_out} documents hold a question of a task and are left out"] * bool(left_out)
    return Part(of, documents, size)


def bytes_of(asked: str | None, parts: dict[str, Part], notes: list[str]) -> int:
    """Bytes altogether: what was asked for, or what the texts go round for."""
    most = {name: int(one.size / one.share) for name, one in parts.items() if one.size is not None}
    scarce = min(most, key=lambda name: most[name]) if most else None
    total = whole("tokens", asked) if asked is not None else most[scarce] if scarce else TOKENS
    if scarce and total > most[scarce]:
        raise DataError(
            f"corpus mix: tokens={total}: at its share {scarce} is enough for {most[scarce]}: ask for fewer"
        )
    for name, bytes_ in most.items():
        if bytes_ > total + 1:
            notes.append(f"{name}: {parts[name].share * total:,.0f} of its {parts[name].size:,} bytes are its share")
    return total


def mixed(parts: list[Part], total: int) -> Iterator[bytes]:
    """Documents until each part has had its share; next comes the part that is furthest behind."""
    streams, had, left = [one.documents() for one in parts], [0] * len(parts), set(range(len(parts)))
    while left:
        turn = min(left, key=lambda i: (had[i] / parts[i].share, i))
        document = next(streams[turn], None) if had[turn] < parts[turn].share * total else None
        if document is None:
            left.discard(turn)
            continue
        had[turn] += len(document) + 1  # and the token that ends it
        yield document


def without_questions(text: Text) -> Iterator[bytes]:
    """The documents in which no question of any family occurs."""
    found = pattern(list(FAMILIES))
    return (document for document in text.documents() if not found.search(document.decode()))


def questions(name: str, low: int, high: int, seed: int) -> Iterator[bytes]:
    """Documents of a family without end, as many of each difficulty; of a question's own examples any number."""
    draw = random.Random(f"documents {name} {low} {high} {seed}").random
    drawn = [draws(name, difficulty, "train", f"mix {seed}") for difficulty in range(low, high + 1)]
    while True:
        asked = drawn[int(draw() * len(drawn))]
        some = [next(asked) for _ in range(1 + int(draw() * LINES))]
        yield "".join(item.answered(int(draw() * (len(item.own) + 1))) for item in some).encode()


def span(name: str, text: str) -> tuple[int, int]:
    """`1-5` as two whole numbers, `3` as twice the same."""
    low, dash, high = text.partition("-")
    if not low.isdecimal() or (dash and not high.isdecimal()) or (dash and int(low) > int(high)):
        raise DataError(f"corpus mix: {name}: must be one number or two, as {name.partition(':')[0]}:1-5")
    return int(low), int(high) if dash else int(low)


def share(name: str, text: str) -> float:
    try:
        of = float(text)
    except ValueError:
        of = math.nan
    if not 0 < of <= 1:
        raise DataError(f"corpus mix: {name}={text}: a share must be above 0 and at most 1")
    return of


def whole(name: str, text: str) -> int:
    if not text.isdecimal() or (name == "tokens" and not int(text)):
        raise DataError(f"corpus mix: {name}={text}: must be a whole number")
    return int(text)
