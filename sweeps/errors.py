"""Errors of the package; `python -m sweeps` prints their message and ends with exit status BAD_INPUT."""

from __future__ import annotations


class SweepError(RuntimeError):
    """Bad input. The message is one line that names the input, the allowed values, and what to do."""


class PrepareError(RuntimeError):
    """The corpus could not be prepared.

    Attributes:
        status: Exit status of `scaling prepare`, which has already printed the reason.
    """

    def __init__(self, corpus: str, status: int) -> None:
        super().__init__(f"corpus {corpus} could not be prepared")
        self.status = status
