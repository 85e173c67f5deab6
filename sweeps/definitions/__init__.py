"""Definitions of sweeps.

A definition is a function `make(corpus, *, seed=0, rule_set=TPU, ...) -> list[RunConfig]`; its keyword arguments are
the settings of `--set`, and the first line of its docstring is shown by `sweeps list`. A sweep of this package is one
module and one line in DEFINITIONS. `find_definition` also accepts a function in a user's own file (`from_code`) and
files of run configs (`from_configs`).
"""

from __future__ import annotations

import re

from scaling.config.user_code import parse_reference
from sweeps.definitions import (
    autoencoders,
    brackets,
    compare,
    epochs,
    isoflop,
    kaplan,
    ladder,
    markov,
    quickstart,
    transfer,
)
from sweeps.definitions.abilities import double_descent, emergence, grokking, in_context
from sweeps.definitions.definition import Definition, Tasks
from sweeps.definitions.from_code import code_definition
from sweeps.definitions.from_configs import configs_definition, names_configs, path_name
from sweeps.errors import SweepError

OTHER_NAMES = "or FILE.py:FUNCTION, or files of run configs such as 'runs/*.json'"


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
    "sae": Definition(autoencoders.autoencoders, autoencoders.CORPUS),
    "double-descent": Definition(double_descent.double_descent, double_descent.CORPUS, "double-descent"),
}


def find_definition(*names: str) -> Definition:
    """Returns the definition of a sweep.

    Args:
        names: A known sweep; FILE.py:NAME or package.module:NAME, which is run; or one or more files of run configs.

    Raises:
        SweepError: The name is unknown, or a run config is not valid.
        ConfigError: The user's file raises an error.
    """
    name = names[0]
    reference = parse_reference(name)
    if len(names) == 1 and name in DEFINITIONS:
        return DEFINITIONS[name]
    if len(names) == 1 and reference is not None:
        return code_definition(reference)
    if all(map(names_configs, names)):
        return configs_definition(names)
    unknown = next(name for name in names if not names_configs(name))
    if len(names) > 1:
        raise SweepError(f"{' '.join(names)}: {unknown} is no run config: give one sweep, or several run configs")
    if unknown.endswith(".py"):
        raise SweepError(f"sweep {unknown}: must also name the function: {unknown}:FUNCTION")
    raise SweepError(f"sweep {unknown!r}: must be one of {', '.join(DEFINITIONS)}, {OTHER_NAMES}")


def sweep_name(*names: str) -> str:
    """Returns the name that a sweep has in a store, from its name on the command line; nothing is run or read.

    This is the name of a known sweep, the function's name of FILE.py:NAME, or the file's or folder's name of run
    configs, with '-' in place of characters other than letters, digits, '_', '-' and '.'.

    Args:
        names: As for `find_definition`; also the name of a sweep in a store.
    """
    reference = parse_reference(names[0])
    if len(names) == 1 and reference is not None:
        return reference.name
    if names[0] not in DEFINITIONS and all(map(names_configs, names)):
        return re.sub(r"[^\w.-]+", "-", path_name(names)).lstrip(".-") or "sweep"
    return names[0]
