"""Errors of the analysis package, and the check of option values that raises them."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator

from scaling.config.user_code import UserCodeError, user_errors
from scaling.config.user_code.sources import shown_path

USER_CODE_SECONDS = 30.0  # time limit of one call of a user's law or figure, and of loading it


class FitError(RuntimeError):
    """A law cannot be fitted to these points. The message is one line with the reason."""


class DataError(ValueError):
    """Bad input. The message is one line: the file and the row or column, or the option, and what is allowed."""


@contextlib.contextmanager
def user_code_errors() -> Iterator[None]:
    """Context in which an error inside a user's file becomes a DataError of one line with the file and the line.

    Code that takes longer than USER_CODE_SECONDS is an error too. A DataError or FitError of this package that passes
    through a user's function is not changed.
    """
    try:
        with user_errors(USER_CODE_SECONDS):
            yield
    except UserCodeError as error:
        if isinstance(error.__cause__, DataError | FitError):
            raise error.__cause__ from None
        raise DataError(str(error)) from error.__cause__


def code_location(function: Callable[..., object]) -> str:
    """Returns the file and line where a user's function is defined, as messages show it."""
    code = inspect.unwrap(function).__code__
    return f"{shown_path(code.co_filename)}, line {code.co_firstlineno}"


def check_values(options: object, **rules: tuple[bool, str]) -> None:
    """Raises DataError for the first field of an options dataclass whose value is not allowed.

    Args:
        options: The dataclass.
        **rules: For each field, whether its value is allowed, and what is allowed, such as "0 or more".
    """
    for name, (valid, allowed) in rules.items():
        if not valid:
            raise DataError(f"{name.replace('_', '-')} {getattr(options, name)}: must be {allowed}")
