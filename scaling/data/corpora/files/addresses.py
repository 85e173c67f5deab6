"""Files of a corpus: a file, a folder, a glob, local or at an address that fsspec knows (gs://, s3://, memory://)."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from scaling.config.os_errors import describe_os_error, open_file
from scaling.config.validation import one_line
from scaling.data.tokens import CorpusError

NETWORK_BLOCK = 8 << 20  # bytes per request of sequential reading: at 100 MB/s longer than the latency of a bucket
MAX_NAMES = 3  # of files that were left out, in a note


@dataclass(frozen=True)
class File:
    """A file of a corpus.

    Attributes:
        address: Its path, or its address with the protocol.
        size: Bytes.
    """

    address: str
    size: int


@dataclass(frozen=True)
class Listing:
    """The files of a corpus in its order, by the components of their names.

    Attributes:
        files: The files.
        notes: A line for the user on the files of a folder that were left out.
    """

    files: tuple[File, ...]
    notes: tuple[str, ...]


def is_remote(address: str) -> bool:
    """Whether an address is opened by fsspec."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address) is not None


def list_files(kind: str, argument: str, names: re.Pattern[str]) -> Listing:
    """Lists the files of a corpus.

    Args:
        kind: Kind of the corpus, for messages.
        argument: A file or a glob, of which any name is accepted, or a folder, which is searched recursively for files
            of certain names. Files and folders with a leading dot are left out.
        names: Matches the names that files of a folder must have.

    Raises:
        CorpusError: There is no such file, or the address cannot be reached.
    """
    corpus = f"corpus {kind}:{argument}"
    if not argument:
        raise CorpusError(f"corpus {kind}: must be {kind}:PATH, with a file, a folder, a glob or an address")
    files, is_folder = list_remote(corpus, argument) if is_remote(argument) else list_local(corpus, argument)
    suitable = [file for file in files if not is_folder or names.search(name_of(file.address))]
    if not suitable:
        others = f": {len(files)} files have other names ({list_names(files)})" if files else ""
        where = "in this folder" if is_folder else "matches"
        raise CorpusError(f"{corpus}: no file {where}{others}: give a file, or a glob such as '{argument}/*'")
    others_of_folder = [file for file in files if file not in set(suitable)]
    notes = [f"left out {len(others_of_folder)} files of other kinds: {list_names(others_of_folder)}"]
    return Listing(tuple(sorted(suitable, key=order_key)), tuple(notes if others_of_folder else ()))


def order_key(file: File) -> tuple[str, ...]:
    """Returns the key by which the files of a corpus are sorted: the components of the name."""
    return tuple(file.address.split("/"))


def name_of(address: str) -> str:
    """Returns the last component of a path or an address."""
    return address.rstrip("/").rpartition("/")[2]


def list_names(files: list[File]) -> str:
    """Returns a few names of files, in order."""
    names = [name_of(file.address) for file in sorted(files, key=order_key)]
    return ", ".join(names[:MAX_NAMES]) + (", ..." if len(names) > MAX_NAMES else "")


def list_local(corpus: str, argument: str) -> tuple[list[File], bool]:
    """Lists local files; also returns whether they were found in a folder.

    Raises:
        CorpusError: There is no such file, or it is no regular file.
    """
    root = Path(argument)
    try:
        if root.is_dir():
            paths = [path for path in root.rglob("*") if path.is_file() and not is_hidden(path.relative_to(root).parts)]
            return [File(str(path), path.stat().st_size) for path in paths], True
        is_pattern = glob.has_magic(argument) and not os.path.lexists(argument)
        matches = glob.glob(argument, recursive=True) if is_pattern else [argument]
        paths = [Path(match) for match in matches if not os.path.isdir(match)]
        for path in paths:
            open_file(path).close()  # missing, a FIFO, or not readable
    except OSError as error:
        raise CorpusError(f"{corpus}: {describe_os_error(error)}") from None
    except ValueError as error:  # a null character
        raise CorpusError(f"{corpus}: {error}") from None
    return [File(str(path), path.stat().st_size) for path in paths], False


def list_remote(corpus: str, argument: str) -> tuple[list[File], bool]:
    """Lists files at an address of fsspec; also returns whether they were found in a folder.

    Raises:
        CorpusError: There is no such file, or the address cannot be reached.
    """
    fs, root = file_system(corpus, argument)
    with remote_errors(corpus):
        if glob.has_magic(root):
            found, is_folder = fs.glob(root, detail=True), False
        elif fs.isfile(root):
            found, is_folder = {root: fs.info(root)}, False
        else:
            found, is_folder = fs.find(root, detail=True), True
        parts = Path(root).parts
        fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))  # named by the user
        found = {name: info for name, info in found.items() if not is_hidden(Path(name).parts[fixed:])}
        infos = [(name, info) for name, info in found.items() if info["type"] == "file" and not name.endswith("/")]
    if not infos:
        raise CorpusError(f"{corpus}: no such file or folder, or no file in it")
    return [File(str(fs.unstrip_protocol(name)), int(info["size"] or 0)) for name, info in infos], is_folder


def is_hidden(parts: tuple[str, ...]) -> bool:
    """Whether a component of a path starts with a dot."""
    return any(part.startswith(".") for part in parts)


def file_system(corpus: str, address: str) -> tuple[Any, str]:
    """Returns the file system of an address, and the address as that file system names it.

    Raises:
        CorpusError: No installed package opens such addresses.
    """
    protocol = address.partition("://")[0]
    try:
        import fsspec
    except ImportError:
        raise CorpusError(f"{corpus}: needs the package fsspec: pip install 'scaling[cloud]'") from None
    try:
        fs, root = fsspec.core.url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        raise CorpusError(f"{corpus}: {error}: pip install 'scaling[cloud]' has s3:// and gs://") from None
    except ValueError:
        known = "must be one that fsspec supports, such as s3:// or gs://"
        raise CorpusError(f"{corpus}: unknown protocol {protocol!r}: {known}") from None
    return fs, root


@contextlib.contextmanager
def remote_errors(name: str) -> Iterator[None]:
    """Turns errors of the libraries of buckets into one line.

    Args:
        name: Corpus or file, for the message.

    Raises:
        CorpusError: The address cannot be read.
    """
    try:
        yield
    except (CorpusError, KeyboardInterrupt):
        raise
    except Exception as error:  # each library has its own classes of errors
        raise CorpusError(f"{name}: cannot be read: {one_line(error)[:300]}") from None


@contextlib.contextmanager
def open_binary(address: str, *, sequential: bool = True) -> Iterator[BinaryIO]:
    """Context with a file opened for reading.

    Args:
        address: Path or address.
        sequential: Whether it is read from the start of a range on, so that large pieces are read ahead.

    Raises:
        CorpusError: The file is missing, or is no regular file.
    """
    if is_remote(address):
        fs, name = file_system(address, address)
        options = {"block_size": NETWORK_BLOCK, "cache_type": "readahead"} if sequential else {"cache_type": "none"}
        with remote_errors(address), fs.open(name, "rb", **options) as file:
            yield cast(BinaryIO, file)
        return
    try:
        with open_file(address) as file:
            yield file
    except OSError as error:
        error.filename = address
        raise CorpusError(describe_os_error(error)) from None
