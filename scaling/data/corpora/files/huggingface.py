"""hf:PATH_OR_NAME: a data set of Hugging Face `datasets`, saved by `save_to_disk`, also in a bucket, or in its cache.

Nothing is loaded from the hub. The text is in the column `text`, or `column=NAME`; its own split `validation` is held
out, where it has one.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from scaling.config.validation import one_line
from scaling.data.corpora.files import huggingface_remote
from scaling.data.corpora.files.addresses import is_remote
from scaling.data.corpora.files.columns import check_column, column_bytes, first_sentence, text_of_row
from scaling.data.corpora.files.records import RecordError
from scaling.data.corpus import (
    HELD_OUT_NOTE,
    BadRecord,
    DocumentSource,
    OnBad,
    Part,
    TextCorpus,
    check_options,
    validation_split,
)
from scaling.data.tokens import CorpusError

PART_ROWS = 1 << 15
BATCH_ROWS = 256  # decoded at a time
OPEN_DATA_SETS = 4  # kept open by a process


def open_corpus(argument: str, options: dict[str, str]) -> TextCorpus:
    """Opens the corpus; each row is a document. Empty texts are left out.

    Args:
        argument: Folder or address of a data set or of a dictionary of data sets, or a name in the local cache.
        options: split (train, where there are several), validation (a split, or none), column (text).

    Raises:
        CorpusError: There is no such data set, split or column, or `datasets` is not installed.
    """
    corpus = f"corpus hf:{argument}"
    check_options("hf", options, ("split", "validation", "column"))
    column, splits = options.get("column", "text"), split_names(argument)
    split = options.get("split", "train" if splits else None)
    if split is not None and split not in splits:
        known = f"must be one of {', '.join(splits)}" if splits else "this data set has no splits: leave out split="
        raise CorpusError(f"{corpus}: no split {split!r}: {known}")
    held_out = validation_split(corpus, options, split or "", splits)
    source = make_source(argument, split, column)
    total = None if is_remote(argument) else load_split(argument, split).num_rows
    if held_out is None:
        return TextCorpus(source.documents, total, source=source)
    validation = make_source(argument, held_out, column)
    return TextCorpus(
        source.documents, total, [HELD_OUT_NOTE.format(held_out)],
        validation=validation.documents, source=source, validation_source=validation,
    )  # fmt: skip


def make_source(argument: str, split: str | None, column: str) -> DocumentSource[bytes]:
    """Makes the source of a split; CorpusError where it has no such column of text."""
    if is_remote(argument):
        return huggingface_remote.remote_source(argument, split, column)
    data = load_split(argument, split)
    try:
        check_column(data.data.schema, column)
    except RecordError as error:
        raise CorpusError(f"corpus hf:{argument}: {error}") from None
    rows, size = data.num_rows, data.data.nbytes
    starts = range(0, rows, PART_ROWS)
    parts = tuple(Part(argument, start, min(start + PART_ROWS, rows), size // len(starts)) for start in starts)
    return DocumentSource(parts, partial(read_rows, split=split, column=column))


def split_names(argument: str) -> list[str]:
    """Returns the names of the splits of a data set; none where it is a single one."""
    if is_remote(argument):
        return huggingface_remote.remote_splits(argument)
    loaded = load(argument)
    return list(loaded) if isinstance(loaded, dict) else []


def load_split(argument: str, split: str | None) -> Any:
    """Returns a `datasets.Dataset`, whose rows stay on disk until they are read."""
    loaded = load(argument)
    return loaded if split is None else loaded[split]


@functools.lru_cache(OPEN_DATA_SETS)
def load(argument: str) -> Any:
    """Loads a `datasets.Dataset` or `DatasetDict` from a folder or from the local cache.

    Raises:
        CorpusError: There is none, or `datasets` is not installed.
    """
    corpus = f"corpus hf:{argument}"
    if not argument:
        raise CorpusError("corpus hf: must be hf:PATH, a folder written by save_to_disk, or hf:NAME in the local cache")
    try:
        import datasets  # slow to import
    except ImportError:
        raise CorpusError(f"{corpus} needs the [data] extra: pip install 'scaling[data]'") from None
    try:
        if Path(argument).exists():
            return datasets.load_from_disk(argument)
        with offline(datasets):
            return datasets.load_dataset(argument)
    except FileNotFoundError as error:
        remedy = "give a folder that save_to_disk wrote, or its files as parquet: or jsonl:"
        reason = f"{one_line(error)[:200].rstrip('.')}: {remedy}"
    except ConnectionError:
        reason = "no such folder, and no such name in the local cache: save it there with datasets.load_dataset first"
    except Exception as error:  # damaged folders raise classes of Arrow, json and datasets
        reason = f"cannot be read: {one_line(error)[:300]}"
    raise CorpusError(f"{corpus}: {reason}")


@contextlib.contextmanager
def offline(datasets: Any) -> Iterator[None]:
    """Context in which `datasets` uses its cache alone, without progress bars and lines of its own.

    Args:
        datasets: The module.
    """
    config, level = datasets.config, datasets.logging.get_verbosity()
    before = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = True
    datasets.logging.set_verbosity_error()
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before
        datasets.logging.set_verbosity(level)


def read_rows(part: Part, on_bad: OnBad, *, split: str | None, column: str) -> Iterator[bytes]:
    """Yields the documents of a range of rows.

    Args:
        part: The range.
        on_bad: Called for each bad record.
        split: Split of the data set; None where it has none.
        column: Column of the text.

    Raises:
        CorpusError: The data set cannot be read any more, or `on_bad` raises it.
    """
    data = load_split(part.file, split).with_format("arrow", columns=[column])
    name = part.file if split is None else f"{part.file}{os.sep}{split}"
    stop = data.num_rows if part.stop is None else part.stop
    for start in range(part.start, stop, BATCH_ROWS):
        try:
            rows = column_bytes(data[start : min(start + BATCH_ROWS, stop)].column(column))
        except (OSError, ValueError) as error:
            problem = f"data is damaged: the rest of the part is lost ({first_sentence(error)})"
            on_bad(BadRecord(name, start + 1, None, problem, "row"))
            return
        for number, row in enumerate(rows, start + 1):
            try:
                if document := text_of_row(row, column):
                    yield document
            except RecordError as error:
                on_bad(BadRecord(name, number, None, str(error), "row"))
