"""Corpora in files of other tools: every document whole, in a fixed order, in parts that any process reads."""

from __future__ import annotations

import itertools
import os
import pickle
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scaling.data.corpora.files import array_record, huggingface, json_lines
from scaling.data.corpora.specification import open_corpus
from scaling.data.corpus import BadRecord, DocumentSource, TextCorpus
from scaling.data.tokens import CorpusError
from tests.support.corpora.files import DOCUMENTS, WRITERS, write_array_record
from tests.support.corpora.files import json_lines as lines_of

EXPECTED = [document.encode() for document in DOCUMENTS]
every_format = pytest.mark.parametrize("suffix", WRITERS)


def open_text(spec: str) -> TextCorpus:
    corpus = open_corpus(spec)
    assert isinstance(corpus, TextCorpus)
    return corpus


def read(spec: str) -> list[bytes]:
    return list(open_text(spec).documents())


def source_of(spec: str) -> DocumentSource[bytes]:
    source = open_text(spec).source
    assert source is not None
    return source


# Formats


@every_format
def test_every_document_arrives_whole_and_in_order(suffix: str, tmp_path: Path) -> None:
    kind, write = WRITERS[suffix]
    write(tmp_path / f"a{suffix}", DOCUMENTS)
    assert read(f"{kind}:{tmp_path}/a{suffix}") == EXPECTED


@every_format
def test_a_folder_is_read_in_the_order_of_its_names(suffix: str, tmp_path: Path) -> None:
    kind, write = WRITERS[suffix]
    pieces = [DOCUMENTS[i::4] for i in range(4)]
    names = ["b", "a/z", "c/d", "a/b"]
    for name, piece in zip(names, pieces, strict=True):
        path = tmp_path / f"{name}{suffix}"
        path.parent.mkdir(exist_ok=True)
        write(path, piece)
    write(tmp_path / f".hidden{suffix}", ["hidden"])
    (tmp_path / ".cache").mkdir()
    write(tmp_path / ".cache" / f"d{suffix}", ["hidden"])
    (tmp_path / "README.md").write_text("not a document")
    corpus = open_text(f"{kind}:{tmp_path}")
    by_name = dict(zip(names, pieces, strict=True))
    ordered = [document.encode() for name in ("a/b", "a/z", "b", "c/d") for document in by_name[name]]
    assert list(corpus.documents()) == ordered
    assert corpus.notes == ["left out 1 files of other kinds: README.md"]
    assert read(f"{kind}:{tmp_path}/*/[bz]{suffix}") == [d.encode() for n in ("a/b", "a/z") for d in by_name[n]]
    assert read(f"{kind}:{tmp_path}/**/*{suffix}") == ordered


@every_format
def test_parts_are_read_on_their_own_and_are_the_corpus_together(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, write = WRITERS[suffix]
    write(tmp_path / f"a{suffix}", DOCUMENTS)
    monkeypatch.setattr(json_lines, "PART_BYTES", 1000)
    monkeypatch.setattr(array_record, "PART_RECORDS", 70)
    source = pickle.loads(pickle.dumps(source_of(f"{kind}:{tmp_path}/a{suffix}")))
    assert len(source.parts) > 3 or suffix in (".jsonl.gz", ".json.zst")
    parts = [list(source.read_part(part)) for part in reversed(source.parts)]
    assert list(itertools.chain(*reversed(parts))) == EXPECTED
    assert all(part.size is not None and part.size > 0 for part in source.parts)


@pytest.mark.parametrize("size", [1, 2, 17, 100, 5000])
def test_lines_are_in_the_range_in_which_they_start(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(DOCUMENTS[:9]).splitlines(keepends=True)
    text = b"".join(line + b"\r\n" * (i % 3) for i, line in enumerate(lines)).removesuffix(b"\n")
    (tmp_path / "a.jsonl").write_bytes(text)
    monkeypatch.setattr(json_lines, "PART_BYTES", size)
    assert read(f"jsonl:{tmp_path}/a.jsonl") == EXPECTED[:9]


def test_a_field_and_a_column_are_chosen_and_commas_of_a_path_are_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "lang=en,part=1"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(lines_of(DOCUMENTS, "content"))
    pq.write_table(pa.table({"content": DOCUMENTS}), folder / "a.parquet")
    escaped = str(folder).replace(",", "\\,")
    assert read(f"jsonl:{escaped},field=content") == read(f"parquet:{escaped},column=content") == EXPECTED
    with pytest.raises(CorpusError, match="unknown option 'column': must be one of field"):
        open_corpus(f"jsonl:{escaped},column=content")


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]
)
def test_parquet_text_of_every_type_is_read(kind: pa.DataType, tmp_path: Path) -> None:
    array = pa.array(DOCUMENTS)
    array = array.dictionary_encode() if pa.types.is_dictionary(kind) else array.cast(kind)
    pq.write_table(pa.table({"text": array}), tmp_path / "a.parquet", compression="zstd")
    assert read(f"parquet:{tmp_path}/a.parquet") == EXPECTED


def test_records_are_json_or_examples_with_a_field(tmp_path: Path) -> None:
    write_array_record(tmp_path / "json.array_record", lines_of(DOCUMENTS, "content").splitlines())
    assert read(f"arrayrecord:{tmp_path}/json.array_record,field=content") == EXPECTED
    write_array_record(tmp_path / "example.array_record", [example({"id": b"7", "text": d}) for d in EXPECTED])
    assert read(f"arrayrecord:{tmp_path}/example.array_record,field=text") == EXPECTED


def example(features: dict[str, bytes]) -> bytes:
    """A tf.train.Example with features of bytes; test_records_of_tensorflow_are_read compares it with TensorFlow's."""

    def field(number: int, data: bytes) -> bytes:
        size, out = len(data), bytearray([number << 3 | 2])
        while size >= 128:
            out.append(size & 127 | 128)
            size >>= 7
        return bytes(out) + bytes([size]) + data

    entries = (field(1, name.encode()) + field(2, field(1, field(1, text))) for name, text in features.items())
    return field(1, b"".join(field(1, entry) for entry in entries))


@pytest.mark.slow
def test_records_of_tensorflow_are_read(tmp_path: Path) -> None:
    from scaling.data.tensorflow import import_quietly

    tf = import_quietly("tensorflow")

    def bytes_feature(*values: bytes) -> object:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    numbers = tf.train.Feature(int64_list=tf.train.Int64List(value=[1, 2**40]))
    floats = tf.train.Feature(float_list=tf.train.FloatList(value=[0.5, -1.0]))
    records = [
        tf.train.Example(
            features=tf.train.Features(feature={"a": numbers, "text": bytes_feature(d), "x": floats})
        ).SerializeToString()
        for d in EXPECTED
    ]
    write_array_record(tmp_path / "a.array_record", records)
    assert read(f"arrayrecord:{tmp_path}/a.array_record,field=text") == EXPECTED
    bad: list[BadRecord] = []
    two = tf.train.Example(features=tf.train.Features(feature={"text": bytes_feature(b"a", b"b"), "n": numbers}))
    write_array_record(tmp_path / "b.array_record", [two.SerializeToString()])
    for field in ("text", "n", "other"):
        source = source_of(f"arrayrecord:{tmp_path}/b.array_record,field={field}")
        assert list(source.documents(bad.append)) == []
    assert [record.problem.partition(":")[0] for record in bad] == [
        "feature text has 2 texts", "feature n has 0 texts", "has no feature other",
    ]  # fmt: skip


# Processes


def count_bytes(source: DocumentSource[bytes], index: int) -> int:
    return sum(map(len, source.read_part(source.parts[index])))


@pytest.mark.slow
def test_spawned_processes_read_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "PART_BYTES", 20_000)
    for suffix, (_, write) in WRITERS.items():
        write(tmp_path / f"a{suffix}", DOCUMENTS)
    with get_context("spawn").Pool(2) as pool:
        for suffix, (kind, _) in WRITERS.items():
            source = source_of(f"{kind}:{tmp_path}/a{suffix}")
            sizes = pool.starmap(count_bytes, [(source, i) for i in range(len(source.parts))])
            assert sum(sizes) == sum(map(len, EXPECTED))


# Hugging Face datasets


@pytest.mark.slow
def test_data_sets_saved_by_their_library_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    datasets.disable_progress_bars()
    data = datasets.Dataset.from_dict({"text": DOCUMENTS, "id": list(range(len(DOCUMENTS)))})
    data.save_to_disk(tmp_path / "one", num_shards=3)
    data.shuffle(seed=1).save_to_disk(tmp_path / "shuffled")
    splits = datasets.DatasetDict({"train": data, "validation": data.select(range(10)), "test": data.select([3])})
    splits.save_to_disk(tmp_path / "splits")
    monkeypatch.setattr(huggingface, "PART_ROWS", 100)
    source = pickle.loads(pickle.dumps(source_of(f"hf:{tmp_path}/one")))
    assert len(source.parts) == 3
    assert list(source.documents()) == EXPECTED
    assert sorted(read(f"hf:{tmp_path}/shuffled")) == sorted(EXPECTED)
    corpus = open_text(f"hf:{tmp_path}/splits")
    assert list(corpus.documents()) == EXPECTED and corpus.validation is not None
    assert list(corpus.validation()) == EXPECTED[:10]
    assert read(f"hf:{tmp_path}/splits,split=test,validation=none") == [EXPECTED[3]]
    for options, problem in (
        (",split=dev", "no split 'dev': must be one of train, validation, test"),
        (",column=body", "has no column body: its columns are text, id: choose one with column="),
        (",column=id", "column id is int64, not text: choose another with column="),
    ):
        with pytest.raises(CorpusError, match=problem):
            open_corpus(f"hf:{tmp_path}/splits{options}")
    with pytest.raises(CorpusError, match="this data set has no splits"):
        open_corpus(f"hf:{tmp_path}/one,split=train")


@pytest.mark.slow
def test_data_sets_at_an_address_are_read_a_batch_at_a_time(tmp_path: Path) -> None:
    import datasets
    import fsspec

    datasets.disable_progress_bars()
    data = datasets.Dataset.from_dict({"text": DOCUMENTS, "id": list(range(len(DOCUMENTS)))})
    data.save_to_disk(tmp_path / "one", num_shards=3)
    datasets.DatasetDict({"train": data, "validation": data.select(range(10))}).save_to_disk(tmp_path / "splits")
    fs = fsspec.filesystem("memory")
    fs.put(f"{tmp_path}/", "/saved", recursive=True)
    source = pickle.loads(pickle.dumps(source_of("hf:memory://saved/one")))
    assert len(source.parts) == 3 and list(source.documents()) == EXPECTED
    corpus = open_text("hf:memory://saved/splits/")
    assert list(corpus.documents()) == EXPECTED and corpus.validation is not None
    assert list(corpus.validation()) == EXPECTED[:10]
    bad: list[BadRecord] = []
    assert list(source_of("hf:memory://saved/one,column=id").documents(bad.append)) == []
    assert "column id is int64, not text" in str(bad[0])
    name = source.parts[1].file.removeprefix("memory:/")
    fs.pipe_file(name, fs.cat_file(name)[:-2000])
    bad.clear()
    assert len(list(source.documents(bad.append))) < len(EXPECTED)
    assert [record.problem.partition(":")[0] for record in bad] == ["data is damaged"]
    with pytest.raises(CorpusError, match=r"neither state.json nor dataset_dict.json there: give a folder of"):
        open_corpus("hf:memory://saved")
    fs.rm("/saved", recursive=True)


@pytest.mark.slow
def test_a_data_set_in_the_local_cache_is_read_by_its_name_and_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "sources" / "corpus").mkdir(parents=True)
    (tmp_path / "sources" / "corpus" / "train.jsonl").write_bytes(lines_of(DOCUMENTS))
    datasets.load_dataset(str(tmp_path / "sources" / "corpus"))
    monkeypatch.chdir(tmp_path)
    assert read("hf:corpus") == EXPECTED
    with pytest.raises(CorpusError, match="corpus hf:group/other: no such folder, and no such name in the local cache"):
        open_corpus("hf:group/other")
    with pytest.raises(CorpusError, match="give a folder that save_to_disk wrote, or its files as parquet: or jsonl:"):
        open_corpus(f"hf:{tmp_path}/sources/corpus")


# Arguments


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "arrayrecord", "npy", "nanogpt", "megatron"])
def test_a_missing_path_and_other_files_are_one_line(kind: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "note.txt").touch()
    for path, problem in (
        ("", f"corpus {kind}: must be {kind}:PATH, with a file, a folder, a glob or an address"),
        (f"{tmp_path}/missing", "No such file or directory"),
        (f"{tmp_path}/*.none", "no file matches"),
        (f"{tmp_path}/folder", r"no file in this folder: 1 files have other names \(note.txt\)"),
        ("nothing://bucket/a", "unknown protocol 'nothing'|Protocol not known"),
    ):
        with pytest.raises(CorpusError, match=problem) as error:
            open_corpus(f"{kind}:{path}")
        assert "\n" not in str(error.value)


def test_a_file_that_has_a_pattern_as_its_name_is_read(tmp_path: Path) -> None:
    (tmp_path / "a[1].jsonl").write_bytes(lines_of(["one"]))
    (tmp_path / "a1.jsonl").write_bytes(lines_of(["two"]))
    assert read(f"jsonl:{tmp_path}/a[1].jsonl") == [b"one"]
    os.remove(tmp_path / "a[1].jsonl")
    assert read(f"jsonl:{tmp_path}/a[1].jsonl") == [b"two"]
