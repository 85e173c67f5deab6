"""Mixtures: shares as asked, every token there, no held-out question anywhere, the same each time."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from scaling.data import canary
from scaling.data.corpora import mix
from scaling.data.corpora.specification import open_corpus
from scaling.data.corpus import is_validation
from scaling.data.prepare import prepare
from scaling.data.tasks import FAMILIES
from scaling.data.tasks.family import distinct_items, get_family
from scaling.data.tokenizers import BYTES_EOD
from scaling.data.tokens import CorpusError, TokenFile, open_tokens

SMALL = "mix:addition:1-3=0.5,sorting=0.25,lookup=0.25,tokens=60000"


def documents(file: TokenFile) -> list[bytes]:
    """Of both splits, as they stand in the token file."""
    tokens = np.concatenate([file.train, file.validation])
    ends = np.flatnonzero(tokens == BYTES_EOD)
    return [part[part != BYTES_EOD].astype(np.uint8).tobytes() for part in np.split(tokens, ends + 1)[:-1]]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 documents, some of which hold questions."""
    folder = tmp_path_factory.mktemp("text")
    for i in range(300):
        requested = distinct_items("addition", 2, "held-out", i, 1)[0].solved() if i % 100 == 7 else ""
        (folder / f"{i:03}.txt").write_text(
            f"document {i} says nothing much at all, {requested}and then again {i * i}\n"
        )
    return folder


def test_shares_are_of_the_bytes_and_every_token_arrives(tmp_path: Path, text: Path) -> None:
    spec = f"mix:addition:2=0.3,text:{text}=0.6,copying=0.1"
    file = open_tokens(prepare(spec, tmp_path))
    texts = documents(file)
    had = {"addition": 0, "copying": 0, "text": 0}
    for document in texts:
        kind = {b"add": "addition", b"copy": "copying"}.get(document.split(b" ")[0], "text")
        had[kind] += len(document) + 1
    assert sum(had.values()) == sum(file.counts)
    for kind, share in (("addition", 0.3), ("text", 0.6), ("copying", 0.1)):
        assert abs(had[kind] / sum(had.values()) - share) < 0.01
    assert Counter(texts) == Counter(open_corpus(spec).documents())
    assert sum(d.startswith(b"document") for d in texts) == 297


@pytest.mark.parametrize("name", FAMILIES)
def test_no_training_document_contains_a_held_out_question(name: str, tmp_path: Path) -> None:
    low, high = get_family(name).default_difficulties or (1, 1)
    file = open_tokens(prepare(f"mix:{name}=1,tokens=40000", tmp_path))
    texts = b"\n".join(documents(file)).decode()
    for difficulty in {low, (low + high) // 2, high}:
        try:
            held_out = distinct_items(name, difficulty, "held-out", 5, 150)
        except ValueError:  # of so few questions none is held out
            continue
        for shots in {
            min(2, len(held_out[0].examples)),
            len(held_out[0].examples),
        }:  # two points tell a line from all others
            assert not [item for item in held_out if item.with_shots(shots) in texts]
    trained = distinct_items(name, high, "train", "mix 0", 5)
    assert all(
        any(item.with_shots(k) in texts for k in range(len(item.examples) + 1)) for item in trained
    )  # are there to be found


def test_text_that_holds_a_question_is_left_out(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = documents(open_tokens(prepare(f"mix:text:{text}=0.5,sorting=0.5", tmp_path)))
    assert not any(b"document" in d and b"add " in d for d in texts)
    assert f"text:{text}: left out 3 documents that contain a question of a task" in capsys.readouterr().err


def test_a_mixture_is_the_same_each_time_and_another_seed_is_another(tmp_path: Path) -> None:
    first = open_tokens(prepare(SMALL, tmp_path / "a"))
    assert first.content_hash == open_tokens(prepare(SMALL, tmp_path / "b")).content_hash
    assert first.content_hash != open_tokens(prepare(SMALL + ",seed=1", tmp_path / "a")).content_hash
    assert first.facts["mix"] == {
        "shares": {"addition:1-3": 0.5, "sorting": 0.25, "lookup": 0.25}, "bytes": 60000, "seed": 0
    }  # fmt: skip


def test_a_document_is_questions_of_one_difficulty() -> None:
    for document in list(open_corpus("mix:addition:1-3=1,tokens=9000").documents())[:50]:
        lines = document.decode().splitlines()
        assert 1 <= len(lines) <= mix.MAX_QUESTIONS
        assert len({len(line.split("+")[0]) for line in lines}) == 1


def test_canaries_occur_in_training_as_often_as_the_header_says(tmp_path: Path) -> None:
    file = open_tokens(prepare("mix:addition=0.9,canary:1-8=0.1,tokens=80000", tmp_path))
    trained = Counter(documents(file)[: np.count_nonzero(file.train == BYTES_EOD)])
    planted = file.facts["canary"]
    assert len(planted) == 8 * 4 and Counter(entry["times"] for entry in planted) == {1: 8, 2: 8, 4: 8, 8: 8}
    for entry in planted:
        assert trained[entry["text"].encode()] == entry["times"]
        assert len(entry["text"]) == canary.CANARY_LENGTH and not is_validation(entry["text"].encode())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mix:addition=0.5", "shares must sum to 1, not to 0.5"),
        ("mix:", "shares must sum to 1"),
        ("mix:addition", "'addition' has no share: write addition=0.5"),
        ("mix:algebra=1", "unknown part 'algebra': must be one of cpython, text, "),
        ("mix:mix=1", "unknown part 'mix'"),
        ("mix:addition=1.5", "addition=1.5: a share must be above 0"),
        ("mix:addition:0-3=1", "difficulties of addition are 1 to 12"),
        ("mix:addition:3-1=1", "must be one integer or a range, as addition:1-5"),
        ("mix:addition=1,tokens=none", "tokens=none: must be an integer, 1 or more"),
        ("mix:markov=1", "markov brings its own tokens: only text can be mixed"),
        ("mix:addition=0.5,canary:3=0.5", "must contain a power of two"),
        ("mix:addition=0.5,canary:1-64=0.5,tokens=1000", "one document of each count needs 8255 bytes"),
    ],
)
def test_a_wrong_mixture_says_what_is_allowed(spec: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        open_corpus(spec)


def test_a_text_is_not_read_twice(text: Path) -> None:
    with pytest.raises(CorpusError, match="suffices for"):
        open_corpus(f"mix:text:{text}=0.5,addition=0.5,tokens=9000000")
