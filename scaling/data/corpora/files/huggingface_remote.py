"""A data set of Hugging Face `datasets` at an address of fsspec, in the layout that `save_to_disk` writes.

FOLDER/state.json           names the files of a data set, which are streams of Arrow
FOLDER/dataset_dict.json    names the splits of a dictionary of data sets, each a folder of its own

`datasets` would copy all of it to this machine first; here each file is read a record batch at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from scaling.data.corpora.files.addresses import file_system, open_binary, remote_errors
from scaling.data.corpora.files.columns import check_column, column_bytes, first_sentence, text_of_row
from scaling.data.corpora.files.records import RecordError
from scaling.data.corpus import BadRecord, DocumentSource, OnBad, Part
from scaling.data.tokens import CorpusError


def remote_splits(argument: str) -> list[str]:
    """Returns the names of the splits of a data set at an address; none where it is a single one.

    Raises:
        CorpusError: The address has no data set, or cannot be reached.
    """
    splits = read_json(argument, "dataset_dict.json")
    if splits is not None:
        return list(splits["splits"])
    if read_json(argument, "state.json") is None:
        raise CorpusError(
            f"corpus hf:{argument}: neither state.json nor dataset_dict.json there: give a folder of save_to_disk"
        )
    return []


def read_json(argument: str, name: str) -> dict[str, Any] | None:
    """Reads a JSON file in a folder at an address; None where there is none.

    Raises:
        CorpusError: It is damaged, or the address cannot be reached.
    """
    fs, root = file_system(f"corpus hf:{argument}", argument)
    path = f"{root.rstrip('/')}/{name}"
    with remote_errors(f"corpus hf:{argument}"):
        value = json.loads(fs.cat_file(path)) if fs.exists(path) else None
        if value is not None and not isinstance(value.get("splits", value.get("_data_files")), list):
            raise CorpusError(f"corpus hf:{argument}: {name} is damaged: save the data set again")
    return value


def remote_source(argument: str, split: str | None, column: str) -> DocumentSource[bytes]:
    """Makes the source of a split, whose parts are its files.

    Args:
        argument: Address of the folder.
        split: Split of a dictionary of data sets; None for a single one.
        column: Column of the text.

    Raises:
        CorpusError: The data set has no such column of text, or cannot be read.
    """
    folder = argument.rstrip("/") if split is None else f"{argument.rstrip('/')}/{split}"
    state = read_json(folder, "state.json")
    if state is None:
        raise CorpusError(f"corpus hf:{folder}: has no state.json: save the data set again")
    names = [str(file["filename"]) for file in state["_data_files"]]
    fs, root = file_system(f"corpus hf:{argument}", folder)
    with remote_errors(f"corpus hf:{argument}"):
        sizes = [int(fs.info(f"{root}/{name}")["size"]) for name in names]
    parts = tuple(Part(f"{folder}/{name}", size=size) for name, size in zip(names, sizes, strict=True))
    return DocumentSource(parts, partial(read_arrow, column=column))


def read_arrow(part: Part, on_bad: OnBad, *, column: str) -> Iterator[bytes]:
    """Yields the documents of a file.

    Args:
        part: The file, a stream of Arrow.
        on_bad: Called for each bad record.
        column: Column of the text.

    Raises:
        CorpusError: The file cannot be read, or `on_bad` raises it.
    """
    import pyarrow as pa  # only where a corpus is Arrow

    number = 0
    with open_binary(part.file) as file:
        try:
            reader = pa.ipc.open_stream(pa.PythonFile(file, mode="r"))
            check_column(reader.schema, column)
            for batch in reader:
                for row in column_bytes(batch.column(column)):
                    number += 1
                    try:
                        if document := text_of_row(row, column):
                            yield document
                    except RecordError as error:
                        on_bad(BadRecord(part.file, number, None, str(error), "row"))
        except RecordError as error:
            on_bad(BadRecord(part.file, None, None, str(error)))
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, CorpusError) or (isinstance(error, OSError) and error.errno is not None):
                raise
            problem = f"data is damaged: the rest of the file is lost ({first_sentence(error)})"
            on_bad(BadRecord(part.file, number + 1, None, problem, "row"))
