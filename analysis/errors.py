"""Errors of the analysis package, and the check of option values that raises them."""

from __future__ import annotations


class FitError(RuntimeError):
    """A law cannot be fitted to these points. The message is one line with the reason."""


class DataError(ValueError):
    """Bad input. The message is one line: the file and the row or column, or the option, and what is allowed."""


def check_values(options: object, **rules: tuple[bool, str]) -> None:
    """Raises DataError for the first field of an options dataclass whose value is not allowed.

    Args:
        options: The dataclass.
        **rules: For each field, whether its value is allowed, and what is allowed, such as "0 or more".
    """
    for name, (valid, allowed) in rules.items():
        if not valid:
            raise DataError(f"{name.replace('_', '-')} {getattr(options, name)}: must be {allowed}")
