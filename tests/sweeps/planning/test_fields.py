"""`--set` of any field of the runs' configs: values, grids, and what the design holds constant."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, prefix_id, run_id
from scaling.counting.counts import total_run_flops
from sweeps.__main__ import main
from sweeps.commands.options import separate_arguments
from sweeps.definitions import DEFINITIONS
from sweeps.errors import SweepError
from sweeps.planning.corpus import Corpus
from sweeps.planning.fields import (
    CHOSEN_ELSEWHERE,
    apply_fields,
    field_value,
    fields_note,
    known_fields,
    parse_fields,
)
from sweeps.planning.plan import plan_sweep
from sweeps.planning.settings import parse_settings, separate_fields
from tests.support.commands import call_command

CORPUS = Corpus(name="a text", tokens="ab" * 32, vocab=257, train=2_000_000)
QUICKSTART = DEFINITIONS["quickstart"].make(CORPUS)[:4]
MARKOV = "markov:vocab=64,tokens=20000"


def with_fields(*assignments: str, runs: list[RunConfig] = QUICKSTART) -> list[RunConfig]:
    return apply_fields(runs, parse_fields(assignments))


OTHER_VALUES = {  # of fields that need a word, or that depend on others
    "model.mlp": "gelu", "model.positions": "alibi", "model.norm": "layernorm", "model.norm_placement": "sandwich",
    "model.biases": "qkv", "model.window": "16", "model.window_pattern": "LG", "model.heads": "1", 
    "model.kv_heads": "1",
    "model.parametrization": "standard", "optimizer.name": "lion", "schedule.name": "constant", "schedule.warmup": "20",
    "schedule.decay_shape": "cosine", "schedule.batch_ramp": "[[4,100]]", "precision": "float32", "model.width": "192",
    "data.length": "64", "model.gates": "all", "model.vocab": "320", "data.unique": "4096", "batch": "4",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in known_fields() if name not in CHOSEN_ELSEWHERE])
def test_any_field_of_a_config_can_be_set(name: str) -> None:
    run = dataclasses.replace(QUICKSTART[0], budget=None)
    text = OTHER_VALUES.get(name, "0.5" if known_fields()[name] in (float, float | None) else "3")
    try:
        (changed,) = with_fields(f"{name}={text}", runs=[run])
    except SweepError as error:  # another field is needed as well, and the message is the config's own
        assert str(error).startswith(f"--set {name}=") and "\n" not in str(error), error
        assert any(part in str(error) for part in (".".join(["Config", name.rpartition(".")[2]]), "Config.")), error
        return
    assert field_value(changed, name) == parse_fields([f"{name}={text}"])[name][0]
    assert (run_id(changed) == run_id(run)) == (field_value(changed, name) == field_value(run, name))


def test_values_make_a_grid_of_their_product() -> None:
    assert with_fields("optimizer.clip=[0.5, 1]") == with_fields("optimizer.clip=0.5,1")
    runs = with_fields("optimizer.weight_decay=0.05,.1", "schedule.kind=cosine", "optimizer.beta2=0.9,0.95,0.99")
    assert len(runs) == 6 * len(QUICKSTART) == len(set(map(run_id, runs)))
    assert {run.schedule.name for run in runs} == {"cosine"}
    pairs = [(run.optimizer.weight_decay, run.optimizer.beta2) for run in runs]
    assert all(pairs.count(pair) == len(QUICKSTART) for pair in pairs) and len(set(pairs)) == 6


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("schedule.batch_ramp=[[2,50],[4,100]]", ((2, 50), (4, 100))),
        ("model.tied=True", True),
        ("model.kv_heads=none", None),
        ("optimizer.clip=1e0", 1.0),
        ("eval.every=1e2", 100),
        ("run.precision=bfloat16", "bfloat16"),
        ("model.biases=none", "none"),
    ],
)
def test_a_value_is_read_as_its_field_needs_it(assignment: str, value: object) -> None:
    (name, (first,)), *_ = parse_fields([assignment]).items()
    (changed,) = with_fields(assignment, runs=[dataclasses.replace(QUICKSTART[0], budget=None)])
    assert field_value(changed, name) == value and (first is value or first == value)


def test_a_run_without_fields_keeps_its_id_and_a_value_it_has_already_changes_nothing() -> None:
    decay = QUICKSTART[0].optimizer.weight_decay
    assert with_fields(f"optimizer.weight_decay={decay}") == QUICKSTART


def test_runs_with_a_budget_keep_their_flops_and_others_their_tokens_and_warmup() -> None:
    for run, changed in zip(QUICKSTART, with_fields("model.mlp=gelu"), strict=True):
        assert changed.budget == run.budget is not None and changed.steps > run.steps
        assert total_run_flops(changed) == pytest.approx(run.budget, rel=0.01)
    free = [dataclasses.replace(run, budget=None) for run in QUICKSTART]
    for run, changed in zip(free, with_fields("batch=4", runs=free), strict=True):
        assert (changed.tokens, changed.schedule.warmup) == (run.tokens, 2 * run.schedule.warmup)
    (ramped,) = with_fields("schedule.batch_ramp=[[4,100]]", runs=free[:1])
    assert ramped.tokens == pytest.approx(free[0].tokens, rel=0.01) and ramped.steps == free[0].steps + 50


def test_given_steps_are_taken_as_they_are_and_the_budget_is_no_longer_named() -> None:
    (changed,) = with_fields("steps=700", runs=QUICKSTART[:1])
    assert (changed.steps, changed.budget) == (700, None)
    assert "budgets no longer apply" in fields_note({"steps": (700,)})


def test_a_field_that_acts_on_the_decay_alone_keeps_the_shared_prefix() -> None:
    trunk = {prefix_id(run, 0) for run in QUICKSTART[:1]}
    assert {
        prefix_id(run, 0) for run in with_fields("schedule.decay_shape=linear,cosine", runs=QUICKSTART[:1])
    } == trunk
    decays = plan_sweep(with_fields("schedule.decay=0.1,0.2", runs=QUICKSTART[:1]), CORPUS)
    assert [run.from_step > 0 for run in decays.runs] == [False, True]
    assert trunk.isdisjoint(prefix_id(run, 0) for run in with_fields("optimizer.weight_decay=0.2"))


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["optimizer.weight_dekay=0.1"], "unknown field optimizer.weight_dekay: did you mean optimizer.weight_decay"),
        (["optimiser.lr=0.1"], "unknown field optimiser.lr: did you mean optimizer.lr"),
        (["model=3"], "model is a group of fields: must be one of model.vocab, model.width"),
        (["data.tokens=ab"], "data.tokens cannot be set: choose the corpus with --corpus"),
        (["optimizer.lr=1", "optimizer.lr=2"], "optimizer.lr is given twice: a list makes a grid"),
        (["optimizer.lr=1,1.0"], "a value is given twice"),
        (["optimizer.lr=1,"], "must be a value or a list of values"),
        (["optimizer.weight_decay=-1"], "OptimizerConfig.weight_decay = -1.0: must be 0 or more"),
        (["schedule.name=cosin"], "must be one of wsd, cosine"),
        (["model.layers=2.5"], "ModelConfig.layers = 2.5: must be int"),
        (["batch=4096"], "are .* steps, and whole steps miss them by over 1%"),
    ],
)
def test_what_cannot_be_set_is_one_line_that_says_why(assignments: list[str], message: str) -> None:
    with pytest.raises(SweepError, match=message) as refused:
        with_fields(*assignments)
    assert str(refused.value).startswith("--set ") and "\n" not in str(refused.value)


def test_a_field_that_the_sweep_varies_cannot_be_set() -> None:
    with pytest.raises(SweepError, match="--set steps: the sweep varies what this sets: of 35 runs 6 would differ"):
        with_fields("steps=5000", runs=DEFINITIONS["quickstart"].make(CORPUS))


def test_a_setting_of_the_sweep_comes_before_a_field_of_the_same_name() -> None:
    make = DEFINITIONS["ladder"].make
    assignments = ["rules=small", "batch=2048", "run.batch=4", "widths=16", "optimizer.lr=0.001"]
    assert separate_fields(make, assignments) == (
        ["rules=small", "batch=2048", "widths=16"],
        ["run.batch=4", "optimizer.lr=0.001"],
    )
    assert separate_fields(DEFINITIONS["quickstart"].make, ["batch=4"]) == ([], ["batch=4"])
    with pytest.raises(SweepError, match=r"did you mean optimizer.weight_decay\? settings of ladder are .*any field"):
        parse_settings("ladder", make, ["weight_decay=1"])


def test_several_assignments_may_follow_one_flag() -> None:
    written = ["plan", "x", "--set", "a=1", "b.c=2", "--json", "--set", "d=3", "ladder"]
    assert separate_arguments(written) == [
        "plan",
        "x",
        "--set",
        "a=1",
        "--set",
        "b.c=2",
        "--json",
        "--set",
        "d=3",
        "ladder",
    ]
    assert separate_arguments(["--set=a=1", "b=2"]) == ["--set=a=1", "--set", "b=2"]
    dry = ["launch", "--dry-run", "ladder", "--store", "S"]
    assert separate_arguments(dry) == ["launch", "--dry-run=", "ladder", "--store", "S"]
    assert separate_arguments([*dry, "markov"]) == [*dry, "markov"]  # the folder may have the name of a sweep
    assert separate_arguments(["next", "S", "--target", "C=1e3"]) == ["next", "S", "--target", "C=1e3"]


def test_a_plan_names_the_fields_and_shows_those_that_vary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", "ladder", "--store", str(tmp_path), "--corpus", MARKOV, "--set", "rules=small", "widths=16,32"]
    words += ["ratios=20", "optimizer.weight_decay=0.05,0.1", "schedule.kind=cosine"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "set: optimizer.weight_decay = 0.05, 0.1; schedule.name = cosine (each run once per value (2))" in text
    assert "optimizer.weight_decay" in text.splitlines()[0] and "4 runs of " in text
    assert main([*words, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["set"] == {"optimizer.weight_decay": [0.05, 0.1], "schedule.name": ["cosine"]}
    decays = sorted((run["width"], run["config"]["optimizer"]["weight_decay"]) for run in plan["runs"])
    assert decays == [(16, 0.05), (16, 0.1), (32, 0.05), (32, 0.1)]


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (("lr=0.002", "optimizer.lr=0.001"), "--set lr=0.002: optimizer.lr is set as well: give one of them"),
        (("length=64", "data.length=32"), "--set length=64: data.length is set as well"),
        (("--seed", "3", "--set", "seed=1,2"), "--seed 3: --set gives seed as well"),
    ],
)
def test_a_field_and_a_setting_that_determines_it_exclude_each_other(
    assignments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    words = ["plan", "ladder", "--store", tmp_path, "--corpus", MARKOV, "--set", "rules=small", *assignments]
    refused = call_command("sweeps", *words)
    assert refused.returncode == 2 and refused.stderr.startswith(message), refused.stderr
