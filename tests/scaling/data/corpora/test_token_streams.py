"""Tokens that others made: every token of every document, as their own tools write them."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from scaling.data.corpora.specification import open_corpus
from scaling.data.corpora.tokenized import megatron, streams
from scaling.data.corpus import BadRecord, TokenCorpus
from scaling.data.tokens import CorpusError
from tests.support.corpora.files import llm_c_file, write_megatron

EOD = 50
RNG = np.random.default_rng(0)
TOKENS = [RNG.integers(0, EOD, size).tolist() for size in (3, 1, 40, 7, 200, 2, 1, 64)]  # by document, without ends
STREAM = [token for document in TOKENS for token in [*document, EOD]]


def open_tokens(spec: str) -> TokenCorpus:
    corpus = open_corpus(spec)
    assert isinstance(corpus, TokenCorpus)
    return corpus


def documents(spec: str) -> list[list[int]]:
    return [array.tolist() for array in open_tokens(spec).documents()]


def flat(arrays: list[list[int]]) -> list[int]:
    return [token for array in arrays for token in array]


@pytest.fixture(params=[streams.READ_TOKENS, 7])
def small_reads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads and parts of any size give the same documents."""
    monkeypatch.setattr(streams, "READ_TOKENS", request.param)
    monkeypatch.setattr(streams, "PART_BYTES", 8 * request.param)
    monkeypatch.setattr(megatron, "PART_DOCUMENTS", 3 if request.param < 100 else 1000)
    monkeypatch.setattr(megatron, "BATCH_DOCUMENTS", 2 if request.param < 100 else 1000)


# Megatron-LM


@pytest.mark.usefixtures("small_reads")
@pytest.mark.parametrize("code", [8, 4, 1])
def test_documents_of_megatron_stay_whole(code: int, tmp_path: Path) -> None:
    with_ends = [[[*document, EOD]] for document in TOKENS]
    write_megatron(tmp_path / "a", with_ends, code)
    expected = [[*document, EOD] for document in TOKENS]
    for argument in ("a", "a.idx", "a.bin", "", "*.idx"):
        assert documents(f"megatron:{tmp_path}/{argument},vocab=64") == expected
        assert documents(f"megatron:{tmp_path}/{argument},eod={EOD}") == expected
    write_megatron(tmp_path / "b", [[document] for document in TOKENS], code)  # without --append-eod
    assert documents(f"megatron:{tmp_path}/b,eod={EOD}") == expected
    assert documents(f"megatron:{tmp_path}/b") == TOKENS
    assert flat(documents(f"megatron:{tmp_path},eod={EOD}")) == STREAM * 2


def test_sequences_of_a_megatron_document_are_joined_and_empty_documents_left_out(tmp_path: Path) -> None:
    write_megatron(tmp_path / "a", [[[1, 2], [], [3]], [], [[]], [[4], [5]]])
    assert documents(f"megatron:{tmp_path}/a") == [[1, 2, 3], [4, 5]]
    index = (tmp_path / "a.idx").read_bytes()
    (tmp_path / "a.idx").write_bytes(index + bytes(6))  # with a mode per sequence
    assert documents(f"megatron:{tmp_path}/a,eod=9") == [[1, 2, 3, 9], [4, 5, 9]]


def test_a_megatron_index_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    write_megatron(tmp_path / "a", [[[1, 2, 3]], [[4, 5]], [[6]]])
    index, data = (tmp_path / "a.idx").read_bytes(), (tmp_path / "a.bin").read_bytes()

    def check(message: str, idx: bytes) -> None:
        (tmp_path / "a.idx").write_bytes(idx)
        bad: list[BadRecord] = []
        corpus = open_tokens(f"megatron:{tmp_path}/a,vocab=9")
        assert corpus.source is not None
        assert [array.tolist() for array in corpus.source.documents(bad.append)] == []
        assert [re.fullmatch(f".*/{message}", str(record)) is not None for record in bad] == [True], bad
        with pytest.raises(CorpusError, match=message):
            list(corpus.documents())

    at = len(index) - 4 * 8  # the bounds of the documents
    bounds = index[:at] + (5).to_bytes(8, "little") + index[at + 8 :]
    check("a.idx: is no index of Megatron-LM: must begin with MMIDIDX", idx=b"TNTIDX\0\0" + index[8:])
    check("a.idx: is no index of Megatron-LM: must begin with MMIDIDX", idx=b"")
    check("a.idx: has version 1 and type 7: must be version 1 and a type of integers", index[:17] + b"\7" + index[18:])
    check("a.idx: 101 bytes where the header says 102: truncated or damaged", idx=index[:-1])
    check("a.idx: 34 bytes where the header says .*: truncated or damaged", idx=index[:18] + b"\xff" * 16)
    check("a.idx, document 1, byte .*: bounds of documents are not ascending, from 0 to 3: .*", idx=bounds)
    problem = "2 tokens are not in the file of 8 bytes: the .idx does not fit"
    (tmp_path / "a.bin").write_bytes(data[:8])
    (tmp_path / "a.idx").write_bytes(index)
    bad: list[BadRecord] = []
    source = open_tokens(f"megatron:{tmp_path}/a,vocab=9").source
    assert source is not None and [array.tolist() for array in source.documents(bad.append)] == [[1, 2, 3]]
    assert [str(record).partition("a.bin")[2] for record in bad] == [
        f", document 2, byte 6: {problem}", ", document 3, byte 10: 1 tokens are not in the file of 8 bytes: the .idx "
        "does not fit",
    ]  # fmt: skip
    (tmp_path / "a.bin").unlink()
    with pytest.raises(CorpusError, match=r"a.bin: No such file or directory"):
        open_corpus(f"megatron:{tmp_path}/a")


# nanoGPT and llm.c


@pytest.mark.usefixtures("small_reads")
def test_streams_of_nanogpt_are_read_with_their_validation_split(tmp_path: Path) -> None:
    train = np.array(STREAM, np.uint16)  # data/*/prepare.py: tofile of uint16
    train.tofile(tmp_path / "train.bin")
    train[:10].tofile(tmp_path / "val.bin")
    (tmp_path / "meta.pkl").write_bytes(b"never read")
    corpus = open_tokens(f"nanogpt:{tmp_path}")
    assert np.concatenate([*corpus.documents()]).tolist() == STREAM and corpus.vocab == EOD + 1
    assert corpus.validation is not None and np.concatenate([*corpus.validation()]).tolist() == STREAM[:10]
    assert corpus.notes == [
        "left out 1 files of other kinds: meta.pkl", "the held-out text is its own split val.bin",
        "vocabulary of 51, the largest token and one: choose another with vocab=",
    ]  # fmt: skip
    single = open_tokens(f"nanogpt:{tmp_path}/train.bin,vocab=50304")
    assert (single.vocab, single.eod, single.validation, single.notes) == (50304, None, None, [])
    assert np.concatenate([*single.documents()]).tolist() == STREAM
    assert documents(f"nanogpt:{tmp_path}/train.bin,eod={EOD}") == [[*document, EOD] for document in TOKENS]


@pytest.mark.usefixtures("small_reads")
def test_files_of_llm_c_have_a_header(tmp_path: Path) -> None:
    leading = [token for document in TOKENS for token in [EOD, *document]]  # llm.c: before each document
    for i in range(2):
        (tmp_path / f"fineweb_train_{i:06d}.bin").write_bytes(llm_c_file(leading))
    (tmp_path / "fineweb_val_000000.bin").write_bytes(llm_c_file(leading[:7]))
    corpus = open_tokens(f"nanogpt:{tmp_path}")
    assert np.concatenate([*corpus.documents()]).tolist() == leading * 2
    assert corpus.validation is not None and np.concatenate([*corpus.validation()]).tolist() == leading[:7]
    arrays = documents(f"nanogpt:{tmp_path},eod={EOD}")
    assert flat(arrays) == leading * 2 and arrays[:2] == [[EOD], [*TOKENS[0], EOD]]


def test_damaged_streams_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for data, problem in (
        (llm_c_file(STREAM)[:-2], r"a.bin: \d+ bytes where the header says \d+: truncated or damaged"),
        (llm_c_file(STREAM)[:4] + b"\2" + llm_c_file(STREAM)[5:], "has version 2 of llm.c's header"),
        (b"abc", "a.bin: 3 bytes are no whole number of tokens of 2 bytes: truncated, or another dtype="),
    ):
        path.write_bytes(data)
        with pytest.raises(CorpusError, match=problem):
            list(open_tokens(f"nanogpt:{path},vocab=64").documents())
    np.array(STREAM, "<u2").tofile(path)
    for options, problem in (
        ("dtype=float32", "dtype=float32: must be one of uint16, uint32, int32, int64"),
        ("vocab=0", r"vocab=0: must be between 1 and 2\*\*31"),
        ("eod=64,vocab=64", "eod=64: must be a token, from 0 to 63"),
        ("eod=x", "eod=x: must be an integer"),
        ("field=text", "unknown option 'field': must be one of vocab, eod, tokenizer, dtype"),
        ("tokenizer=sentencepiece:400", "must be the one that made the tokens"),
        ("tokenizer=other", "unknown tokenizer"),
    ):
        with pytest.raises(CorpusError, match=problem):
            open_corpus(f"nanogpt:{path},{options}")


def test_an_end_that_never_comes_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.array(STREAM, "<u2").tofile(tmp_path / "a.bin")
    monkeypatch.setattr(streams, "MAX_DOCUMENT_TOKENS", 200)
    monkeypatch.setattr(streams, "READ_TOKENS", 50)
    with pytest.raises(CorpusError, match=r"a.bin, byte 0: the token eod=63 is not in \d+ tokens: choose another one"):
        list(open_tokens(f"nanogpt:{tmp_path}/a.bin,eod=63,vocab=64").documents())


# NumPy


@pytest.mark.usefixtures("small_reads")
@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int64"])
def test_arrays_with_and_without_a_header_are_read(dtype: str, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    memory = np.memmap(tmp_path / "raw" / "part-0.npy", dtype, "w+", shape=(len(STREAM),))  # as dolma writes them
    memory[:] = STREAM
    memory.flush()
    np.save(tmp_path / "real.npy", np.array(STREAM, dtype))
    for argument in ("raw", "real.npy"):
        assert flat(documents(f"npy:{tmp_path}/{argument},dtype={dtype}")) == STREAM
        split = documents(f"npy:{tmp_path}/{argument},dtype={dtype},eod={EOD}")
        assert split == [[*document, EOD] for document in TOKENS]


def test_arrays_of_other_shapes_and_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    objects = np.array([{"a": 1}], object)
    with path.open("wb") as file:
        np.lib.format.write_array(file, objects, allow_pickle=True)
    cases = [(path.read_bytes(), r"is an array of object with shape \(1,\): must be integers, one axis")]
    for array, problem in (
        (np.zeros((2, 3), np.uint16), r"is an array of uint16 with shape \(2, 3\): must be integers, one axis"),
        (np.zeros(3), r"is an array of float64 with shape \(3,\): must be integers, one axis"),
    ):
        np.save(path, array)
        cases.append((path.read_bytes(), problem))
    np.save(path, np.array(STREAM))
    cases += [
        (path.read_bytes()[:-3], r"\d+ bytes where the header says \d+: truncated"),
        (path.read_bytes()[:40], r"has a damaged NumPy header \(.*\)"),
        (b"\x01\x00" * 8, "has no NumPy header, as OLMo's files: say dtype=uint16 or uint32"),
    ]
    for data, problem in cases:
        path.write_bytes(data)
        with pytest.raises(CorpusError, match=rf"a.npy: {problem}"):
            list(open_tokens(f"npy:{path}").documents())


def test_sources_of_streams_pickle_and_their_parts_have_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PART_BYTES", 100)
    monkeypatch.setattr(megatron, "PART_DOCUMENTS", 2)
    np.array(STREAM, "<u2").tofile(tmp_path / "train.bin")
    write_megatron(tmp_path / "a", [[d] for d in TOKENS])
    for spec in (f"nanogpt:{tmp_path}/train.bin,eod={EOD}", f"megatron:{tmp_path}/a,eod={EOD}"):
        source = open_tokens(spec).source
        assert source is not None
        source = pickle.loads(pickle.dumps(source))
        assert len(source.parts) > 3 and all(part.size for part in source.parts)
        parts = [[array.tolist() for array in source.read_part(part)] for part in reversed(source.parts)]
        assert flat([array for part in reversed(parts) for array in part]) == STREAM
