"""Tokenisers: any text comes back, and the same text makes the same tokeniser."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.data import tokenizers
from scaling.data.corpus import is_validation
from scaling.data.prepare import prepare
from scaling.data.tokens import CorpusError, open_tokens
from tests.support.corpora import write_documents

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
    source = Path(tokenizers.sentencepiece_model.__file__).read_bytes()
    if request.param == "no spaces":
        source = source.replace(b" ", b"").replace(b"\n", b"")
    return tokenizers.make_tokenizer("sentencepiece:360", lambda: iter([source]), tmp_path_factory.mktemp("model"))


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
    texts = write_documents(tmp_path / "text", 150)
    files = [
        open_tokens(prepare(f"text:{tmp_path / 'text'}", tmp_path / name, tokenizer="sentencepiece:340"))
        for name in ("a", "b")
    ]
    assert files[0].content_hash == files[1].content_hash
    assert files[0].facts == files[1].facts and files[0].vocab == 340
    model = (files[0].path.parent / files[0].facts["tokenizer_model"]).read_bytes()
    piece = tokenizers.sentencepiece_tokenizer("sentencepiece:340", model, tmp_path / "c")
    assert piece.facts == files[0].facts
    for split, expected in ((files[0].train, False), (files[0].validation, True)):
        ends = np.flatnonzero(split == files[0].eod)
        parts = np.split(split, ends + 1)
        assert not len(parts[-1])
        assert [piece.decode(part) for part in parts[:-1]] == [t for t in texts if is_validation(t) is expected]
    path = tmp_path / "c" / files[0].facts["tokenizer_model"]
    path.write_bytes(b"half")
    tokenizers.sentencepiece_tokenizer("sentencepiece:340", model, tmp_path / "c")
    assert path.read_bytes() == model


def test_sentencepiece_learns_from_the_training_split_alone(tmp_path: Path) -> None:
    texts = write_documents(tmp_path / "text", 150)
    tokens = open_tokens(prepare(f"text:{tmp_path / 'text'}", tmp_path / "a", tokenizer="sentencepiece:340"))
    trained = tokenizers.train_sentencepiece(340, lambda: (t for t in texts if not is_validation(t)))
    assert (tmp_path / "a" / tokens.facts["tokenizer_model"]).read_bytes() == trained


@pytest.mark.parametrize(
    "name", ["words", "sentencepiece", "sentencepiece:", "sentencepiece:299", "sentencepiece:x", "byte"]
)
def test_unknown_tokenizers_list_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="must be bytes, or sentencepiece:V with V of 300 or more"):
        tokenizers.make_tokenizer(name, lambda: iter([b"text"]), tmp_path)


def test_a_vocabulary_that_the_text_cannot_fill_is_one_line(tmp_path: Path) -> None:
    high, none = "Vocabulary size too high (9000). Please set it to a value <= ", "there is no text to train it on"
    for texts, message in (([b"a few words"], high), ([b""], none), ([], none)):
        with pytest.raises(CorpusError, match=re.escape(f"tokenizer sentencepiece:9000: {message}")):
            tokenizers.make_tokenizer("sentencepiece:9000", lambda texts=texts: iter(texts), tmp_path)
