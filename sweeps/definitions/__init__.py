"""The sweeps we know: one file and one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from scaling.config.run import RunConfig
from sweeps.definitions import brackets, compare, epochs, isoflop, kaplan, ladder, markov, quickstart, transfer
from sweeps.definitions.abilities import double_descent, emergence, grokking, in_context
from sweeps.errors import SweepError


class Tasks(NamedTuple):
    """What every run is asked once it is done (python -m scaling evaluate)."""

    names: tuple[str, ...]
    shots: tuple[int, ...] = ()
    items: int = 200


class Definition(NamedTuple):
    """What makes the runs of a sweep, its corpus, the command of analysis that tells what came, and what is asked."""

    make: Callable[
        ..., list[RunConfig]
    ]  # of a corpus, by keyword a seed, and what `--set` sets (sweeps/planning/settings.py)
    corpus: str
    found: str | None = None
    tasks: Tasks | None = None


DEFINITIONS: dict[str, Definition] = {
    "quickstart": Definition(quickstart.quickstart, quickstart.CORPUS),
    "markov": Definition(markov.markov, markov.CORPUS),
    "transfer-check": Definition(transfer.transfer, transfer.CORPUS),
    "emergence": Definition(
        emergence.emergence,
        emergence.CORPUS,
        "emergence",
        Tasks(emergence.TASKS, items=emergence.ITEMS),
    ),
    "in-context": Definition(
        in_context.in_context,
        in_context.CORPUS,
        "emergence",
        Tasks(in_context.TASKS, in_context.SHOTS, in_context.ITEMS),
    ),
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
    "double-descent": Definition(double_descent.descent, double_descent.CORPUS, "double-descent"),
}


def definition(name: str) -> Definition:
    """The definition of a name; SweepError lists the known ones."""
    if name not in DEFINITIONS:
        raise SweepError(f"sweep {name!r}: known are {', '.join(DEFINITIONS)}")
    return DEFINITIONS[name]
