"""Jobs of the preparation of shards: groups of parts of a corpus, by the corpus alone, never by the processes.

A job is read and encoded by one process, and each of its shards is of this job alone. So tokens and shards do not
depend on the number of processes, and what is complete stays after a kill.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scaling.data.corpus import OnBad, Part, TextCorpus, TokenCorpus
from scaling.data.shards.manifest import SPLITS

TEXT_BYTES_PER_TOKEN = 4  # of files per token, roughly: a job of plain English text is about one shard
LAYOUT_VERSION = 1  # of jobs and shards: another one prepares everything again
Reader = Callable[[Part, OnBad], Iterator[Any]]


@dataclass(frozen=True)
class Job:
    """Parts of a corpus that one process prepares.

    Attributes:
        number: Its number; jobs are in the order of the corpus.
        parts: The parts; none where the whole corpus is read by its own function.
        split: Split of its documents; None where their hash decides, or the position in a stream.
    """

    number: int
    parts: tuple[Part, ...] = ()
    split: str | None = None

    @property
    def size(self) -> int | None:
        """Bytes that are read for it, where known."""
        sizes = [part.size for part in self.parts]
        return sum(size or 0 for size in sizes) if sizes and None not in sizes else None


@dataclass(frozen=True)
class Work:
    """What all jobs of a corpus have in common; it pickles.

    Attributes:
        spec: Specification of the corpus, which a process opens where there are no `readers`.
        readers: Read a part, by the split of the job.
        jobs: The jobs.
        is_text: Whether documents are text, which is encoded.
        tokenizer: Name and facts of the tokeniser, and the folder that has its file.
        vocab: Vocabulary size.
        eod: Token that ends a document; None where the corpus is one stream.
        stream_train: Tokens of a stream that are its training split; None where documents are split by their hash.
        dtype: NumPy type of a token.
        address: Folder or address of the shards.
        shard_tokens: Tokens after which a shard is complete.
        skip_bad: Largest number of bad records.
    """

    spec: str
    readers: dict[str | None, Reader]
    jobs: tuple[Job, ...]
    is_text: bool
    tokenizer: tuple[str, dict[str, Any], str]
    vocab: int
    eod: int | None
    stream_train: int | None
    dtype: str
    address: str
    shard_tokens: int
    skip_bad: int


def plan_jobs(
    corpus: TextCorpus | TokenCorpus, shard_tokens: int, *, bytes_per_token: float, is_stream: bool
) -> tuple[Job, ...]:
    """Divides a corpus into jobs of about one shard.

    Args:
        corpus: The corpus.
        shard_tokens: Tokens of a shard.
        bytes_per_token: Bytes of files per token, roughly.
        is_stream: Whether the corpus is one stream, whose last part is held out: one job.
    """
    size = round(shard_tokens * bytes_per_token)
    source, validation = corpus.source, corpus.validation_source
    if corpus.validation is not None and (source is None or validation is None):
        return tuple(Job(i, split=split) for i, split in enumerate(SPLITS))
    if source is None:
        return (Job(0),)
    if is_stream:
        return (Job(0, source.parts),)
    if validation is None:
        groups: list[tuple[str | None, tuple[Part, ...]]] = [(None, parts) for parts in group_parts(source.parts, size)]
    else:
        both = zip(SPLITS, (source.parts, validation.parts), strict=True)
        groups = [(split, parts) for split, all_parts in both for parts in group_parts(all_parts, size)]
    return tuple(Job(i, parts, split) for i, (split, parts) in enumerate(groups))


def part_readers(corpus: TextCorpus | TokenCorpus) -> dict[str | None, Reader]:
    """Returns the function that reads parts, by the split of their jobs; none where the corpus has no parts.

    Args:
        corpus: The corpus.
    """
    source, validation = corpus.source, corpus.validation_source
    if source is None or (corpus.validation is not None and validation is None):
        return {}
    if validation is None:
        return {None: source.reader}
    return {SPLITS[0]: source.reader, SPLITS[1]: validation.reader}


def group_parts(parts: Sequence[Part], size: int) -> list[tuple[Part, ...]]:
    """Groups consecutive parts up to a size; a part of unknown size, or a larger one, is a group of its own.

    Args:
        parts: The parts.
        size: Bytes of a group.
    """
    groups, filled = list[list[Part]](), size
    for part in parts:
        part_size = size if part.size is None else part.size
        if filled + part_size > size:
            groups.append([])
            filled = 0
        groups[-1].append(part)
        filled += part_size
    return [tuple(group) for group in groups]


def work_id(corpus: str, tokenizer: str, facts: dict[str, Any], shard_tokens: int, jobs: Sequence[Job]) -> str:
    """Returns 16 hex digits that name the work: corpus with its files, tokeniser and size of shards.

    Args:
        corpus: Name of the corpus in the store.
        tokenizer: Name of the tokeniser.
        facts: Facts of the tokeniser, with the hash of its file.
        shard_tokens: Tokens of a shard.
        jobs: The jobs; local files count with the time of their last change.
    """
    stamps: dict[str, int] = {}
    parts = [
        [[part.file, part.start, part.stop, part.size, _stamp(part.file, stamps)] for part in job.parts] for job in jobs
    ]
    identity = [LAYOUT_VERSION, corpus, tokenizer, facts, shard_tokens, parts]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _stamp(file: str, stamps: dict[str, int]) -> int:
    if file not in stamps:
        stamps[file] = os.stat(file).st_mtime_ns if os.path.exists(file) else 0
    return stamps[file]
