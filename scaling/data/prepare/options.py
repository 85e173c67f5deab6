"""Options of the preparation of a corpus, and the bad records that it skips."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from scaling.config.validation import ConfigError
from scaling.data.corpus import BadRecord, raise_bad
from scaling.data.prepare.progress import print_note
from scaling.data.tokens import CorpusError

SHARD_TOKENS = 256_000_000  # of a shard; 0.5 GB of tokens of two bytes
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class PrepareOptions:
    """How a corpus is prepared; none of it changes tokens, except that shards have another content hash than one file.

    Attributes:
        processes: Processes that encode; None for one per core.
        shard_tokens: Tokens per shard; None: SHARD_TOKENS where the corpus becomes shards.
        skip_bad: Largest number of bad records that are skipped.
        to: Folder or address that the shards are written to; None for the store.
        shards_at: Address of the store's tokens, for shards without `to`; None for a local store.
    """

    processes: int | None = None
    shard_tokens: int | None = None
    skip_bad: int = 0
    to: str | None = None
    shards_at: str | None = None

    def __post_init__(self) -> None:
        """Checks the numbers; ConfigError where one is out of range."""
        for name, value, least in (
            ("processes", self.processes, 1), ("shard-tokens", self.shard_tokens, 1), ("skip-bad", self.skip_bad, 0),
        ):  # fmt: skip
            if value is not None and value < least:
                raise ConfigError(f"--{name} {value}: must be {least} or more")

    @property
    def workers(self) -> int:
        """Number of processes."""
        return self.processes or available_cores()


def parse_count(text: str) -> int:
    """Parses a number of tokens such as 256M: with k, M or G, decimal.

    Raises:
        ValueError: The text is no such number.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)", text)
    if match is None:
        raise ValueError(text)
    return round(float(match[1]) * UNITS[match[2]])


@dataclass
class BadRecords:
    """The bad records of a corpus: each is named once and skipped, up to a number of them.

    Attributes:
        spec: Specification of the corpus.
        limit: Largest number of records that are skipped.
        skipped: Those so far.
    """

    spec: str
    limit: int
    skipped: dict[str, None] = field(default_factory=dict)

    def __call__(self, record: BadRecord) -> None:
        """Skips a record; CorpusError where there are too many."""
        if not self.limit:
            raise_bad(record)
        self.add([str(record)])

    def add(self, records: Iterable[str]) -> None:
        """Skips records.

        Args:
            records: The records as messages name them.

        Raises:
            CorpusError: There are more than the limit.
        """
        for record in records:
            if record in self.skipped:
                continue
            if len(self.skipped) >= self.limit:
                raise CorpusError(f"{record} (and --skip-bad {self.limit} records before it are skipped)")
            self.skipped[record] = None
            print_note(self.spec, f"skipped: {record}")

    @property
    def facts(self) -> dict[str, int]:
        """What the header of a token file states of them."""
        return {"skipped_records": len(self.skipped)} if self.skipped else {}
