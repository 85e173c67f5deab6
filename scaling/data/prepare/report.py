"""What a job tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """What a job tells while it runs.

    Attributes:
        job: Its number.
        text_bytes: Bytes of documents since the report before.
        read_bytes: Bytes of files of the parts that were completely read since then.
        tokens: Tokens since then.
        skipped: Bad records since then.
        complete: Whether the job is complete.
    """

    job: int
    text_bytes: int = 0
    read_bytes: int = 0
    tokens: int = 0
    skipped: tuple[str, ...] = ()
    complete: bool = False
