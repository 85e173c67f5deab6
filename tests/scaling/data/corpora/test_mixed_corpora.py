"""Mixtures of corpora in files: shares of tokens, parts with options of their own, and names that stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scaling.data.corpora.specification import corpus_name, open_corpus, split_mixture
from scaling.data.corpus import TextCorpus, TokenCorpus
from scaling.data.tokens import CorpusError
from tests.support.corpora.files import DOCUMENTS, json_lines, write_megatron, write_parquet

SHORT = ["ab" * 3] * 400  # a token per two letters
LONG = ["x" * 500] * 400


def count_pairs(document: bytes) -> int:
    """A tokenizer that encodes two letters as one token."""
    return len(document) // 2 + 1 if document.startswith(b"a") else len(document) + 1


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    (tmp_path / "a.jsonl").write_bytes(json_lines(SHORT, "content"))
    write_parquet(tmp_path / "b.parquet", LONG)
    return tmp_path


def mixture(texts: Path, options: str = "") -> TextCorpus:
    spec = f"mix:(jsonl:{texts}/a.jsonl,field=content)=0.25,parquet:{texts}/b.parquet=0.75{options}"
    corpus = open_corpus(spec)
    assert isinstance(corpus, TextCorpus)
    return corpus


def shares(documents: list[bytes]) -> tuple[float, float]:
    """Share of tokens and share of bytes of the short documents."""
    short = [document for document in documents if document.startswith(b"a")]
    tokens = sum(map(count_pairs, short)) / sum(map(count_pairs, documents))
    return tokens, sum(len(d) + 1 for d in short) / sum(len(d) + 1 for d in documents)


def test_shares_are_of_bytes_or_of_tokens(texts: Path) -> None:
    by_bytes = mixture(texts)
    assert shares(list(by_bytes.documents()))[1] == pytest.approx(0.25, abs=0.03) and by_bytes.by_tokens is None
    by_tokens = mixture(texts, ",by=tokens")
    assert by_tokens.by_tokens is not None and by_tokens.facts["mix"]["by"] == "tokens"
    mixed = list(by_tokens.by_tokens(count_pairs).documents())
    assert shares(mixed)[0] == pytest.approx(0.25, abs=0.1) and shares(mixed)[1] > 0.3
    assert len([d for d in mixed if d.startswith(b"a")]) == 400  # ends with its first part that ends
    assert list(by_tokens.documents()) == list(by_tokens.by_tokens(lambda document: len(document) + 1).documents())


def test_a_total_of_tokens_is_met_to_a_document_or_is_one_line(texts: Path) -> None:
    corpus = mixture(texts, ",by=tokens,tokens=5000")
    assert corpus.by_tokens is not None
    documents = list(corpus.by_tokens(count_pairs).documents())
    assert 5000 <= sum(map(count_pairs, documents)) < 5000 + 501 + 4
    assert shares(documents)[0] == pytest.approx(0.25, abs=0.03)
    with pytest.raises(CorpusError, match=r"mix: tokens=50000: the share of \(jsonl:.*\) suffices for 6400: lower"):
        list(mixture(texts, ",by=tokens,tokens=50000").by_tokens(count_pairs).documents())  # type: ignore[misc]


def test_families_of_tasks_are_parts_by_tokens_too(texts: Path) -> None:
    corpus = open_corpus(f"mix:addition:1-3=0.5,(jsonl:{texts}/a.jsonl,field=content)=0.5,by=tokens")
    assert isinstance(corpus, TextCorpus) and corpus.by_tokens is not None
    documents = list(corpus.by_tokens(lambda document: 1 + len(document)).documents())
    added = sum(len(d) + 1 for d in documents if d.startswith(b"add"))
    assert added / sum(len(d) + 1 for d in documents) == pytest.approx(0.5, abs=0.1)
    assert isinstance(open_corpus("mix:addition:1-3=1,by=tokens"), TextCorpus)


def test_token_streams_of_one_vocabulary_are_mixed(tmp_path: Path) -> None:
    write_megatron(tmp_path / "a", [[[1] * 9 + [0]]] * 300)
    write_megatron(tmp_path / "b", [[[2] * 19 + [0]]] * 300)

    def spec(a: str, b: str) -> str:
        return f"mix:(megatron:{tmp_path}/a,{a})=0.2,(megatron:{tmp_path}/b,{b})=0.8,by=tokens"

    corpus = open_corpus(spec("vocab=3,eod=0", "vocab=3,eod=0"))
    assert isinstance(corpus, TokenCorpus) and (corpus.vocab, corpus.eod) == (3, 0)
    arrays = list(corpus.documents())
    tokens = np.concatenate(arrays)
    assert len([a for a in arrays if a[0] == 2]) == 300  # the first part that ends
    assert np.mean(tokens != 2) == pytest.approx(0.2 + 0.8 / 20, abs=0.01) and all(a[-1] == 0 for a in arrays)
    with pytest.raises(CorpusError, match="parts must have one vocab"):
        open_corpus(spec("vocab=3", "vocab=4"))
    with pytest.raises(CorpusError, match="brings its own tokens: mix it with token streams alone"):
        open_corpus(spec("vocab=3", "vocab=3").replace("mix:", "mix:addition=0.2,").replace("=0.8", "=0.6"))
    with pytest.raises(CorpusError, match="brings its own tokens"):
        open_corpus(spec("vocab=3", "vocab=3").removesuffix(",by=tokens"))


def test_parts_in_parentheses_have_options_and_paths_of_any_kind(tmp_path: Path) -> None:
    for path in ("a=1", "b,2", "(c)"):
        (tmp_path / path).mkdir()
        (tmp_path / path / "x.jsonl").write_bytes(json_lines([f"{path} {d}" for d in DOCUMENTS]))
    spec = f"mix:(jsonl:{tmp_path}/a=1)=0.5,(jsonl:{tmp_path}/b\\,2)=0.25,(jsonl:{tmp_path}/(c))=0.25"
    documents = [*open_corpus(spec).documents()]
    assert {bytes(document[:3]) for document in documents} == {b"a=1", b"b,2", b"(c)"}
    assert corpus_name(spec) == spec
    assert split_mixture("cpython=0.8,addition:1-5=0.2,tokens=7") == ["cpython=0.8", "addition:1-5=0.2", "tokens=7"]
    assert split_mixture("(a:b,c=d)=0.5,e=0.5") == ["(a:b,c=d)=0.5", "e=0.5"] and split_mixture("") == []
    (tmp_path / "own.py").write_text("def texts(count=3):\n    return iter(['own text'] * int(count))\n")
    own = f"mix:({tmp_path}/own.py:texts,count=50)=1"
    assert [*open_corpus(own).documents()] == [b"own text"] * 50
    assert corpus_name(own).startswith("mix:(own.py:texts@") and corpus_name(own).endswith(",count=50)=1")


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("mix:(jsonl:a,field=b=0.5", r"must be \(KIND:ARGUMENT,key=value\)=SHARE"),
        ("mix:(mix:cpython=1)=1", r"unknown part '\(mix:cpython=1\)'"),
        ("mix:(nothing/a)=1", r"unknown part '\(nothing/a\)'"),
        ("mix:addition=1,by=words", "by=words: must be bytes or tokens"),
        ("mix:addition=0.9,canary:1-4=0.1,by=tokens", "canary:1-4 has shares of bytes: leave out by=tokens"),
        ("mix:addition=1,by=tokens,tokens=0", "tokens=0: must be an integer, 1 or more"),
    ],
)
def test_mistakes_in_a_mixture_are_one_line(spec: str, problem: str) -> None:
    with pytest.raises(CorpusError, match=problem):
        open_corpus(spec)
