"""analysis.errors."""

from __future__ import annotations


class FitError(RuntimeError):
    """A fit that cannot be done: one line that says why."""


class DataError(ValueError):
    """Points that cannot be read: one line that names the file, the row or column, and what is allowed."""
