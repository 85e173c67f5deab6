"""What a sweep's models are asked: every done run everything, none twice, and again what is not kept."""

import argparse
from pathlib import Path

import pytest

from scaling.commands.evaluate import add_training, evaluation_options
from scaling.config.run import RunConfig, run_id
from scaling.store import items
from scaling.store.record import Record, Store
from sweeps.definitions import DEFINITIONS, Tasks
from sweeps.launching import evaluate
from tests.support.commands import command

ROW = {"task": "t", "family": "t", "shots": 0, "step": 20, "item": 0, "metric_kind": "exact", "greedy": True}


def test_trainer_and_sweep_mean_the_same_by_their_arguments() -> None:
    parser = argparse.ArgumentParser()
    add_training(parser)
    options = evaluation_options(
        parser.parse_args([*evaluate.evaluate_arguments(Tasks(("addition-2", "recall-4"), (0, 2), 7))])
    )
    assert (options.tasks, options.shots, options.items) == (("addition-2", "recall-4"), (0, 2), 7)


def test_a_done_run_is_asked_what_is_not_kept_of_its_last_step(tmp_path: Path, tiny: RunConfig) -> None:
    store, name = Store(tmp_path), run_id(tiny)
    tasks = Tasks(("addition-2", "recall-4"), (0, 2))
    assert evaluate.unevaluated_runs(store, [name], tasks) == []  # it has no record
    store.write(Record(run_id=name, config=tiny, status="stopped"))
    assert evaluate.unevaluated_runs(store, [name], tasks) == []
    store.write(Record(run_id=name, config=tiny, status="done"))
    for task, shots in (("addition-2", 0), ("addition-2", 2), ("recall-4", 0)):
        items.write_items(store.items_dir(name), task, shots, 20, [ROW])
    items.write_items(store.items_dir(name), "recall-4", 2, 10, [ROW])  # of a step on the way
    assert evaluate.unevaluated_runs(store, [name], tasks) == [name]
    items.write_items(store.items_dir(name), "recall-4", 2, 20, [ROW])
    assert evaluate.unevaluated_runs(store, [name], tasks) == []
    assert evaluate.unevaluated_runs(store, [name], Tasks(("addition-2", "sorting-3"))) == [name]


def test_every_task_of_a_sweep_is_one() -> None:
    from scaling.data.tasks.family import parse_task

    for known in DEFINITIONS.values():
        for task in known.tasks.names if known.tasks else ():
            parse_task(task)


@pytest.mark.slow
def test_a_sweep_asks_its_models_and_again_what_has_gone(tmp_path: Path) -> None:
    small = (
        "--corpus",
        "mix:addition:1-3=0.8,recall=0.2,tokens=200000",
        "--set",
        "widths=8",
        "--set",
        "tokens=2e4,4e4",
    )
    first = command("sweeps", "launch", "emergence", "--store", tmp_path, *small)
    assert first.returncode == 0, first.stderr
    store, tasks = Store(tmp_path), DEFINITIONS["emergence"].tasks
    assert tasks is not None
    records = list(store.records())
    for record in records:
        remaining = items.item_files(store.items_dir(record.run_id))
        assert sorted(file.task for file in remaining) == sorted(tasks.names)
        assert {file.step for file in remaining} == {record.config.steps} and "addition-2/exact_match" in record.evals
    items.item_files(store.items_dir(records[0].run_id))[0].path.unlink()
    second = command("sweeps", "launch", "emergence", "--store", tmp_path, *small)
    assert second.returncode == 0 and "evaluating 1 runs on their tasks" in second.stderr
    assert evaluate.unevaluated_runs(store, [record.run_id for record in records], tasks) == []
