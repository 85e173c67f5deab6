"""Token files: what is opened is whole, what is half written is never found."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from scaling.data.token_writer import TokenSource, remove_abandoned_files, write_tokens
from scaling.data.tokens import (
    CorpusError,
    content_hash,
    find_corpus,
    find_tokens,
    open_tokens,
    read_header,
    token_dtype,
)
from tests.support.commands import ROOT, command

TRAIN = [np.arange(200), np.array([], int), np.arange(50)]
VALIDATION = [np.arange(30)]


def write(folder: Path, **more) -> Path:
    arguments = {"corpus": "text:words", "tokenizer": "bytes", "vocab": 257, "eod": 256, **more}
    train, validation = arguments.pop("train", TRAIN), arguments.pop("validation", VALIDATION)
    documents = arguments.pop("documents", lambda: 3)
    return write_tokens(folder, TokenSource(**arguments), train, validation, documents)


def replace(path: Path, data: bytes) -> None:
    """Other bytes at `path`, and a time of change that no clock is too coarse to tell."""
    before = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(before + 10**9, before + 10**9))


@pytest.mark.parametrize(("vocab", "dtype"), [(257, "<u2"), (1 << 16, "<u2"), ((1 << 16) + 1, "<u4")])
def test_what_was_written_is_what_is_read(tmp_path: Path, vocab: int, dtype: str) -> None:
    top = [np.array([vocab - 1])]
    file = open_tokens(write(tmp_path, vocab=vocab, validation=top, facts={"entropy_rate": 1.25}))
    assert file.dtype == dtype == token_dtype(vocab)
    np.testing.assert_array_equal(file.train, np.concatenate(TRAIN))
    np.testing.assert_array_equal(file.validation, [vocab - 1])
    assert (file.corpus, file.tokenizer, file.vocab, file.eod) == ("text:words", "bytes", vocab, 256)
    assert (file.documents, file.facts, file.counts) == (3, {"entropy_rate": 1.25}, (250, 1))
    assert file.offset % 4096 == 0 and not file.train.flags.writeable


def test_the_content_hash_is_of_content_and_golden(tmp_path: Path) -> None:
    path = write(tmp_path)
    golden = open_tokens(path).content_hash
    assert golden == "cc35760cb7e8a9c15b2de074438730ac330aaacd958f24a56245d0ac10cc7fb2"
    assert path.name == f"text-words-{golden[:16]}.tokens"
    named = open_tokens(write(tmp_path, corpus="other", tokenizer="x", documents=lambda: 9, facts={"a": 1}, eod=None))
    assert named.content_hash == golden, "a name is not content"
    merged = open_tokens(write(tmp_path / "b", train=[np.concatenate(TRAIN)]))
    assert merged.content_hash == golden, "how the arrays arrived is not content"
    moved = {"train": [*TRAIN, VALIDATION[0][:1]], "validation": [VALIDATION[0][1:]]}
    for change in ({"vocab": 258}, {"vocab": 1 << 20}, moved, {"train": [np.arange(250) % 256]}):
        assert open_tokens(write(tmp_path / "c", **change)).content_hash != golden, change
    assert len({content_hash("<u2", 257, counts, "0" * 64) for counts in [(1, 2), (2, 1), (12, 0)]}) == 3


def test_the_same_corpus_twice_rewrites_nothing(tmp_path: Path) -> None:
    path = write(tmp_path)
    inode = path.stat().st_ino
    assert write(tmp_path) == path
    assert path.stat().st_ino == inode
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == [path.name]


def test_damaged_files_are_one_line_each_that_names_them(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    length = int.from_bytes(whole[8:16], "little")
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    early = bytearray(whole)
    early[4096] ^= 1
    damage = {
        "empty": b"",
        "truncated": whole[:-1],
        "truncated ": whole[:4096],
        "damaged header": whole[: 16 + length // 2],
        "damaged header ": whole[:16],
        "damaged header  ": whole[:8] + (1 << 62).to_bytes(8, "little") + whole[16:],
        "damaged header   ": whole[:16] + b"\xff" + whole[17:],
        "not a token file": b"NOTTOKEN" + whole[8:],
        "not a token file ": b"x",
        "too long": whole + b"\0",
        "altered": bytes(flipped),
        "altered ": bytes(early),
    }
    for description, data in damage.items():
        replace(path, data)
        with pytest.raises(CorpusError) as caught:
            open_tokens(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: {description.strip()}"), description
        assert "\n" not in message and "prepare" in message
    replace(path, whole)
    open_tokens(path)
    path.unlink()
    with pytest.raises(CorpusError, match="cannot be read: No such file"):
        open_tokens(path)
    with pytest.raises(CorpusError, match="cannot be read: Is a directory"):
        open_tokens(tmp_path)


def test_no_byte_of_the_header_changes_the_data_unseen(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole, file = path.read_bytes(), open_tokens(path)
    for at in range(16 + int.from_bytes(whole[8:16], "little")):
        for bit in (1, 16):
            altered = bytearray(whole)
            altered[at] ^= bit
            replace(path, bytes(altered))
            try:
                opened = open_tokens(path)
            except CorpusError as error:
                assert str(path) in str(error)
                continue
            same = ("content_hash", "vocab", "dtype", "counts", "offset")
            assert [getattr(opened, f) for f in same] == [getattr(file, f) for f in same]


def test_a_file_is_verified_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    for stamp in tmp_path.glob(".*.verified"):
        stamp.unlink()
    open_tokens(path)
    (stamp,) = tmp_path.glob(".*.verified")
    data, times = bytearray(path.read_bytes()), path.stat()
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorpusError, match="altered"):
        open_tokens(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    open_tokens(path)  # by its size and time it is the verified one: its 300 runs do not read it all again
    stamp.write_bytes(b"\xff\xfe")
    with pytest.raises(CorpusError, match="altered"):
        open_tokens(path)


def test_a_file_opens_where_no_stamp_can_be_kept(tmp_path: Path) -> None:
    path = write(tmp_path)
    stamp = path.with_name(f".{path.name}.verified")
    stamp.unlink()
    stamp.mkdir()  # nothing can be written there, by root neither
    assert open_tokens(path).counts == (250, 30)


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-7], lambda b: b[:-1] + b"\7", lambda b: b"junk" + b])
def test_preparing_again_replaces_a_damaged_file(tmp_path: Path, damage) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    replace(path, damage(whole))
    assert write(tmp_path) == path
    assert path.read_bytes() == whole
    open_tokens(path)


def test_a_token_outside_the_vocabulary_and_an_empty_corpus_leave_nothing(tmp_path: Path) -> None:
    for bad, words in (
        ({"train": [np.array([257])]}, "token 257 is outside the vocabulary of 257"),
        ({"validation": [np.array([-1, 3])]}, "outside the vocabulary"),
        ({"train": []}, "corpus text:words: empty"),
        ({"vocab": 0}, "vocabulary of 0"),
        ({"vocab": (1 << 31) + 1}, "must be between"),
    ):
        with pytest.raises(CorpusError, match=words):
            write(tmp_path, **bad)
        assert not list(tmp_path.iterdir())


def test_an_error_or_interrupt_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def interrupted():
        yield np.arange(100)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, validation=interrupted())
    assert not list(tmp_path.iterdir())


def test_files_are_found_by_content_and_by_corpus(tmp_path: Path) -> None:
    assert find_corpus(tmp_path, "text:words") is None
    old = write(tmp_path)
    new = write(tmp_path, train=[np.arange(99)])
    os.utime(old, ns=(10**18, 10**18))
    other = write(tmp_path, tokenizer="sentencepiece:300", vocab=300)
    assert find_corpus(tmp_path, "text:words") == new
    assert find_corpus(tmp_path, "text:words", "sentencepiece:300") == other
    assert find_corpus(tmp_path, "text:word") is None
    write(tmp_path)  # what a name stands for is settled by its latest preparation
    assert find_corpus(tmp_path, "text:words") == old
    assert find_tokens(tmp_path, read_header(old)["content_hash"]) == old
    with pytest.raises(
        CorpusError, match=r"no token file with content hash 1111111111111111… in .*: run `python -m scaling"
    ):
        find_tokens(tmp_path, "1" * 64)


def test_the_same_text_under_two_names_is_found_under_both(tmp_path: Path) -> None:
    long = "text:/home/somebody/a/folder/deep/in/the/tree/"
    paths = [write(tmp_path, corpus=long + name) for name in ("one", "two")]
    assert [find_corpus(tmp_path, long + name) for name in ("one", "two")] == paths
    assert len({open_tokens(path).content_hash for path in paths}) == 1
    assert [write(tmp_path, corpus=long + name) for name in ("one", "two")] == paths


def test_what_dead_processes_left_goes_and_what_living_ones_write_stays(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    host = socket.gethostname()
    dead = [tmp_path / f".{part}-{host}-{child.pid}" for part in ("payload", "writing")]
    old = tmp_path / ".payload-elsewhere-17"
    alive = [tmp_path / f".writing-{host}-{os.getppid()}", tmp_path / ".payload-else-where-18"]
    for path in (*dead, old, *alive):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    remove_abandoned_files(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(alive)


def test_kill_9_in_mid_write_leaves_nothing_that_is_found_and_the_next_prepare_cleans_up(tmp_path: Path) -> None:
    spec, folder = "markov:vocab=8,tokens=20000000", tmp_path / "tokens"
    line = [sys.executable, "-m", "scaling", "prepare", spec, "--store", str(tmp_path)]
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not any(p.stat().st_size > 200_000 for p in folder.glob(".payload-*")):
            assert process.poll() is None and time.monotonic() < deadline, "it ended, or never wrote"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert list(folder.glob(".payload-*")), "killed in mid-write"
    assert find_corpus(folder, spec, "symbols") is None and not list(folder.glob("*.tokens"))
    done = command("scaling", "prepare", "markov:vocab=8,tokens=5000", "--store", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    names = {p.name for p in folder.iterdir()}
    assert names == {Path(result["path"]).name, f".{Path(result['path']).name}.verified"}


def test_the_trainer_imports_no_tensorflow(tmp_path: Path) -> None:
    code = (
        "import sys, scaling.data.tokens, scaling.data.examples\n"
        "heavy = lambda: sorted({m.partition('.')[0] for m in sys.modules} & set(sys.argv[1:]))\n"
        "assert not heavy(), heavy()\n"
        "import scaling.training.loop\n"
        "print(heavy())\n"
    )
    heavy = ["tensorflow", "tensorflow_datasets", "seqio", "sentencepiece", "jax"]
    line = [sys.executable, "-c", code, *heavy]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "['jax']\n", done.stderr
