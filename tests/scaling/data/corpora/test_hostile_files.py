"""Files that are not what their names say, or that unpack to far more: one line each, in bounded memory."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from scaling.data.corpora.specification import open_corpus
from scaling.data.tokens import CorpusError
from tests.support.commands import ROOT
from tests.support.corpora.files import WRITERS, json_lines

KINDS = {".jsonl": "jsonl", ".parquet": "parquet", ".array_record": "arrayrecord", ".npy": "npy", ".bin": "nanogpt"}
MEBIBYTE = 1 << 20
READ = """
import resource, sys
import pyarrow.parquet
from scaling.data.corpora.specification import open_corpus
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
bad, sizes = [], []
for document in open_corpus(sys.argv[1]).source.documents(bad.append):
    sizes.append(len(document))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) // 1024, sizes, *(f"{record.record}: {record.problem}" for record in bad), sep="|")
"""


@pytest.mark.parametrize("suffix", KINDS)
def test_a_pipe_is_reported_and_never_waited_for(suffix: str, tmp_path: Path) -> None:
    pipe = tmp_path / f"a{suffix}"
    os.mkfifo(pipe)
    for argument in (pipe, tmp_path / f"*{suffix}"):
        with pytest.raises(CorpusError, match=rf"a{suffix}: is no regular file"):
            open_corpus(f"{KINDS[suffix]}:{argument}")
    with pytest.raises(CorpusError, match="no file in this folder"):  # as of a folder that has none
        open_corpus(f"{KINDS[suffix]}:{tmp_path}")


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_folder_with_the_name_of_a_file_is_a_folder(suffix: str, tmp_path: Path) -> None:
    kind, write = WRITERS[suffix]
    (tmp_path / f"a{suffix}").mkdir()
    write(tmp_path / f"a{suffix}" / f"b{suffix}", ["one"])
    assert list(open_corpus(f"{kind}:{tmp_path}/a{suffix}").documents()) == [b"one"]
    with pytest.raises(CorpusError, match="no file matches"):
        open_corpus(f"{kind}:{tmp_path}/a*")


def test_a_file_that_changes_while_it_is_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(json_lines(["one", "two"]))
    corpus = open_corpus(f"jsonl:{path}")
    path.unlink()
    with pytest.raises(CorpusError, match=r"a.jsonl: No such file or directory"):
        list(corpus.documents())
    path.mkdir()
    with pytest.raises(CorpusError, match=r"a.jsonl: Is a directory"):
        list(corpus.documents())


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.touch(mode=0)
    with pytest.raises(CorpusError, match=r"a.jsonl: Permission denied"):
        open_corpus(f"jsonl:{path}")


def memory_and_result(spec: str) -> tuple[int, str]:
    """MiB by which the memory of a process grows while it reads a corpus, and what it read."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", READ, spec], env=env, capture_output=True, text=True, check=True)
    grown, _, result = done.stdout.strip().partition("|")
    return int(grown), result


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_line_without_end_takes_no_memory(suffix: str, tmp_path: Path) -> None:
    """256 MiB of one line, which is some MB when compressed, between two documents."""
    path = tmp_path / f"a.jsonl{suffix}"
    compressor = zstandard.ZstdCompressor(write_content_size=False)
    with path.open("wb") as raw:
        opened = {"": lambda: raw, ".gz": lambda: gzip.GzipFile("", "wb", 1, raw),
                  ".zst": lambda: compressor.stream_writer(raw)}[suffix]()  # fmt: skip
        opened.write(b'{"text": "first"}\n{"text": "')
        for _ in range(256):
            opened.write(b"a" * MEBIBYTE)
        opened.write(b'"}\n{"text": "last"}\n')
        opened.close()
    grown, result = memory_and_result(f"jsonl:{path}")
    assert result == "[5, 4]|2: a line of more than 64 MiB: split the document"
    assert grown < 120


@pytest.mark.slow
def test_memory_is_that_of_a_document_or_a_row_group_never_of_a_file(tmp_path: Path) -> None:
    text = os.urandom(MEBIBYTE // 2).hex()
    documents = [text] * 150
    for suffix in (".jsonl", ".jsonl.gz"):
        with (gzip.open if suffix.endswith("gz") else open)(tmp_path / f"a{suffix}", "wb") as file:
            for i in range(0, len(documents), 10):
                file.write(json_lines(documents[i : i + 10]))
    with pq.ParquetWriter(tmp_path / "a.parquet", pa.schema({"text": pa.string()}), use_dictionary=False) as writer:
        for i in range(0, len(documents), 20):
            writer.write_table(pa.table({"text": documents[i : i + 20]}))
    WRITERS[".array_record"][1](tmp_path / "a.array_record", documents)
    for suffix, limit in ((".jsonl", 60), (".jsonl.gz", 60), (".parquet", 130), (".array_record", 140)):
        grown, result = memory_and_result(f"{KINDS.get(suffix, 'jsonl')}:{tmp_path}/a{suffix}")
        assert result == str([MEBIBYTE] * 150) and grown < limit, suffix
