"""The check before a launch: what the trainer would refuse is refused, other facts are reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.config.run import RunConfig, override, run_id
from scaling.data.tokens import open_tokens
from scaling.store.record import Record, Store
from sweeps.errors import SweepError
from sweeps.launching.check import check_sweep
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import plan_sweep


@pytest.fixture
def text_corpus(corpus: Path) -> Corpus:
    """The test's token file as a sweep knows it."""
    file = open_tokens(corpus)
    return Corpus(name="code", tokens=file.content_hash, vocab=file.vocab, train=len(file.train))


def check_text(store: Store, text_corpus: Corpus, *configs: RunConfig) -> str:
    return "\n".join(check_sweep(plan_sweep(list(configs), text_corpus, store), store))


def test_what_is_right_is_said(store: Store, tiny: RunConfig, text_corpus: Corpus) -> None:
    text = check_text(store, text_corpus, tiny, override(tiny, ["batch=12"]))
    assert f"intact, {text_corpus.train:,} training" in text and "2 runs of 2 shapes: vocabulary and length fit" in text
    assert "all batch sizes are divisible by 4" in text and "has none of these runs" in text
    assert f"longest run: {20 * 12 * 32:,} tokens, {20 * 12 * 32 / text_corpus.train:.2f} epochs" in text
    ramped = override(tiny, ['schedule={"batch_ramp": [[6, 4]], "warmup": 4}'])
    assert "all batch sizes are divisible by 2" in check_text(store, text_corpus, ramped)


def test_text_that_is_read_again_is_said_with_its_epochs(store: Store, tiny: RunConfig, text_corpus: Corpus) -> None:
    steps = round(2.5 * text_corpus.train / (8 * 32))
    text = check_text(store, text_corpus, tiny, override(tiny, [f"steps={steps}"]))
    assert "tokens, 2.50 epochs" in text and "1 of 2 runs read more than the" in text and "up to 2.5 epochs" in text
    text = check_text(store, text_corpus, override(tiny, ["data.unique=320"]))
    assert "1 of 1 runs read more" in text and "up to 16.0 epochs" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["model.vocab=200"], "model.vocab = 200 is smaller than the vocabulary of"),
        (["data.length=9999999"], "fewer than one window"),
        (["data.unique=99999999"], "data.unique = 99999999: must be at most the"),
        (["data.document_end=3"], "data.document_end = 3: the documents of"),
    ],
)
def test_a_run_that_the_token_file_cannot_feed_is_one_line(
    store: Store, tiny: RunConfig, text_corpus: Corpus, change: list[str], message: str
) -> None:
    with pytest.raises(SweepError, match=message) as caught:
        check_text(store, text_corpus, tiny, override(tiny, change))
    assert "\n" not in str(caught.value)


def test_a_run_planned_twice_is_one_line(store: Store, tiny: RunConfig, text_corpus: Corpus) -> None:
    with pytest.raises(SweepError, match=f"run {run_id(tiny)[:12]} is planned twice"):
        check_text(store, text_corpus, tiny, override(tiny, ["budget=1e9"]))


def test_runs_that_the_store_has_are_said(store: Store, tiny: RunConfig, text_corpus: Corpus) -> None:
    other = override(tiny, ["seed=1"])
    store.write(Record(run_id=run_id(tiny), config=tiny, status="done"))
    store.write(Record(run_id=run_id(other), config=other, status="failed"))
    text = check_text(store, text_corpus, tiny, other, override(tiny, ["seed=2"]))
    assert "has 2 of these runs" in text
    assert "1 of 3 runs are in the store as done: will be skipped" in text
    assert "1 of 3 runs are in the store as failed: will be resumed or retried" in text
