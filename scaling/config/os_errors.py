"""Errors of the operating system in one line: the path, what is wrong, and what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from scaling.config.text import printable
from scaling.config.validation import one_line

REMEDIES = {  # by number of the error
    errno.ENOSPC: "free space on this disk, then run the same command again",
    errno.EDQUOT: "free space within your quota, then run the same command again",
    errno.EFBIG: "raise the limit on the size of a file (`ulimit -f`), then run the same command again",
    errno.EROFS: "choose a folder on a file system that can be written",
    errno.EACCES: "change the permissions, or choose another path",
    errno.EPERM: "change the permissions, or choose another path",
    errno.EISDIR: "must be a file: give the path of a file, or move this folder away",
    errno.EEXIST: "a part of the path is a file: choose another path, or move this file away",
    errno.ENOTDIR: "a part of the path is a file: choose another path, or move this file away",
    errno.ELOOP: "a link that leads to itself: remove it",
    errno.ENOENT: "check the path",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.EMFILE: "raise the limit on open files (`ulimit -n`), then run the same command again",
}

MIDWAY_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EFBIG,
)  # which end work that had started; others are bad input


def remedy_of_os_error(error: OSError) -> str:
    """Returns what to do about an error of the operating system; empty where nothing is known."""
    return REMEDIES.get(error.errno or 0, "")


def reason_of_os_error(error: OSError) -> str:
    """Returns an error of the operating system without the path: `REASON: REMEDY`."""
    return ": ".join(filter(None, (error.strerror or one_line(error), remedy_of_os_error(error))))


def describe_os_error(error: OSError) -> str:
    """Returns an error of the operating system as one line: `PATH: REASON: REMEDY`."""
    path = error.filename2 if error.filename2 is not None else error.filename
    if path is None and error.errno in (errno.ENOSPC, errno.EDQUOT):
        path = "standard output"  # files are named where they are written
    return printable(": ".join(filter(None, ("" if path is None else str(path), reason_of_os_error(error)))))


def describe_error(error: Exception) -> str:
    """Returns an error as one line; one of the operating system with its path and what to do."""
    return describe_os_error(error) if isinstance(error, OSError) and error.errno else one_line(error)


@contextlib.contextmanager
def name_file(path: Path) -> Iterator[None]:
    """Context whose errors of the operating system name a file: that of a full disk names none, or a temporary one.

    Args:
        path: The file that is written.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None or Path(os.fsdecode(error.filename)).parent == path.parent:
            error.filename, error.filename2 = str(path), None
        raise


READ_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)  # absent on Windows
READ_BYTES = 2**20  # read at once of a file that has grown meanwhile


def open_file(path: Path | str) -> BinaryIO:
    """Opens a regular file for reading; a FIFO, whose reader waits for a writer, is an OSError.

    Args:
        path: The file.
    """
    descriptor = os.open(path, READ_FLAGS)
    try:
        check_regular(path, descriptor)
        return os.fdopen(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise


def read_file(path: Path | str) -> bytes:
    """Returns the content of a regular file, as `open_file` opens it: faster for the thousands of records of a store.

    Args:
        path: The file.
    """
    descriptor = os.open(path, READ_FLAGS)
    try:
        status = check_regular(path, descriptor)
        content = os.read(descriptor, status.st_size + 1)
        while len(content) != status.st_size and (more := os.read(descriptor, READ_BYTES)):
            content += more
        return content
    finally:
        os.close(descriptor)


def check_regular(path: Path | str, descriptor: int) -> os.stat_result:
    """Returns the facts of an open file; an OSError unless it is a regular file.

    Args:
        path: Its path.
        descriptor: Its descriptor.
    """
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return status


def discard_unwritable_output() -> None:
    """Flushes standard output; what cannot be written is discarded, because Python would try again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):  # a stream of a notebook or a test has no descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
