"""sweeps.errors."""

from __future__ import annotations


class SweepError(RuntimeError):
    """A sweep that cannot be: one line that says what was given and what is allowed."""


class PrepareError(RuntimeError):
    """The corpus could not be prepared; `prepare` has said why, `status` is its exit status."""

    def __init__(self, corpus: str, status: int) -> None:
        super().__init__(f"corpus {corpus} could not be prepared")
        self.status = status
