"""Definitions of sweeps.

A definition is a function `make(corpus, *, seed=0, rule_set=TPU, ...) -> list[RunConfig]`; its keyword arguments are
the settings of `--set`, and the first line of its docstring is shown by `sweeps list`. A new sweep is one module and
one line in DEFINITIONS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from scaling.config.run import RunConfig
from sweeps.definitions import brackets, compare, epochs, isoflop, kaplan, ladder, markov, quickstart, transfer
from sweeps.definitions.abilities import double_descent, emergence, grokking, in_context
from sweeps.errors import SweepError


class Tasks(NamedTuple):
    """Tasks on which every finished run is evaluated (`python -m scaling evaluate`).

    Attributes:
        names: Names of the tasks.
        shots: Numbers of examples in the prompt; empty: the task's own number.
        items: Items per task.
    """

    names: tuple[str, ...]
    shots: tuple[int, ...] = ()
    items: int = 200


class Definition(NamedTuple):
    """A sweep that can be planned and launched by name.

    Attributes:
        make: Returns the runs for a corpus; keyword arguments are a seed and the settings of `--set`.
        corpus: Default corpus.
        analysis_command: Command of `python -m analysis` that is run on the store after the launch.
        tasks: Tasks on which the finished runs are evaluated.
    """

    make: Callable[..., list[RunConfig]]
    corpus: str
    analysis_command: str | None = None
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
    "double-descent": Definition(double_descent.double_descent, double_descent.CORPUS, "double-descent"),
}


def find_definition(name: str) -> Definition:
    """Returns the definition of a sweep; raises SweepError for an unknown name."""
    if name not in DEFINITIONS:
        raise SweepError(f"sweep {name!r}: must be one of {', '.join(DEFINITIONS)}")
    return DEFINITIONS[name]
