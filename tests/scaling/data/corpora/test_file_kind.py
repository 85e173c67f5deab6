"""Files of a text corpus: JSON lines are read as documents, what is no text is refused by name or content."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest

from scaling.data.corpora.specification import open_corpus
from scaling.data.prepare import prepare
from scaling.data.tokens import CorpusError

LINES = "".join(json.dumps({"text": f"document {i} β\u2028", "id": i}, ensure_ascii=False) + "\n" for i in range(3))
DOCUMENTS = [f"document {i} β\u2028".encode() for i in range(3)]


def zip_archive() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a.txt", "text")
    return data.getvalue()


def tar_archive() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return data.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES.encode()),
        ("a.txt", LINES.encode("utf-8-sig")),  # by its content
        ("a.ndjson", LINES.replace("\n", "\r\n\r\n").encode() + b'{"text": ""}'),
        (
            "long",
            json.dumps({"id": "x" * 70_000, "text": DOCUMENTS[0].decode()}).encode()
            + LINES[LINES.index("\n") :].encode(),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_json_lines_are_documents(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "z.txt").write_text("plain [text] {1}")
    corpus = open_corpus(f"text:{tmp_path}")
    assert list(corpus.documents()) == [*DOCUMENTS, b"plain [text] {1}"] and corpus.total is None
    assert corpus.notes == [f"{name}: JSON lines, one document per line"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", gzip.compress(b"text"), "is compressed by gzip: decompress it first"),
        ("a.txt", bz2.compress(b"text"), "is compressed by bzip2"),
        ("a", lzma.compress(b"text"), "is compressed by xz"),
        (
            "a.txt",
            b"\x28\xb5\x2f\xfd\x00",
            "is compressed by zstd: decompress it first, or prepare JSON",
        ),
        ("a.txt", zip_archive(), "is a zip archive: unpack it"),
        ("a.txt", tar_archive(), "is a tar archive: unpack it"),
        ("a.txt", b"PAR1\x15\x04", "is a Parquet file: prepare it as parquet:PATH"),
        ("a.txt", b"%PDF-1.7\n", "is a PDF document"),
        ("a.txt", "text".encode("utf-16"), "is text in UTF-16: convert it to UTF-8"),
        ("a.txt", b"text\0", "is binary, with a zero byte at offset 4"),
        ("a.txt", b"x" * 70_000 + b"\0", "is binary, with a zero byte at offset 70000"),
        ("a.txt", b"caf\xe9", "not UTF-8 at byte offset 3"),
        ("a.csv.gz", b"text", "is compressed, by its name"),
        ("a.zst", b"text", "is compressed, by its name"),
        ("a.parquet", b"text", "is a Parquet file, by its name: prepare it as parquet:PATH"),
        ("a.docx", b"text", "is no plain text, by its name"),
        ("a.json", b"text", "is JSON: write its documents as JSON lines"),
        ("a.txt", b'[\n {"text": "a"}\n]\n', "is JSON"),
        ("a.txt", b'{\n "a": 1\n}\n{\n "a": 2\n}\n', "is JSON"),
        ("a.txt", b'{"a": 1}\n', "line 1: fields a: must have its document as text in a field text"),
        ("a.jsonl", b'{"text": "a"}\n{"text": 5}\n', "line 2: text = 5: must have"),
        ("a.jsonl", b'{"text": "a"}\n\nprose\n', "line 3: not a JSON object"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', "line 1: text has half of a surrogate pair"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / name).write_bytes(content)
    (folder / "b.txt").write_text("some text")
    with pytest.raises(CorpusError) as error:
        prepare(f"text:{folder}", tmp_path / "tokens")
    assert message in str(error.value) and str(folder / name) in str(error.value) and "\n" not in str(error.value)
    assert not list(tmp_path.glob("tokens/*.tokens"))


def test_the_first_file_of_a_folder_is_named_and_the_others_counted(tmp_path: Path) -> None:
    for name in ("a.gz", "b.json", "c.txt"):
        (tmp_path / name).write_text("text")
    with pytest.raises(CorpusError, match=r"a.gz: is compressed, by its name: .* \(and 1 more of its 3 files\)"):
        open_corpus(f"text:{tmp_path}")


@pytest.mark.parametrize(
    "text", ["[1] Smith 2020\n", "{x: 1}", "[]", "{} braces", "[x](link)", '"a string"', "5", "{\n"]
)
def test_text_that_looks_a_little_like_json_is_text(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    assert list(open_corpus(f"text:{tmp_path}").documents()) == [text.encode()]
