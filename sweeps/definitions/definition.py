"""What a sweep consists of: the function that returns its runs, its corpus, and what is done after the launch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from scaling.config.run import RunConfig


class Tasks(NamedTuple):
    """Tasks on which every finished run is evaluated (`python -m scaling evaluate`).

    Attributes:
        names: Names of the tasks, each that of a known task, a file of questions, or FILE.py:NAME.
        shots: Numbers of examples in the prompt; empty: the task's own number.
        items: Items per task.
    """

    names: tuple[str, ...]
    shots: tuple[int, ...] = ()
    items: int = 200


class Definition(NamedTuple):
    """A sweep that can be planned and launched by name.

    Attributes:
        make: Returns the runs. It is called with `corpus` and `seed` where it has such parameters, and with the
            settings of `--set`, which are its other parameters.
        corpus: Default corpus, as given to `scaling prepare`; None: that of the runs, which is found in the store.
        analysis_command: Command of `python -m analysis` that is run on the store after the launch.
        tasks: Tasks on which the finished runs are evaluated.
        code: Files or modules of the user, whose blocks the runs may use (`scaling train --code`).
    """

    make: Callable[..., Sequence[RunConfig]]
    corpus: str | None
    analysis_command: str | None = None
    tasks: Tasks | None = None
    code: tuple[str, ...] = ()
