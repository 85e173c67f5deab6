"""A sweep on a real object-store API: launched, killed, gone on with by two machines at once, bit for bit.

The API is Moto's S3 server on this machine, spoken to by s3fs and, for checkpoints, TensorStore. A machine is a cache
folder of its own.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.config.run import run_id
from scaling.store.record import Store
from sweeps.planning.plan import plan_sweep
from tests.support.commands import ROOT
from tests.support.sweeps import stored_corpus, ten_runs, wait_until

ADDRESS = "s3://runs/of/a/test"
LAUNCHER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.support.sweeps import stored_corpus, ten_runs
from scaling.store.open import open_store
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
store = open_store(sys.argv[1])
store.fetch_results()
store.fetch_tokens()
placement = {{"save_seconds": 0.3, "tensorboard": False}}
corpus, options = stored_corpus(store), LaunchOptions(placement=placement, workers=2)
sys.exit(launch(store, sys.argv[2], ten_runs(corpus), corpus, options))
"""
BUCKET = """
import sys, s3fs
from pathlib import Path
fs = s3fs.S3FileSystem()
fs.mkdir("runs")
for path in Path(sys.argv[1]).iterdir():
    if not path.name.startswith("."):
        fs.put_file(str(path), f"runs/of/a/test/tokens/{path.name}")
"""


@pytest.fixture
def s3(tmp_path: Path, noise_store: Store) -> Iterator[dict[str, str]]:
    """The environment of a process that speaks to a server with a bucket in which the corpus lies."""
    pytest.importorskip("moto")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {
        **os.environ, "XLA_FLAGS": "", "PYTHONPATH": str(ROOT), "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1",
        "FSSPEC_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }  # fmt: skip
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(port), 60)
        line = [sys.executable, "-c", BUCKET, str(noise_store.token_files)]
        done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        yield env
    finally:
        server.kill()
        server.wait()


def answers(port: int) -> bool:
    with socket.socket() as first:
        return first.connect_ex(("127.0.0.1", port)) == 0


class Machine:
    """A launcher with a cache folder of its own."""

    def __init__(self, folder: Path, env: dict[str, str], name: str) -> None:
        self.env = {**env, "XDG_CACHE_HOME": str(folder / name)}
        self.caches, self.errors = folder / name / "scaling" / "stores", folder / f"{name}.err"
        with self.errors.open("a") as log:
            self.launcher = subprocess.Popen(
                [sys.executable, "-c", LAUNCHER, ADDRESS, "ten"], env=self.env, cwd=ROOT, stderr=log,
                stdout=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    @property
    def store(self) -> Store | None:
        values = list(self.caches.glob("*"))
        return Store(values[0]) if values else None

    def ended(self) -> int:
        store = self.store
        return sum(r.status in ("done", "diverged") for r in store.records()) if store else 0

    def kill(self) -> None:
        """As a power cut: the launcher and its trainers."""
        assert self.store is not None
        self.launcher.kill()
        for record in self.store.records():
            if record.status == "running":
                os.kill(record.about["pid"], signal.SIGKILL)
        self.launcher.wait()


def run_command(env: dict[str, str], *words: str) -> str:
    line = [sys.executable, "-m", *words]
    done = subprocess.run(line, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_sweep_on_s3_killed_and_gone_on_with_by_two_machines(
    s3: dict[str, str], noise_store: Store, tmp_path: Path
) -> None:
    corpus = stored_corpus(noise_store)
    runs = {run_id(config): config for config in ten_runs(corpus)}
    line = [sys.executable, "-c", LAUNCHER, str(noise_store.root), "ten"]
    assert subprocess.run(line, cwd=ROOT, env={**s3, "PYTHONPATH": str(ROOT)}, check=False).returncode == 0
    first = Machine(tmp_path, s3, "one")
    wait_until(lambda: first.ended() >= 3, 600)
    hit = {record.run_id for record in first.store.records() if record.status == "running"}
    first.kill()
    two, three = Machine(tmp_path, s3, "two"), Machine(tmp_path, s3, "three")
    text = (two.launcher.wait(timeout=600), three.launcher.wait(timeout=600))
    assert text == (0, 0), two.errors.read_text() + three.errors.read_text()
    env = {**s3, "XDG_CACHE_HOME": str(tmp_path / "four")}
    status = run_command(env, "sweeps", "status", "ten", "--store", ADDRESS)
    assert "9 done" in status and "1 diverged" in status
    assert len(run_command(env, "analysis", "table", ADDRESS, "--csv", "-").splitlines()) == 11
    [root] = (tmp_path / "four" / "scaling" / "stores").iterdir()
    values, planned = Store(root), {run.run_id: run for run in plan_sweep(list(runs.values()), corpus).runs}
    for name, config in runs.items():
        own_path, right = values.read(name), noise_store.read(name)
        assert own_path is not None and right is not None
        assert replace(own_path, about={}) == replace(right, about={})
        assert values.curve(name) == noise_store.curve(name)
        if name not in hit and own_path.status == "done":  # trained once, by whichever
            assert "before" not in own_path.about
            assert own_path.about["steps_computed"] == config.steps - planned[name].from_step
    assert hit
