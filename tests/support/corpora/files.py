"""Corpora in files, each written by the library of its format."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

TEXTS = [  # of several scripts, with what tokenizers and formats tend to lose
    "plain words\n", "  leading and trailing  ", "tabs\tand\r\nline ends\r", "naïve café, Grüße", "日本語のテキスト。",
    "emoji 😀👩‍👩‍👧 and flags 🇯🇵", "def f(x):\n    return {x: [1, 2]}\n", "\u2028 separators \u0085",
    "control \x07\x1b[0m", "a" * 5000,
]  # fmt: skip
DOCUMENTS = [f"{TEXTS[i % len(TEXTS)]}{i}" for i in range(250)]


def json_lines(documents: Sequence[str], field: str = "text") -> bytes:
    """JSON lines, every second one with escapes."""
    lines = (json.dumps({"id": i, field: d}, ensure_ascii=i % 2 == 0) for i, d in enumerate(documents))
    return "".join(f"{line}\n" for line in lines).encode()


def write_jsonl(path: Path, documents: Sequence[str]) -> None:
    path.write_bytes(json_lines(documents))


def write_gzip(path: Path, documents: Sequence[str]) -> None:
    """Two members, as concatenated files have."""
    half = len(documents) // 2
    path.write_bytes(gzip.compress(json_lines(documents[:half])) + gzip.compress(json_lines(documents[half:])))


def write_zstd(path: Path, documents: Sequence[str]) -> None:
    """Two frames."""
    import zstandard

    half = len(documents) // 2
    compress = zstandard.ZstdCompressor().compress
    path.write_bytes(compress(json_lines(documents[:half])) + compress(json_lines(documents[half:])))


def write_parquet(path: Path, documents: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"url": [f"site/{i}" for i in range(len(documents))], "text": list(documents)})
    pq.write_table(table, path, row_group_size=60, write_page_checksum=True)


def write_array_record(path: Path, documents: Sequence[str | bytes]) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path), "group_size:1")
    for document in documents:
        writer.write(document.encode() if isinstance(document, str) else document)
    writer.close()


Writer = Callable[[Path, Sequence[str]], None]
WRITERS: dict[str, tuple[str, Writer]] = {  # suffix: kind of the corpus, writer
    ".jsonl": ("jsonl", write_jsonl), ".jsonl.gz": ("jsonl", write_gzip), ".json.zst": ("jsonl", write_zstd),
    ".parquet": ("parquet", write_parquet), ".array_record": ("arrayrecord", write_array_record),
}  # fmt: skip


def write_megatron(prefix: Path, documents: Sequence[Sequence[Sequence[int]]], code: int = 8) -> None:
    """Writes .bin and .idx as IndexedDatasetBuilder does: documents of sequences of tokens.

    Args:
        prefix: Path without a suffix.
        documents: Tokens by document and sequence.
        code: Of the type: 8 is uint16, 4 is int32.
    """
    dtype = {1: "<u1", 4: "<i4", 8: "<u2"}[code]
    sequences = [np.asarray(sequence, dtype) for document in documents for sequence in document]
    lengths = np.asarray([len(s) for s in sequences], "<i4")
    pointers = np.cumsum([0, *(s.nbytes for s in sequences)], dtype="<i8")[:-1]
    bounds = np.cumsum([0, *(len(document) for document in documents)], dtype="<i8")
    header = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, len(sequences), len(bounds))
    prefix.with_name(f"{prefix.name}.bin").write_bytes(b"".join(s.tobytes() for s in sequences))
    prefix.with_name(f"{prefix.name}.idx").write_bytes(
        header + lengths.tobytes() + pointers.tobytes() + bounds.tobytes()
    )


def llm_c_file(tokens: Sequence[int]) -> bytes:
    """A file of llm.c: a header of 256 int32 (magic number, version, count), then uint16."""
    header = np.zeros(256, "<i4")
    header[:3] = 20240520, 1, len(tokens)
    return header.tobytes() + np.asarray(tokens, "<u2").tobytes()
