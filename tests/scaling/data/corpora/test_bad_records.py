"""Records that cannot be used: each is one line with file, number and byte, and can be skipped."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from scaling.data.corpora.files import json_lines, lines
from scaling.data.corpora.specification import open_corpus
from scaling.data.corpus import BadRecord, DocumentSource
from scaling.data.tokens import CorpusError
from tests.support.corpora.files import DOCUMENTS, write_array_record, write_parquet
from tests.support.corpora.files import json_lines as lines_of


def source_of(spec: str) -> DocumentSource:
    source = open_corpus(spec).source
    assert source is not None
    return source


def check(spec: str, message: str, documents: list[str] | None = None) -> None:
    """The message is the error, names the record that is skipped, and the other documents are there."""
    source, bad = source_of(spec), list[BadRecord]()
    with pytest.raises(CorpusError) as error:
        list(source.documents())
    assert re.fullmatch(message, str(error.value)), str(error.value)
    rest = [document.decode() for document in source.documents(bad.append)]
    assert str(bad[0]) == str(error.value) and all("\n" not in str(record) for record in bad)
    if documents is not None:
        assert rest == documents and len(bad) == 1


GOOD = b'{"text": "first"}\n{"text": "second"}\n'
LINES: dict[str, tuple[bytes, str]] = {  # the third line of a file: what the message says, at its byte
    "no UTF-8": (b'{"text": "a\xff"}', r"byte 48: is not UTF-8"),
    "UTF-16": ('{"text": "a"}'.encode("utf-16"), r"byte 37: is not UTF-8"),
    "broken": (b'{"text": "a" "b"}', r"byte 50: broken JSON \(Expecting ',' delimiter\)"),
    "cut off": (b'{"text": "a', r"byte 46: broken JSON \(Unterminated string starting at\)"),
    "deep": (b"[" * 100_000, r"byte 37: broken JSON \(too deep, or a number too long\)"),
    "a long number": (b'{"text": ' + b"1" * 5000 + b"}", r"byte 37: broken JSON \(too deep, or a number too long\)"),
    "array": (b'["a"]', r"byte 37: is not a JSON object: must have its text in a field text"),
    "no field": (b'{"a": 1, "b": 2}', r"byte 37: has no field text: its fields are a, b: choose one with field="),
    "null": (b'{"text": null}', r"byte 37: text = null is not text: choose another with field="),
    "a list": (b'{"text": ["a"]}', r'byte 37: text = \["a"\] is not text: choose another with field='),
    "half a pair": (b'{"text": "\\ud800"}', r"byte 37: text has half of a surrogate pair"),
    "an escape sequence": (b'{"\x1b[0m": 1}', r"byte 39: broken JSON \(Invalid control character at\)"),
}


@pytest.mark.parametrize("case", LINES)
def test_a_bad_line_is_named_by_file_line_and_byte(case: str, tmp_path: Path) -> None:
    bad, message = LINES[case]
    for name, compress in (("a.jsonl", bytes), ("a.jsonl.gz", gzip.compress)):
        (tmp_path / name).write_bytes(compress(GOOD + bad + b'\n{"text": ""}\n\n{"text": "last"}'))
        check(f"jsonl:{tmp_path}/{name}", rf".*/{name}, line 3, {message}", ["first", "second", "last"])


def test_bad_lines_have_the_same_names_in_every_division_into_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"".join(b'{"text": %d}\n' % i if i % 5 == 3 else b'\xef\xbb\xbf{"text": "%d"}\n' % i for i in range(40))
    (tmp_path / "a.jsonl").write_bytes(text.replace(b"\xef\xbb\xbf", b"", 0))
    found = []
    for size in (1 << 20, 64, 7):
        monkeypatch.setattr(json_lines, "PART_BYTES", size)
        bad: list[BadRecord] = []
        documents = list(source_of(f"jsonl:{tmp_path}/a.jsonl").documents(bad.append))
        found.append((documents, [str(record) for record in bad]))
    assert found[0] == found[1] == found[2] and found[0][0] == [b"0"] and len(found[0][1]) == 39


def checked_zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


Damage = Callable[[bytes], bytes]
ARCHIVES: dict[str, tuple[str, Callable[[bytes], bytes], Damage, str]] = {
    "truncated gzip": (".gz", gzip.compress, lambda d: d[: len(d) // 2], "gzip data is truncated"),
    "gzip without its checksum": (".gz", gzip.compress, lambda d: d[:-3], "gzip data is truncated"),
    "altered gzip": (".gz", gzip.compress, lambda d: d[:-8] + b"abcdefgh", r"gzip data is damaged \(.*\)"),
    "truncated zstd": (".zst", zstandard.compress, lambda d: d[: len(d) // 2], "zstd data is truncated"),
    "altered zstd": (".zst", checked_zstd, lambda d: d[:-4] + b"abcd", r"zstd data is damaged \(.*\)"),
    "other content": (".gz", gzip.compress, lambda d: GOOD, "is not compressed by gzip, as its name says"),
    "empty": (".gz", gzip.compress, lambda d: b"", "is empty"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_a_damaged_archive_gives_the_lines_before_the_damage(case: str, tmp_path: Path) -> None:
    suffix, compress, damage, problem = ARCHIVES[case]
    texts = [os.urandom(400).hex() for _ in range(400)]
    (tmp_path / f"a.jsonl{suffix}").write_bytes(damage(compress(lines_of(texts))))
    check(f"jsonl:{tmp_path}", rf".*/a.jsonl{suffix}, line \d+, byte \d+: {problem}: the rest of the file is lost")
    bad: list[BadRecord] = []
    rest = [document.decode() for document in source_of(f"jsonl:{tmp_path}").documents(bad.append)]
    assert rest == texts[: len(rest)] and bad[0].record == len(rest) + 1
    assert bad[0].offset == len(lines_of(texts[: len(rest)]))
    assert len(rest) > 100 or case in ("other content", "empty")


def test_files_of_other_kinds_are_named(tmp_path: Path) -> None:
    for data, problem in (
        (gzip.compress(GOOD), "is compressed by gzip: give it a name that ends with .gz"),
        (zstandard.compress(GOOD), "is compressed by zstd: give it a name that ends with .zst"),
        (b"PAR1....", "is a Parquet file: .*"),
    ):
        (tmp_path / "a.jsonl").write_bytes(data)
        check(f"jsonl:{tmp_path}", f".*/a.jsonl: {problem}", [])


def test_a_line_without_end_is_skipped_without_being_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1 << 20)
    (tmp_path / "a.jsonl").write_bytes(GOOD + b'{"text": "' + b"a" * (1 << 20) + b'"}\n{"text": "last"}\n')
    message = ".*/a.jsonl, line 3, byte 37: a line of more than 1 MiB: split the document"
    check(f"jsonl:{tmp_path}", message, ["first", "second", "last"])


# Parquet


def test_bad_parquet_is_named_by_file_and_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, DOCUMENTS)
    data = path.read_bytes()
    spec = f"parquet:{tmp_path}"
    path.write_bytes(data[:-50])
    check(spec, r".*/a.parquet: is no Parquet file, or is truncated \(.*\)", [])
    path.write_bytes(b"")
    check(spec, r".*/a.parquet: is no Parquet file, or is truncated \(.*\)", [])
    path.write_bytes(data)
    check(f"{spec}/a.parquet,column=body", ".*a.parquet: has no column body: its columns are url, text: .*", [])
    offset = pq.ParquetFile(path).metadata.row_group(1).column(1).dictionary_page_offset + 100
    path.write_bytes(data[:offset] + bytes(255 - b for b in data[offset : offset + 20]) + data[offset + 20 :])
    rest = DOCUMENTS[:60] + DOCUMENTS[120:]
    check(spec, r".*/a.parquet, row 61: data is damaged: the rest of the row group is lost \(.*\)", rest)


def test_rows_that_are_null_or_not_utf8_are_skipped(tmp_path: Path) -> None:
    column = pa.array([b"first", None, b"second", b"\xff", b"last"], pa.binary())
    pq.write_table(pa.table({"text": column, "id": range(5)}), tmp_path / "a.parquet", row_group_size=2)
    bad: list[BadRecord] = []
    assert list(source_of(f"parquet:{tmp_path}").documents(bad.append)) == [b"first", b"second", b"last"]
    assert [str(record).partition("a.parquet")[2] for record in bad] == [
        ", row 2: text is null", ", row 4: is not UTF-8",
    ]  # fmt: skip
    check(f"parquet:{tmp_path},column=id", ".*/a.parquet: column id is int64, not text: choose another .*")


# ArrayRecord


def test_bad_array_records_are_named_by_file_and_record(tmp_path: Path) -> None:
    path = tmp_path / "a.array_record"
    write_array_record(path, [b"first", b"\xffsecond", b"last"])
    check(f"arrayrecord:{tmp_path}", r".*/a.array_record, record 2, byte 0: is not UTF-8", ["first", "last"])
    check(f"arrayrecord:{tmp_path},field=text", ".*, record 1: is neither a JSON object nor a tf.train.Example")
    data = path.read_bytes()
    for damaged, problem in (
        (data[:1000], r"is no ArrayRecord file, or is truncated \(.*\)"),
        (b"", r"is no ArrayRecord file, or is truncated \(.*\)"),
        (data + b"tail" * 1000, r"is no ArrayRecord file, or is truncated \(.*\)"),
    ):
        path.write_bytes(damaged)
        check(f"arrayrecord:{tmp_path}", f".*/a.array_record: {problem}", [])
    write_array_record(path, [f"{i} {'x' * 200}" for i in range(500)])
    data = bytearray(path.read_bytes())
    data[30_000] ^= 255
    path.write_bytes(data)
    check(f"arrayrecord:{tmp_path}", r".*/a.array_record, record \d+: data is damaged: the rest of the part .*")


# Text


def test_files_of_text_can_be_skipped_too(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "b.txt").write_bytes(b"x\xff")
    (tmp_path / "c.jsonl").write_text('{"text": "second"}\n{"text": 3}\n')
    (tmp_path / "d.txt").write_text("last")
    bad: list[BadRecord] = []
    assert list(source_of(f"text:{tmp_path}").documents(bad.append)) == [b"first", b"second", b"last"]
    assert [str(record).removeprefix(f"{tmp_path}/") for record in bad] == [
        "b.txt: not UTF-8 at byte offset 1: convert it or remove it from the folder",
        "c.jsonl, line 2: text = 3: must have its document as text in a field text",
    ]


def test_a_name_with_control_characters_stays_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "a\n\x1b[31m.jsonl").write_text(json.dumps({"text": 1}))
    with pytest.raises(CorpusError) as error:
        list(open_corpus(f"jsonl:{tmp_path}").documents())
    assert r"a\n\x1b[31m.jsonl, line 1" in str(error.value) and "\n" not in str(error.value)
