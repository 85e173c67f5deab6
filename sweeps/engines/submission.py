"""Input of an engine: the runs to train, the user's code that they use, and its options from `--option NAME=VALUE`."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from scaling.config.run import RunConfig, dumps, run_id
from scaling.config.user_code import read_code
from scaling.store.files import write_atomic
from scaling.store.record import Store
from sweeps.errors import SweepError

TRAIN = (sys.executable, "-m", "scaling", "train")
RESTARTS = 2  # largest number of restarts of a run or its job after a crash; preemptions are not counted
CODE_FOLDER = "code"  # of the store; has a folder for each file of the user, named by the hash of its content
Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The runs that an engine trains, with their store and sweep.

    Attributes:
        store: The store of their configs, records and checkpoints.
        sweep: Name of the sweep in the store.
        configs: The runs, in order of execution.
        starts: Step at which each run branches from an earlier run (`shared_steps`); None: not computed yet.
        command: Command that trains, for engines whose workers have this environment (local, slurm, ray); empty:
            `python -m scaling train`.
        code: Code of the user that the runs use: paths in the store (`write_code`), or names of installed modules.
        keep_open: File descriptors that child processes inherit, such as that of the launcher's lock.
    """

    store: Store
    sweep: str
    configs: Sequence[RunConfig]
    starts: Sequence[int] | None = None
    command: Sequence[str] = ()
    code: Sequence[str] = ()
    keep_open: Sequence[int] = ()


class JobFile(NamedTuple):
    """A file of a dry run: what an engine would submit, or the command that it would run.

    Attributes:
        name: Name of the file.
        text: Its contents.
        commands: Commands that submit it.
        details: Further lines about it.
        title: The line above it where files are printed; empty: its name.
        runs: Ids of the runs of each job that it starts.
    """

    name: str
    text: str
    commands: Sequence[str] = ()
    details: Sequence[str] = ()
    title: str = ""
    runs: Sequence[Sequence[str]] = ()

    def jobs(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Yields the name and the run ids of each job that the file starts."""
        label = self.name.rpartition(".")[0]
        for i, names in enumerate(self.runs):
            yield (f"{label}[{i}]" if len(self.runs) > 1 else label), names


@dataclass(frozen=True)
class DryRun:
    """What an engine would submit, without submitting it.

    Attributes:
        files: The files, in order.
        notes: Lines about all of them, such as the commands that query and stop the jobs.
        head: Lines before the first file.
    """

    files: Sequence[JobFile]
    notes: Sequence[str] = ()
    head: Sequence[str] = ()

    def as_text(self) -> str:
        """Returns files, commands and notes as text."""
        parts = [[f.title or f"# {f.name}", f.text, *f.commands, "", *f.details, *([""] * bool(f.details))]
                 for f in self.files]  # fmt: skip
        return "\n".join([*self.head, *itertools.chain.from_iterable(parts), *self.notes])

    def commands(self) -> str:
        """Returns the commands and notes, without the contents of the files."""
        parts = [[*(f.commands or [f"# {f.name}"]), *f.details] for f in self.files]
        return "\n".join([*self.head, *itertools.chain.from_iterable(parts), "", *self.notes]) + "\n"


def write_configs(submission: Submission) -> dict[str, RunConfig]:
    """Writes each run's config to the store, for the trainer; returns the configs by run_id, in order."""
    configs = {run_id(config): config for config in submission.configs}
    for name, config in configs.items():
        write_atomic(submission.store.run_dir(name) / "config.json", dumps(config).encode())
    return configs


def code_paths(sources: Sequence[str]) -> list[str]:
    """Returns where the user's files are in a store, by the hash of their content; names of modules stay as they are.

    Args:
        sources: Files that the user named at the launch, or names of installed modules.
    """
    codes = (read_code(source) for source in sources)
    return [
        f"{CODE_FOLDER}/{code.digest}/{code.main.path.name}" if code.source.endswith(".py") else code.source
        for code in codes
    ]


def code_files(sources: Sequence[str]) -> dict[str, bytes]:
    """Returns the user's files, and the modules in their folders that they import: path in a store -> content.

    Args:
        sources: As for `code_paths`. Installed modules are left out.
    """
    files: dict[str, bytes] = {}
    for code in map(read_code, sources):
        if code.source.endswith(".py"):
            folder = f"{CODE_FOLDER}/{code.digest}"
            files[f"{folder}/{code.main.path.name}"] = code.main.content
            for name, module in code.modules.items():
                if module.path.suffix:  # a folder without __init__.py has no content
                    path = f"{folder}/{name.replace('.', '/')}"
                    files[f"{path}/__init__.py" if module.is_package else f"{path}.py"] = module.content
    return files


def write_code(store: Store, sources: Sequence[str]) -> list[str]:
    """Copies the user's files to the store and returns their paths there, as `code_paths`.

    A later change of the files does not affect the runs: every process that trains reads the copies.

    Args:
        store: The store.
        sources: Files that the user named at the launch, or names of installed modules, which are not copied.
    """
    for path, content in code_files(sources).items():
        if not (store.root / path).exists():
            write_atomic(store.root / path, content)
            store.upload(store.root / path)
    return code_paths(sources)


def code_flags(code: Sequence[str], root: str | Path) -> list[str]:
    """Returns the flags of `scaling train` for the user's code.

    Args:
        code: Result of `write_code`.
        root: Folder of the store on the machine that trains.
    """
    return [word for source in code_sources(code, root) for word in ("--code", source)]


def code_sources(code: Sequence[str], root: str | Path) -> list[str]:
    """Returns the files and modules of the user's code on a machine (arguments as for `code_flags`)."""
    return [f"{root}/{path}" if path.endswith(".py") else path for path in code]


def train_command(submission: Submission, run_ids: Sequence[str] | None = None) -> list[str]:
    """Returns the command that trains runs on a machine with this environment and with the store's folder.

    It trains the runs in the given order, prints their events as JSON lines on standard output (events.py), and ends
    with an exit status of scaling/config/exit_status.py. Runs that are done are skipped, and others resumed.

    Args:
        submission: The runs, whose configs are in the store (`write_configs`).
        run_ids: Only these runs; None: all.
    """
    store = submission.store
    names = [run_id(config) for config in submission.configs] if run_ids is None else run_ids
    configs = [str(store.run_dir(name) / "config.json") for name in names]
    command = [*(submission.command or TRAIN), *configs, "--store", store.address, "--sweep", submission.sweep]
    return [*command, "--events", *code_flags(submission.code, store.root)]


def parse_options(kind: type[Options], options: Mapping[str, str]) -> Options:
    """Builds an engine's options from the values of `--option`.

    The names of the options are the fields of the dataclass. A field without a default is required. A value is parsed
    according to the type of the default: yes or no, a whole number, or text. The `__post_init__` of the dataclass does
    further checks.

    Args:
        kind: Dataclass of the engine's options.
        options: Text of each option by name.

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
            raise SweepError(f"--option {name}={text}: must be a whole number, 0 or more")
        return int(text)
    return text
