"""Laws of evaluation: scores are the model's own probabilities, asking changes nothing, one wrong task stops none."""

import dataclasses
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from scaling.__main__ import main
from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.placement import Placement
from scaling.config.run import EvalConfig, RunConfig, dumps, run_id
from scaling.config.schedule import ScheduleConfig
from scaling.config.validation import ConfigError
from scaling.data.prepare import prepare
from scaling.data.tasks.family import split_of
from scaling.data.tokens import open_tokens
from scaling.data.windows import validation_windows
from scaling.evaluate.config import Asked
from scaling.evaluate.prompts import of_task
from scaling.evaluate.run import ask, context_of, missing, tokens_of
from scaling.evaluate.summary import scores
from scaling.inference.load import Trained, load
from scaling.store import items as kept
from scaling.store.record import Store
from scaling.training.loop import train
from tests.support.commands import command

MIX = "mix:addition:1-2=0.6,recall:1-4=0.4,tokens=60000"


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(MIX, tmp_path_factory.mktemp("mix"))


def school_at(root: Path, mixture: Path) -> Store:
    """An empty store that has the mixture."""
    store = Store(root)
    store.token_files.mkdir(parents=True)
    os.link(mixture, store.token_files / mixture.name)
    return store


def pupil(mixture: Path, steps: int = 8) -> RunConfig:
    return RunConfig(
        model=ModelConfig(vocab=257, width=16, layers=1, heads=2, mlp_width=32),
        data=DataConfig(tokens=open_tokens(mixture).content_hash, length=48),
        optimizer=OptimizerConfig(lr=0.01),
        schedule=ScheduleConfig(warmup=2),
        eval=EvalConfig(sequences=24),
        batch=8,
        steps=steps,
    )


def taught(config: RunConfig, store: Store, exam: Asked | None = None) -> Trained:
    train(config, store, Placement(), sweep=None, say=lambda event: None, stop=lambda: False, exam=exam)
    return load(store, run_id(config))


@pytest.fixture(scope="module")
def taught_once(tmp_path_factory: pytest.TempPathFactory, mixture: Path) -> tuple[Store, Trained]:
    """A store and a model that has read a little of the mixture."""
    store = school_at(tmp_path_factory.mktemp("taught") / "store", mixture)
    return store, taught(pupil(mixture), store)


def log_probabilities(of: Trained) -> Callable[[list[int]], np.ndarray]:
    """Of each next token by the plain forward pass, float64 (L, V)."""

    @jax.jit
    def forward(params: Any, tokens_BL: jax.Array) -> jax.Array:
        logits_BLV = nnx.merge(of.graph, params)(tokens_BL, None, dtype=jnp.float32)
        return jax.nn.log_softmax(logits_BLV.astype(jnp.float32), axis=-1)[0]

    def one(tokens: list[int]) -> np.ndarray:
        filled = np.zeros((1, 48), np.int32)
        filled[0, : len(tokens)] = tokens
        return np.asarray(forward(of.params, filled), np.float64)

    return one


def rows_of(store: Store, of: Trained) -> dict[str, list[kept.Row]]:
    """The items of the run's newest step, by task."""
    found = [one for one in kept.scored(store.items_dir(of.record.run_id)) if one.step == of.step]
    return {kept.label(one.task, one.shots): kept.read(one.path) for one in found}


def test_an_items_figures_are_the_models_own_probabilities(taught_once: tuple[Store, Trained]) -> None:
    store, of = taught_once
    asked, wrong = ask(of, store, Asked(tasks=("addition-2", "recall-2"), items=8))
    record = store.read(of.record.run_id)
    assert not wrong and record is not None and asked.items() <= record.evals.items()
    found, after = rows_of(store, of), log_probabilities(of)
    assert len(found["addition-2"]) == len(found["recall-2"]) == 8
    for row in found["addition-2"] + found["recall-2"]:
        context, answer = context_of(of, row["prompt"]), tokens_of(of, row["answer"])
        of_token = after([*context, *answer])[len(context) - 1 :]
        np.testing.assert_allclose(row["answer_logp"], [of_token[i, t] for i, t in enumerate(answer)], atol=2e-5)
        ends = [*answer, ord("\n")] if row["metric_kind"] == "exact" else answer
        assert row["greedy"] == all(of_token[i].argmax() == token for i, token in enumerate(ends))
    prior = after([of.tokenizer.eod])[0]
    for row in found["recall-2"]:
        context = context_of(of, row["prompt"])
        letters = [ord(choice) for choice in row["choices"]]
        np.testing.assert_allclose(row["choice_logp"], after([*context])[len(context) - 1, letters], atol=2e-5)
        np.testing.assert_allclose(row["choice_prior_logp"], prior[letters], atol=2e-5)
        assert row["choices"][row["gold"]] == row["answer"]


def test_greedy_is_what_greedy_decoding_writes(taught_once: tuple[Store, Trained]) -> None:
    store, of = taught_once
    ask(of, store, Asked(tasks=("addition-1",), items=6, samples=2))
    for row in rows_of(store, of)["addition-1"]:
        assert len(row["generated"]) == len(row["passed"]) == 3
        assert row["passed"] == [text == row["answer"] for text in row["generated"]]
        assert row["passed"][0] == row["greedy"]


def test_asking_on_the_way_changes_no_bit(tmp_path: Path, mixture: Path) -> None:
    config, tasks = pupil(mixture), ("addition-2", "perplexity")
    school, other = school_at(tmp_path / "asked", mixture), school_at(tmp_path / "unasked", mixture)
    asked = taught(config, school, Asked(tasks=tasks, shots=(0, 1), items=5, steps=(3, 8)))
    plain = taught(config, other)
    assert school.curve(run_id(config)) == other.curve(run_id(config))
    for one, two in zip(jax.tree.leaves(asked.params), jax.tree.leaves(plain.params), strict=True):
        np.testing.assert_array_equal(one, two)
    steps = [(one.task, one.shots, one.step) for one in kept.scored(school.items_dir(run_id(config)))]
    assert steps == [
        *(("addition-2", shots, step) for shots in (0, 1) for step in (3, 8)),
        *(("perplexity", 0, step) for step in (3, 8)),
    ]
    record = school.read(run_id(config))
    assert record is not None and {"addition-2@1/exact_match", "perplexity/loss"} <= set(record.evals)
    ask(load(school, run_id(config)), school, Asked(tasks=("addition-2",), shots=(0,), items=5))
    again = [one.path for one in kept.scored(school.items_dir(run_id(config))) if (one.step, one.shots) == (8, 0)]
    live, loaded = kept.read(again[0]), record.evals["addition-2/answer_logp"]
    assert np.mean([sum(row["answer_logp"]) for row in live]) == pytest.approx(loaded, abs=1e-5)


def test_perplexity_on_its_own_windows_is_the_held_out_loss(taught_once: tuple[Store, Trained]) -> None:
    store, of = taught_once
    found, wrong = ask(of, store, Asked(tasks=("perplexity",), items=24))
    assert not wrong and found["perplexity/loss"] == pytest.approx(of.record.final["loss"], abs=2e-5)
    rows = rows_of(store, of)["perplexity"]
    assert all(len(row["answer_logp"]) == 48 and row["metric_kind"] == "loss" for row in rows)
    file = open_tokens(next(store.token_files.glob("*.tokens")))
    ends = sum(int((w[1:] == 256).sum()) for w in validation_windows(file, length=48, sequences=24))
    bytes_ = sum(row["answer_bytes"] for row in rows)
    assert bytes_ == len(rows) * 48 - ends
    assert found["perplexity/bits_per_byte"] == pytest.approx(
        found["perplexity/loss"] * len(rows) * 48 / bytes_ / math.log(2)
    )
    named, wrong = ask(of, store, Asked(tasks=("perplexity",), items=24, tokens=MIX))
    assert not wrong and list(named.values()) == list(found.values())


def test_a_model_that_has_learned_nothing_scores_at_chance(taught_once: tuple[Store, Trained]) -> None:
    store, of = taught_once
    found, _ = ask(of, store, Asked(tasks=("recall-4", "lookup-1", "addition-3"), items=100))
    for task, chance in (("recall-4", 1 / 4), ("lookup-1", 1 / 7)):
        assert abs(found[f"{task}/accuracy"] - chance) < 3.3 * math.sqrt(chance * (1 - chance) / 100)
    assert found["addition-3/exact_match"] == 0.0


def test_a_wrong_task_stops_no_other(
    taught_once: tuple[Store, Trained], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, of = taught_once
    broken, mine = tmp_path / "broken.jsonl", tmp_path / "mine.jsonl"
    broken.write_text('{"prompt": "1+1=", "answer": "2"}\n{"prompt": "1+2=", "choices": ["3"], "gold": 0}\n')
    mine.write_text('{"prompt": "1+1=", "answer": "2"}\n{"prompt": "1+2=", "choices": ["3", "4"], "gold": 0}\n')
    tasks = f"algebra-3,addition-99,{broken},{tmp_path / 'none.jsonl'},recall-26,{mine},addition-1"
    line = ["evaluate", of.record.run_id[:8], "--store", str(store.root), "--tasks", tasks, "--items", "5", "--json"]
    status, printed = main(line), capsys.readouterr()
    said = json.loads(printed.out)
    assert status == 1, printed.err
    assert {name.partition("/")[0] for name in said["scores"]} == {"mine", "addition-1"}
    assert "mine/accuracy" in said["scores"] and "mine/exact_match" in said["scores"]
    lines = [line for line in printed.err.splitlines() if line.startswith("scaling evaluate: ")]
    parts = ("'algebra-3': known are", "1 to 12", "line 2: choices must be", "No such file", "context")
    assert len(lines) == len(said["wrong"]) == len(parts)
    for line, part in zip(lines, parts, strict=True):
        assert part in line


def test_what_is_kept_is_not_asked_again(taught_once: tuple[Store, Trained]) -> None:
    store, of = taught_once
    run, asked = of.record.run_id, Asked(tasks=("addition-2",), shots=(1, 2), items=3)
    assert missing(store, run, 8, asked)
    ask(of, store, asked)
    assert not missing(store, run, 8, asked)
    more = dataclasses.replace(asked, tasks=("addition-2", "recall-1"))
    assert missing(store, run, 8, more)
    found, _ = ask(of, store, more, only_missing=True)
    assert {name.partition("/")[0] for name in found} == {"recall-1@1", "recall-1@2"}
    assert not missing(store, run, 8, more) and missing(store, run, 7, more)


@pytest.mark.slow
def test_train_asks_what_it_has_trained_alone_and_in_packs(tmp_path: Path, mixture: Path) -> None:
    store, files = school_at(tmp_path / "store", mixture), []
    for rate in (0.01, 0.02):
        config = dataclasses.replace(pupil(mixture), optimizer=OptimizerConfig(lr=rate))
        files.append(tmp_path / f"{rate}.json")
        files[-1].write_text(dumps(config))
    line = ("--store", store.root, "--tasks", "addition-1,nonsense", "--items", 4, "--task-steps", 4)
    done = command("scaling", "train", *files, "--pack", 2, *line)
    assert done.returncode == 1 and "unknown task 'nonsense'" in done.stderr, done.stderr
    for record in store.records():
        assert record.status == "done" and "addition-1/exact_match" in record.evals
        assert [one.step for one in kept.scored(store.items_dir(record.run_id))] == [4, 8]
    again = command("scaling", "train", files[0], *line[:-4], "--items", 4, "--set", "steps=6")
    assert again.returncode == 1 and len(list(store.records())) == 3
    steps = [one.step for record in store.records() for one in kept.scored(store.items_dir(record.run_id))]
    assert sorted(steps) == [4, 4, 6, 8, 8]


def test_shots_come_from_the_training_split_and_are_never_the_question() -> None:
    for question in of_task("addition-2", 3, seed=0, count=20):
        *shots, asked = question.prompt.split("\n")
        assert len(set(shots)) == 3 and asked == question.item.prompt
        for shot in shots:
            a, b = sorted(map(int, shot.removeprefix("add ").partition("=")[0].split("+")))
            assert split_of("addition", f"{a} {b}") == "train"
    assert of_task("addition-2", 3, seed=0, count=5) == of_task("addition-2", 3, seed=0, count=20)[:5]
    assert of_task("addition-2", 3, seed=1, count=5) != of_task("addition-2", 3, seed=0, count=5)
    assert {question.shots for question in of_task("regression-1", None, seed=0, count=3)} == {8}
    with pytest.raises(ConfigError, match="its questions have 8 examples each"):
        of_task("regression-1", 9, seed=0, count=3)


def test_a_persons_own_questions_are_each_others_shots(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("".join(f'{{"prompt": "{i}?", "answer": "{i}"}}\n' for i in range(4)))
    for question in of_task(str(path), 3, seed=0, count=9):
        assert question.item.prompt.removesuffix("?") not in question.prompt.removesuffix(question.item.prompt)
    with pytest.raises(ConfigError, match="it has 4 questions, the one asked among them"):
        of_task(str(path), 4, seed=0, count=9)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 1: not JSON"),
        ("[1]", "line 1: must be an object"),
        ('{"answer": "1"}', "prompt must be text"),
        ('{"prompt": "1"}', "answer must be text"),
        ('{"prompt": "1", "choices": ["a", "b"], "gold": 2}', "must be the place of the right choice, 0 to 1"),
        ('{"prompt": "1", "answer": "1", "colour": 1}', "unknown field colour"),
        ('{"prompt": "1", "answer": "1", "chance": 2}', "must be between 0 and 1"),
    ],
)
def test_a_wrong_file_names_its_line(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ConfigError, match=said):
        of_task(str(path), None, seed=0, count=1)


def test_scores_are_means_of_what_applies_and_absent_where_nothing_does() -> None:
    choice = {"metric_kind": "choice", "choice_logp": [-3.0, -2.0], "choice_tokens": [2, 1], "choice_bytes": [2, 4]}
    rows = [{**choice, "gold": 0, "answer_logp": [-1.0, -2.0]}, {**choice, "gold": 1, "answer_logp": [-2.0]}]
    assert scores(rows) == {"accuracy": 0.5, "accuracy_norm": 0.5, "accuracy_bytes": 0.5, "answer_logp": -2.5}
    assert scores([{**rows[0], "choice_prior_logp": [-4.0, -2.0]}])["accuracy_prior"] == 1.0
    assert scores([{**rows[0], "choice_logp": [-2.0, -2.0]}])["accuracy"] == 0.0  # a tie is not right
    assert scores([]) == {}
