"""Corpora at addresses of fsspec: the same documents as from the same files on a disk."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest

from scaling.data.corpora.files import json_lines
from scaling.data.corpora.specification import open_corpus
from scaling.data.tokens import CorpusError
from tests.support.clusters.gcs import gcs_emulator
from tests.support.commands import ROOT
from tests.support.corpora.files import DOCUMENTS, WRITERS, write_megatron

EXPECTED = [document.encode() for document in DOCUMENTS]
ARRAYS = [[i % 60, 1, 63] for i in range(200)]
OPEN = """
import hashlib, json, sys
from scaling.data.corpora.specification import open_corpus
out = {}
for spec in sys.argv[1:]:
    documents = [bytes(document) for document in open_corpus(spec).documents()]
    out[spec] = [len(documents), hashlib.sha256(b"".join(documents)).hexdigest()]
print(json.dumps(out))
"""


def write_all(folder: Path) -> None:
    """A corpus of each kind in a folder of its own, in two files and with files that are no part of it."""
    for suffix, (_, write) in WRITERS.items():
        at = folder / suffix.strip(".") / "nested"
        (at / ".hidden").mkdir(parents=True)
        write(at.parent / f"a{suffix}", DOCUMENTS[:100])
        write(at / f"b{suffix}", DOCUMENTS[100:])
        write(at / ".hidden" / f"c{suffix}", DOCUMENTS)
        (at / "_SUCCESS").write_text("done")
    for name in ("megatron", "nanogpt", "npy"):
        (folder / name).mkdir()
    write_megatron(folder / "megatron" / "m", [[a] for a in ARRAYS])
    np.array(ARRAYS, "<u2").tofile(folder / "nanogpt" / "train.bin")
    np.save(folder / "npy" / "a.npy", np.array(ARRAYS, "<u4").ravel())


def specs(root: str) -> list[str]:
    """Folders, globs and single files below an address."""
    found = []
    for suffix, (kind, _) in WRITERS.items():
        at = f"{kind}:{root}/{suffix.strip('.')}"
        found += [at, f"{at}/**/*{suffix}", f"{at}/nested/b{suffix}"]
    found += [f"megatron:{root}/megatron/m,vocab=64", f"megatron:{root}/megatron/,vocab=64"]
    return [*found, f"nanogpt:{root}/nanogpt,vocab=64,eod=63", f"npy:{root}/npy/*.npy,vocab=64,eod=63"]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[str]:
    """The files, in memory."""
    write_all(tmp_path)
    fs = fsspec.filesystem("memory")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            fs.pipe_file(f"/corpora/{path.relative_to(tmp_path)}", path.read_bytes())
    yield "memory://corpora"
    fs.rm("/corpora", recursive=True)


def test_every_kind_is_read_at_an_address(memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "PART_BYTES", 5000)
    local = specs(str(tmp_path))
    for spec, same in zip(specs(memory), local, strict=True):
        documents = [bytes(document) for document in open_corpus(spec).documents()]
        if not spec.startswith(("jsonl:", "parquet:", "arrayrecord:")):
            assert documents == [bytes(document) for document in open_corpus(same).documents()]
            assert np.concatenate([*open_corpus(same).documents()]).tolist() == np.ravel(ARRAYS).tolist()
        else:
            assert documents == EXPECTED[100 if "/b." in spec else 0 :], spec
    assert not [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("scaling-")]


def test_faults_at_an_address_are_one_line(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for spec, problem in (
        (f"jsonl:{memory}/nothing", "no such file or folder, or no file in it"),
        (f"jsonl:{memory}/nothing/*.jsonl", "no such file or folder, or no file in it"),
        (f"jsonl:{memory}/parquet", r"no file in this folder: 3 files have other names \(a.parquet, "),
        (f"megatron:{memory}/nothing", "no such file or folder"),
    ):
        with pytest.raises(CorpusError, match=problem):
            open_corpus(spec)
    fs = fsspec.filesystem("memory")
    corpus = open_corpus(f"jsonl:{memory}/jsonl/a.jsonl")
    fs.rm_file("/corpora/jsonl/a.jsonl")
    with pytest.raises(CorpusError, match=r"memory://.*a.jsonl: cannot be read: .*"):
        list(corpus.documents())
    data = fs.cat_file("/corpora/array_record/a.array_record")
    fs.pipe_file("/corpora/array_record/a.array_record", data[:1000])
    with pytest.raises(CorpusError, match=r"memory://.*a.array_record: is no ArrayRecord file, or is truncated"):
        list(open_corpus(f"arrayrecord:{memory}/array_record").documents())


@pytest.mark.slow
def test_a_bucket_gives_the_same_documents_and_the_same_tokens(tmp_path: Path) -> None:
    write_all(tmp_path / "corpora")
    upload = "import fsspec, sys; fsspec.filesystem('gcs').put(sys.argv[1], 'corpora/of/a/test', recursive=True)"
    with gcs_emulator("corpora") as variables:
        env = {**os.environ, **variables, "NO_GCE_CHECK": "true", "PYTHONPATH": str(ROOT)}

        def python(*line: str) -> SimpleNamespace:
            done = subprocess.run([sys.executable, *line], env=env, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
            return SimpleNamespace(out=done.stdout, err=done.stderr)

        python("-W", "ignore", "-c", upload, f"{tmp_path}/corpora/")
        remote = json.loads(python("-c", OPEN, *specs("gs://corpora/of/a/test")).out)
        local = json.loads(python("-c", OPEN, *specs(str(tmp_path / "corpora"))).out)
        assert list(remote.values()) == list(local.values())
        assert remote["jsonl:gs://corpora/of/a/test/jsonl"] == [
            len(EXPECTED), hashlib.sha256(b"".join(EXPECTED)).hexdigest(),
        ]  # fmt: skip
        prepare = ("-m", "scaling", "prepare", "--store", str(tmp_path / "S"), "--json")
        hashes = {
            json.loads(python(*prepare, f"jsonl:{root}/json.zst").out)["tokens"]
            for root in ("gs://corpora/of/a/test", str(tmp_path / "corpora"))
        }
        assert len(hashes) == 1
