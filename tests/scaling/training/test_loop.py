"""Invariants 2 and 3: the same config gives the same numbers, however it was interrupted, shared or placed."""

import dataclasses
import gc
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, dumps, override, run_id
from scaling.program import checkpoint
from scaling.program.step import program
from scaling.store.lease import Held
from scaling.store.record import Record, Store
from scaling.training.loop import train
from tests.support.commands import ROOT

ALONE = Placement(data=1, save_seconds=1e9, block=1)  # stops are counted in steps


def go(config: RunConfig, store: Store, placement: Placement = ALONE, stop_after: int | None = None) -> Record:
    """Trains in this process; asked to stop once `stop_after` steps are on disk."""
    asked = iter(range(10**9))
    stop = (lambda: next(asked) >= stop_after - 1) if stop_after else (lambda: False)
    return train(config, store, placement, sweep=None, say=lambda event: None, stop=stop)


def state_of(store: Store, config: RunConfig) -> list[np.ndarray]:
    """Parameters and optimiser state that a finished run left."""
    final = checkpoint.path(store.run_dir(run_id(config)) / "checkpoints", config, config.steps)
    tree, _ = checkpoint.load(final, program(config, ALONE)[0].abstract)
    import jax

    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def assert_same_run(a: Store, b: Store, config: RunConfig) -> None:
    """Curves, figures and final state equal bit for bit."""
    assert a.curve(run_id(config)) == b.curve(run_id(config))
    one, two = a.read(run_id(config)), b.read(run_id(config))
    assert one is not None and two is not None
    assert dataclasses.replace(one, about={}, sweep=None) == dataclasses.replace(two, about={}, sweep=None)
    for x, y in zip(state_of(a, config), state_of(b, config), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.fixture
def other(tmp_path: Path, store: Store) -> Store:
    """A second store with the same corpus."""
    second = Store(tmp_path / "other")
    shutil.copytree(store.token_files, second.token_files)
    return second


def test_a_run_learns_and_its_record_holds_the_facts(store: Store, tiny: RunConfig) -> None:
    record = go(tiny, store)
    curve = store.curve(record.run_id)
    assert record.status == "done" and [row["step"] for row in curve] == list(range(1, 21))
    assert [row["step"] for row in curve if "val_loss" in row] == [6, 12, 18, 20]
    assert record.final["loss"] == curve[-1]["val_loss"] < curve[0]["loss"] - 1
    assert record.final["tokens"] == tiny.tokens == 20 * 8 * 32
    for fact in ("commit", "device", "seconds", "tokens_file", "compile_seconds", "tokens_per_second"):
        assert fact in record.about, fact
    assert go(tiny, store) == record  # done is done


def test_the_same_config_gives_the_same_numbers(store: Store, other: Store, tiny: RunConfig) -> None:
    go(tiny, store)
    go(tiny, other)
    assert_same_run(store, other, tiny)
    seeded = override(tiny, ["seed=1"])
    assert go(seeded, store).final["loss"] != store.read(run_id(tiny)).final["loss"]


@pytest.mark.parametrize("after", [1, 9, 17])
def test_resume_equals_uninterrupted(store: Store, other: Store, tiny: RunConfig, after: int) -> None:
    go(tiny, store)
    assert go(tiny, other, stop_after=after).status == "stopped"
    done = go(tiny, other)
    [before] = done.about["before"]
    assert before["commit"] == done.about["commit"] and before["precision"] == "float32"
    assert done.about["started_from"] == {"step": after, "shared": False}
    assert_same_run(store, other, tiny)


def test_branch_equals_scratch(store: Store, other: Store, tiny: RunConfig) -> None:
    short, long = tiny, override(tiny, ["steps=40"])
    go(short, store)
    branched = go(long, store)
    scratch = go(long, other)
    assert branched.about["started_from"] == {"step": 16, "shared": True} and branched.about["steps_computed"] == 24
    assert "started_from" not in scratch.about
    assert_same_run(store, other, long)


def test_a_run_with_another_prefix_shares_nothing(store: Store, tiny: RunConfig) -> None:
    go(tiny, store)
    for change in ("seed=3", "optimizer.lr=0.02", "batch=4"):
        record = go(override(tiny, ["steps=40", change]), store)
        assert "started_from" not in record.about, change


def test_sharing_can_be_refused(store: Store, tiny: RunConfig) -> None:
    go(tiny, store)
    record = go(override(tiny, ["steps=40"]), store, dataclasses.replace(ALONE, share=False))
    assert "started_from" not in record.about


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax drops the rest of a failed read
@pytest.mark.parametrize("damage", ["flip", "truncate", "manifest"])
def test_a_damaged_checkpoint_is_not_trusted(
    store: Store, other: Store, tiny: RunConfig, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    long = override(tiny, ["steps=40"])
    go(tiny, store)
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
    record = go(long, store)
    gc.collect()  # what Orbax dropped is complained of here, not in whichever test the collector next runs
    assert "started_from" not in record.about and "going on with an older one" in capfd.readouterr().err
    go(long, other)
    assert_same_run(store, other, long)


@pytest.mark.parametrize("where", ["first step", "late"])
def test_a_nan_ends_the_run_as_diverged_with_its_last_good_figures(
    store: Store, tiny: RunConfig, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {"first step": 0, "late": 9}[where]
    monkeypatch.setattr(
        "scaling.training.loop.learning_rate", lambda config, step: float("nan") if step == bad else 0.01
    )
    record = go(tiny, store)
    assert record.status == "diverged" and record.about["diverged_at"] == bad + 2  # the update of step bad+1 was NaN
    curve = store.curve(record.run_id)
    assert [row["step"] for row in curve] == list(range(1, bad + 2))
    assert record.final["step"] == bad + 1 and "loss" not in record.final
    assert all(np.isfinite(value) for row in curve for value in row.values())
    assert go(tiny, store) == record  # a result, not to be run again


def test_two_processes_do_not_train_one_run(store: Store, tiny: RunConfig) -> None:
    with store.lease(run_id(tiny)), pytest.raises(Held, match=f"is being trained by process {os.getpid()} on"):
        go(tiny, store)
    assert go(tiny, store).status == "done"


def losses(store: Store, config: RunConfig) -> np.ndarray:
    return np.array([row["loss"] for row in store.curve(run_id(config))])


MESHES = [(2, 1, 1), (1, 2, 1), (1, 1, 2), (2, 2, 1), (4, 1, 1), (1, 4, 1), (1, 1, 4), (8, 1, 1), (1, 8, 1)]


@pytest.mark.parametrize("meshes", [[(2, 2, 2)], pytest.param(MESHES, marks=pytest.mark.slow)], ids=["8", "1, 2, 4, 8"])
def test_meshes_agree(tmp_path: Path, corpus: Path, tiny: RunConfig, meshes: list[tuple[int, int, int]]) -> None:
    config = override(tiny, ["model.heads=4", "model.kv_heads=4", "model.width=32"])
    curves = {}
    for data, fsdp, tensor in [(1, 1, 1), *meshes]:
        store = Store(tmp_path / f"{data}{fsdp}{tensor}")
        store.token_files.mkdir(parents=True)
        os.link(corpus, store.token_files / corpus.name)
        go(config, store, Placement(data=data, fsdp=fsdp, tensor=tensor, save_seconds=1e9))
        curves[data, fsdp, tensor] = losses(store, config)
    for mesh, curve in curves.items():
        assert len(curve) == 20
        np.testing.assert_allclose(curve, curves[1, 1, 1], atol=1e-4, err_msg=str(mesh))


def test_a_sharded_state_is_sharded(tiny: RunConfig) -> None:
    import jax

    compiled, _ = program(tiny, Placement(data=1, fsdp=4, tensor=2))
    state = compiled.init(0)
    whole = sum(leaf.size for leaf in jax.tree.leaves(state))
    here = sum(leaf.addressable_shards[0].data.size for leaf in jax.tree.leaves(state))
    assert here < whole / 6  # all but the gains, over eight devices


def test_scanned_and_recomputed_runs_agree(store: Store, other: Store, tiny: RunConfig) -> None:
    go(tiny, store)
    go(tiny, other, dataclasses.replace(ALONE, scan=True, remat="full"))
    np.testing.assert_allclose(losses(store, tiny), losses(other, tiny), atol=1e-5)


def test_one_compilation_serves_every_run_of_a_shape(store: Store, tiny: RunConfig) -> None:
    go(tiny, store)
    for change in ("optimizer.lr=0.005", "steps=10", "seed=5", "schedule.name=cosine"):
        assert go(override(tiny, [change]), store).about["compile_seconds"] == 0.0, change


def process(config: RunConfig, store: Store, tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    path = tmp_path / "config.json"
    path.write_text(dumps(config))
    line = [sys.executable, "-m", "scaling", "train", str(path), "--store", str(store.root), "--events", *words]
    env = {**os.environ, "XLA_FLAGS": ""}
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env)


def wait_for(child: subprocess.Popen[str], event: str) -> dict:
    assert child.stdout is not None
    for line in child.stdout:
        said = json.loads(line)
        if said["event"] == event:
            return said
    raise AssertionError(f"the process ended without {event}: {child.communicate()[1]}")


def test_sigterm_saves_and_exits_75(store: Store, other: Store, tiny: RunConfig, tmp_path: Path) -> None:
    config = override(tiny, ["steps=20000", "eval.every=0"])
    child = process(config, store, tmp_path)
    wait_for(child, "step")
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
        "import os, signal, time, scaling.__main__ as door\n"
        "door.SAME = 0.2\n"
        "asked = door.stopper()\n"
        "for wait in (0.02, 0.3, 0.0):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(wait)\n"
        "    print(len(asked), flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stdout.split(), done.returncode) == (["1", "1"], 128 + signal.SIGTERM)


def test_a_launcher_that_is_gone_stops_the_run_with_its_state_saved(
    store: Store, tiny: RunConfig, tmp_path: Path
) -> None:
    config = override(tiny, ["steps=20000", "eval.every=0"])
    child = process(config, store, tmp_path)
    wait_for(child, "step")
    assert child.stdout is not None
    child.stdout.close()
    child.stdout = None
    child.communicate(timeout=60)
    assert child.returncode == 75
    record = store.read(run_id(config))
    assert record is not None and record.status == "stopped"


@pytest.mark.slow
def test_kill_9_three_times_at_random_moments(store: Store, other: Store, tiny: RunConfig, tmp_path: Path) -> None:
    config = override(tiny, ["steps=60000", "eval.every=2000"])  # longer than three lives of 2.5 s
    whole = process(config, other, tmp_path)
    assert whole.communicate(timeout=300)[0] and whole.returncode == 0
    moments = random.Random(time.time_ns())
    for _ in range(3):
        child = process(config, store, tmp_path, "--place", "save_seconds=0.4")
        wait_for(child, "step")
        time.sleep(moments.uniform(0.0, 1.5))
        assert child.poll() is None, "the run ended before it could be killed"
        child.kill()
        child.communicate()
    last = process(config, store, tmp_path)
    start = wait_for(last, "start")
    last.communicate(timeout=300)
    assert last.returncode == 0 and start["from"] > 0
    about = store.read(run_id(config)).about
    assert (
        len(about["before"]) == 3 and about["steps_computed"] >= config.steps
    )  # nothing of what was saved is forgotten
    assert_same_run(store, other, config)
