"""Token files of corpora in files: every token accounted for, skipped records counted, tokenizers kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scaling.data.corpus import is_validation
from scaling.data.prepare import PrepareOptions, prepare
from scaling.data.tokenizers import load_tokenizer
from scaling.data.tokens import CorpusError, TokenFile, find_corpus, open_tokens
from tests.support.corpora.files import DOCUMENTS, WRITERS, json_lines, write_megatron

ONE = PrepareOptions(processes=1)


def documents(split: np.ndarray, eod: int) -> list[bytes]:
    """Documents of a split of bytes, without their ends."""
    ends = np.flatnonzero(split == eod)
    assert ends[-1] == len(split) - 1
    return [part[:-1].astype(np.uint8).tobytes() for part in np.split(split, ends[:-1] + 1)]


def open_prepared(spec: str, folder: Path, options: PrepareOptions = ONE) -> TokenFile:
    return open_tokens(prepare(spec, folder, options=options))


def test_every_byte_of_every_format_is_in_the_token_file_once(tmp_path: Path) -> None:
    texts = [document.encode() for document in DOCUMENTS]
    hashes = set()
    for suffix, (kind, write) in WRITERS.items():
        folder = tmp_path / suffix.strip(".")
        folder.mkdir()
        write(folder / f"a{suffix}", DOCUMENTS[:120])
        write(folder / f"b{suffix}", DOCUMENTS[120:])
        tokens = open_prepared(f"{kind}:{folder}", tmp_path / "tokens")
        assert documents(np.asarray(tokens.train), 256) == [text for text in texts if not is_validation(text)]
        assert documents(np.asarray(tokens.validation), 256) == [text for text in texts if is_validation(text)]
        assert tokens.documents == len(texts) and sum(tokens.counts) == sum(len(text) + 1 for text in texts)
        hashes.add(tokens.content_hash)
    assert len(hashes) == 1  # the identity is the content, not the format


def test_skipped_records_are_named_once_and_counted_in_the_token_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = json_lines(DOCUMENTS).splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_bytes(b"".join([*lines[:50], b"broken\n", *lines[50:], b'{"text": 1}\n']))
    spec = f"jsonl:{tmp_path}/a.jsonl"
    with pytest.raises(CorpusError, match=r"a.jsonl, line 51, byte \d+: broken JSON"):
        open_prepared(spec, tmp_path / "tokens")
    with pytest.raises(CorpusError, match=r"a.jsonl, line 252, byte \d+: text = 1 is not text"):
        open_prepared(spec, tmp_path / "tokens", PrepareOptions(processes=1, skip_bad=1))
    capsys.readouterr()
    tokens = open_prepared(spec, tmp_path / "tokens", PrepareOptions(processes=1, skip_bad=2))
    assert tokens.documents == len(DOCUMENTS) and tokens.facts["skipped_records"] == 2
    named = [line for line in capsys.readouterr().err.splitlines() if "skipped" in line]
    assert [line.partition("a.jsonl, ")[2].partition(",")[0] for line in named] == ["line 51", "line 252"]


def test_streams_keep_the_tokenizer_that_made_them(tmp_path: Path) -> None:
    ids = [[*document.encode(), 256] for document in DOCUMENTS]
    write_megatron(tmp_path / "a", [[tokens] for tokens in ids])
    spec = f"megatron:{tmp_path}/a,tokenizer=bytes"
    tokens = open_prepared(spec, tmp_path / "tokens")
    assert (tokens.vocab, tokens.eod, tokens.tokenizer) == (257, 256, "bytes")
    folder = tmp_path / "tokens"
    tokenizer = load_tokenizer(tokens.tokenizer, tokens.facts, folder, vocab=tokens.vocab, eod=tokens.eod)
    texts = documents(np.asarray(tokens.train), 256) + documents(np.asarray(tokens.validation), 256)
    assert sorted(texts) == sorted(document.encode() for document in DOCUMENTS)
    assert tokenizer.decode(np.asarray(ids[3])) == DOCUMENTS[3].encode()
    for name in ("bytes", "sentencepiece:500"):  # a sweep finds it whatever its own tokenizer is
        assert find_corpus(folder, spec, name) == tokens.path


def test_a_stream_without_ends_holds_out_its_end_and_one_with_a_validation_file_that_file(tmp_path: Path) -> None:
    stream = np.arange(4000, dtype=np.uint16) % 60
    stream.tofile(tmp_path / "train.bin")
    tokens = open_prepared(f"nanogpt:{tmp_path}/train.bin,vocab=60", tmp_path / "tokens")
    assert np.concatenate([tokens.train, tokens.validation]).tolist() == stream.tolist()
    assert (tokens.eod, tokens.counts, tokens.documents) == (None, (3800, 200), 1)
    stream[:77].tofile(tmp_path / "val.bin")
    tokens = open_prepared(f"nanogpt:{tmp_path},vocab=60,eod=59", tmp_path / "tokens")
    assert np.asarray(tokens.train).tolist() == stream.tolist() and tokens.counts == (4000, 77)
    assert np.asarray(tokens.validation).tolist() == stream[:77].tolist()
    with pytest.raises(CorpusError, match="token 59 is outside the vocabulary of 50"):
        open_prepared(f"nanogpt:{tmp_path},vocab=50", tmp_path / "tokens")


def test_a_damaged_file_of_tokens_is_skipped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    (np.arange(4000, dtype=np.uint16) % 60).tofile(tmp_path / "b.bin")
    spec = f"nanogpt:{tmp_path},vocab=60"
    with pytest.raises(CorpusError, match=r"a.bin: 3 bytes are no whole number of tokens"):
        open_prepared(spec, tmp_path / "tokens")
    tokens = open_prepared(spec, tmp_path / "tokens", PrepareOptions(processes=1, skip_bad=1))
    assert sum(tokens.counts) == 4000 and tokens.facts == {"skipped_records": 1}


def test_a_mixture_by_tokens_is_one_of_the_tokens_of_its_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(json_lines(["a" * 9] * 500))
    (tmp_path / "b.jsonl").write_bytes(json_lines(["b" * 99] * 500))
    spec = f"mix:jsonl:{tmp_path}/a.jsonl=0.2,jsonl:{tmp_path}/b.jsonl=0.8,by=tokens,tokens=20000"
    tokens = open_prepared(spec, tmp_path / "tokens")
    assert 20_000 <= sum(tokens.counts) < 20_200
    whole = np.concatenate([tokens.train, tokens.validation])
    assert np.mean(whole == ord("a")) == pytest.approx(0.2 * 0.9, abs=0.01)
