"""One job: its documents are read, encoded, split, and written as shards; complete shards are kept in a journal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from scaling.data.corpus import BadRecord, Part
from scaling.data.prepare.jobs import Job, Work
from scaling.data.prepare.journal import Journal, write_journal
from scaling.data.prepare.report import Report
from scaling.data.prepare.streams import Hashed, encode_hashed, read_documents, split_stream
from scaling.data.shards.manifest import SPLITS
from scaling.data.shards.writer import SegmentWriter, ShardFolder
from scaling.data.tokenizers import Tokenizer, load_tokenizer
from scaling.data.tokens import CorpusError

PENDING_TOKENS = 1 << 20  # that are joined before they are handed to the thread that writes


class JobRun:
    """The preparation of one job."""

    def __init__(self, work: Work, job: Job, tokenizer: Tokenizer | None) -> None:
        """Starts the job.

        Args:
            work: The work.
            job: The job.
            tokenizer: The tokeniser of a text.
        """
        self.work, self.job, self.tokenizer = work, job, tokenizer
        self.folder = ShardFolder(work.address)
        self.skipped: dict[str, None] = {}
        self.reported, self.text_bytes, self.read_bytes = 0, 0, 0

    def run(self, journal: Journal, threads: int) -> Iterator[Report]:
        """Prepares what a journal does not have yet, and yields reports; the last one says that the job is complete.

        Args:
            journal: Journal of the shards that are there.
            threads: Threads that encode at the same time.

        Raises:
            CorpusError: A record is bad, or a file cannot be read.
            OSError: A shard cannot be written.
        """
        documents = self.read()
        running, position = self.skip(documents, journal)
        if running is None:  # the documents are others now
            journal, documents = Journal(), self.read()
            running, position = hashlib.sha256(), 0
        if not journal.complete:
            if self.work.stream_train is None:
                encoded = encode_hashed(self.work, self.job, self.tokenizer, documents, threads)
            else:
                encoded = split_stream(documents, self.work.stream_train, position)
            yield from self.write(encoded, journal, running)
        yield self.report(0, complete=True)

    def report(self, tokens: int, *, complete: bool = False) -> Report:
        """Returns what is new since the last report.

        Args:
            tokens: Tokens that are new.
            complete: Whether the job is complete.
        """
        skipped, sizes = tuple(self.skipped)[self.reported :], (self.text_bytes, self.read_bytes)
        self.reported, self.text_bytes, self.read_bytes = len(self.skipped), 0, 0
        return Report(self.job.number, *sizes, tokens, skipped, complete)

    def read(self) -> Iterator[Hashed]:
        """Yields the documents with their hashes, and counts the bytes of text."""
        for digest, document in read_documents(self.work, self.job, self.tokenizer, self.skip_record, self.count_part):
            self.text_bytes += len(document) if self.work.is_text else document.nbytes
            yield digest, document

    def count_part(self, part: Part) -> None:
        """Counts the bytes of a part that was read."""
        self.read_bytes += part.size or 0

    def skip_record(self, record: BadRecord) -> None:
        """Skips a bad record; CorpusError where there are too many."""
        name = str(record)
        if name not in self.skipped and len(self.skipped) >= self.work.skip_bad:
            raise CorpusError(name)
        self.skipped[name] = None

    def skip(self, documents: Iterator[Hashed], journal: Journal) -> tuple[hashlib._Hash | None, int]:
        """Reads the documents that a journal has, without encoding them.

        Args:
            documents: The documents, which go on after them.
            journal: The journal.

        Returns:
            The SHA-256 over their hashes, None where it is another one than the journal's; the tokens of the arrays.
        """
        running, position = hashlib.sha256(), 0
        for _ in range(journal.documents):
            item = next(documents, None)
            if item is None:
                return None, 0
            running.update(item[0])
            position += 0 if self.work.is_text else len(item[1])
        is_more = journal.complete and next(documents, None) is not None
        matches = not journal.documents or running.hexdigest() == journal.digest
        return (running, position) if matches and not is_more else (None, 0)

    def write(
        self, encoded: Iterator[tuple[bytes, str, np.ndarray]], journal: Journal, running: hashlib._Hash
    ) -> Iterator[Report]:
        """Writes shards, and the journal after each of them; yields reports.

        Args:
            encoded: Hash, split and tokens of the documents.
            journal: The journal so far.
            running: SHA-256 over the hashes of its documents.
        """
        segment, pending, counts = self.segment(journal), {split: list[np.ndarray]() for split in SPLITS}, [0, 0]
        documents, waiting = journal.documents, 0

        def flush() -> None:
            for split, arrays in pending.items():
                segment.append(split, arrays)
                arrays.clear()

        def complete(*, is_last: bool) -> Journal:
            flush()
            segments = [*journal.segments, segment.finish()] if any(counts) else journal.segments
            skipped = list(self.skipped) if is_last else []
            done = replace(
                journal, segments=segments, documents=documents, digest=running.hexdigest(), complete=is_last,
                skipped=skipped,
            )  # fmt: skip
            write_journal(self.folder, self.job.number, done)
            return done

        try:
            for digest, split, tokens in encoded:
                # an array that has the end of a stream's training split comes in two, and stays in one segment
                if max(counts) >= self.work.shard_tokens and digest:
                    journal = complete(is_last=False)
                    segment, counts = self.segment(journal), [0, 0]
                pending[split].append(self.check(tokens))
                counts[SPLITS.index(split)] += len(tokens)
                waiting += len(tokens)
                documents += bool(digest)
                running.update(digest)
                if waiting >= PENDING_TOKENS:
                    flush()
                    yield self.report(waiting)
                    waiting = 0
            complete(is_last=True)
        except BaseException:
            segment.discard()
            raise
        yield self.report(waiting)

    def segment(self, journal: Journal) -> SegmentWriter:
        """Returns the writer of the shards that follow those of a journal."""
        suffix = f"{self.job.number:05d}-{len(journal.segments):03d}"
        return SegmentWriter(self.folder, suffix, self.work.dtype)

    def check(self, tokens: np.ndarray) -> np.ndarray:
        """Returns tokens as they are; CorpusError where a corpus of tokens has one outside its vocabulary."""
        if self.tokenizer is None and tokens.size and not 0 <= tokens.min() <= tokens.max() < self.work.vocab:
            outside = int(tokens.min()) if tokens.min() < 0 else int(tokens.max())
            raise CorpusError(f"token {outside} is outside the vocabulary of {self.work.vocab}")
        return tokens


def open_tokenizer(work: Work) -> Tokenizer | None:
    """Loads the tokeniser of the work; None for a corpus of tokens."""
    if not work.is_text:
        return None
    name, facts, folder = work.tokenizer
    return load_tokenizer(name, facts, Path(folder), vocab=work.vocab, eod=work.eod)
