"""The source files of the running interpreter's standard library: some 12 MB of code and prose, everywhere, offline."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path

from scaling.data.corpus import Text, known_options

SUFFIXES = (".py", ".txt", ".rst")
# Tests are left out because distributions differ in which they ship; the rest is not the library's own source.
LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}


def open_corpus(argument: str, options: dict[str, str]) -> Text:
    """Documents in sorted order of their paths; a file that is not UTF-8 is left out and counted."""
    known_options("cpython", {**options, **({argument: ""} if argument else {})}, ())
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = [path for path in sorted(root.rglob("*")) if wanted(path, root)]
    notes: list[str] = []

    def documents() -> Iterator[bytes]:
        left_out = 0
        for path in paths:
            data = path.read_bytes()
            try:
                data.decode("utf-8")
            except UnicodeDecodeError:
                left_out += 1
                continue
            if data:
                yield data
        notes[:] = [f"{left_out} files are not UTF-8 and were left out"] if left_out else []

    return Text(documents, len(paths), notes)


def wanted(path: Path, root: Path) -> bool:
    """A source file of the library itself."""
    folders = path.relative_to(root).parts[:-1]
    ours = not LEFT_OUT.intersection(folders) and not any(f.startswith("config-") for f in folders)
    return ours and path.suffix in SUFFIXES and path.is_file()
