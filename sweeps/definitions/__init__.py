"""The sweeps we know: one file and one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from scaling.config import RunConfig
from sweeps.corpus import SweepError
from sweeps.definitions import (
    brackets,
    compare,
    descent,
    epochs,
    grokking,
    isoflop,
    kaplan,
    ladder,
    markov,
    quickstart,
    transfer,
)


class Definition(NamedTuple):
    """What makes the runs of a sweep, the corpus it is meant for, and the command of analysis that tells what came."""

    make: Callable[..., list[RunConfig]]  # of a corpus, by keyword a seed, and what `--set` sets (sweeps/settings.py)
    corpus: str
    found: str | None = None


DEFINITIONS: dict[str, Definition] = {
    "quickstart": Definition(quickstart.quickstart, quickstart.CORPUS),
    "markov": Definition(markov.markov, markov.CORPUS),
    "transfer-check": Definition(transfer.transfer, transfer.CORPUS),
    "isoflop": Definition(isoflop.isoflop, "cpython"),
    "ladder": Definition(ladder.ladder, "cpython"),
    "kaplan-n": Definition(kaplan.in_n, "cpython"),
    "kaplan-d": Definition(kaplan.in_d, "cpython"),
    "kaplan-c": Definition(kaplan.in_c, "cpython"),
    "kaplan-batch": Definition(kaplan.in_batch, "cpython"),
    "kaplan-shape": Definition(kaplan.in_shape, "cpython"),
    "epochs": Definition(epochs.epochs, "cpython"),
    "lr-bracket": Definition(brackets.lr_bracket, "cpython"),
    "batch-bracket": Definition(brackets.batch_bracket, "cpython"),
    "seeds": Definition(brackets.seeds, "cpython"),
    "compare": Definition(compare.compare, "cpython"),
    "grokking": Definition(grokking.grokking, grokking.CORPUS, "grokking"),
    "double-descent": Definition(descent.descent, descent.CORPUS, "double-descent"),
}


def definition(name: str) -> Definition:
    """The definition of a name; SweepError lists the known ones."""
    if name not in DEFINITIONS:
        raise SweepError(f"sweep {name!r}: known are {', '.join(DEFINITIONS)}")
    return DEFINITIONS[name]
