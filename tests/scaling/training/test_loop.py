"""Invariants 2 and 3: the same config gives the same numbers, however it was interrupted, shared or placed."""

import dataclasses
import gc
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, override, run_id
from scaling.program import checkpoint
from scaling.program.build import build_program
from scaling.store.lease import LeaseHeldError
from scaling.store.record import Store
from tests.support.commands import ROOT
from tests.support.sweeps import wait_until
from tests.support.training import STEPWISE, assert_same_run, losses, start_trainer, train_run, wait_for_event


def test_a_run_learns_and_its_record_holds_the_facts(store: Store, tiny: RunConfig) -> None:
    record = train_run(tiny, store)
    curve = store.curve(record.run_id)
    assert record.status == "done" and [row["step"] for row in curve] == list(range(1, 21))
    assert [row["step"] for row in curve if "val_loss" in row] == [6, 12, 18, 20]
    assert record.final["loss"] == curve[-1]["val_loss"] < curve[0]["loss"] - 1
    assert record.final["tokens"] == tiny.tokens == 20 * 8 * 32
    for fact in ("commit", "device", "seconds", "tokens_file", "compile_seconds", "tokens_per_second"):
        assert fact in record.about, fact
    assert train_run(tiny, store) == record  # done is done


def test_the_same_config_gives_the_same_numbers(store: Store, second_store: Store, tiny: RunConfig) -> None:
    train_run(tiny, store)
    train_run(tiny, second_store)
    assert_same_run(store, second_store, tiny)
    seeded = override(tiny, ["seed=1"])
    assert train_run(seeded, store).final["loss"] != store.read(run_id(tiny)).final["loss"]


@pytest.mark.parametrize("after", [1, 9, 17])
def test_resume_equals_uninterrupted(store: Store, second_store: Store, tiny: RunConfig, after: int) -> None:
    train_run(tiny, store)
    assert train_run(tiny, second_store, stop_after=after).status == "stopped"
    done = train_run(tiny, second_store)
    [before] = done.about["before"]
    assert before["commit"] == done.about["commit"] and before["precision"] == "float32"
    assert done.about["started_from"] == {"step": after, "shared": False}
    assert_same_run(store, second_store, tiny)


def test_branch_equals_scratch(store: Store, second_store: Store, tiny: RunConfig) -> None:
    short, long = tiny, override(tiny, ["steps=40"])
    train_run(short, store)
    branched = train_run(long, store)
    scratch = train_run(long, second_store)
    assert branched.about["started_from"] == {"step": 16, "shared": True} and branched.about["steps_computed"] == 24
    assert "started_from" not in scratch.about
    assert_same_run(store, second_store, long)


def test_a_run_with_another_prefix_shares_nothing(store: Store, tiny: RunConfig) -> None:
    train_run(tiny, store)
    for change in ("seed=3", "optimizer.lr=0.02", "batch=4"):
        record = train_run(override(tiny, ["steps=40", change]), store)
        assert "started_from" not in record.about, change


def test_sharing_can_be_refused(store: Store, tiny: RunConfig) -> None:
    train_run(tiny, store)
    record = train_run(override(tiny, ["steps=40"]), store, dataclasses.replace(STEPWISE, share=False))
    assert "started_from" not in record.about


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax drops the rest of a failed read
@pytest.mark.slow
@pytest.mark.parametrize("damage", ["flip", "truncate", "manifest"])
def test_a_damaged_checkpoint_is_not_trusted(
    store: Store, second_store: Store, tiny: RunConfig, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    long = override(tiny, ["steps=40"])
    train_run(tiny, store)
    [shared] = [path for path in store.checkpoints.iterdir() if not path.name.startswith(".")]
    files = [path for path in sorted((shared / "state").rglob("*")) if path.is_file()]
    biggest = max(files, key=lambda path: path.stat().st_size)
    if damage == "flip":
        data = bytearray(biggest.read_bytes())
        data[len(data) // 2] ^= 0x10
        biggest.write_bytes(data)
    elif damage == "truncate":
        biggest.write_bytes(biggest.read_bytes()[: biggest.stat().st_size // 2])
    else:
        (shared / "manifest.json").write_text("{")
    record = train_run(long, store)
    gc.collect()  # what Orbax dropped is complained of here, not in whichever test the collector next runs
    assert "started_from" not in record.about and "trying an older one" in capfd.readouterr().err
    train_run(long, second_store)
    assert_same_run(store, second_store, long)


@pytest.mark.parametrize("where", ["first step", "late"])
def test_a_nan_ends_the_run_as_diverged_with_its_last_good_figures(
    store: Store, tiny: RunConfig, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {"first step": 0, "late": 9}[where]
    monkeypatch.setattr(
        "scaling.training.steps.learning_rate", lambda config, step: float("nan") if step == bad else 0.01
    )
    record = train_run(tiny, store)
    assert record.status == "diverged" and record.about["diverged_at"] == bad + 2  # the update of step bad+1 was NaN
    curve = store.curve(record.run_id)
    assert [row["step"] for row in curve] == list(range(1, bad + 2))
    assert record.final["step"] == bad + 1 and "loss" not in record.final
    assert all(np.isfinite(value) for row in curve for value in row.values())
    assert train_run(tiny, store) == record  # a result, not to be run again


def test_two_processes_do_not_train_one_run(store: Store, tiny: RunConfig) -> None:
    with (
        store.lease(run_id(tiny)),
        pytest.raises(LeaseHeldError, match=f"is being trained by process {os.getpid()} on"),
    ):
        train_run(tiny, store)
    assert train_run(tiny, store).status == "done"


MESHES = [(2, 1, 1), (1, 2, 1), (1, 1, 2), (2, 2, 1), (4, 1, 1), (1, 4, 1), (1, 1, 4), (8, 1, 1), (1, 8, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("meshes", [[(2, 2, 2)], MESHES], ids=["8", "1, 2, 4, 8"])
def test_meshes_agree(tmp_path: Path, corpus: Path, tiny: RunConfig, meshes: list[tuple[int, int, int]]) -> None:
    config = override(tiny, ["model.heads=4", "model.kv_heads=4", "model.width=32"])
    curves = {}
    for data, fsdp, tensor in [(1, 1, 1), *meshes]:
        store = Store(tmp_path / f"{data}{fsdp}{tensor}")
        store.token_files.mkdir(parents=True)
        os.link(corpus, store.token_files / corpus.name)
        train_run(config, store, Placement(data=data, fsdp=fsdp, tensor=tensor, save_seconds=1e9))
        curves[data, fsdp, tensor] = losses(store, config)
    for mesh, curve in curves.items():
        assert len(curve) == 20
        np.testing.assert_allclose(curve, curves[1, 1, 1], atol=1e-4, err_msg=str(mesh))


@pytest.mark.slow
def test_a_sharded_state_is_sharded(tiny: RunConfig) -> None:
    import jax

    compiled, _ = build_program(tiny, Placement(data=1, fsdp=4, tensor=2))
    state = compiled.init(0)
    whole = sum(leaf.size for leaf in jax.tree.leaves(state))
    on_device_0 = sum(leaf.addressable_shards[0].data.size for leaf in jax.tree.leaves(state))
    assert on_device_0 < whole / 6  # all but the gains, over eight devices


@pytest.mark.slow
def test_scanned_and_recomputed_runs_agree(store: Store, second_store: Store, tiny: RunConfig) -> None:
    train_run(tiny, store)
    train_run(tiny, second_store, dataclasses.replace(STEPWISE, scan=True, remat="full"))
    np.testing.assert_allclose(losses(store, tiny), losses(second_store, tiny), atol=1e-5)


def test_one_compilation_serves_every_run_of_a_shape(store: Store, tiny: RunConfig) -> None:
    train_run(tiny, store)
    for change in ("optimizer.lr=0.005", "steps=10", "seed=5", "schedule.name=cosine"):
        assert train_run(override(tiny, [change]), store).about["compile_seconds"] == 0.0, change


@pytest.mark.slow
def test_sigterm_saves_and_exits_75(store: Store, second_store: Store, tiny: RunConfig, tmp_path: Path) -> None:
    config = override(tiny, ["steps=20000", "eval.every=0"])
    child = start_trainer(config, store, tmp_path)
    wait_for_event(child, "step")
    child.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    child.send_signal(signal.SIGTERM)  # the same, passed on by a parent that was told too
    child.communicate(timeout=60)
    assert child.returncode == 75
    record = store.read(run_id(config))
    assert record is not None and record.status == "stopped"
    assert list((store.run_dir(run_id(config)) / "checkpoints").glob("[0-9]*"))


def test_a_second_signal_ends_it_at_once_but_not_the_same_one_that_comes_twice() -> None:
    code = (
        "import os, signal, time\n"
        "from scaling.training import process\n"
        "process.REPEAT_SECONDS = 0.2\n"
        "context = process.stop_signals(signal.SIGTERM, at_second=lambda number, _: os._exit(128 + number))\n"
        "received = context.__enter__()\n"
        "for wait in (0.02, 0.3, 0.0):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(wait)\n"
        "    print(len(received), flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stdout.split(), done.returncode) == (["1", "1"], 128 + signal.SIGTERM)


@pytest.mark.slow
def test_a_launcher_that_is_gone_stops_the_run_with_its_state_saved(
    store: Store, tiny: RunConfig, tmp_path: Path
) -> None:
    config = override(tiny, ["steps=20000", "eval.every=0"])
    child = start_trainer(config, store, tmp_path)
    wait_for_event(child, "step")
    assert child.stdout is not None
    child.stdout.close()
    child.stdout = None
    child.communicate(timeout=60)
    assert child.returncode == 75
    record = store.read(run_id(config))
    assert record is not None and record.status == "stopped"


@pytest.mark.slow
def test_kill_9_three_times_at_random_moments(
    store: Store, second_store: Store, tiny: RunConfig, tmp_path: Path
) -> None:
    config = override(tiny, ["steps=60000", "eval.every=2000"])  # longer than three lives of 2.5 s
    whole = start_trainer(config, second_store, tmp_path)
    assert whole.communicate(timeout=300)[0] and whole.returncode == 0
    moments, folder = random.Random(time.time_ns()), store.run_dir(run_id(config)) / "checkpoints"
    for life in range(3):
        child = start_trainer(config, store, tmp_path, "--place", "save_seconds=0.4")
        wait_for_event(child, "step")
        if life == 0:  # on a busy machine no life might save: the last one would start at 0 though nothing is wrong
            wait_until(lambda: checkpoint.compatible_checkpoints([folder], config, store.checkpoint_folders), 60)
        time.sleep(moments.uniform(0.0, 1.5))
        assert child.poll() is None, "the run ended before it could be killed"
        child.kill()
        child.communicate()
    last = start_trainer(config, store, tmp_path)
    start = wait_for_event(last, "start")
    last.communicate(timeout=300)
    assert last.returncode == 0 and start["from"] > 0
    about = store.read(run_id(config)).about
    assert (
        len(about["before"]) == 3 and about["steps_computed"] >= config.steps
    )  # nothing of what was saved is forgotten
    assert_same_run(store, second_store, config)
