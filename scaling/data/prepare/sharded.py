"""A corpus in shards, prepared by a process per core; what is complete is kept, so that the same command goes on.

FOLDER/SLUG-WORK16.parts/                   the shards, their journals, the tokeniser's file, and at last manifest.json
FOLDER/SLUG-HASH16.shards/manifest.json     names that folder: HASH16 is known at the end, and buckets do not rename
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.data.corpora.specification import stored_corpus_name
from scaling.data.corpus import TextCorpus, TokenCorpus, is_validation
from scaling.data.prepare.jobs import TEXT_BYTES_PER_TOKEN, Work, part_readers, plan_jobs, work_id
from scaling.data.prepare.journal import Journal, read_journals
from scaling.data.prepare.options import SHARD_TOKENS, BadRecords, PrepareOptions
from scaling.data.prepare.pool import run_jobs
from scaling.data.prepare.progress import JobProgress, print_note
from scaling.data.prepare.text import make_tokenizer, skip_bad_records
from scaling.data.shards.manifest import (
    MANIFEST,
    SPLITS,
    SUFFIX,
    ShardManifest,
    content_hash,
    encode_manifest,
    read_manifest,
)
from scaling.data.shards.writer import ShardFolder
from scaling.data.tokenizers import Tokenizer
from scaling.data.tokens import CorpusError, corpus_slug, token_dtype
from scaling.store.origin.anonymous import is_anonymous

TRAINING_BYTES = (
    100_000_000  # of a corpus of shards that a SentencePiece model is trained on, which holds them in memory
)
STREAM_PARTS = 20  # the last of so many parts of a stream is the validation split
PARTS, ABOUT = ".parts", "about.json"


@dataclass(frozen=True)
class Plan:
    """The work on a corpus, and what its manifest says beside the shards.

    Attributes:
        name: Name of the corpus in the store.
        slug: Start of the names of folders.
        work: The work.
        parent: Folder or address above that of the shards.
        facts: Facts of corpus and tokeniser.
    """

    name: str
    slug: str
    work: Work
    parent: str
    facts: dict[str, Any]


def is_sharded(corpus: TextCorpus | TokenCorpus, options: PrepareOptions) -> bool:
    """Whether a corpus becomes shards: where asked for, or where its files have more bytes than a shard has tokens.

    Args:
        corpus: The corpus.
        options: The options.
    """
    if options.to is not None or options.shard_tokens is not None:
        return True
    sizes = [part.size for part in corpus.source.parts] if corpus.source is not None else []
    return sum(size or 0 for size in sizes) > SHARD_TOKENS


def write_shards(spec: str, corpus: TextCorpus | TokenCorpus, folder: Path, name: str, options: PrepareOptions) -> Path:
    """Writes the shards of a corpus that are not there yet, and its manifest.

    Args:
        spec: Specification of the corpus.
        corpus: The corpus.
        folder: Folder of the store's tokens, which always gets the manifest.
        name: The tokeniser as the user names it.
        options: Processes, size of shards, where they are written, bad records.

    Returns:
        The folder with the manifest in `folder`.

    Raises:
        CorpusError: The corpus cannot be used, or a process was killed.
        OSError: A shard cannot be written.
    """
    bad = BadRecords(spec, options.skip_bad)
    if isinstance(corpus, TextCorpus):
        corpus = skip_bad_records(spec, corpus, bad)
    else:
        corpus = skip_bad_records(spec, corpus, bad)
    plan = plan_work(spec, corpus, folder, name, options)
    work, shards = plan.work, ShardFolder(plan.work.address)
    about = {"corpus": plan.name, "tokenizer": work.tokenizer[0], "shard_tokens": work.shard_tokens}
    shards.write(ABOUT, json.dumps(about | {"jobs": len(work.jobs)}).encode())  # before the work: whether it can be
    shards.remove_partial_files()
    journals, sizes = read_journals(shards, len(work.jobs)), shards.sizes()
    usable = [
        journal if journal is not None and journal.is_there(sizes, work.dtype) else Journal() for journal in journals
    ]
    # files of the user are the same ones by size and time, which the name of the folder has; others are read again
    todo = [i for i, journal in enumerate(usable) if not journal.complete or not work.readers]
    bad.add(itertools.chain.from_iterable(journal.skipped for i, journal in enumerate(usable) if i not in set(todo)))
    if todo:
        with JobProgress(spec, [work.jobs[i].size for i in todo]) as progress:
            for report in run_jobs(work, [(i, usable[i]) for i in todo], options.workers):
                bad.add(report.skipped)
                progress.update(report)
    for note in corpus.notes:
        print_note(spec, note)
    return write_manifests(plan, folder, read_complete(shards, work), bad)


def plan_work(spec: str, corpus: TextCorpus | TokenCorpus, folder: Path, name: str, options: PrepareOptions) -> Plan:
    """Makes the tokeniser and divides the corpus into jobs; the arguments are those of `write_shards`."""
    if options.to is not None and is_anonymous(folder.parent):
        raise CorpusError("--to: an anonymous store records no folders and addresses: leave --to out")
    shard_tokens = options.shard_tokens or SHARD_TOKENS
    stream_train, stored = None, stored_corpus_name(spec, folder)
    tokenizer: Tokenizer | None = None
    eod: int | None
    if isinstance(corpus, TextCorpus):
        tokenizer = make_tokenizer(spec, name, lambda: first_documents(corpus), folder)
        per_token = 1 if tokenizer.name == "bytes" else TEXT_BYTES_PER_TOKEN
        kept, vocab, eod = (tokenizer.name, tokenizer.facts, str(folder)), tokenizer.vocab, tokenizer.eod
    else:
        kept, vocab, eod, per_token = (corpus.tokenizer, {}, str(folder)), corpus.vocab, corpus.eod, 2
        if eod is None and corpus.validation is None:
            total = corpus.total if corpus.total is not None else sum(len(array) for array in corpus.documents())
            stream_train = total - total // STREAM_PARTS
    jobs = plan_jobs(corpus, shard_tokens, bytes_per_token=per_token, is_stream=stream_train is not None)
    slug = corpus_slug(stored) or "corpus"
    parent = str(options.to or options.shards_at or folder)
    parent = parent.rstrip("/") if "://" in parent else str(Path(parent).absolute())
    work = Work(
        spec, part_readers(corpus), jobs, tokenizer is not None, kept, vocab, eod, stream_train, token_dtype(vocab),
        f"{parent}/{slug}-{work_id(stored, kept[0], corpus.facts | kept[1], shard_tokens, jobs)}{PARTS}", shard_tokens,
        options.skip_bad,
    )  # fmt: skip
    return Plan(stored, slug, work, parent, {**corpus.facts, **kept[1]})


def first_documents(corpus: TextCorpus) -> Iterator[bytes]:
    """Yields the first training documents of a corpus, TRAINING_BYTES in all."""
    size = 0
    for document in corpus.documents():
        if corpus.validation is None and is_validation(document):
            continue
        yield document
        size += len(document)
        if size >= TRAINING_BYTES:
            return


def read_complete(folder: ShardFolder, work: Work) -> list[Journal]:
    """Reads the journals of all jobs; CorpusError where one is not complete."""
    journals = read_journals(folder, len(work.jobs))
    complete = [journal for journal in journals if journal is not None and journal.complete]
    if len(complete) < len(journals):
        raise CorpusError(f"{folder.address}: a journal is missing or damaged: run the same command again")
    return complete


def write_manifests(plan: Plan, folder: Path, journals: list[Journal], bad: BadRecords) -> Path:
    """Writes the manifest beside the shards, beside their folder, and in the store; returns the store's folder.

    Args:
        plan: The work.
        folder: Folder of the store's tokens.
        journals: Journals of all jobs.
        bad: The records that were skipped.

    Raises:
        CorpusError: The corpus has no training tokens.
    """
    work, all_shards = plan.work, [shard for journal in journals for shard in journal.shards]
    shards = tuple(shard for split in SPLITS for shard in all_shards if shard.split == split)
    counts = tuple(sum(shard.tokens for shard in shards if shard.split == split) for split in SPLITS)
    if not counts[0]:
        raise CorpusError(f"corpus {plan.name}: empty: it has no training tokens")
    documents = sum(journal.documents for journal in journals) if work.stream_train is None else 0
    manifest = ShardManifest(
        corpus=plan.name, tokenizer=work.tokenizer[0], vocab=work.vocab, eod=work.eod,
        documents=documents, facts=plan.facts | bad.facts, dtype=work.dtype, counts=(counts[0], counts[1]),
        content_hash=content_hash(work.dtype, work.vocab, counts, shards), shards=shards,
    )  # fmt: skip
    beside = ShardFolder(work.address)
    beside.remove_partial_files()  # of processes that were still ending when this one started
    if file := plan.facts.get("tokenizer_model"):
        beside.write(file, (folder / file).read_bytes())
    beside.write(MANIFEST, encode_manifest(manifest))
    name = f"{plan.slug}-{manifest.content_hash[:16]}{SUFFIX}"
    parts = work.address.rpartition("/")[2]
    ShardFolder(f"{plan.parent}/{name}").write(MANIFEST, encode_manifest(manifest, parts))
    if plan.parent != str(folder.absolute()):
        ShardFolder(str(folder / name)).write(MANIFEST, encode_manifest(manifest, work.address))
    read_manifest(folder / name)
    return folder / name
