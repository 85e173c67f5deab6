"""Evaluation: scores are the model's own probabilities, asking changes nothing, one wrong task stops none."""

import codecs
import dataclasses
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from analysis.data.runs import read_runs
from scaling.__main__ import main
from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.placement import Placement
from scaling.config.run import EvalConfig, RunConfig, dumps, run_id
from scaling.config.schedule import ScheduleConfig
from scaling.data.prepare import prepare
from scaling.data.tokens import open_tokens
from scaling.data.windows import validation_windows
from scaling.evaluation.config import EvaluationOptions
from scaling.evaluation.run import evaluate_run, has_missing
from scaling.inference.load import TrainedModel, load_model
from scaling.inference.scorer import Scorer
from scaling.store import items as kept
from scaling.store.record import Store
from scaling.training.loop import train
from tests.support.commands import command
from tests.support.evaluation import log_probabilities, rows_of

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


def taught(config: RunConfig, store: Store, evaluation: EvaluationOptions | None = None) -> TrainedModel:
    train(
        config,
        store,
        Placement(),
        sweep=None,
        emit=lambda event: None,
        should_stop=lambda: False,
        evaluation=evaluation,
    )
    return load_model(store, run_id(config))


@pytest.fixture(scope="module")
def taught_once(tmp_path_factory: pytest.TempPathFactory, mixture: Path) -> tuple[Store, TrainedModel]:
    """A store and a model that has read a little of the mixture."""
    store = school_at(tmp_path_factory.mktemp("taught") / "store", mixture)
    return store, taught(pupil(mixture), store)


def evaluate(store: Store, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, list[str]]:
    """Exit status, standard output and lines of standard error of `scaling evaluate`."""
    status = main(["evaluate", "--store", str(store.root), *map(str, words)])
    printed = capsys.readouterr()
    return status, printed.out, printed.err.splitlines()


@pytest.mark.slow
def test_an_items_figures_are_the_models_own_probabilities(taught_once: tuple[Store, TrainedModel]) -> None:
    store, model_run = taught_once
    evaluation = evaluate_run(model_run, store, EvaluationOptions(tasks=("addition-2", "recall-2"), items=8))
    record = store.read(model_run.record.run_id)
    assert not evaluation.errors and record is not None and evaluation.facts.items() <= record.evals.items()
    result, after, scorer = rows_of(store, model_run), log_probabilities(model_run), Scorer(model_run)
    assert len(result["addition-2"]) == len(result["recall-2"]) == 8
    for row in result["addition-2"] + result["recall-2"]:
        context, answer = scorer.encode_prompt(row["prompt"]), scorer.encode(row["answer"])
        of_token = after([*context, *answer])[len(context) - 1 :]
        np.testing.assert_allclose(row["answer_logp"], [of_token[i, t] for i, t in enumerate(answer)], atol=2e-5)
        ends = [*answer, ord("\n")] if row["metric_kind"] == "exact" else answer
        assert row["greedy"] == all(of_token[i].argmax() == token for i, token in enumerate(ends))
    prior = after([model_run.tokenizer.eod])[0]
    for row in result["recall-2"]:
        context = scorer.encode_prompt(row["prompt"])
        letters = [ord(choice) for choice in row["choices"]]
        np.testing.assert_allclose(row["choice_logp"], after([*context])[len(context) - 1, letters], atol=2e-5)
        np.testing.assert_allclose(row["choice_prior_logp"], prior[letters], atol=2e-5)
        assert row["choices"][row["gold"]] == row["answer"]


def test_greedy_is_what_greedy_decoding_writes(taught_once: tuple[Store, TrainedModel]) -> None:
    store, model_run = taught_once
    evaluate_run(model_run, store, EvaluationOptions(tasks=("addition-1",), items=6, samples=2))
    for row in rows_of(store, model_run)["addition-1"]:
        assert len(row["generated"]) == len(row["passed"]) == 3
        assert row["passed"] == [text == row["answer"] for text in row["generated"]]
        assert row["passed"][0] == row["greedy"]


@pytest.mark.slow
def test_asking_on_the_way_changes_no_bit(tmp_path: Path, mixture: Path) -> None:
    config, tasks = pupil(mixture), ("addition-2", "perplexity")
    school, other = school_at(tmp_path / "asked", mixture), school_at(tmp_path / "unasked", mixture)
    options = taught(config, school, EvaluationOptions(tasks=tasks, shots=(0, 1), items=5, steps=(3, 8)))
    plain = taught(config, other)
    assert school.curve(run_id(config)) == other.curve(run_id(config))
    for file, two in zip(jax.tree.leaves(options.params), jax.tree.leaves(plain.params), strict=True):
        np.testing.assert_array_equal(file, two)
    steps = [(file.task, file.shots, file.step) for file in kept.item_files(school.items_dir(run_id(config)))]
    assert steps == [
        *(("addition-2", shots, step) for shots in (0, 1) for step in (3, 8)),
        *(("perplexity", 0, step) for step in (3, 8)),
    ]
    record = school.read(run_id(config))
    assert record is not None and {"addition-2@1/exact_match", "perplexity/loss"} <= set(record.evals)
    evaluate_run(
        load_model(school, run_id(config)), school, EvaluationOptions(tasks=("addition-2",), shots=(0,), items=5)
    )
    second = [
        file.path for file in kept.item_files(school.items_dir(run_id(config))) if (file.step, file.shots) == (8, 0)
    ]
    live, loaded = kept.read_items(second[0]), record.evals["addition-2/answer_logp"]
    assert np.mean([sum(row["answer_logp"]) for row in live]) == pytest.approx(loaded, abs=1e-5)


def test_each_score_has_its_step_and_only_the_last_step_has_plain_names(
    tmp_path: Path, mixture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, config = school_at(tmp_path / "store", mixture), pupil(mixture)
    last = taught(config, store, EvaluationOptions(tasks=("copying-1",), items=3, steps=(3,)))
    [shared] = [int(path.name.partition("-")[0]) for path in store.checkpoints.glob("[0-9]*")]
    plain = {"copying-1/exact_match", "copying-1/answer_logp", "copying-1/n"}
    in_training = {name.replace("/", "@step=3/") for name in plain}
    assert set(store.read(run_id(config)).evals) == in_training
    evaluate_run(last, store, EvaluationOptions(tasks=("copying-1",), items=3))
    final = {name: value for name, value in store.read(run_id(config)).evals.items() if name in plain}
    status, out, _ = evaluate(
        store, capsys, run_id(config), "--tasks", "copying-1", "--items", 2, "--step", shared, "--json"
    )
    record = store.read(run_id(config))
    assert status == 0 and json.loads(out)["step"] == shared
    assert {name: record.evals[name] for name in plain} == final  # not overwritten
    assert record.evals[f"copying-1@step={shared}/n"] == 2 and len(record.evals) == 9
    table = read_runs(store.root)
    assert {name for name in table if name.startswith("eval.copying")} == {f"eval.{name}" for name in plain}


def test_perplexity_on_its_own_windows_is_the_held_out_loss(taught_once: tuple[Store, TrainedModel]) -> None:
    store, model_run = taught_once
    evaluation = evaluate_run(model_run, store, EvaluationOptions(tasks=("perplexity",), items=24))
    result = evaluation.facts
    assert not evaluation.errors and result["perplexity/loss"] == pytest.approx(
        model_run.record.final["loss"], abs=2e-5
    )
    rows = rows_of(store, model_run)["perplexity"]
    assert all(len(row["answer_logp"]) == 48 and row["metric_kind"] == "loss" for row in rows)
    file = open_tokens(next(store.token_files.glob("*.tokens")))
    ends = sum(int((w[1:] == 256).sum()) for w in validation_windows(file, length=48, sequences=24))
    bytes_ = sum(row["answer_bytes"] for row in rows)
    assert bytes_ == len(rows) * 48 - ends
    assert result["perplexity/bits_per_byte"] == pytest.approx(
        result["perplexity/loss"] * len(rows) * 48 / bytes_ / math.log(2)
    )
    named = evaluate_run(model_run, store, EvaluationOptions(tasks=("perplexity",), items=24, tokens=MIX))
    assert not named.errors and list(named.facts.values()) == list(result.values())


def test_a_model_that_has_learned_nothing_scores_at_chance(taught_once: tuple[Store, TrainedModel]) -> None:
    store, model_run = taught_once
    result = evaluate_run(
        model_run, store, EvaluationOptions(tasks=("recall-4", "lookup-1", "addition-3"), items=100)
    ).facts
    for task, chance in (("recall-4", 1 / 4), ("lookup-1", 1 / 7)):
        assert abs(result[f"{task}/accuracy"] - chance) < 3.3 * math.sqrt(chance * (1 - chance) / 100)
    assert result["addition-3/exact_match"] == 0.0


def test_a_wrong_task_stops_no_other(
    taught_once: tuple[Store, TrainedModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, model_run = taught_once
    broken, own_path = tmp_path / "broken.jsonl", tmp_path / "mine.jsonl"
    broken.write_text('{"prompt": "1+1=", "answer": "2"}\n{"prompt": "1+2=", "choices": ["3"], "gold": 0}\n')
    own_path.write_text('{"prompt": "1+1=", "answer": "2"}\n{"prompt": "1+2=", "choices": ["3", "4"], "gold": 0}\n')
    tasks = f"algebra-3,addition-99,{broken},{tmp_path / 'none.jsonl'},recall-26,{own_path},addition-1"
    status, out, lines = evaluate(store, capsys, model_run.record.run_id[:8], "--tasks", tasks, "--items", 5, "--json")
    result = json.loads(out)
    assert status == 1  # recall-26 does not fit the model
    assert {name.partition("/")[0] for name in result["scores"]} == {"mine", "addition-1"}
    assert "mine/accuracy" in result["scores"] and "mine/exact_match" in result["scores"]
    parts = ("'algebra-3': must be one of", "1 to 12", "choices must be", "No such file", "recall-26: not scored")
    assert len(result["wrong"]) == len(parts) and len(lines) == len(parts) + len(result["notes"])
    for line, part in zip(result["wrong"], parts, strict=True):
        assert part in line and f"scaling evaluate: {line}" in lines


def test_what_is_kept_is_not_asked_again(taught_once: tuple[Store, TrainedModel]) -> None:
    store, model_run = taught_once
    run, options = model_run.record.run_id, EvaluationOptions(tasks=("addition-2",), shots=(1, 2), items=3)
    assert has_missing(store, run, 8, options)
    evaluate_run(model_run, store, options)
    assert not has_missing(store, run, 8, options)
    more = dataclasses.replace(options, tasks=("addition-2", "recall-1"))
    assert has_missing(store, run, 8, more)
    result = evaluate_run(model_run, store, more, only_missing=True)
    assert set(result.scores) == {"recall-1@1", "recall-1@2"}
    assert not has_missing(store, run, 8, more) and has_missing(store, run, 7, more)


@pytest.mark.slow
def test_train_asks_what_it_has_trained_alone_and_in_packs(tmp_path: Path, mixture: Path) -> None:
    store, files = school_at(tmp_path / "store", mixture), []
    for rate in (0.01, 0.02):
        config = dataclasses.replace(pupil(mixture), optimizer=OptimizerConfig(lr=rate))
        files.append(tmp_path / f"{rate}.json")
        files[-1].write_text(dumps(config))
    line = ("--store", store.root, "--tasks", "addition-1,nonsense", "--items", 4, "--task-steps", 4)
    done = command("scaling", "train", *files, "--pack", 2, *line)
    assert done.returncode == 2 and "unknown task 'nonsense'" in done.stderr, done.stderr
    assert not list(store.records())
    line = [word if word != "addition-1,nonsense" else "addition-1" for word in line]
    done = command("scaling", "train", *files, "--pack", 2, *line)
    assert done.returncode == 0, done.stderr
    for record in store.records():
        assert record.status == "done" and "addition-1/exact_match" in record.evals
        assert [file.step for file in kept.item_files(store.items_dir(record.run_id))] == [4, 8]
    second = command("scaling", "train", files[0], *line[:-4], "--items", 4, "--set", "steps=6")
    assert second.returncode == 0 and len(list(store.records())) == 3
    steps = [file.step for record in store.records() for file in kept.item_files(store.items_dir(record.run_id))]
    assert sorted(steps) == [4, 4, 6, 8, 8]


def test_a_process_that_is_killed_leaves_no_items_without_scores(
    taught_once: tuple[Store, TrainedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, model_run = taught_once
    options, write_items = EvaluationOptions(tasks=("copying-2", "sorting-2"), items=3), kept.write_items

    def write_until_killed(folder: Path, task: str, *more: Any) -> Path:
        if task == "sorting-2":
            raise KeyboardInterrupt
        return write_items(folder, task, *more)

    monkeypatch.setattr(kept, "write_items", write_until_killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate_run(model_run, store, options)
    record = store.read(model_run.record.run_id)
    assert record is not None and record.evals["copying-2/n"] == 3
    monkeypatch.undo()
    assert set(evaluate_run(model_run, store, options, only_missing=True).scores) == {"sorting-2"}


def test_bad_input_is_one_line_and_exit_status_2(
    taught_once: tuple[Store, TrainedModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, model_run = taught_once
    run, wrong = model_run.record.run_id[:8], tmp_path / "wrong.jsonl"
    wrong.write_text('{"prompt": "1+1=", "answer": 2}\n')
    (tmp_path / "addition-2.jsonl").write_text('{"prompt": "1+1=", "answer": "2"}\n')
    for words, part in (
        ((run, "--tasks", tmp_path / "none.jsonl"), "none.jsonl: cannot be read: No such file"),
        ((run, "--tasks", wrong), "line 1: answer must be text, not 2"),
        ((run, "--tasks", "algebra-2"), "unknown task 'algebra-2'"),
        ((run, "--tasks", tmp_path / "addition-2.jsonl"), "is the name of another task"),
        ((run, "--tokens", "nosuch"), "must be a token file, or a corpus of the store"),
        ((run, "--harness", "gsm8k", "--harness-path", tmp_path), "gsm8k.jsonl: cannot be read"),
        (("ffff", "--tasks", "addition-2"), "no run id starts with it"),
        (("--tasks", "addition-2"), "name the runs, or give --sweep NAME or --all-runs"),
        (("--sweep", "nosuch", "--tasks", "addition-2"), "--sweep nosuch: no such sweep"),
    ):
        status, out, lines = evaluate(store, capsys, *words)
        assert status == 2 and not out and len(lines) == 1 and part in lines[0]


def test_scores_have_their_number_of_items_and_interval(
    taught_once: tuple[Store, TrainedModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """addition-1 has three held-out questions; of the file line 4 is bad, and line 5 exceeds the context of 48."""
    store, model_run = taught_once
    path, run = tmp_path / "mine.jsonl", model_run.record.run_id
    good = '{"prompt": "a", "choices": ["x", "y"], "gold": 1}\n'
    path.write_bytes(codecs.BOM_UTF8 + (good + "\n" + good + "{\n" + good.replace("a", "a" * 99) + good).encode())
    status, out, lines = evaluate(store, capsys, run[:9], "--tasks", f"{path},addition-1", "--skip-bad", "--json")
    result = json.loads(out)
    assert status == 0 and result["wrong"] == [] and result["n"]["addition-1/exact_match"] == 3
    assert result["intervals"]["addition-1/exact_match"] == pytest.approx([0, 0.5615], abs=1e-4)  # Wilson, 0 of 3
    assert result["n"]["mine/accuracy"] == 3 and result["level"] == 0.95
    messages = ("line 4: not JSON", "1 of 4 items exceed the run's context of 48 tokens (line 5; up to",
                "task addition-1: 3 questions instead of 200: no others are held out")  # fmt: skip
    for message, note in zip(messages, result["notes"], strict=True):
        assert message in note and f"scaling evaluate: {note}" in lines
    assert [row["item"] for row in rows_of(store, model_run)["mine"]] == [0, 1, 4]
    record = store.read(run)
    assert record is not None and (record.evals["mine/n"], record.evals["addition-1/n"]) == (3, 3)
    _, out, _ = evaluate(store, capsys, run[:9], "--tasks", "addition-1")
    header, line = out.splitlines()[1:3]
    assert header.split() == ["score", "value", "95%", "interval", "n"]
    assert line.split() == ["addition-1/exact_match", "0", "[0,", "0.5615]", "3"]


def test_a_sweep_is_evaluated_where_results_are_missing_past_a_run_that_fails(
    taught_once: tuple[Store, TrainedModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three runs: one has no checkpoint, one is not done; evaluated again, only the one without results is tried."""
    store, model_run = taught_once
    school, record = Store(tmp_path / "sweep"), model_run.record
    shutil.copytree(store.root, school.root)
    school.write(dataclasses.replace(record, sweep="mine"))
    for status, seed in (("done", 1), ("failed", 2)):
        config = dataclasses.replace(record.config, seed=seed)
        school.write(
            dataclasses.replace(record, run_id=run_id(config), config=config, status=status, sweep="mine", evals={})
        )
    words = ("--sweep", "mine", "--tasks", "multiplication-2", "--items", 3)
    status, out, lines = evaluate(school, capsys, *words)
    assert status == 2 and out.count("multiplication-2/exact_match") == 1
    assert lines[0] == "scaling evaluate: 2 of 3 runs are done; left out: 1 failed"
    assert any("no intact checkpoint" in line for line in lines) and "2 of 2 runs evaluated, about 0 s" in lines[-1]
    status, out, lines = evaluate(school, capsys, *words)
    assert status == 2 and not out and "1 of 2 runs have these scores already" in lines[1]
    assert evaluate(school, capsys, "--all-runs", *words[2:], "--redo")[1].count("exact_match") == 1
