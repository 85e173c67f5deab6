"""text:PATH: files of the user, in the order of their paths.

A file of text in UTF-8 is one document; of JSON lines, each line is one: the text of its field `text`. Every other kind
of file is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from scaling.data.corpora.file_kind import JSON_LINES, JSON_PROBLEM, file_kind, is_json, parse_json
from scaling.data.corpora.files.records import RecordError
from scaling.data.corpus import BadRecord, DocumentSource, OnBad, Part, TextCorpus
from scaling.data.tokens import CorpusError

FIELD = "text"  # of a line of JSON lines


def open_corpus(argument: str, options: dict[str, str]) -> TextCorpus:
    """Opens the corpus.

    Args:
        argument: A file, or a folder that is searched recursively; hidden files are skipped.
        options: Always empty: the whole specification is the path.

    Raises:
        CorpusError: There is no file, or one is neither text nor JSON lines. While reading: a file is not UTF-8, or a
            line has no field `text`; the message has the byte offset or the line.
    """
    root = Path(argument)
    if not argument or not root.exists():
        raise CorpusError(f"corpus text:{argument}: no such file or folder")
    paths = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file() and not is_hidden(p, root))
    if not paths:
        raise CorpusError(f"corpus text:{argument}: no files in this folder")
    kinds = file_kinds(paths)
    notes = [f"{path.name}: JSON lines, one document per line" for path, kind in kinds.items() if kind == JSON_LINES]
    is_text = not notes

    if len(notes) > 1:
        notes = [f"{len(notes)} files of JSON lines, one document per line"]
    json_lines = frozenset(str(path) for path, kind in kinds.items() if kind == JSON_LINES)
    parts = tuple(Part(str(path), size=path.stat().st_size) for path in kinds)
    source = DocumentSource(parts, partial(read_file, json_lines=json_lines))
    return TextCorpus(source.documents, len(paths) if is_text else None, notes, source=source)


def file_kinds(paths: list[Path]) -> dict[Path, str]:
    """Returns what each file is; the CorpusError of the first one that is no text counts the others."""
    kinds: dict[Path, str] = {}
    errors: list[CorpusError] = []
    for path in paths:
        try:
            kinds[path] = file_kind(path)
        except CorpusError as error:
            errors.append(error)
    if errors:
        others = f" (and {len(errors) - 1} more of its {len(paths)} files)" if len(errors) > 1 else ""
        raise CorpusError(f"{errors[0]}{others}")
    return kinds


def read_file(part: Part, on_bad: OnBad, *, json_lines: frozenset[str]) -> Iterator[bytes]:
    """Yields the documents of a file: one, or those of its lines. Empty texts and blank lines are left out.

    Args:
        part: The file.
        on_bad: Called for each bad record.
        json_lines: The files that are JSON lines.
    """
    path = Path(part.file)
    if part.file in json_lines:
        yield from json_lines_documents(path, on_bad)
        return
    try:
        document = text_document(path)
    except RecordError as error:
        on_bad(BadRecord(part.file, None, None, str(error)))
        return
    if document:
        yield document


def text_document(path: Path) -> bytes:
    """Returns the text of a file.

    Raises:
        RecordError: The file is not UTF-8, or it is one JSON value.
    """
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecordError(f"not UTF-8 at byte offset {error.start}: convert it or remove it from the folder") from None
    if (offset := data.find(b"\0")) >= 0:
        raise RecordError(f"is binary, with a zero byte at offset {offset}: move it out of the folder")
    if is_json(text):
        raise RecordError(JSON_PROBLEM)
    return data


def json_lines_documents(path: Path, on_bad: OnBad) -> Iterator[bytes]:
    """Yields the field `text` of each line of a file; empty texts and blank lines are left out.

    Args:
        path: The file.
        on_bad: Called for each line that is not a JSON object or has no such field.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            data = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            try:
                document = line_document(data) if data.strip() else b""
            except RecordError as error:
                on_bad(BadRecord(str(path), number, None, str(error), "line"))
                continue
            if document:
                yield document


def line_document(line: bytes) -> bytes:
    """Returns the field `text` of a line; RecordError where it has none."""
    value = parse_json(line)
    if not isinstance(value, dict):
        raise RecordError(f"not a JSON object: must have a field {FIELD}")
    text = value.get(FIELD)
    if not isinstance(text, str):
        fields = f"{FIELD} = {json.dumps(text)[:60]}" if FIELD in value else f"fields {', '.join(list(value)[:10])}"
        raise RecordError(f"{fields}: must have its document as text in a field {FIELD}")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise RecordError(f"{FIELD} has half of a surrogate pair") from None


def is_hidden(path: Path, root: Path) -> bool:
    """Whether a file or a folder above it has a name that starts with a dot, such as .git/config.

    Args:
        path: The file.
        root: Folder below which names count.
    """
    return any(part.startswith(".") for part in path.relative_to(root).parts)
