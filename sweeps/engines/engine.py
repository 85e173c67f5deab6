"""What an engine consists of: functions that submit, poll and cancel a job, and the dataclass of its options."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from scaling.config.user_code import UserCodeError, load_object, parse_reference, read_code, user_errors
from scaling.config.user_code.loading import load_module
from sweeps.engines.events import Event
from sweeps.engines.submission import DryRun
from sweeps.errors import SweepError

REQUIRED = ("submit", "poll", "cancel")
ALL = "functions submit, poll and cancel"


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """Options of an engine without options."""


class Engine(NamedTuple):
    """The functions of an engine and the dataclass of its options.

    Attributes:
        submit: `submit(submission, options) -> job` starts to train the runs in the given order.
        poll: `poll(job, timeout) -> events` returns the events since the last call, waiting at most `timeout` seconds.
            Once `job.finished` is True there are no further events; `job.error` then says why runs remain, or is None.
        cancel: `cancel(job)` asks the runs to save and stop; poll until `job.finished`. The second call kills them.
        options: Dataclass of the engine's options, whose fields `--option NAME=VALUE` sets.
        dry_run: `dry_run(submission, options) -> DryRun` returns the exact files and commands of `submit`, `poll` and
            `cancel` without running them; None: the engine has no dry run.
    """

    submit: Callable[..., Any]
    poll: Callable[..., list[Event]]
    cancel: Callable[[Any], None]
    options: type[Any] = NoOptions
    dry_run: Callable[..., DryRun] | None = None


def load_engine(name: str) -> Engine:
    """Returns the engine in a user's file or module, which is run.

    Args:
        name: As the user named it: `FILE.py:NAME` or `package.module:NAME` of an Engine, or a file or module with
            functions submit, poll, cancel and, optionally, dry_run and a dataclass `options`.

    Raises:
        ConfigError: The file, or an engine of this name, does not exist, or the file raises an error.
        SweepError: It is not an engine.
    """
    reference = parse_reference(name)
    value = load_module(read_code(name)) if reference is None else load_object(reference)
    if not isinstance(value, Engine):
        missing = [function for function in REQUIRED if not callable(getattr(value, function, None))]
        if missing:
            raise SweepError(f"engine {name}: has no {' and no '.join(missing)}: must be an Engine, or have {ALL}")
        optional = {part: getattr(value, part) for part in ("options", "dry_run") if hasattr(value, part)}
        value = Engine(value.submit, value.poll, value.cancel, **optional)
    if not dataclasses.is_dataclass(value.options):
        raise SweepError(f"engine {name}: options is {type(value.options).__name__}: must be a dataclass")
    return value._replace(
        submit=_with_file_and_line(value.submit),
        poll=_with_file_and_line(value.poll),
        cancel=_with_file_and_line(value.cancel),
        dry_run=value.dry_run and _with_file_and_line(value.dry_run),
    )


def _with_file_and_line(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function whose errors name file and line; a SweepError is a message of its own."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            with user_errors():
                return function(*args, **kwargs)
        except UserCodeError as error:
            raise (error.__cause__ if isinstance(error.__cause__, SweepError) else error) from None

    return call
