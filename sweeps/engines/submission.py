"""What a launch hands to an engine: the runs, and the engine's options read from `--option NAME=VALUE`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from scaling.config.run import RunConfig, dumps, run_id
from scaling.store.files import write_atomic
from scaling.store.record import Store
from sweeps.errors import SweepError

RESTARTS = 2  # of one run or its job after a crash; restarts after a preemption are not counted
Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The runs that an engine trains, and where they belong.

    Attributes:
        store: Where the runs' configs, records and checkpoints are.
        sweep: Name of the sweep in the store.
        configs: The runs, in order of execution.
        starts: For each run, the step at which it leaves a run before it (`shared_steps`); None: not computed yet.
        command: Command that trains, of the engines whose workers have this environment (local, slurm, ray); empty:
            `python -m scaling train`.
        keep_open: File descriptors that child processes inherit, such as the launcher's lock.
    """

    store: Store
    sweep: str
    configs: Sequence[RunConfig]
    starts: Sequence[int] | None = None
    command: Sequence[str] = ()
    keep_open: Sequence[int] = ()


def write_configs(submission: Submission) -> dict[str, RunConfig]:
    """Writes each run's config into the store, where the trainer reads it; returns the configs by run_id, in order."""
    configs = {run_id(config): config for config in submission.configs}
    for name, config in configs.items():
        write_atomic(submission.store.run_dir(name) / "config.json", dumps(config).encode())
    return configs


def parse_options(kind: type[Options], options: Mapping[str, str]) -> Options:
    """Builds an engine's options from the texts of `--option`.

    The fields of the dataclass are the allowed names. A field without a default is required; the type of the default
    says how a text is read (yes or no, a whole number, text). Checks of one engine are in the `__post_init__` of its
    dataclass.

    Args:
        kind: Dataclass of the engine's options.
        options: Value by name, as given on the command line.

    Raises:
        SweepError: A name is unknown or missing, or a value is not allowed.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = [name for name in options if name not in fields]
    if unknown:
        raise SweepError(f"--option {unknown[0]}=...: unknown option: must be one of {', '.join(fields)}")
    missing = [name for name, field in fields.items() if field.default is dataclasses.MISSING and not options.get(name)]
    if missing:
        raise SweepError(f"this engine needs {' '.join(f'--option {name}=...' for name in missing)}")
    return kind(**{name: _parse_value(name, text, fields[name].default) for name, text in options.items()})


def _parse_value(name: str, text: str, default: Any) -> Any:
    if isinstance(default, bool):
        if text not in ("yes", "no"):
            raise SweepError(f"--option {name}={text}: must be yes or no")
        return text == "yes"
    if isinstance(default, int):
        if not text.isdecimal():
            raise SweepError(f"--option {name}={text}: must be a number, 0 or more")
        return int(text)
    return text
