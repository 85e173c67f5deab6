"""Laws of mixtures: shares as asked, every token there, no held-out question anywhere, the same each time."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from scaling.data import canary
from scaling.data.corpora import mix
from scaling.data.corpus import held_out, open_corpus
from scaling.data.prepare import prepare
from scaling.data.tasks.family import family, items
from scaling.data.tasks.registry import FAMILIES
from scaling.data.tokenizers import BYTES_EOD
from scaling.data.tokens import DataError, TokenFile, open_tokens

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
        asked = items("addition", 2, "held-out", i, 1)[0].solved if i % 100 == 7 else ""
        (folder / f"{i:03}.txt").write_text(f"document {i} says nothing much at all, {asked}and then again {i * i}\n")
    return folder


def test_shares_are_of_the_bytes_and_every_token_arrives(tmp_path: Path, text: Path) -> None:
    spec = f"mix:addition:2=0.3,text:{text}=0.6,copying=0.1"
    file = open_tokens(prepare(spec, tmp_path))
    there = documents(file)
    had = {"addition": 0, "copying": 0, "text": 0}
    for document in there:
        kind = {b"add": "addition", b"copy": "copying"}.get(document.split(b" ")[0], "text")
        had[kind] += len(document) + 1
    assert sum(had.values()) == sum(file.counts)
    for kind, share in (("addition", 0.3), ("text", 0.6), ("copying", 0.1)):
        assert abs(had[kind] / sum(had.values()) - share) < 0.01
    assert Counter(there) == Counter(open_corpus(spec).documents())
    assert sum(d.startswith(b"document") for d in there) == 297


@pytest.mark.parametrize("name", FAMILIES)
def test_no_training_document_contains_a_held_out_question(name: str, tmp_path: Path) -> None:
    low, high = family(name).USUAL
    file = open_tokens(prepare(f"mix:{name}=1,tokens=40000", tmp_path))
    there = b"\n".join(documents(file)).decode()
    for difficulty in {low, (low + high) // 2, high}:
        try:
            held = items(name, difficulty, "held-out", 5, 150)
        except ValueError:  # of so few questions none is held out
            continue
        for shots in {min(2, len(held[0].own)), len(held[0].own)}:  # two points tell a line from all others
            assert not [item for item in held if item.shown(shots) in there]
    trained = items(name, high, "train", "mix 0", 5)
    assert all(
        any(item.shown(k) in there for k in range(len(item.own) + 1)) for item in trained
    )  # are there to be found


def test_text_that_holds_a_question_is_left_out(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = documents(open_tokens(prepare(f"mix:text:{text}=0.5,sorting=0.5", tmp_path)))
    assert not any(b"document" in d and b"add " in d for d in there)
    assert f"text:{text}: 3 documents hold a question of a task and are left out" in capsys.readouterr().err


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
        assert 1 <= len(lines) <= mix.LINES
        assert len({len(line.split("+")[0]) for line in lines}) == 1


def test_canaries_occur_in_training_as_often_as_the_header_says(tmp_path: Path) -> None:
    file = open_tokens(prepare("mix:addition=0.9,canary:1-8=0.1,tokens=80000", tmp_path))
    trained = Counter(documents(file)[: np.count_nonzero(file.train == BYTES_EOD)])
    planted = file.facts["canary"]
    assert len(planted) == 8 * 4 and Counter(one["times"] for one in planted) == {1: 8, 2: 8, 4: 8, 8: 8}
    for one in planted:
        assert trained[one["text"].encode()] == one["times"]
        assert len(one["text"]) == canary.LETTERS and not held_out(one["text"].encode())


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("mix:addition=0.5", "shares must sum to 1, not to 0.5"),
        ("mix:", "shares must sum to 1"),
        ("mix:addition", "'addition' has no share: write addition=0.5"),
        ("mix:algebra=1", "unknown part 'algebra': known are cpython, text, "),
        ("mix:mix=1", "unknown part 'mix'"),
        ("mix:addition=1.5", "addition=1.5: a share must be above 0"),
        ("mix:addition:0-3=1", "difficulties of addition are 1 to 12"),
        ("mix:addition:3-1=1", "must be one number or two, as addition:1-5"),
        ("mix:addition=1,tokens=none", "tokens=none: must be a whole number"),
        ("mix:markov=1", "markov brings its own tokens: only text can be mixed"),
        ("mix:addition=0.5,canary:3=0.5", "a power of two must lie between them"),
        ("mix:addition=0.5,canary:1-64=0.5,tokens=1000", "one document of each count takes 8255 bytes"),
    ],
)
def test_a_wrong_mixture_says_what_is_allowed(spec: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_corpus(spec)


def test_a_text_is_not_read_twice(text: Path) -> None:
    with pytest.raises(DataError, match="is enough for"):
        open_corpus(f"mix:text:{text}=0.5,addition=0.5,tokens=9000000")
