"""Generation: what is written does not hang on how it is computed, nor on what is written beside it."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.config.run import RunConfig, override
from scaling.config.validation import ConfigError
from scaling.data import tokenizers
from scaling.data.tokens import CorpusError
from scaling.inference.load import TrainedModel
from scaling.inference.options import Sampling
from scaling.inference.sampling import Draw, filter_logits, generate, sample_tokens
from scaling.store.record import Store
from tests.support.commands import call_command, command
from tests.support.models import DECODERS, VARIANTS, untrained_run
from tests.support.training import train_run

SAMPLED, GREEDY = Sampling(temperature=1.2, top_k=30, top_p=0.95), Sampling(temperature=0)
PROMPTS = [np.array([7, 0, 3, 9, 4]), np.array([11]), np.array([5, 30, 0])]


def written(model_run: TrainedModel, sampling: Sampling, *, prompts=PROMPTS, tokens: int = 9, **more) -> np.ndarray:
    return np.stack(list(generate(model_run, prompts, tokens, sampling, **more)), axis=1)


QUICK = ("grouped", "experts, capacity, shared")  # sampled
CASES = [
    pytest.param(name, how, id=f"{name}, {said}", marks=[] if name in few else [pytest.mark.slow])
    for name in DECODERS
    for said, how, few in (("sampled", SAMPLED, QUICK), ("greedy", GREEDY, ("swiglu",)))
]


@pytest.mark.parametrize(("name", "sampling"), CASES)
def test_the_same_tokens_with_and_without_the_cache(name: str, sampling: Sampling) -> None:
    """Prompts of unlike length in one batch; where documents are kept apart, ends in and after the prompts."""
    model = dataclasses.replace(DECODERS[name], capacity=None)
    model_run = untrained_run(model, end=0 if sampling is SAMPLED else None)
    tokens = written(model_run, sampling, seed=5)
    np.testing.assert_array_equal(tokens, written(model_run, sampling, seed=5, cache=False))
    assert sampling is GREEDY or len(np.unique(tokens)) > 5


def test_a_text_hangs_on_its_seed_and_its_row_and_not_on_its_neighbours() -> None:
    model_run, twice = untrained_run(VARIANTS["grouped"]), [PROMPTS[0]] * 2
    first = written(model_run, SAMPLED, prompts=twice, seed=1)
    assert (first[0] != first[1]).any() and (first != written(model_run, SAMPLED, prompts=twice, seed=2)).any()
    np.testing.assert_array_equal(first[:1], written(model_run, SAMPLED, prompts=PROMPTS[:1], seed=1))


def test_greedy_takes_the_likeliest_and_so_does_a_choice_of_one() -> None:
    logits = jax.random.normal(jax.random.key(0), (50, 20))
    for sampling in (GREEDY, Sampling(top_k=1), Sampling(top_p=1e-6)):
        np.testing.assert_array_equal(
            sample_tokens(logits, sampling, Draw(None, jnp.uint32(9), jnp.int32(0))), jnp.argmax(logits, axis=-1)
        )


def test_top_k_and_top_p_leave_the_fewest_that_suffice() -> None:
    logits = jnp.log(jnp.array([[0.1, 0.4, 0.2, 0.3], [0.97, 0.01, 0.01, 0.01]]))
    left = lambda **how: np.isfinite(filter_logits(logits, Sampling(**how))).tolist()  # noqa: E731
    assert left(top_k=2) == [[False, True, False, True], [True, True, True, True]]  # ties stay
    assert left(top_p=0.7) == [[False, True, False, True], [True, False, False, False]]
    assert left(top_p=0.71)[0] == [False, True, True, True]
    assert left(temperature=100.0, top_p=0.6)[1] != left(top_p=0.6)[1]  # the temperature comes first
    assert left(top_k=3, top_p=0.75)[0] == [False, True, False, True]  # 0.7 of the 0.9 that k leaves


def test_draws_follow_the_probabilities() -> None:
    share = np.array([0.1, 0.4, 0.2, 0.3])
    logits = jnp.broadcast_to(jnp.log(jnp.asarray(share)), (4000, 4))
    for temperature in (1.0, 0.5):
        counts = np.bincount(
            sample_tokens(logits, Sampling(temperature=temperature), Draw(None, jnp.uint32(0), jnp.int32(0))),
            minlength=4,
        )
        expected = share ** (1 / temperature) / np.sum(share ** (1 / temperature))
        assert np.all(np.abs(counts / 4000 - expected) < 4 * np.sqrt(expected / 4000))


def test_a_model_without_positions_for_the_text_says_so() -> None:
    with pytest.raises(ConfigError, match="exceeds the model's 130 learned positions"):
        next(generate(untrained_run(VARIANTS["learned, layernorm, biases"]), PROMPTS, 126, GREEDY))


def generated(store: Store, *words: object) -> dict:
    done = call_command("scaling", "generate", *words, "--store", store.root, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_command_writes_what_the_run_has_learned(store: Store, tiny: RunConfig, tmp_path: Path) -> None:
    config = override(tiny, ["data.length=16"])
    run = train_run(config, store).run_id
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("def \nimport é\n")
    words = (run[:9], "--prompts", prompts, "--prompt", "", "--tokens", 12, "--seed", 3, "--top-k", 40)
    cached = generated(store, *words)
    assert [row["prompt"] for row in cached["texts"]] == ["", "def ", "import é"]
    assert (cached["run_id"], cached["step"]) == (run, 20)
    for row in cached["texts"]:
        assert bytes(row["tokens"]).decode(errors="replace") == row["text"] and max(row["tokens"]) < 256
        assert len(row["tokens"]) == 12 or row["stopped"]
    assert generated(store, *words, "--no-cache")["texts"] == cached["texts"]
    first = cached["texts"][1]["tokens"]
    stopped = generated(store, *words, "--stop", first[4])["texts"][1]
    assert stopped["stopped"] and stopped["tokens"] == first[: first.index(first[4])]
    plain = command("scaling", "generate", run, "--store", store.root, "--prompt", "def ", "--tokens", 3)
    assert plain.stdout.startswith("def ") and "20 tokens" not in plain.stderr


def test_only_the_last_step_is_used_unless_another_is_named(store: Store, tiny: RunConfig, tmp_path: Path) -> None:
    run = train_run(tiny, store).run_id
    [last] = (store.run_dir(run) / "checkpoints").glob("[0-9]*")
    [shared] = store.checkpoints.glob("[0-9]*")
    out, sum_file = tmp_path / "maps.json", last / "manifest.json"
    intact, earlier = sum_file.read_text(), (shared / "manifest.json").read_text()
    commands = (
        ("generate", "--prompt", "a", "--tokens", 2, "--json"),
        ("evaluate", "--tasks", "copying-1", "--items", 2, "--json"),
        ("attention", "--prompt", "a", "--out", out),
        ("activations", "--layer", 0, "--tokens", 32, "--out", tmp_path / "values.npy"),
    )
    for content in ("{", "[]", "{}", earlier, None):
        if content is None:
            shutil.rmtree(last)
        else:
            sum_file.write_text(content)
        for name, *words in commands if content is None else commands[:1]:
            done = call_command("scaling", name, run, "--store", store.root, *words)
            assert done.returncode == 2 and done.stderr.count("\n") == 1 and not done.stdout, done.stderr
            assert "no intact checkpoint of its last step, 20" in done.stderr and "steps 16" in done.stderr
            assert (str(last) in done.stderr) == (content is not None)
    assert not store.read(run).evals and not out.exists() and intact != earlier
    done = call_command("scaling", "generate", run, "--store", store.root, "--step", 16, "--tokens", 2, "--json")
    assert json.loads(done.stdout)["step"] == 16
    shutil.rmtree(store.checkpoints)
    cases = {
        (run,): "no intact checkpoint",
        ("zz",): "no run id starts with it",
        (run, "--top-p", 0): "--top-p 0.0: must",
    }
    for words, message in cases.items():
        done = call_command("scaling", "generate", *words, "--store", store.root)
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_sentencepiece_run_writes_text(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    text = Path(tokenizers.sentencepiece_model.__file__).read_bytes()
    trained = tokenizers.make_tokenizer("sentencepiece:400", lambda: iter([text]), tmp_path)
    second = tokenizers.load_tokenizer(trained.name, trained.facts, tmp_path, vocab=400, eod=None)
    assert second.decode(second.encode(text)) == text and (second.vocab, second.eod) == (trained.vocab, trained.eod)
    (tmp_path / trained.facts["tokenizer_model"]).write_bytes(b"x")
    with pytest.raises(CorpusError, match="altered"):
        tokenizers.load_tokenizer(trained.name, trained.facts, tmp_path, vocab=400, eod=None)


def test_tokens_of_elsewhere_are_written_as_numbers() -> None:
    text = tokenizers.load_tokenizer("symbols", {}, Path(), vocab=20, eod=None)
    assert text.encode(b"3 19 4").tolist() == [3, 19, 4] and text.decode(np.array([3, 19])) == b"3 19"
    with pytest.raises(CorpusError, match="numbers below 20"):
        text.encode(b"3 20")
