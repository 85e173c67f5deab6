"""The sweeps we know: one file and one line each."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from scaling.config import RunConfig
from sweeps.corpus import Corpus, SweepError
from sweeps.definitions import markov, quickstart, transfer


class Make(Protocol):
    """Turns a corpus into runs."""

    def __call__(self, corpus: Corpus, *, seed: int = 0) -> list[RunConfig]: ...


class Definition(NamedTuple):
    """What makes the runs of a sweep, and the corpus it is meant for."""

    make: Make
    corpus: str


DEFINITIONS: dict[str, Definition] = {
    "quickstart": Definition(quickstart.quickstart, quickstart.CORPUS),
    "markov": Definition(markov.markov, markov.CORPUS),
    "transfer-check": Definition(transfer.transfer, transfer.CORPUS),
}


def definition(name: str) -> Definition:
    """The definition of a name; SweepError lists the known ones."""
    if name not in DEFINITIONS:
        raise SweepError(f"sweep {name!r}: known are {', '.join(DEFINITIONS)}")
    return DEFINITIONS[name]
