"""Corpora: every token of every document arrives once, splits stay, known truths are true."""

import json
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from scaling.data.corpora import CORPORA, cpython
from scaling.data.corpora.specification import open_corpus, parse_corpus
from scaling.data.corpus import is_validation
from scaling.data.prepare import prepare
from scaling.data.tokens import CorpusError, TokenFile, open_tokens
from scaling.data.windows import count_windows
from tests.support.commands import ROOT, call_command
from tests.support.corpora import training_batch, write_documents


def read(tokens: TokenFile) -> tuple[list[bytes], list[bytes]]:
    """Documents of both splits of a file of bytes, without their ends."""
    assert tokens.eod is not None
    parts = []
    for split in (tokens.train, tokens.validation):
        ends = np.flatnonzero(split == tokens.eod)
        assert ends[-1] == len(split) - 1
        starts = [0, *(ends[:-1] + 1)]
        parts.append([split[a:b].astype(np.uint8).tobytes() for a, b in zip(starts, ends, strict=True)])
    return parts[0], parts[1]


# Documents


def test_every_byte_of_every_document_arrives_once_in_order(tmp_path: Path) -> None:
    texts = write_documents(tmp_path / "text")
    tokens = open_tokens(prepare(f"text:{tmp_path / 'text'}", tmp_path / "tokens"))
    train, validation = read(tokens)
    assert train == [t for t in texts if not is_validation(t)]
    assert validation == [t for t in texts if is_validation(t)]
    assert 0.01 < len(validation) / len(texts) < 0.12
    assert tokens.documents == len(texts) and (tokens.vocab, tokens.eod, tokens.dtype) == (257, 256, "<u2")
    assert sum(tokens.counts) == sum(len(t) + 1 for t in texts)


def test_every_token_of_a_document_longer_than_any_window_is_trained_on(tmp_path: Path) -> None:
    write_documents(tmp_path / "text")
    tokens, length = open_tokens(prepare(f"text:{tmp_path / 'text'}", tmp_path / "tokens")), 128
    count = count_windows(tokens.counts[0], length)
    rows = training_batch(tokens, seed=0, size=count, length=length, index=0)
    assert Counter(rows[:, 1:].ravel().tolist()) == Counter(tokens.train[1 : count * length + 1].tolist())
    assert tokens.counts[0] - 1 - count * length < length


def test_few_documents_have_the_end_of_the_corpus_held_out(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    texts = [f"{i} ".encode() * (i + 50) for i in range(99)]
    for i, text in enumerate(texts):
        (folder / f"{i:02d}").write_bytes(text)
    tokens = open_tokens(prepare(f"text:{folder}", tmp_path / "tokens"))
    stream = b"".join(text + b"\0" for text in texts)
    whole = np.concatenate([tokens.train, tokens.validation])
    assert np.where(whole == 256, 0, whole).astype(np.uint8).tobytes() == stream
    assert tokens.counts[1] == len(stream) // 20 and tokens.documents == 99
    assert capsys.readouterr().err == f"text:{folder}: fewer than 100 documents: the end of the corpus is held out\n"
    (folder / "99").write_bytes(b"the hundredth")
    tokens = open_tokens(prepare(f"text:{folder}", tmp_path / "tokens"))
    assert read(tokens)[1] == [t for t in [*texts, b"the hundredth"] if is_validation(t)]
    assert capsys.readouterr().err == ""


def test_one_long_file_is_a_corpus(tmp_path: Path) -> None:
    text = ("a few words about nothing.\n" * 3000).encode()
    (tmp_path / "book.txt").write_bytes(text)
    tokens = open_tokens(prepare(f"text:{tmp_path / 'book.txt'}", tmp_path / "tokens"))
    whole = np.concatenate([tokens.train, tokens.validation])
    assert whole[:-1].astype(np.uint8).tobytes() == text and whole[-1] == 256
    assert tokens.documents == 1


def test_a_documents_split_does_not_move_when_others_come_or_go(tmp_path: Path) -> None:
    folder = tmp_path / "text"
    texts = write_documents(folder)
    before = read(open_tokens(prepare(f"text:{folder}", tmp_path / "tokens")))
    for i in range(150):
        (folder / f"0-{i}-new").write_bytes(f"newcomer {i}".encode())
    (folder / "0" / "0000.txt").unlink()
    after = read(open_tokens(prepare(f"text:{folder}", tmp_path / "tokens")))
    for old, new in zip(before, after, strict=True):
        entries = [d for d in new if not d.startswith(b"newcomer")]
        assert entries == [d for d in old if d != texts[0]]
    (folder / "again").write_bytes(before[1][0])
    second = read(open_tokens(prepare(f"text:{folder}", tmp_path / "tokens")))
    assert second[1].count(before[1][0]) == 2, "a document that occurs twice is never in both splits"


def test_the_same_text_gives_the_same_hash_wherever_it_lies(tmp_path: Path) -> None:
    hashes = set()
    for name in ("here", "there"):
        write_documents(tmp_path / name)
        hashes.add(open_tokens(prepare(f"text:{tmp_path / name}", tmp_path / "tokens")).content_hash)
    assert len(hashes) == 1
    assert len(list((tmp_path / "tokens").glob("*.tokens"))) == 2, "and is found under both names"


def test_empty_and_hidden_files_are_no_documents(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for name, text in {"a": b"text", "empty": b"", ".hidden": b"no", ".git/config": b"\xff"}.items():
        (tmp_path / name).write_bytes(text)
    corpus = open_corpus(f"text:{tmp_path}")
    assert list(corpus.documents()) == [b"text"]


def test_text_that_is_not_utf8_names_the_file_and_the_offset(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    for i in range(120):
        (tmp_path / "text" / f"{i:03d}").write_bytes(b"fine")
    bad = tmp_path / "text" / "119"
    bad.write_bytes(b"caf\xc3\xa9 and caf\xe9")
    done = call_command("scaling", "prepare", f"text:{tmp_path / 'text'}", "--store", tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        f"scaling prepare: {bad}: not UTF-8 at byte offset 13: convert it or remove it from the folder\n"
    )
    assert not list((tmp_path / "tokens").iterdir())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("pyton", f"unknown corpus 'pyton': must be one of {', '.join(CORPORA)}"),
        ("", f"unknown corpus '': must be one of {', '.join(CORPORA)}"),
        ("cpython:lib", "corpus cpython: unknown option 'lib': this corpus takes no options"),
        ("markov:orders=2", "unknown option 'orders': must be one of order, vocab, tokens, seed, zipf"),
        ("markov:3", "unknown option '3': must be one of order, vocab, tokens, seed, zipf"),
        ("markov:order=x", "order=x: must be an integer"),
        ("markov:zipf=steep", "zipf=steep: must be a number"),
        ("markov:order=3,vocab=64", "requires order ≥ 1, vocab ≥ 2, tokens ≥ 1, zipf ≥ 0 and vocab^order ≤ 65,536"),
        ("markov:order=1000000000", "requires order ≥ 1"),
        ("markov:zipf=nan", "requires order"),
        ("markov:zipf=inf", "requires order"),
        ("markov:tokens=0", "requires order"),
        ("tfds:name,splits=train", "unknown option 'splits': must be one of split, validation, feature, data_dir"),
        ("seqio:name,split=train,vocab=3", "unknown option 'vocab': must be one of module, split, validation, feature"),
        ("tfds:a,b", "'b' must be key=value"),
        ("text:", "corpus text:: no such file or folder"),
        ("text:/no/such", "corpus text:/no/such: no such file or folder"),
    ],
)
def test_what_there_is_not_is_one_line_that_lists_what_there_is(spec: str, words: str) -> None:
    with pytest.raises(CorpusError) as caught:
        open_corpus(spec)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_files_and_a_corpus_without_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no files in this folder"):
        open_corpus(f"text:{tmp_path}")
    (tmp_path / "empty").touch()
    with pytest.raises(CorpusError, match="empty: it has no training tokens"):
        prepare(f"text:{tmp_path}", tmp_path / "tokens")


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert parse_corpus("text:/a,b=c:d") == ("text", "/a,b=c:d", {})
    assert parse_corpus("tfds:a/b:1.0.0,split=test") == ("tfds", "a/b:1.0.0", {"split": "test"})
    assert parse_corpus("markov") == ("markov", "", {})


# The command


def test_prepare_says_what_it_made_and_the_second_time_makes_nothing(tmp_path: Path) -> None:
    words = ("scaling", "prepare", "markov:vocab=5,tokens=4000", "--store", tmp_path)
    first = call_command(*words, "--json")
    assert first.returncode == 0 and first.stderr == ""
    result = json.loads(first.stdout)
    assert result.keys() == {
        "path", "tokens", "corpus", "tokenizer", "vocab", "eod", "train", "validation", "documents", "facts",
    }  # fmt: skip
    assert (result["vocab"], result["eod"], result["train"], result["validation"]) == (5, None, 3800, 200)
    tokens = open_tokens(Path(result["path"]))
    assert tokens.content_hash == result["tokens"] and tokens.facts == result["facts"]
    inode = tokens.path.stat().st_ino
    second = call_command(*words)
    assert result["tokens"] in second.stdout and "3,800 training and 200 validation tokens" in second.stdout
    assert tokens.path.stat().st_ino == inode


READ = """
import itertools
import numpy as np
from scaling.data.corpus import TokenCorpus

reading = itertools.count()

def open_corpus(argument, options):
    def documents():
        now = next(reading)
        for i in range(int(argument)):
            yield np.array([now, 10 + i % 50, 9])
    return TokenCorpus(documents, 60, 9, "own")
"""


@pytest.mark.parametrize("count", [40, 400])
def test_a_corpus_is_tokenised_once(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long tokenisation is paid once, and one that drew other tokens each time still gives whole documents."""
    (tmp_path / f"read{count}.py").write_text(READ)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(CORPORA, "read", f"read{count}")
    file = open_tokens(prepare(f"read:{count}", tmp_path / "tokens"))
    whole = np.concatenate([file.train, file.validation]).reshape(-1, 3)
    assert len(whole) == count == file.documents
    assert len(set(whole[:, 0])) == 1, "all tokens come from one reading"
    assert Counter(whole[:, 1]) == Counter(10 + i % 50 for i in range(count))


def test_a_tokenizer_that_a_corpus_has_no_use_for_is_said_to_be(tmp_path: Path, capsys) -> None:
    assert open_tokens(prepare("markov:tokens=100", tmp_path, tokenizer="sentencepiece:500")).tokenizer == "symbols"
    assert "brings its own tokens, the tokenizer sentencepiece:500 is not used" in capsys.readouterr().err
    prepare("markov:tokens=100", tmp_path)
    assert not capsys.readouterr().err


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # a disk that is full after so many bytes
from scaling.__main__ import main
raise SystemExit(main(["prepare", "markov:tokens=500000", "--store", sys.argv[1]]))
"""


def test_a_full_disk_is_one_line_that_names_the_folder_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"scaling prepare: {tmp_path / 'tokens'}: File too large: raise the limit")
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "tokens").iterdir())


def test_prepare_refuses_in_one_line_with_status_2(tmp_path: Path) -> None:
    for words, line in {
        ("nothing",): f"unknown corpus 'nothing': must be one of {', '.join(CORPORA)}",
        ("cpython", "--tokenizer", "words"): "unknown tokenizer 'words': must be bytes, or sentencepiece:V with V",
    }.items():
        done = call_command("scaling", "prepare", *words, "--store", tmp_path)
        assert done.returncode == 2 and done.stderr.startswith(f"scaling prepare: {line}")
        assert done.stderr.count("\n") == 1


# cpython


def test_cpython_is_the_standard_library_and_nothing_else(tmp_path: Path) -> None:
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = {str(p.relative_to(root)) for p in root.rglob("*") if cpython.is_library_source(p, root)}
    assert {"argparse.py", "json/decoder.py", "asyncio/tasks.py"} <= paths
    for argument in ("site-packages", "dist-packages", "__pycache__", "/test/", "test/", "/tests/", "idle_test"):
        assert not [p for p in paths if p.startswith(argument) or f"/{argument.strip('/')}/" in p], argument
    tokens = open_tokens(prepare("cpython", tmp_path))
    assert 4e6 < sum(tokens.counts) < 3e7 and 0.01 < tokens.counts[1] / sum(tokens.counts) < 0.12
    train, validation = read(tokens)
    assert len(train) + len(validation) == tokens.documents <= len(paths)
    source = (root / "argparse.py").read_bytes()
    assert [train.count(source), validation.count(source)] == ([0, 1] if is_validation(source) else [1, 0])
    assert not set(train) & set(validation)
