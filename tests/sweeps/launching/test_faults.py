"""A sweep of 40 runs with everything thrown at it: each record right in the end, none trained twice.

Thrown, for real: kill -9 of trainers and of the launcher, a disk that is full for a while, damaged checkpoints, a run
whose learning rate makes NaN, a second launcher of the same sweep and one of the same runs under another name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, prefix_id, run_id
from scaling.store.record import Record, Store
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import plan_sweep
from tests.support.commands import ROOT
from tests.support.sweeps import forty_runs, stored_corpus, wait_until

SIZE = "24m"  # of the file system that fills up
LAUNCHER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.support.sweeps import forty_runs, stored_corpus
from scaling.store.record import Store
from sweeps.errors import SweepError
from sweeps.engines import submission
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
store = Store(sys.argv[1])
command = (*submission.TRAIN, "--place", "tensorboard=false", *sys.argv[3:])
corpus = stored_corpus(store)
try:
    sys.exit(launch(store, sys.argv[2], forty_runs(corpus), corpus, LaunchOptions(command=command, workers=2)))
except SweepError as error:
    sys.exit(print(error, file=sys.stderr) or 2)
"""


OFTEN = ("--place", "save_seconds=0.5", "--place", "block=1")  # where faults come: saved often, and slow enough to hit


@pytest.fixture
def small(tmp_path: Path, noise_store: Store) -> Iterator[Store]:
    """A store on a small file system of its own, with the same corpus."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mount = tmp_path / "small"
    mount.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(mount)]
    if subprocess.run(line, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow a mount")
    try:
        store = Store(mount / "store")
        shutil.copytree(noise_store.token_files, store.token_files)
        yield store
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=False)


@dataclass
class Sweep:
    """A sweep under way, and what was thrown at it."""

    store: Store
    configs: dict[str, RunConfig]
    random: random.Random
    launcher: subprocess.Popen[str]
    thrown: list[str] = field(default_factory=list)
    hit: set[str] = field(default_factory=set)  # runs that were under way when something happened
    began: float = field(default_factory=time.monotonic)

    def note(self, subject: str) -> None:
        self.thrown.append(f"{time.monotonic() - self.began:5.1f} s  {subject}")

    def records(self) -> dict[str, Record]:
        return {record.run_id: record for record in self.store.records()}

    def under_way(self) -> dict[str, int]:
        """Runs in a process that lives, and its number."""
        running = {r.run_id: r.about["pid"] for r in self.records().values() if r.status == "running"}
        return {name: pid for name, pid in running.items() if alive(pid)}

    def ended(self) -> int:
        return sum(record.status in ("done", "diverged") for record in self.records().values())


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"scaling" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def start(store: Store, name: str) -> subprocess.Popen[str]:
    """A launcher; what it says goes to a file beside the stores."""
    env = {**os.environ, "XLA_FLAGS": ""}
    line = [sys.executable, "-c", LAUNCHER, str(store.root), name, *(() if store.root.name == "noise" else OFTEN)]
    beside = store.root.parent if store.root.name == "noise" else store.root.parent.parent
    log = (beside / f"{store.root.name}-{name}.err").open("a")
    with log:
        return subprocess.Popen(line, stderr=log, stdout=subprocess.DEVNULL, text=True, cwd=ROOT, env=env)


def free(sweep: Sweep, name: str) -> bool:
    """Whether no launcher of that name, and no trainer that it left, is there."""
    with (sweep.store.root / "sweeps" / f"{name}.lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def kill_trainers(sweep: Sweep, times: int) -> None:
    """kill -9 of a trainer in the middle of a run, each time another run's."""
    for _ in range(times):
        wait_until(lambda: any(name not in sweep.hit for name in sweep.under_way()))
        time.sleep(sweep.random.uniform(0.0, 0.6))
        at_work = sweep.under_way()
        fresh = sorted(name for name in at_work if name not in sweep.hit)
        if not fresh:
            continue
        name = sweep.random.choice(fresh)
        sweep.hit |= {n for n, pid in at_work.items() if pid == at_work[name]}
        with contextlib.suppress(ProcessLookupError):
            os.kill(at_work[name], signal.SIGKILL)
        sweep.note(f"kill -9 of the trainer of run {name[:12]}, process {at_work[name]}")


def second_launchers(sweep: Sweep) -> subprocess.Popen[str]:
    """One of the same sweep, which is refused; one of the same runs under another name, which helps."""
    env = {**os.environ, "XLA_FLAGS": ""}
    line = [sys.executable, "-c", LAUNCHER, str(sweep.store.root), "first", *OFTEN]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=env, check=False, timeout=120)
    assert done.returncode == 2 and f"by process {sweep.launcher.pid}" in done.stderr, done.stderr
    sweep.note("a second launcher of the same sweep beside the first: refused")
    beside = start(sweep.store, "second")
    sweep.note(f"a launcher of the same runs under another name beside the first, process {beside.pid}")
    return beside


def fill_disk(sweep: Sweep, seconds: float) -> None:
    """No room at all until a run has said so, and a while after."""
    ballast = sweep.store.root.parent / "ballast"
    sweep.hit |= set(sweep.under_way())
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    sweep.note(f"the disk of {SIZE} full")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sweep.hit |= set(sweep.under_way())
        time.sleep(0.02)
    sweep.hit |= set(sweep.under_way())
    ballast.unlink()
    sweep.note("room on the disk again")


def damage(sweep: Sweep, folder: Path, subject: str) -> str | None:
    """Flips a bit in the middle of a checkpoint's largest file; the checkpoint's name, None where there is none."""
    values = sorted(folder.glob("[0-9]*-*"))
    if not values:
        return None
    checkpoint = values[-1]
    files = [path for path in (checkpoint / "state").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 0x10
    largest.write_bytes(data)
    sweep.note(f"a bit flipped in {subject} {checkpoint.name[:24]}")
    return checkpoint.name


def damage_some(sweep: Sweep) -> None:
    """While nothing runs: the newest own checkpoint of a run under way, and shared ones that others will start from."""
    started = [r.run_id for r in sweep.records().values() if r.status in ("running", "stopped", "failed")]
    sweep.hit |= {
        name for name in started if damage(sweep, sweep.store.run_dir(name) / "checkpoints", "the checkpoint of a run,")
    }
    shared = damage(sweep, sweep.store.checkpoints, "a shared checkpoint,")
    assert shared is not None
    step, prefix = int(shared[:8]), shared[9:]
    sweep.hit |= {
        n for n, of_n in sweep.configs.items() if step <= of_n.decay_start and prefix_id(of_n, step) == prefix
    }


@pytest.mark.slow
def test_a_sweep_under_fire_ends_with_every_record_right_and_none_twice(
    noise_store: Store, small: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = stored_corpus(noise_store)
    runs = {run_id(config): config for config in forty_runs(corpus)}
    assert len(runs) == 40
    assert start(noise_store, "first").wait(timeout=900) == 0
    seed = int(os.environ.get("SCALING_FAULT_SEED", time.time_ns() % 10**6))
    sweep = Sweep(small, runs, random.Random(seed), start(small, "first"))
    wait_until(lambda: sweep.ended() >= 3)
    beside = second_launchers(sweep)
    kill_trainers(sweep, 3)
    wait_until(lambda: sweep.ended() >= 12)
    fill_disk(sweep, 3.0)
    kill_trainers(sweep, 2)
    for launcher, name in ((sweep.launcher, "first"), (beside, "second")):
        sweep.hit |= set(sweep.under_way())
        launcher.kill()
        launcher.wait()
        sweep.note(f"kill -9 of the {name} launcher")
    wait_until(
        lambda: not sweep.under_way() and free(sweep, "first") and free(sweep, "second")
    )  # trainers hear of it and stop
    damage_some(sweep)
    second, beside = start(small, "first"), start(small, "second")
    sweep.note("both launched again")
    assert (second.wait(timeout=900), beside.wait(timeout=900)) == (0, 0)
    sweep.note("over")
    with capsys.disabled():
        print(f"\nthrown at a sweep of 40 runs (seed {seed}):", *sweep.thrown, sep="\n  ")
    judge(sweep, noise_store, corpus)


def judge(sweep: Sweep, noise_store: Store, corpus: Corpus) -> None:
    """Every record as in the undisturbed sweep, and what no fault hit was trained once."""
    planned = {run.run_id: run for run in plan_sweep(list(sweep.configs.values()), corpus).runs}
    statuses = []
    text = "".join(path.read_text() for path in noise_store.root.parent.glob("store-*.err"))
    sweep.hit |= {name for name in sweep.configs if re.search(rf"run {name[:12]}.*\(attempt", text)}
    for name, config in sweep.configs.items():
        result, right = sweep.store.read(name), noise_store.read(name)
        assert result is not None and right is not None
        statuses.append(result.status)
        about = {"error", "diverged_at"} & {*result.about, *right.about}
        assert replace(result, about={}, sweep=None) == replace(right, about={}, sweep=None)
        assert {key: result.about[key] for key in about} == {key: right.about[key] for key in about}
        assert result.config == config
        assert sweep.store.curve(name) == noise_store.curve(name)
        if name not in sweep.hit and result.status == "done":
            assert "before" not in result.about, name
            assert result.about["steps_computed"] == config.steps - planned[name].from_step, name
    assert sorted(statuses) == ["diverged", *["done"] * 39]
    assert len(sweep.records()) == 40
