"""Packs: a run in a pack is the run alone, whatever its neighbours come to."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, dumps, override, run_id
from scaling.config.validation import ConfigError
from scaling.store.record import Record, Store
from scaling.training.packs.loop import train_pack
from scaling.training.packs.program import group_into_packs
from tests.support.commands import ROOT, command
from tests.support.training import STEPWISE, assert_same_run, train_run, wait_for_event

TOGETHER = Placement(save_seconds=1e9, share=False)  # a device a run, as far as eight reach
ONE_DEVICE = dataclasses.replace(TOGETHER, run=1)


def eight(tiny: RunConfig) -> list[RunConfig]:
    """Runs that differ in all that may differ, but for the token file."""
    changes = [
        [], ["seed=1"], ["optimizer.lr=0.003"], ["optimizer.weight_decay=0.3"], ["steps=13"],
        ["schedule.name=cosine"], ["schedule.name=constant", "steps=25"], ["eval.every=4", "eval.sequences=7"],
    ]  # fmt: skip
    return [override(tiny, change) for change in changes]


def assert_close(a: Store, b: Store, config: RunConfig) -> None:
    """Losses of training and held out equal to 1e-5 at every step, and the rest of the record."""
    first, two = a.curve(run_id(config)), b.curve(run_id(config))
    assert [sorted(row) for row in first] == [sorted(row) for row in two] and len(first) == config.steps
    for name in ("step", "loss", "val_loss"):
        x, y = ([row[name] for row in rows if name in row] for rows in (first, two))
        np.testing.assert_allclose(x, y, rtol=1e-5, err_msg=name)
    facts = [s.read(run_id(config)) for s in (a, b)]
    assert facts[0] is not None and facts[1] is not None
    plain = [dataclasses.replace(f, about={}, final={}) for f in facts]
    assert plain[0] == plain[1] and facts[0].final["tokens"] == facts[1].final["tokens"]


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    """What XLA has compiled since the test began."""
    results: list[str] = []

    def note(name: str, seconds: float, **more: object) -> None:
        if name == "/jax/core/compile/backend_compile_duration":
            results.append(str(more.get("fun_name", name)))

    jax.monitoring.register_event_duration_secs_listener(note)
    yield results
    jax.monitoring.unregister_event_duration_listener(note)


@pytest.mark.slow
def test_eight_runs_are_one_compilation_and_each_the_run_alone(
    store: Store, second_store: Store, tiny: RunConfig, compilations: list[str]
) -> None:
    configs = eight(tiny)
    records = train_pack(configs, store, TOGETHER)
    assert len(compilations) == 3  # initialise, step, evaluate
    assert [record.status for record in records] == ["done"] * 8
    assert records[0].about["pack"] == {"runs": 8, "places": 8, "devices": 8}
    for config in configs:
        train_run(config, second_store, dataclasses.replace(STEPWISE, share=False))
        assert_close(store, second_store, config)
    assert train_pack(configs, store, TOGETHER) == records  # done is done


@pytest.mark.slow
def test_runs_on_one_device_and_idle_places_change_nothing(store: Store, second_store: Store, tiny: RunConfig) -> None:
    configs = eight(tiny)[:3]
    train_pack(configs, store, ONE_DEVICE)
    train_pack(configs, second_store, dataclasses.replace(TOGETHER, run=2))  # four places
    for config in configs:
        assert_close(store, second_store, config)
        assert store.read(run_id(config)).about["pack"]["places"] == 3
        assert second_store.read(run_id(config)).about["pack"] == {"runs": 3, "places": 4, "devices": 2}


@pytest.mark.slow
@pytest.mark.parametrize("placement", [TOGETHER, ONE_DEVICE], ids=["a device each", "one device"])
def test_a_run_that_diverges_leaves_its_neighbours_bit_for_bit(
    store: Store, second_store: Store, tiny: RunConfig, placement: Placement
) -> None:
    good = [override(tiny, [f"seed={seed}"]) for seed in range(2)]
    bad = override(tiny, ["optimizer.lr=1e38", "schedule.warmup=0"])
    calm = override(tiny, ["optimizer.lr=0.02"])
    records = train_pack([good[0], bad, good[1]], store, placement)
    assert [record.status for record in records] == ["done", "diverged", "done"]
    assert records[1].final["step"] < 5 and "loss" not in records[1].final and records[1].about["diverged_at"] < 6
    train_pack([good[0], calm, good[1]], second_store, placement)
    for config in good:
        assert_same_run(store, second_store, config)


def interrupted(configs: list[RunConfig], store: Store, placement: Placement, after: int) -> list[Record]:
    """A pack that is asked to stop after some steps."""
    calls = iter(range(10**9))
    return train_pack(configs, store, placement, should_stop=lambda: next(calls) >= after - 1)


@pytest.mark.parametrize("after", [3, *(pytest.param(step, marks=pytest.mark.slow) for step in (16, 22))])
def test_a_pack_goes_on_bit_for_bit(store: Store, second_store: Store, tiny: RunConfig, after: int) -> None:
    configs = [tiny, override(tiny, ["seed=1", "steps=15"]), override(tiny, ["optimizer.lr=0.003", "steps=25"])]
    train_pack(configs, second_store, ONE_DEVICE)
    stopped = interrupted(configs, store, ONE_DEVICE, after)
    assert [r.status for r in stopped] == [("stopped" if c.steps > after else "done") for c in configs]
    done = train_pack(configs, store, ONE_DEVICE)
    assert done[2].about["started_from"] == {"step": after, "shared": False}
    assert [r.about["steps_computed"] for r in done] == [20, 15, 25]
    for config in configs:
        assert_same_run(store, second_store, config)


@pytest.mark.slow
def test_runs_move_between_packs_and_being_alone(store: Store, second_store: Store, tiny: RunConfig) -> None:
    configs = [tiny, override(tiny, ["seed=1"])]
    for config in configs:
        train_run(config, second_store)
    interrupted(configs, store, TOGETHER, 7)
    alone = train_run(configs[0], store)
    assert alone.about["started_from"] == {"step": 7, "shared": False}
    assert train_run(configs[1], store, stop_after=3).status == "stopped"
    [_, packed] = train_pack(configs, store, TOGETHER)
    assert packed.about["started_from"] == {"step": 10, "shared": False}
    for config in configs:
        assert_close(store, second_store, config)


@pytest.mark.slow
def test_a_pack_leaves_trunks_and_branches_from_them(store: Store, second_store: Store, tiny: RunConfig) -> None:
    short = [tiny, override(tiny, ["seed=1"])]
    long = [override(config, ["steps=40"]) for config in short]
    sharing = dataclasses.replace(TOGETHER, share=True)
    groups = group_into_packs([long[0], short[0], short[1], long[1]], 8, sharing)
    assert groups == [short, long]
    for group in groups:
        records = train_pack(group, store, sharing)
    assert [r.about["started_from"] for r in records] == [{"step": 16, "shared": True}] * 2
    for config in long:
        train_run(config, second_store)
        assert_close(store, second_store, config)


def test_packs_have_one_shape_and_runs_of_like_length(tiny: RunConfig) -> None:
    lengths = [override(tiny, [f"seed={i}", f"steps={10 * (4 - i)}"]) for i in range(4)]
    wide = override(tiny, ["model.width=32"])
    ramped = override(tiny, ["schedule.batch_ramp=[[4,6]]"])
    groups = group_into_packs([*lengths, wide, ramped, tiny], 2, TOGETHER)
    assert sorted(map(len, groups)) == [1, 1, 1, 2, 2]
    assert [lengths[3], lengths[2]] in groups and [wide] in groups and [ramped] in groups
    assert sorted(run_id(c) for g in groups for c in g) == sorted(run_id(c) for c in [*lengths, wide, ramped, tiny])


def test_what_does_not_go_together_is_refused_in_one_line(store: Store, tiny: RunConfig) -> None:
    for change, says in {"model.width=32": "model.width", "batch=4": "batch", "optimizer.beta2=0.9": "beta2"}.items():
        with pytest.raises(ConfigError, match=says):
            train_pack([tiny, override(tiny, [change])], store, TOGETHER)
    for place, says in ({"run": 9}, "must be at most the 8 devices"), ({"fsdp": 2}, "use one device"):
        with pytest.raises(ConfigError, match=says):
            train_pack([tiny], store, dataclasses.replace(TOGETHER, **place))


def test_a_run_that_cannot_begin_fails_alone(store: Store, tiny: RunConfig) -> None:
    lost = override(tiny, [f"data.tokens={'1' * 64}"])
    records = train_pack([lost, tiny], store, TOGETHER)
    assert [record.status for record in records] == ["failed", "done"]
    assert "prepare" in records[0].about["error"] and store.read(run_id(lost)).status == "failed"


@pytest.mark.slow
def test_runs_of_several_token_files_pack(tmp_path: Path, store: Store, second_store: Store, tiny: RunConfig) -> None:
    from scaling.data.prepare import prepare
    from scaling.data.tokens import open_tokens

    text = tmp_path / "second.txt"
    text.write_text("".join(f"{i} and {i * i}. " for i in range(3000)))
    for where in (store, second_store):
        path = prepare(f"text:{text}", where.token_files)
    second = override(tiny, [f"data.tokens={open_tokens(path).content_hash}"])
    train_pack([tiny, second], store, TOGETHER)
    for config in (tiny, second):
        train_run(config, second_store, dataclasses.replace(STEPWISE, share=False))
        assert_close(store, second_store, config)


def packed(configs: list[RunConfig], store: Store, tmp_path: Path, *words: str) -> list[str]:
    """The command that trains these runs in packs."""
    paths = [tmp_path / f"{i}.json" for i in range(len(configs))]
    for path, config in zip(paths, configs, strict=True):
        path.write_text(dumps(config))
    return ["scaling", "train", *map(str, paths), "--store", str(store.root), "--pack", *words]


@pytest.mark.slow
def test_the_command_packs_runs_by_shape(store: Store, tiny: RunConfig, tmp_path: Path) -> None:
    alike = [override(tiny, [f"seed={seed}"]) for seed in range(2)]
    wide, lost = override(tiny, ["model.width=32"]), override(tiny, ["seed=2", f"data.tokens={'1' * 64}"])
    done = command(*packed([alike[0], wide, alike[1], lost], store, tmp_path, "3"))
    assert done.returncode == 1 and "failed: " in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.count("in a pack of 3") == 2
    records = [store.read(run_id(config)) for config in (*alike, wide)]
    assert [record.status for record in records] == ["done"] * 3
    assert ["pack" in record.about for record in records] == [True, True, False]
    assert store.read(run_id(lost)).status == "failed"
    refused = command(*packed(alike, store, tmp_path, "0"))
    assert refused.returncode == 2 and "must be 1 or more" in refused.stderr and refused.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_pack_killed_and_then_stopped_goes_on_bit_for_bit(
    store: Store, second_store: Store, tiny: RunConfig, tmp_path: Path
) -> None:
    configs = [override(tiny, [f"seed={seed}", "steps=6000", "eval.every=1000"]) for seed in range(2)]
    assert command(*packed(configs, second_store, tmp_path, "2")).returncode == 0
    line = [sys.executable, "-m", *packed(configs, store, tmp_path, "2", "--events", "--place", "save_seconds=0.3")]
    for number, status in (signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 75):
        env = {**os.environ, "XLA_FLAGS": ""}
        child = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env)
        wait_for_event(child, "step")
        time.sleep(1)
        child.send_signal(number)
        child.communicate(timeout=120)
        assert child.returncode == status
    assert [store.read(run_id(config)).status for config in configs] == ["stopped"] * 2
    assert command(*packed(configs, store, tmp_path, "2")).returncode == 0
    for config in configs:
        assert store.read(run_id(config)).about["started_from"]["step"] > 0
        assert_same_run(store, second_store, config)


@pytest.mark.slow
def test_runs_mapped_over_on_one_device_are_the_runs_alone(
    store: Store, second_store: Store, tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As accelerators do it: a CPU's runs take turns."""
    configs = [override(tiny, ["precision=float32", "steps=8", f"seed={seed}"]) for seed in range(2)]
    with monkeypatch.context() as accelerator:
        accelerator.setattr(jax, "default_backend", lambda: "gpu")
        train_pack(configs, store, ONE_DEVICE)
    for config in configs:
        train_run(config, second_store, dataclasses.replace(STEPWISE, share=False))
        assert_close(store, second_store, config)
