"""cpython: source files of the running interpreter's standard library, about 12 MB of code and prose, offline."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path

from scaling.data.corpus import TextCorpus, check_options

SUFFIXES = (".py", ".txt", ".rst")
# Distributions differ in the tests that they ship; the other folders are not the library's own source.
EXCLUDED_FOLDERS = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}


def open_corpus(argument: str, options: dict[str, str]) -> TextCorpus:
    """Opens the corpus: one document per file, in the order of their paths; files that are not UTF-8 are skipped.

    Args:
        argument: Not used; must be empty.
        options: None are allowed.
    """
    check_options("cpython", options, (), argument)
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = [path for path in sorted(root.rglob("*")) if is_library_source(path, root)]
    notes: list[str] = []

    def documents() -> Iterator[bytes]:
        skipped = 0
        for path in paths:
            data = path.read_bytes()
            try:
                data.decode("utf-8")
            except UnicodeDecodeError:
                skipped += 1
                continue
            if data:
                yield data
        notes[:] = [f"skipped {skipped} files that are not UTF-8"] if skipped else []

    return TextCorpus(documents, len(paths), notes)


def is_library_source(path: Path, root: Path) -> bool:
    """Whether a path is a source file of the library itself.

    Args:
        path: The path.
        root: Folder of the standard library.
    """
    folders = path.relative_to(root).parts[:-1]
    excluded = EXCLUDED_FOLDERS.intersection(folders) or any(folder.startswith("config-") for folder in folders)
    return not excluded and path.suffix in SUFFIXES and path.is_file()
