"""text:PATH: files of the user, UTF-8; one document per file, in the order of their paths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scaling.data.corpus import TextCorpus
from scaling.data.tokens import CorpusError


def open_corpus(argument: str, options: dict[str, str]) -> TextCorpus:
    """Opens the corpus.

    Args:
        argument: A file, or a folder that is searched recursively; hidden files are skipped.
        options: Always empty: the whole specification is the path.

    Raises:
        CorpusError: There is no file. While reading: a file is not UTF-8; the message has the byte offset.
    """
    root = Path(argument)
    if not argument or not root.exists():
        raise CorpusError(f"corpus text:{argument}: no such file or folder")
    paths = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file() and not is_hidden(p, root))
    if not paths:
        raise CorpusError(f"corpus text:{argument}: no files in this folder")

    def documents() -> Iterator[bytes]:
        for path in paths:
            data = path.read_bytes()
            try:
                data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise CorpusError(
                    f"{path}: not UTF-8 at byte offset {error.start}: convert it or remove it from the folder"
                ) from None
            if data:
                yield data

    return TextCorpus(documents, len(paths))


def is_hidden(path: Path, root: Path) -> bool:
    """Whether a file or a folder above it has a name that starts with a dot, such as .git/config.

    Args:
        path: The file.
        root: Folder below which names count.
    """
    return any(part.startswith(".") for part in path.relative_to(root).parts)
