"""Damages of files, and what a command may answer to them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534
CONTENTS = {  # of any JSON file, by kind of damage
    "null": b"null",
    "list": b"[]",
    "text": b'"text"',
    "number": b"1",
    "empty object": b"{}",
    "number of 5,000 digits": b"1" * 5000,
    "nested 100,000 deep": b"[" * 100_000,
    "empty": b"",
    "binary": bytes(range(256)),
    "UTF-16": '{"a": 1}'.encode("utf-16"),
}


def damage(path: Path, kind: str) -> None:
    """Damage a file: one of CONTENTS, or truncated, a folder, a dangling link or a link to itself."""
    data = path.read_bytes()
    path.unlink()
    if kind in CONTENTS:
        path.write_bytes(CONTENTS[kind])
    elif kind == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path)


KINDS = (*CONTENTS, "truncated", "folder", "link to itself")


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """Context in which this process is not root: root reads and writes every file."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def assert_one_line(errors: str) -> None:
    """The text of standard error is one line of at most 1,000 characters, and no traceback."""
    lines = errors.strip().splitlines()
    assert len(lines) == 1 and len(lines[0]) < 1000 and "Traceback" not in errors, errors


def open_to_all(path: Path) -> None:
    """Let every user reach a path in pytest's folders, which belong to one user alone."""
    for folder in (path, *path.parents):
        if folder == Path("/tmp") or os.stat(folder).st_uid != os.getuid():
            return
        with contextlib.suppress(PermissionError):
            folder.chmod(folder.stat().st_mode | 0o055)


@contextlib.contextmanager
def small_disk(folder: Path, size: str = "64k") -> Iterator[Path]:
    """Context with a file system of a size at a folder; the test is skipped where this process cannot mount one."""
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(line, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
