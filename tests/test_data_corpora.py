"""Laws of corpora: every token of every document arrives once, splits stay, known truths are true."""

import json
import math
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, command
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.data import CORPORA, tokenizers
from scaling.data.batches import batch, windows
from scaling.data.corpora import cpython, markov
from scaling.data.corpus import held_out, open_corpus, parse
from scaling.data.prepare import prepare
from scaling.data.tokens import DataError, TokenFile, open_tokens


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


def many(folder: Path, count: int = 300) -> list[bytes]:
    """Files short and long, with line ends of every kind, two of them far longer than any window."""
    folder.mkdir()
    texts = [f"document {i}\r\n\tβ {'😀' * (i % 7)}  {i * i}".encode() for i in range(count)]
    texts[17] = ("a long line\n" * 20_000).encode()
    texts[40] = ("ein langes Wort: " + "ä" * 90_000).encode()
    for i, text in enumerate(texts):
        at = folder / f"{i % 3}" / f"{i:04d}.txt"
        at.parent.mkdir(exist_ok=True)
        at.write_bytes(text)
    return [path.read_bytes() for path in sorted(folder.rglob("*.txt"))]


# Documents


def test_every_byte_of_every_document_arrives_once_in_order(tmp_path: Path) -> None:
    texts = many(tmp_path / "text")
    tokens = open_tokens(prepare(f"text:{tmp_path / 'text'}", tmp_path / "tokens"))
    train, validation = read(tokens)
    assert train == [t for t in texts if not held_out(t)]
    assert validation == [t for t in texts if held_out(t)]
    assert 0.01 < len(validation) / len(texts) < 0.12
    assert tokens.documents == len(texts) and (tokens.vocab, tokens.eod, tokens.dtype) == (257, 256, "<u2")
    assert sum(tokens.counts) == sum(len(t) + 1 for t in texts)


def test_every_token_of_a_document_longer_than_any_window_is_trained_on(tmp_path: Path) -> None:
    many(tmp_path / "text")
    tokens, length = open_tokens(prepare(f"text:{tmp_path / 'text'}", tmp_path / "tokens")), 128
    count = windows(tokens.counts[0], length)
    rows = batch(tokens, seed=0, size=count, length=length, index=0)
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
    assert read(tokens)[1] == [t for t in [*texts, b"the hundredth"] if held_out(t)]
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
    texts = many(folder)
    before = read(open_tokens(prepare(f"text:{folder}", tmp_path / "tokens")))
    for i in range(150):
        (folder / f"0-{i}-new").write_bytes(f"newcomer {i}".encode())
    (folder / "0" / "0000.txt").unlink()
    after = read(open_tokens(prepare(f"text:{folder}", tmp_path / "tokens")))
    for old, new in zip(before, after, strict=True):
        kept = [d for d in new if not d.startswith(b"newcomer")]
        assert kept == [d for d in old if d != texts[0]]
    (folder / "again").write_bytes(before[1][0])
    again = read(open_tokens(prepare(f"text:{folder}", tmp_path / "tokens")))
    assert again[1].count(before[1][0]) == 2, "a document that occurs twice is never in both splits"


def test_the_same_text_gives_the_same_hash_wherever_it_lies(tmp_path: Path) -> None:
    hashes = set()
    for name in ("here", "there"):
        many(tmp_path / name)
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
    done = command("scaling", "prepare", f"text:{tmp_path / 'text'}", "--store", tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        f"scaling prepare: {bad}: not UTF-8 at byte offset 13: convert it, or take it out of the folder\n"
    )
    assert not list((tmp_path / "tokens").iterdir())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("pyton", f"unknown corpus 'pyton': known are {', '.join(CORPORA)}"),
        ("", f"unknown corpus '': known are {', '.join(CORPORA)}"),
        ("cpython:lib", "corpus cpython: unknown option 'lib': known are none"),
        ("markov:orders=2", "unknown option 'orders': known are order, vocab, tokens, seed, zipf"),
        ("markov:3", "unknown option '3': known are order, vocab, tokens, seed, zipf"),
        ("markov:order=x", "order=x: must be a whole number"),
        ("markov:zipf=steep", "zipf=steep: must be a number"),
        ("markov:order=3,vocab=64", "allowed are order ≥ 1, vocab ≥ 2, tokens ≥ 1, zipf ≥ 0 and vocab^order ≤ 65,536"),
        ("markov:order=1000000000", "allowed are order ≥ 1"),
        ("markov:zipf=nan", "allowed are"),
        ("markov:zipf=inf", "allowed are"),
        ("markov:tokens=0", "allowed are"),
        ("tfds:name,splits=train", "unknown option 'splits': known are split, feature, data_dir"),
        ("seqio:name,split=train,vocab=3", "unknown option 'vocab': known are module, split, feature"),
        ("tfds:a,b", "'b' must be key=value"),
        ("text:", "corpus text:: no such file or folder"),
        ("text:/no/such", "corpus text:/no/such: no such file or folder"),
    ],
)
def test_what_there_is_not_is_one_line_that_lists_what_there_is(spec: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        open_corpus(spec)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_files_and_a_corpus_without_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no files in this folder"):
        open_corpus(f"text:{tmp_path}")
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="empty: there is nothing to train on"):
        prepare(f"text:{tmp_path}", tmp_path / "tokens")


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert parse("text:/a,b=c:d") == ("text", "/a,b=c:d", {})
    assert parse("tfds:a/b:1.0.0,split=test") == ("tfds", "a/b:1.0.0", {"split": "test"})
    assert parse("markov") == ("markov", "", {})


# The command


def test_prepare_says_what_it_made_and_the_second_time_makes_nothing(tmp_path: Path) -> None:
    words = ("scaling", "prepare", "markov:vocab=5,tokens=4000", "--store", tmp_path)
    first = command(*words, "--json")
    assert first.returncode == 0 and first.stderr == ""
    said = json.loads(first.stdout)
    assert said.keys() == {
        "path", "tokens", "corpus", "tokenizer", "vocab", "eod", "train", "validation", "documents", "facts",
    }  # fmt: skip
    assert (said["vocab"], said["eod"], said["train"], said["validation"]) == (5, None, 3800, 200)
    tokens = open_tokens(Path(said["path"]))
    assert tokens.content_hash == said["tokens"] and tokens.facts == said["facts"]
    inode = tokens.path.stat().st_ino
    again = command(*words)
    assert said["tokens"] in again.stdout and "3,800 training and 200 validation tokens" in again.stdout
    assert tokens.path.stat().st_ino == inode


READ = """
import itertools
import numpy as np
from scaling.data.corpus import Tokens

reading = itertools.count()

def open_corpus(argument, options):
    def documents():
        now = next(reading)
        for i in range(int(argument)):
            yield np.array([now, 10 + i % 50, 9])
    return Tokens(documents, 60, 9, "own")
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
    assert done.stderr == f"scaling prepare: {tmp_path / 'tokens'}: File too large\n"
    assert not list((tmp_path / "tokens").iterdir())


def test_prepare_refuses_in_one_line_with_status_2(tmp_path: Path) -> None:
    for words, line in {
        ("nothing",): f"unknown corpus 'nothing': known are {', '.join(CORPORA)}",
        ("cpython", "--tokenizer", "words"): "unknown tokenizer 'words': allowed are bytes and sentencepiece:V with V",
    }.items():
        done = command("scaling", "prepare", *words, "--store", tmp_path)
        assert done.returncode == 2 and done.stderr.startswith(f"scaling prepare: {line}")
        assert done.stderr.count("\n") == 1


# cpython


def test_cpython_is_the_standard_library_and_nothing_else(tmp_path: Path) -> None:
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = {str(p.relative_to(root)) for p in root.rglob("*") if cpython.wanted(p, root)}
    assert {"argparse.py", "json/decoder.py", "asyncio/tasks.py"} <= paths
    for word in ("site-packages", "dist-packages", "__pycache__", "/test/", "test/", "/tests/", "idle_test"):
        assert not [p for p in paths if p.startswith(word) or f"/{word.strip('/')}/" in p], word
    tokens = open_tokens(prepare("cpython", tmp_path))
    assert 4e6 < sum(tokens.counts) < 3e7 and 0.01 < tokens.counts[1] / sum(tokens.counts) < 0.12
    train, validation = read(tokens)
    assert len(train) + len(validation) == tokens.documents <= len(paths)
    source = (root / "argparse.py").read_bytes()
    assert [train.count(source), validation.count(source)] == ([0, 1] if held_out(source) else [1, 0])
    assert not set(train) & set(validation)


# SentencePiece

AWKWARD = [
    *(
        "",
        " ",
        "   x   ",
        "\n",
        "\n\n\t\t \n",
        "\r\n",
        "a\0b",
        "▁",
        "a ▁ ▁▁b",
        "😀 👩\u200d👩\u200d👧",
        "e\u0301 é",
        "\ufeffx",
    ),
    *("\u2028\x85\x0c", "<unk></s><s><0x41>", "\U0010ffff\ud7ff", "ſﬁ①", "日本語 中文", " " * 1000),
]


@pytest.fixture(scope="module", params=["prose", "no spaces"])
def piece(request, tmp_path_factory) -> tokenizers.Tokenizer:
    """A tokeniser trained on code, and one whose training text had no space and so no piece for it."""
    source = Path(tokenizers.__file__).read_bytes()
    if request.param == "no spaces":
        source = source.replace(b" ", b"").replace(b"\n", b"")
    return tokenizers.make("sentencepiece:360", lambda: iter([source]), tmp_path_factory.mktemp("model"))


def same(piece: tokenizers.Tokenizer, text: str) -> None:
    ids = piece.encode(text.encode())
    assert piece.decode(ids) == text.encode()
    assert piece.eod not in ids and all(0 <= i < piece.vocab for i in ids)
    assert 0 not in ids, "nothing is unknown"


def test_awkward_text_comes_back_through_sentencepiece(piece: tokenizers.Tokenizer) -> None:
    for text in AWKWARD:
        same(piece, text)
    same(piece, "".join(AWKWARD))


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=60) | st.text("▁ \n\tab<>0x", max_size=30))
def test_any_text_comes_back_through_sentencepiece(piece: tokenizers.Tokenizer, text: str) -> None:
    same(piece, text)


def test_sentencepiece_is_deterministic_and_its_model_is_kept_and_named_by_its_hash(tmp_path: Path) -> None:
    texts = many(tmp_path / "text", 150)
    files = [
        open_tokens(prepare(f"text:{tmp_path / 'text'}", tmp_path / name, tokenizer="sentencepiece:340"))
        for name in ("a", "b")
    ]
    assert files[0].content_hash == files[1].content_hash
    assert files[0].facts == files[1].facts and files[0].vocab == 340
    model = (files[0].path.parent / files[0].facts["tokenizer_model"]).read_bytes()
    piece = tokenizers.sentencepiece("sentencepiece:340", model, tmp_path / "c")
    assert piece.facts == files[0].facts
    for split, expected in ((files[0].train, False), (files[0].validation, True)):
        ends = np.flatnonzero(split == files[0].eod)
        parts = np.split(split, ends + 1)
        assert not len(parts[-1])
        assert [piece.decode(part) for part in parts[:-1]] == [t for t in texts if held_out(t) is expected]
    kept = tmp_path / "c" / files[0].facts["tokenizer_model"]
    kept.write_bytes(b"half")
    tokenizers.sentencepiece("sentencepiece:340", model, tmp_path / "c")
    assert kept.read_bytes() == model


def test_sentencepiece_learns_from_the_training_split_alone(tmp_path: Path) -> None:
    texts = many(tmp_path / "text", 150)
    tokens = open_tokens(prepare(f"text:{tmp_path / 'text'}", tmp_path / "a", tokenizer="sentencepiece:340"))
    trained = tokenizers.train_sentencepiece(340, lambda: (t for t in texts if not held_out(t)))
    assert (tmp_path / "a" / tokens.facts["tokenizer_model"]).read_bytes() == trained


@pytest.mark.parametrize(
    "name", ["words", "sentencepiece", "sentencepiece:", "sentencepiece:299", "sentencepiece:x", "byte"]
)
def test_unknown_tokenizers_list_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="allowed are bytes and sentencepiece:V with V of 300 or more"):
        tokenizers.make(name, lambda: iter([b"text"]), tmp_path)


def test_a_vocabulary_that_the_text_cannot_fill_is_one_line(tmp_path: Path) -> None:
    high, none = "Vocabulary size too high (9000). Please set it to a value <= ", "there is no text to train it on"
    for texts, why in (([b"a few words"], high), ([b""], none), ([], none)):
        with pytest.raises(DataError, match=re.escape(f"tokenizer sentencepiece:9000: {why}")):
            tokenizers.make("sentencepiece:9000", lambda texts=texts: iter(texts), tmp_path)


# markov


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.4), (0.5, 0.5), (1.0, 1.0), (0.999, 0.2), (1e-3, 0.3)])
def test_the_entropy_rate_of_two_states_is_the_closed_form(a: float, b: float) -> None:
    """Cover & Thomas 2006, example 4.2: H = b/(a+b) H(a) + a/(a+b) H(b); (1, 1) is periodic."""
    chain = markov.Chain(1, np.array([[1 - a, a], [b, 1 - b]]))

    def h(p: float) -> float:
        return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)

    np.testing.assert_allclose(markov.stationary(chain), [b / (a + b), a / (a + b)], rtol=1e-10)
    assert markov.entropy_rate(chain) == pytest.approx(b / (a + b) * h(a) + a / (a + b) * h(b), abs=1e-12)


def test_the_entropy_rate_of_a_chain_that_goes_to_and_fro_is_the_closed_form() -> None:
    """States 0 and 1 lead to 2, which leads to 0 or 1: from anywhere else the distribution never settles."""
    chain = markov.Chain(1, np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.3, 0.7, 0.0]]))
    np.testing.assert_allclose(markov.stationary(chain), [0.15, 0.35, 0.5], rtol=1e-10)
    assert markov.entropy_rate(chain) == pytest.approx(-(0.3 * math.log(0.3) + 0.7 * math.log(0.7)) / 2, abs=1e-12)


def test_the_stationary_distribution_stays_where_it_is_at_every_order() -> None:
    for order, vocab in ((1, 2), (1, 64), (2, 12), (3, 5), (8, 2)):
        chain = markov.make_chain(order, vocab, seed=3, zipf=1.3)
        pi = markov.stationary(chain)
        np.testing.assert_allclose(chain.transition.sum(axis=1), 1, rtol=1e-14)
        np.testing.assert_allclose(markov.step(chain, pi), pi, atol=1e-15)
        assert pi.min() >= 0 and pi.sum() == pytest.approx(1, abs=1e-14)
        # the same chain over contexts as states, its eigenvector by another road
        contexts = vocab**order
        matrix = np.zeros((contexts, contexts))
        for c in range(contexts):
            for s in range(vocab):
                matrix[c, (c * vocab + s) % contexts] += chain.transition[c, s]
        values, vectors = np.linalg.eig(matrix.T)
        lead = np.real(vectors[:, np.argmax(values.real)])
        np.testing.assert_allclose(pi, lead / lead.sum(), atol=1e-10)


def test_each_context_is_zipf_like_so_the_rate_is_that_of_the_zipf_law() -> None:
    p = np.arange(1, 33) ** -1.5
    p /= p.sum()
    chain = markov.make_chain(2, 32, seed=1, zipf=1.5)
    np.testing.assert_allclose(np.sort(chain.transition, axis=1)[:, ::-1], np.tile(p, (32 * 32, 1)), rtol=1e-14)
    assert markov.entropy_rate(chain) == pytest.approx(-(p * np.log(p)).sum(), abs=1e-12)
    assert markov.entropy_rate(markov.make_chain(1, 10, 0, 0.0)) == pytest.approx(math.log(10), abs=1e-14)


def entropy(counts: np.ndarray) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


@pytest.mark.parametrize(("order", "vocab"), [(1, 12), (2, 6), (3, 3)])
def test_the_entropy_rate_is_the_conditional_entropy_of_a_long_sample(order: int, vocab: int) -> None:
    chain = markov.make_chain(order, vocab, seed=5, zipf=1.0)
    stream = np.concatenate(list(markov.sample(chain, 300_000, seed=5))).astype(np.int64)
    codes = sum(stream[i : len(stream) - order + i] * vocab ** (order - i) for i in range(order + 1))
    joint = np.bincount(codes, minlength=vocab ** (order + 1)).reshape(-1, vocab)
    measured = entropy(joint.ravel()) - entropy(joint.sum(axis=1))
    # the plug-in estimate is low by about (V - 1) V^k / 2n; its noise is about std(ln p) / sqrt(n)
    measured += (vocab - 1) * vocab**order / (2 * len(stream))
    assert measured == pytest.approx(markov.entropy_rate(chain), abs=4 / math.sqrt(len(stream)))
    expected = joint.sum(axis=1, keepdims=True) * chain.transition
    chi2, freedom = ((joint - expected) ** 2 / expected).sum(), (vocab - 1) * vocab**order
    assert chi2 < freedom + 6 * math.sqrt(2 * freedom), "each context is followed as the chain says"
    short = entropy(joint.sum(axis=1)) - entropy(joint.reshape(vocab ** (order - 1), -1, vocab).sum(axis=(1, 2)))
    assert order == 1 or short > measured + 0.01, "a shorter memory loses something"


def test_the_loss_floor_of_order_1_is_the_entropy_rate_at_every_length() -> None:
    chain = markov.make_chain(1, 20, seed=0, zipf=1.2)
    for length in (1, 2, 64):
        assert markov.loss_floor(chain, length) == pytest.approx(markov.entropy_rate(chain), abs=1e-13)


def test_the_loss_floor_of_order_2_charges_the_first_target_for_the_memory_it_lacks() -> None:
    """Against a count over all words of three symbols: H(X2|X1) once, H(X3|X1X2) ever after."""
    vocab = 4
    chain = markov.make_chain(2, vocab, seed=2, zipf=1.0)
    pi, first, rate = markov.stationary(chain), 0.0, 0.0
    for a in range(vocab):
        start = sum(pi[a * vocab + b] for b in range(vocab))
        for b in range(vocab):
            first -= pi[a * vocab + b] * math.log(pi[a * vocab + b] / start)
            for c in range(vocab):
                p = chain.transition[a * vocab + b, c]
                rate -= pi[a * vocab + b] * p * math.log(p)
    assert first > rate + 0.01
    for length in (1, 2, 10, 1000):
        expected = (first + (length - 1) * rate) / length
        assert markov.loss_floor(chain, length) == pytest.approx(expected, abs=1e-12)


def test_the_loss_floor_of_order_3_falls_to_the_entropy_rate() -> None:
    chain = markov.make_chain(3, 4, seed=2, zipf=1.0)
    words = markov.stationary(chain)  # of three symbols
    one, two, three = (entropy(words.reshape(-1, 4 ** (3 - n)).sum(axis=1)) for n in (1, 2, 3))
    assert markov.loss_floor(chain, 1) == pytest.approx(two - one, abs=1e-12)
    assert markov.loss_floor(chain, 2) == pytest.approx((three - one) / 2, abs=1e-12)
    floors = [markov.loss_floor(chain, length) for length in (1, 2, 3, 10, 10_000)]
    assert floors == sorted(floors, reverse=True) and floors[0] > floors[2] + 0.01
    assert floors[-1] == pytest.approx(markov.entropy_rate(chain), abs=1e-3)


def test_markov_is_one_stream_golden_and_says_its_entropy_rate(tmp_path: Path) -> None:
    tokens = open_tokens(prepare("markov:order=2,vocab=16,tokens=100000,seed=4", tmp_path))
    chain = markov.make_chain(2, 16, 4, 1.0)
    whole = np.concatenate([tokens.train, tokens.validation])
    np.testing.assert_array_equal(whole, np.concatenate(list(markov.sample(chain, 100_000, 4))))
    assert tokens.counts == (95_000, 5_000) and (tokens.eod, tokens.vocab, tokens.tokenizer) == (None, 16, "symbols")
    assert tokens.facts == {"entropy_rate": markov.entropy_rate(chain), "order": 2}
    assert tokens.content_hash[:16] == "cc4d259008feb361"
    other = open_tokens(prepare("markov:order=2,vocab=16,tokens=100000,seed=5", tmp_path))
    assert other.content_hash != tokens.content_hash
