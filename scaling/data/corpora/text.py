"""text:PATH: a person's own files, UTF-8; a document a file, in sorted order of their paths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scaling.data.corpus import Text
from scaling.data.tokens import DataError


def open_corpus(argument: str, options: dict[str, str]) -> Text:
    """DataError where there is no file, or (while reading) where one is not UTF-8: with its offset."""
    root = Path(argument)
    if not argument or not root.exists():
        raise DataError(f"corpus text:{argument}: no such file or folder")
    paths = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file() and not hidden(p, root))
    if not paths:
        raise DataError(f"corpus text:{argument}: no files in this folder")

    def documents() -> Iterator[bytes]:
        for path in paths:
            data = path.read_bytes()
            try:
                data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}: not UTF-8 at byte offset {error.start}: convert it, or take it out of the folder"
                ) from None
            if data:
                yield data

    return Text(documents, len(paths))


def hidden(path: Path, root: Path) -> bool:
    """A file such as .git/config, which nobody means."""
    return any(part.startswith(".") for part in path.relative_to(root).parts)
