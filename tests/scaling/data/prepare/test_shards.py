"""Shards: the same content for any number of processes and interruptions, every document whole, in order."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest

from scaling.data.corpora.specification import open_corpus
from scaling.data.corpus import Part, is_validation
from scaling.data.prepare import PrepareOptions, prepare
from scaling.data.prepare.jobs import group_parts
from scaling.data.prepare.journal import Journal
from scaling.data.prepare.options import parse_count
from scaling.data.prepare.pool import run_jobs
from scaling.data.prepare.progress import JobProgress
from scaling.data.prepare.report import Report
from scaling.data.prepare.sharded import is_sharded, plan_work
from scaling.data.shards.manifest import read_manifest
from scaling.data.tokens import CorpusError, open_tokens
from tests.support.commands import call_command

SHARD_TOKENS = 1500


def document(i: int) -> str:
    return f"document {i} 日本 " + "word " * (i % 37)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Six files of JSON lines of different lengths."""
    folder = tmp_path_factory.mktemp("corpus")
    numbers = iter(range(10_000))
    for file in range(6):
        lines = (json.dumps({"text": document(next(numbers))}) for _ in range(20 + 11 * file))
        (folder / f"{file}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def documents(folder: Path) -> list[bytes]:
    files = sorted(folder.glob("*.jsonl"))
    return [json.loads(line)["text"].encode() for file in files for line in file.read_text().splitlines()]


def options(**changes: object) -> PrepareOptions:
    return PrepareOptions(**{"processes": 1, "shard_tokens": SHARD_TOKENS, **changes})


@pytest.fixture(scope="module")
def prepared(corpus: Path, tmp_path_factory) -> Path:
    """The folder of a store's tokens, and the shards that one process wrote there."""
    return prepare(f"jsonl:{corpus}", tmp_path_factory.mktemp("store") / "tokens", options=options())


def content(manifest_folder: Path) -> dict[str, bytes]:
    manifest = read_manifest(manifest_folder)
    return {shard.name: (Path(manifest.address) / shard.name).read_bytes() for shard in manifest.shards}


def test_shards_are_the_documents_in_order_split_by_their_hashes(corpus: Path, prepared: Path) -> None:
    tokens = open_tokens(prepared)
    for split, expected in ((tokens.train, False), (tokens.validation, True)):
        texts = [text for text in documents(corpus) if is_validation(text) is expected]
        joined = np.concatenate([np.append(np.frombuffer(text, np.uint8), 256) for text in texts]).astype("<u2")
        assert np.array_equal(split[0 : len(split)], joined)
    assert tokens.documents == len(documents(corpus))


def test_shards_end_with_a_document_and_have_about_the_tokens_asked_for(prepared: Path) -> None:
    manifest = read_manifest(prepared)
    longest = len(document(36).encode()) + 10
    assert len(manifest.split("train")) > 8
    for shard in manifest.shards:
        tokens = np.fromfile(Path(manifest.address) / shard.name, "<u2")
        assert tokens[-1] == 256 and len(tokens) == shard.tokens < SHARD_TOKENS + longest


def test_one_process_and_three_write_the_same_bytes(corpus: Path, prepared: Path, tmp_path: Path) -> None:
    again = prepare(f"jsonl:{corpus}", tmp_path, options=options(processes=3))
    assert again.name == prepared.name
    assert content(again) == content(prepared)


def test_preparing_again_writes_nothing_and_a_stop_midway_keeps_what_is_complete(
    corpus: Path, prepared: Path, tmp_path: Path
) -> None:
    spec = f"jsonl:{corpus}"
    work = plan_work(spec, open_corpus(spec), tmp_path, "bytes", options()).work
    jobs = run_jobs(work, [(i, Journal()) for i in range(len(work.jobs))], 1)
    while not next(jobs).complete:
        pass
    jobs.close()
    before = {path: path.stat().st_mtime_ns for path in Path(work.address).glob("*.bin")}
    assert before
    path = prepare(spec, tmp_path, options=options())
    assert content(path) == content(prepared)
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())
    times = {file: file.stat().st_mtime_ns for file in Path(work.address).glob("*.bin")}
    assert prepare(spec, tmp_path, options=options()) == path
    assert times == {file: file.stat().st_mtime_ns for file in Path(work.address).glob("*.bin")}


def test_a_job_goes_on_after_its_last_complete_shard(corpus: Path, prepared: Path, tmp_path: Path) -> None:
    path = prepare(f"jsonl:{corpus}", tmp_path, options=options())
    folder = Path(read_manifest(path).address)
    journal = json.loads((folder / "job-00005.json").read_text())
    assert len(journal["segments"]) > 2
    last = [shard["name"] for shard in journal["segments"].pop()]
    texts = sum((folder / s["name"]).read_bytes().count(b"\0\1") for seg in journal["segments"] for s in seg)
    for name in last:
        (folder / name).write_bytes(b"half")
    kept = {shard["name"] for segment in journal["segments"] for shard in segment}
    digest = journal_digest(corpus, texts)
    (folder / "job-00005.json").write_text(
        json.dumps(journal | {"complete": False, "documents": texts, "digest": digest})
    )
    times = {name: (folder / name).stat().st_mtime_ns for name in kept}
    assert content(prepare(f"jsonl:{corpus}", tmp_path, options=options())) == content(prepared)
    assert times == {name: (folder / name).stat().st_mtime_ns for name in kept}


def journal_digest(corpus: Path, count: int) -> str:
    lines = (corpus / "5.jsonl").read_text().splitlines()[:count]
    running = hashlib.sha256()
    for line in lines:
        running.update(hashlib.sha256(json.loads(line)["text"].encode()).digest())
    return running.hexdigest()


def test_other_documents_in_the_place_of_a_text_are_prepared_again(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.mkdir()
    for i in range(150):
        (text / f"{i}.txt").write_text(document(i))
    first = prepare(f"text:{text}", tmp_path / "tokens", options=options())
    assert prepare(f"text:{text}", tmp_path / "tokens", options=options()) == first
    (text / "7.txt").write_text(document(7).upper())
    second = prepare(f"text:{text}", tmp_path / "tokens", options=options())
    assert second != first
    fresh = prepare(f"text:{text}", tmp_path / "fresh", options=options())
    assert fresh.name == second.name and content(fresh) == content(second)


def test_a_stream_of_tokens_is_split_as_in_one_file(tmp_path: Path) -> None:
    spec = "markov:order=1,tokens=20000"
    one, shards = open_tokens(prepare(spec, tmp_path)), open_tokens(prepare(spec, tmp_path, options=options()))
    assert shards.counts == one.counts and (shards.vocab, shards.eod, shards.facts) == (one.vocab, one.eod, one.facts)
    for a, b in ((one.train, shards.train), (one.validation, shards.validation)):
        assert np.array_equal(np.asarray(a), b[0 : len(b)])
    assert len(read_manifest(shards.path).split("train")) > 2


def test_shards_are_written_at_an_address_and_found_in_the_store(corpus: Path, prepared: Path, tmp_path: Path) -> None:
    path = prepare(f"jsonl:{corpus}", tmp_path, options=options(to="memory://bucket/corpora"))
    assert path.name == prepared.name and [file.name for file in path.iterdir()] == ["manifest.json"]
    manifest = read_manifest(path)
    assert manifest.address.startswith("memory://bucket/corpora/") and manifest.address.endswith(".parts")
    assert read_manifest(f"memory://bucket/corpora/{path.name}") == manifest
    fs = fsspec.filesystem("memory")
    written = {shard.name: fs.cat_file(f"{manifest.address}/{shard.name}") for shard in manifest.shards}
    assert written == content(prepared)


def bad_corpus(folder: Path, corpus: Path) -> Path:
    folder.mkdir()
    for path in corpus.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for name, bad in (("1.jsonl", b'{"text": 3}\n'), ("4.jsonl", b'{"text": "\xff"}\n')):
        (folder / name).write_bytes(bad + (folder / name).read_bytes())
    return folder


def test_bad_records_are_named_and_skipped_up_to_the_limit(corpus: Path, prepared: Path, tmp_path: Path, capfd) -> None:
    bad = bad_corpus(tmp_path / "bad", corpus)
    for limit in (0, 1):
        with pytest.raises(CorpusError, match=r"\.jsonl, line 1") as error:
            prepare(f"jsonl:{bad}", tmp_path / f"t{limit}", options=options(skip_bad=limit))
        assert "\n" not in str(error.value)
    capfd.readouterr()
    for processes in (1, 2):
        path = prepare(f"jsonl:{bad}", tmp_path / f"p{processes}", options=options(skip_bad=2, processes=processes))
        notes = [line for line in capfd.readouterr().err.splitlines() if "skipped" in line]
        assert len(notes) == 2 and {"1.jsonl" in note for note in notes} == {True, False}
        assert content(path) == content(prepared)
        assert read_manifest(path).facts == {"skipped_records": 2}
    assert prepare(f"jsonl:{bad}", tmp_path / "p1", options=options(skip_bad=2)) == tmp_path / "p1" / path.name
    one = open_tokens(prepare(f"jsonl:{bad}", tmp_path / "one", options=PrepareOptions(skip_bad=2)))
    assert one.facts == {"skipped_records": 2} and one.documents == len(documents(corpus))


def test_a_corpus_becomes_shards_where_asked_for_or_past_the_size_of_one(corpus: Path) -> None:
    opened = open_corpus(f"jsonl:{corpus}")
    assert not is_sharded(opened, PrepareOptions())
    assert is_sharded(opened, PrepareOptions(to="memory://x")) and is_sharded(
        opened, PrepareOptions(shard_tokens=10**9)
    )
    part = replace(opened.source.parts[0], size=256_000_001)
    assert is_sharded(replace(opened, source=replace(opened.source, parts=(part,))), PrepareOptions())


def test_parts_are_grouped_by_their_sizes_alone() -> None:
    parts = [Part(str(i), size=size) for i, size in enumerate([4, 4, 4, 20, 1, 1, None, 9, 1])]
    names = [[part.file for part in group] for group in group_parts(parts, 10)]
    assert names == [["0", "1"], ["2"], ["3"], ["4", "5"], ["6"], ["7", "8"]]


def test_time_left_follows_from_the_bytes_of_files_that_were_read() -> None:
    progress = JobProgress("jsonl:x", [100, 100])
    progress.update(Report(0, text_bytes=300, tokens=50))
    assert progress.share() is None and "left" not in progress.line(10)
    progress.update(Report(0, text_bytes=0, read_bytes=100, complete=True))
    assert progress.share() == 0.5
    progress.update(Report(1, text_bytes=150, tokens=25))
    assert progress.share() == 0.75
    assert progress.line(60) == "0.0M tokens, 0.00M/s, 1 of 2 jobs, 75%, 20 s left"


def test_numbers_of_tokens_have_units() -> None:
    assert [parse_count(text) for text in ("256M", "1k", "1.5G", "12")] == [256_000_000, 1000, 1_500_000_000, 12]


REFUSED = {
    ("--shard-tokens", "many"): "--shard-tokens many: must be a number of tokens, such as 256M",
    ("--shard-tokens", "0"): "--shard-tokens 0: must be 1 or more",
    ("--processes", "0"): "--processes 0: must be 1 or more",
    ("--skip-bad", "-1"): "--skip-bad -1: must be 0 or more",
    ("--to", "nowhere://b"): "store nowhere://b",
    ("--to", "{corpus}/0.jsonl"): "a part of the path is a file",
    ("--anonymous", "--to", "memory://b"): "--to: an anonymous store records no folders and addresses: leave --to out",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_used_is_one_line(words: tuple[str, ...], corpus: Path, tmp_path: Path) -> None:
    words_now = [word.format(corpus=corpus) for word in words]
    done = call_command("scaling", "prepare", f"jsonl:{corpus}", "--store", tmp_path, *words_now)
    assert done.returncode == 2 and REFUSED[words] in done.stderr and done.stderr.count("\n") == 1


def test_skipping_needs_records_of_files(tmp_path: Path) -> None:
    done = call_command("scaling", "prepare", "markov:order=1", "--store", tmp_path, "--skip-bad", "3")
    assert done.returncode == 2 and "--skip-bad is for corpora of records in files" in done.stderr
