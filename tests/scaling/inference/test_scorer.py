"""Scoring: the model's own loss, in any company and order; what greedy writes, scoring calls greedy."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.config.placement import Placement
from scaling.data import tokenizers
from scaling.inference.length_buckets import Batching, bucket_batches, bucket_lengths, rolling_windows
from scaling.inference.load import TrainedModel
from scaling.inference.options import Generation, Sampling
from scaling.inference.scorer import ScoreError, Scorer
from scaling.program.step import program_functions, program_shape
from tests.support.models import VARIANTS, untrained_run

AXES = (1, 1, 1, 1)
CAPPED = "local and global, capped, sandwich"


def variant_model(name: str, end: int | None = None, length: int = 40) -> TrainedModel:
    result = untrained_run(VARIANTS[name], end)
    data = dataclasses.replace(result.config.data, length=length)
    record = dataclasses.replace(result.record, config=dataclasses.replace(result.config, data=data))
    tokenizer = tokenizers.load_tokenizer("symbols", {}, Path(), vocab=45, eod=0)  # five ids stand for no text
    return dataclasses.replace(result, record=record, tokenizer=tokenizer)


def random_sequences(*lengths: int, seed: int = 0) -> list[list[int]]:
    stream = np.random.default_rng(seed)
    return [stream.integers(0, 45, n).tolist() for n in lengths]


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(variant_model(CAPPED, end=0))


def test_scores_are_the_models_own_loss(scorer: Scorer) -> None:
    """Documents kept apart, a soft-cap, 8 devices; the trainer's own evaluation on one."""
    tokens = np.array(random_sequences(*[scorer.context + 1] * 3))
    tokens[:, 10] = 0
    evaluate = jax.jit(program_functions(program_shape(scorer.model.config, Placement(), AXES)).evaluate)
    loss = evaluate(jax.device_get(scorer.model.params), jnp.asarray(tokens, jnp.int32))["loss"]
    logp = [entry.logp for entry in scorer.score_continuations([(row[:1], row[1:]) for row in tokens])]
    np.testing.assert_allclose(-np.mean(logp, axis=1), loss, rtol=1e-5)
    assert logp[0].dtype == np.float32 and np.ptp(loss) > 1e-3


def test_a_score_is_the_same_in_any_company_order_and_padding(scorer: Scorer) -> None:
    pairs = [
        (row[:cut], row[cut:]) for row, cut in zip(random_sequences(9, 36, 25, 38, 31), (1, 30, 3, 8, 30), strict=True)
    ]
    together = scorer.score_continuations(pairs)
    backwards = scorer.score_continuations(pairs[::-1])[::-1]
    alone = [scorer.score_continuations([pair])[0] for pair in pairs]
    stretched = scorer.score_continuations([(p, [*c, 7, 8]) for p, c in pairs[:3]])  # what comes after has no say
    for i, ((_, continuation), entry) in enumerate(zip(pairs, together, strict=True)):
        assert entry.logp.shape == (len(continuation),) and entry.greedy == alone[i].greedy
        np.testing.assert_allclose(entry.logp, alone[i].logp, atol=1e-5)
        np.testing.assert_allclose(entry.logp, backwards[i].logp, atol=1e-5)
    for entry, more in zip(together, stretched, strict=False):
        np.testing.assert_allclose(entry.logp, more.logp[:-2], atol=1e-5)


def test_what_greedy_writes_is_greedy_and_nothing_else(scorer: Scorer) -> None:
    prompts = random_sequences(4, 11, 31, seed=2)
    texts = scorer.generate(prompts, Generation(max_tokens=12))
    written = [[int(argument) for argument in text.split()] for [text] in texts]
    assert [len(tokens) for tokens in written] == [12, 12, 10]  # the context ends the last: 40 are read, 41 known
    assert max(map(max, written)) < 45
    assert all(entry.greedy for entry in scorer.score_continuations(list(zip(prompts, written, strict=True))))
    other = [[*tokens[:-1], tokens[-1] % 44 + 1] for tokens in written]
    assert not any(entry.greedy for entry in scorer.score_continuations(list(zip(prompts, other, strict=True))))
    stop = " ".join(texts[0][0].split()[5:7])
    assert scorer.generate(prompts[:1], Generation(max_tokens=12, stop=(stop,))) == [[texts[0][0].partition(stop)[0]]]


def test_a_sample_hangs_on_its_seed_and_prompt_alone(scorer: Scorer) -> None:
    prompts = random_sequences(4, 11, 7, seed=3)
    first = Generation(max_tokens=12, sampling=Sampling(temperature=1.5, top_k=30), samples=2, seed=1)
    texts = scorer.generate(prompts, first)
    assert scorer.generate(prompts[::-1], first) == texts[::-1]
    assert texts[0][0] != texts[0][1] and scorer.generate(prompts, dataclasses.replace(first, seed=2)) != texts


def test_a_whole_text_is_scored_once_in_windows(scorer: Scorer) -> None:
    [text] = random_sequences(100, seed=4)
    [logp] = scorer.score_texts([text])
    assert logp.shape == (100,)
    parts = [([0], text[:40]), (text[39:40], text[40:80]), (text[79:80], text[80:])]
    assert list(rolling_windows([0, *text], 40)) == parts
    np.testing.assert_allclose(logp, np.concatenate([s.logp for s in scorer.score_continuations(parts)]), atol=1e-5)
    assert scorer.score_texts([[]])[0].shape == (0,)


def test_what_cannot_be_scored_is_one_line(scorer: Scorer) -> None:
    with pytest.raises(
        ScoreError, match=r"item 1: 40 tokens of prompt and 10 after it exceed the run's context of 40: use fewer"
    ):
        scorer.score_continuations([([1], [2]), ([1] * 40, [2] * 10)])
    with pytest.raises(ScoreError, match="item 0: 41 tokens of prompt"):
        scorer.generate([[1] * 41], Generation(max_tokens=3))
    with pytest.raises(ScoreError, match="item 0: its prompt is empty"):
        scorer.score_continuations([([], [2])])


def test_batches_have_every_row_once_and_few_shapes() -> None:
    assert bucket_lengths(100) == [32, 64, 100] and bucket_lengths(32) == [32] and bucket_lengths(8) == [8]
    lengths = np.random.default_rng(0).integers(1, 101, 700).tolist()
    built = list(bucket_batches(lengths, Batching(100, devices=8, tokens=1000)))
    assert sorted(i for at, _, _ in built for i in at) == list(range(700))
    assert len({(length, height) for _, length, height in built}) == 3
    for at, length, height in built:
        assert max(lengths[i] for i in at) <= length and len(at) <= height and height % 8 == 0
    assert [height for *_, height in bucket_batches([5] * 9, Batching(32, devices=2, tokens=4096))] == [16]


def test_a_pair_is_its_text_and_the_prompt_begins_a_document(tmp_path: Path, scorer: Scorer) -> None:
    pytest.importorskip("sentencepiece")
    text = Path(tokenizers.sentencepiece_model.__file__).read_bytes()
    trained = tokenizers.make_tokenizer("sentencepiece:400", lambda: iter([text]), tmp_path)
    plain = Scorer(dataclasses.replace(scorer.model, tokenizer=trained))
    for prompt, continuation in (("def ", "tokens"), ("def", " tokens"), ("", "text"), ("a\n", "    return")):
        before, after = plain.encode_pair(prompt, continuation)
        assert before[0] == trained.eod and after
        assert trained.decode(np.array(before + after)).decode() == prompt + continuation
        assert before[1:] + after == plain.encode(prompt + continuation)
