"""Laws of generation: what is written does not hang on how it is computed, nor on what is written beside it."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import RunConfig, override, run_id
from scaling.config.validation import ConfigError
from scaling.data import tokenizers
from scaling.data.tokens import DataError
from scaling.inference.load import Trained
from scaling.inference.sampling import Sampling, allowed, draw, generate
from scaling.store.record import Record, Store
from tests.scaling.models.test_transformer import drawn
from tests.scaling.training.test_loop import go
from tests.support.commands import command
from tests.support.variants import VARIANTS

DECODERS = {name: of for name, of in VARIANTS.items() if getattr(of, "kind", "decoder") == "decoder"}
SAMPLED, GREEDY = Sampling(temperature=1.2, top_k=30, top_p=0.95), Sampling(temperature=0)
PROMPTS = [np.array([7, 0, 3, 9, 4]), np.array([11]), np.array([5, 30, 0])]


def untrained(model: ModelConfig, end: int | None = None) -> Trained:
    """A model of drawn parameters, as if it had been trained; tokens are their own text."""
    data = DataConfig(tokens="0" * 64, length=16, document_end=end)
    config = RunConfig(model=model, data=data, optimizer=OptimizerConfig(lr=1), batch=1, steps=1)
    graph, params = drawn(model)
    text = tokenizers.of_tokens("symbols", {}, Path(), vocab=model.vocab, eod=end)
    record = Record(run_id=run_id(config), config=config, status="done")
    return Trained(record, 1, model, graph, jax.tree.map(jnp.asarray, nnx.to_pure_dict(params)), text)


def written(of: Trained, how: Sampling, *, prompts=PROMPTS, tokens: int = 9, **more) -> np.ndarray:
    return np.stack(list(generate(of, prompts, tokens, how, **more)), axis=1)


QUICK = ("grouped", "relative", "local and global, capped, sandwich", "experts, capacity, shared")  # sampled
CASES = [
    pytest.param(name, how, id=f"{name}, {said}", marks=[] if name in few else [pytest.mark.slow])
    for name in DECODERS
    for said, how, few in (("sampled", SAMPLED, QUICK), ("greedy", GREEDY, ("swiglu",)))
]


@pytest.mark.parametrize(("name", "how"), CASES)
def test_the_same_tokens_with_and_without_the_cache(name: str, how: Sampling) -> None:
    """Prompts of unlike length in one batch; where documents are kept apart, ends in and after the prompts."""
    model = dataclasses.replace(DECODERS[name], capacity=None)
    of = untrained(model, end=0 if how is SAMPLED else None)
    tokens = written(of, how, seed=5)
    np.testing.assert_array_equal(tokens, written(of, how, seed=5, cache=False))
    assert how is GREEDY or len(np.unique(tokens)) > 5


def test_a_text_hangs_on_its_seed_and_its_row_and_not_on_its_neighbours() -> None:
    of, twice = untrained(VARIANTS["grouped"]), [PROMPTS[0]] * 2
    first = written(of, SAMPLED, prompts=twice, seed=1)
    assert (first[0] != first[1]).any() and (first != written(of, SAMPLED, prompts=twice, seed=2)).any()
    np.testing.assert_array_equal(first[:1], written(of, SAMPLED, prompts=PROMPTS[:1], seed=1))


def test_greedy_takes_the_likeliest_and_so_does_a_choice_of_one() -> None:
    logits = jax.random.normal(jax.random.key(0), (50, 20))
    for how in (GREEDY, Sampling(top_k=1), Sampling(top_p=1e-6)):
        np.testing.assert_array_equal(draw(logits, how, jnp.uint32(9), jnp.int32(0)), jnp.argmax(logits, axis=-1))


def test_top_k_and_top_p_leave_the_fewest_that_suffice() -> None:
    logits = jnp.log(jnp.array([[0.1, 0.4, 0.2, 0.3], [0.97, 0.01, 0.01, 0.01]]))
    left = lambda **how: np.isfinite(allowed(logits, Sampling(**how))).tolist()  # noqa: E731
    assert left(top_k=2) == [[False, True, False, True], [True, True, True, True]]  # ties stay
    assert left(top_p=0.7) == [[False, True, False, True], [True, False, False, False]]
    assert left(top_p=0.71)[0] == [False, True, True, True]
    assert left(temperature=100.0, top_p=0.6)[1] != left(top_p=0.6)[1]  # the temperature comes first
    assert left(top_k=3, top_p=0.75)[0] == [False, True, False, True]  # 0.7 of the 0.9 that k leaves


def test_draws_follow_the_probabilities() -> None:
    share = np.array([0.1, 0.4, 0.2, 0.3])
    logits = jnp.broadcast_to(jnp.log(jnp.asarray(share)), (4000, 4))
    for temperature in (1.0, 0.5):
        counts = np.bincount(draw(logits, Sampling(temperature=temperature), jnp.uint32(0), jnp.int32(0)), minlength=4)
        expected = share ** (1 / temperature) / np.sum(share ** (1 / temperature))
        assert np.all(np.abs(counts / 4000 - expected) < 4 * np.sqrt(expected / 4000))


def test_a_model_without_positions_for_the_text_says_so() -> None:
    with pytest.raises(ConfigError, match="more than the 130 positions"):
        next(generate(untrained(VARIANTS["learned, layernorm, biases"]), PROMPTS, 126, GREEDY))


def said(store: Store, *words: object) -> dict:
    done = command("scaling", "generate", *words, "--store", store.root, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_command_writes_what_the_run_has_learned(store: Store, tiny: RunConfig, tmp_path: Path) -> None:
    config = override(tiny, ["data.length=16"])
    run = go(config, store).run_id
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("def \nimport é\n")
    words = (run[:9], "--prompts", prompts, "--prompt", "", "--tokens", 12, "--seed", 3, "--top-k", 40)
    cached = said(store, *words)
    assert [row["prompt"] for row in cached["texts"]] == ["", "def ", "import é"]
    assert (cached["run_id"], cached["step"]) == (run, 20)
    for row in cached["texts"]:
        assert bytes(row["tokens"]).decode(errors="replace") == row["text"] and max(row["tokens"]) < 256
        assert len(row["tokens"]) == 12 or row["stopped"]
    assert said(store, *words, "--no-cache")["texts"] == cached["texts"]
    first = cached["texts"][1]["tokens"]
    stopped = said(store, *words, "--stop", first[4])["texts"][1]
    assert stopped["stopped"] and stopped["tokens"] == first[: first.index(first[4])]
    plain = command("scaling", "generate", run, "--store", store.root, "--prompt", "def ", "--tokens", 3)
    assert plain.stdout.startswith("def ") and "20 tokens" not in plain.stderr


def test_a_damaged_checkpoint_falls_back_and_none_is_one_line(store: Store, tiny: RunConfig) -> None:
    run = go(tiny, store).run_id
    [last] = (store.run_dir(run) / "checkpoints").glob("[0-9]*")
    (last / "manifest.json").write_text("{")
    done = command("scaling", "generate", run, "--store", store.root, "--prompt", "a", "--tokens", 2, "--json")
    assert json.loads(done.stdout)["step"] == 16 and "going on with an older one" in done.stderr
    shutil.rmtree(store.checkpoints)
    shutil.rmtree(last)
    cases = {(run,): "no checkpoint that loads", ("zz",): "no run begins so", (run, "--top-p", 0): "--top-p 0.0: must"}
    for words, why in cases.items():
        done = command("scaling", "generate", *words, "--store", store.root)
        assert done.returncode == 2 and why in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_sentencepiece_run_writes_text(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    text = Path(tokenizers.__file__).read_bytes()
    made = tokenizers.make("sentencepiece:400", lambda: iter([text]), tmp_path)
    again = tokenizers.of_tokens(made.name, made.facts, tmp_path, vocab=400, eod=None)
    assert again.decode(again.encode(text)) == text and (again.vocab, again.eod) == (made.vocab, made.eod)
    (tmp_path / made.facts["tokenizer_model"]).write_bytes(b"x")
    with pytest.raises(DataError, match="altered"):
        tokenizers.of_tokens(made.name, made.facts, tmp_path, vocab=400, eod=None)


def test_tokens_of_elsewhere_are_written_as_numbers() -> None:
    text = tokenizers.of_tokens("symbols", {}, Path(), vocab=20, eod=None)
    assert text.encode(b"3 19 4").tolist() == [3, 19, 4] and text.decode(np.array([3, 19])) == b"3 19"
    with pytest.raises(DataError, match="numbers below 20"):
        text.encode(b"3 20")
