"""Journal of a job: which of its shards are complete, so that a process that was killed is gone on from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from scaling.data.shards.manifest import Shard
from scaling.data.shards.writer import ShardFolder


@dataclass
class Journal:
    """The complete shards of a job.

    Attributes:
        segments: The shards that were completed together, in order.
        documents: Documents that they have.
        digest: SHA-256 over the hashes of these documents: other documents now make the journal void.
        complete: Whether these are all documents of the job.
        skipped: Bad records that were skipped, of a complete job.
    """

    segments: list[list[Shard]] = field(default_factory=list)
    documents: int = 0
    digest: str = ""
    complete: bool = False
    skipped: list[str] = field(default_factory=list)

    @property
    def shards(self) -> list[Shard]:
        """All its shards."""
        return [shard for segment in self.segments for shard in segment]

    def is_there(self, sizes: Mapping[str, int], dtype: str) -> bool:
        """Whether the folder has all its shards, of the right size.

        Args:
            sizes: Bytes of the files of the folder.
            dtype: NumPy type of a token.
        """
        item = np.dtype(dtype).itemsize
        return all(sizes.get(shard.name) == shard.tokens * item for shard in self.shards)


def journal_name(job: int) -> str:
    """Returns the file of a job's journal."""
    return f"job-{job:05d}.json"


def read_journals(folder: ShardFolder, jobs: int) -> list[Journal | None]:
    """Reads the journals of jobs; None for a job without one, or with a damaged one.

    Args:
        folder: The folder of shards.
        jobs: Number of jobs.
    """
    names = [journal_name(job) for job in range(jobs)]
    contents = folder.read(names)
    return [parse_journal(contents[name]) if name in contents else None for name in names]


def parse_journal(data: bytes) -> Journal | None:
    """Parses a journal; None where it is damaged."""
    try:
        fields = json.loads(data)
        segments = [[Shard(**shard) for shard in segment] for segment in fields.pop("segments")]
        return Journal(segments, **fields)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def write_journal(folder: ShardFolder, job: int, journal: Journal) -> None:
    """Writes a journal.

    Args:
        folder: The folder of shards.
        job: Number of the job.
        journal: The journal.
    """
    folder.write(journal_name(job), json.dumps(asdict(journal)).encode())
