"""Invariant 1: a run's identity is all that changes its numbers, and nothing else."""

import dataclasses
import json
from pathlib import Path

import pytest

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import RunConfig, dumps, load, loads, override, prefix_id, run_id
from scaling.config.schedule import ScheduleConfig
from scaling.config.validation import ConfigError, canonical, from_dict, to_dict

BASE = RunConfig(
    model=ModelConfig(vocab=257, width=64, layers=2, heads=2, mlp_width=172),
    data=DataConfig(tokens="0" * 64, length=128),
    optimizer=OptimizerConfig(lr=1e-3),
    batch=16,
    steps=100,
)


def test_ids_never_change() -> None:
    assert run_id(BASE) == "e5cc1139693469289661383d405f43b6b1260c0cae7f6a11d3815ae94eb7fe73"
    assert prefix_id(BASE, 50) == "bbdf74e5d19566ec5c64cf8f24764aad3543bb958e41f4571c49667b872b56d6"
    assert prefix_id(BASE, 90) == "92d7ba9a8b90d758eb059822040314581c122b6465c0e68326795ee06a519d9f"


def test_what_is_done_to_a_canonical_form_is_not_done_to_the_config() -> None:
    before = run_id(BASE), prefix_id(BASE, 0)
    form = canonical(BASE)
    form["data"].pop("tokens")
    form.pop("model")
    assert (run_id(BASE), prefix_id(BASE, 0)) == before


def test_json_both_ways() -> None:
    assert loads(dumps(BASE)) == BASE
    assert run_id(loads(dumps(BASE))) == run_id(BASE)


def test_every_field_but_labels_is_identity() -> None:
    changed = {
        "model.width": 68, "model.layers": 3, "model.tied": True, "model.mlp": "gelu", "model.kv_heads": 1,
        "model.positions": "alibi", "model.norm": "layernorm", "model.window": 8, "model.experts": 2,
        "data.document_end": 256,
        "data.length": 64, "data.tokens": "1" * 64, "optimizer.lr": 0.0010000000000000002, "optimizer.z_loss": 1e-4,
        "schedule.decay": 0.1, "schedule.name": "cosine", "eval.every": 5, "batch": 17, "steps": 101, "seed": 1,
        "precision": "bfloat16",
    }  # fmt: skip
    ids = {run_id(override(BASE, [f"{path}={json.dumps(value)}"])) for path, value in changed.items()}
    assert len(ids | {run_id(BASE)}) == len(changed) + 1
    labelled = override(BASE, ["budget=1e12", "data.corpus=cpython"])
    assert labelled != BASE and run_id(labelled) == run_id(BASE)


def test_whole_numbers_in_float_fields_are_the_same_run() -> None:
    assert run_id(override(BASE, ["optimizer.clip=1"])) == run_id(BASE)


def test_a_prefix_is_shared_exactly_until_the_decay() -> None:
    longer = override(BASE, ["steps=200"])
    decay = BASE.decay_start
    assert decay == 80
    assert prefix_id(BASE, decay) == prefix_id(longer, decay)
    assert prefix_id(BASE, decay + 1) != prefix_id(longer, decay + 1)
    assert prefix_id(BASE, 40) != prefix_id(BASE, 41)
    for other in ("seed=1", "optimizer.lr=0.002", "schedule.warmup=3", "batch=8", "eval.every=10", "model.layers=1"):
        assert prefix_id(override(BASE, [other]), 40) != prefix_id(BASE, 40), other


def test_another_way_of_decaying_shares_the_trunk() -> None:
    other = override(BASE, ["schedule.decay_shape=1-sqrt", "schedule.floor=0.1"])
    assert prefix_id(other, 80) == prefix_id(BASE, 80) and prefix_id(other, 81) != prefix_id(BASE, 81)
    cosine = dataclasses.replace(BASE, schedule=ScheduleConfig(name="cosine"))
    assert prefix_id(cosine, 40) != prefix_id(BASE, 40)


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("model.widht=3", "unknown field widht: must be one of vocab, width"),
        ("model.width=65", "width = 65: must be a multiple of heads = 2"),
        ("model.kv_heads=3", "must be a multiple of kv_heads = 3"),
        ("model.mlp=tanh", "must be one of swiglu, gelu"),
        ("model.positions=learned", "must be the longest context with learned positions"),
        ("model.window_pattern=LX", "must be letters L (local) and G (global)"),
        ("model.shared_experts=1", "set experts"),
        ("model.encoder_layers=2", "must be 1 or more for an encoder-decoder"),
        ("data.document_end=257", "must be less than ModelConfig.vocab = 257"),
        ("steps=1.5", "RunConfig.steps = 1.5: must be int"),
        ("steps=0", "must be greater than 0"),
        ("optimizer.lr=NaN", "must be finite"),
        ("data.tokens=abc", "64 hex digits"),
        ("schedule.warmup=90", "must end before the decay"),
        ("nonsense", "must be path.to.field=value"),
        ("seed=-1", "must be in [0, 2**32)"),
    ],
)
def test_a_config_that_cannot_be_is_refused_in_one_line(assignment: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        override(BASE, [assignment])
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("assignments", "says"),
    [
        (["model.experts=4", "model.experts_chosen=5"], "from 1 to experts = 4"),
        (["model.experts=4", "model.biases=all"], "must be none or qkv"),
        (["model.experts=4", "model.capacity=1", "data.document_end=256"], "must be null with model.capacity"),
        (["model.positions=learned", "model.position_length=64"], "length = 128: must be at most"),
        (["model.kind=encoder", "model.positions=buckets"], "causal trains 'decoder', span trains"),
        (["model.kind=encoder", "model.positions=buckets", "model.window=3"], "window = 3 with kind = 'encoder'"),
    ],
)
def test_parts_that_cannot_stand_together_say_why_in_one_line(assignments: list[str], says: str) -> None:
    data = to_dict(BASE)
    for assignment in assignments:
        path, value = assignment.split("=")
        section, name = path.split(".")
        data[section][name] = int(value) if value.isdigit() else value
    with pytest.raises(ConfigError) as error:
        from_dict(RunConfig, data)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_unknown_and_missing_fields_of_a_file_are_named() -> None:
    with pytest.raises(ConfigError, match="missing field model"):
        loads('{"batch": 1}')
    with pytest.raises(ConfigError, match="not JSON"):
        loads("{")


def test_a_number_too_large_and_a_file_that_does_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lr = 1000.*…: must be finite"):
        override(BASE, [f"optimizer.lr=1{'0' * 400}"])
    path = tmp_path / "run.json"
    path.write_text(dumps(BASE).replace('"width"', '"widht"'))
    with pytest.raises(ConfigError, match=r"run\.json: model: unknown field widht"):
        load(path)
