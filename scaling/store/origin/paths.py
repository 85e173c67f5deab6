"""Paths as they may be published: without the folders above a file, which often name a user, a group or a project."""

from __future__ import annotations

import re
from pathlib import Path

ADDRESS = re.compile(r"\b(?!https?:)[a-z][a-z0-9+.-]*://[^\s'\",;)]+")  # of a bucket; links to web pages stay
# The folders of an absolute path, or of one that starts at a home folder or a parent folder, up to its last component
FOLDERS = re.compile(r"(?<![\w./~-])(?:~[\w.-]*|\.\.)?/(?:[^\s/'\":;,()<>|=]+/)*(?=[^\s/'\":;,()<>|=])")


def public_path(path: str | Path) -> str:
    """Returns a relative path as it is, and the last component of an absolute path or an address.

    Args:
        path: Path, or address of a store. One that starts at a home folder or a parent folder counts as absolute.
    """
    text = str(path)
    if text.startswith("..") and not text.strip("./"):  # only parent folders
        return Path(text).resolve().name
    if "://" in text or text.startswith(("/", "~", "../")):
        return text.rstrip("/").rpartition("/")[2] or text
    return text


def public_corpus(corpus: str) -> str:
    """Returns the name of a corpus with its paths as `public_path` has them, such as `text:notes.txt`.

    Args:
        corpus: Specification of the corpus, as in a config or in the header of a token file.
    """
    kind, _, path = corpus.partition(":")
    return f"text:{public_path(path)}" if kind == "text" else without_folders(corpus)


def without_folders(text: str) -> str:
    """Returns a text, such as an error, in which every absolute path and address has its last component only.

    Args:
        text: Any text. Folders with spaces in their names are not recognised.
    """
    return FOLDERS.sub("", ADDRESS.sub(lambda match: public_path(match[0]), text))
