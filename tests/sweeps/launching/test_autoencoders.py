"""A sweep of sparse autoencoders with the real trainer: models first, killed and resumed, fitted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.data.from_store import table
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.laws import find
from scaling.config.run import RunConfig, dumps, run_id
from scaling.store.record import Store
from sweeps.definitions.autoencoders import autoencoders
from sweeps.errors import SweepError
from sweeps.launching.launch import launch, write_sweep
from sweeps.launching.options import LaunchOptions
from sweeps.monitoring.status import status
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import plan_sweep
from tests.support.commands import ROOT
from tests.support.sweeps import stored_corpus, write_noise_corpus

LAUNCHER = """
import sys
sys.path.insert(0, {root!r})
from tests.support.sweeps import stored_corpus
from tests.sweeps.launching.test_autoencoders import tiny_sweep
from scaling.store.record import Store
from sweeps.launching.launch import launch
store = Store({store!r})
corpus = stored_corpus(store)
sys.exit(launch(store, "sae", tiny_sweep(corpus), corpus))
"""


def tiny_sweep(corpus: Corpus) -> list[RunConfig]:
    """Two models and two autoencoders of each."""
    return autoencoders(corpus, widths=(16, 24), ratio=10.0, latents=(32, 64), l0=(4,), tokens=20_480)


def launch_when_free(store: Store, configs: list[RunConfig], corpus: Corpus) -> int:
    """Launches as soon as the children of the killed launcher have saved and ended."""
    until = time.monotonic() + 120
    while True:
        try:
            return launch(store, "sae", configs, corpus, LaunchOptions(workers=1))
        except SweepError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


@pytest.mark.slow
def test_a_killed_sweep_resumes_and_its_autoencoders_are_read_by_their_law(tmp_path: Path) -> None:
    store = write_noise_corpus(Store(tmp_path))
    corpus = stored_corpus(store)
    configs = tiny_sweep(corpus)
    saes = [run_id(config) for config in configs if config.sae is not None]
    script = LAUNCHER.format(root=str(ROOT), store=str(store.root))
    launcher = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 240
    while time.monotonic() < until and not any(store.read_intact(name) for name in saes):
        assert launcher.poll() in (None, 0)
        time.sleep(0.1)
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait()
    assert launch_when_free(store, configs, corpus) == 0
    records = {name: store.read(name) for name in map(run_id, configs)}
    assert all(record is not None and record.status == "done" for record in records.values())
    for name in saes:
        record = records[name]
        assert record is not None and record.config.sae is not None
        model = records[str(record.config.sae.model_run)]
        assert model is not None and record.about["model_step"] == model.config.steps  # of the trained model
    rows = status(store, "sae")["runs"]
    assert [row["sae"]["latents"] for row in rows if "sae" in row] == [32, 64, 32, 64]
    name = table(tmp_path).dropna(subset=["n"])["model"].iloc[0]
    points = load(tmp_path, find("sae-n"), ReadOptions(where=f"model == '{name}'"))
    assert points["n"].tolist() == [32.0, 64.0] and (points.L > 0).all()


@pytest.mark.slow
def test_an_autoencoder_waits_for_its_model_or_says_what_is_missing(tmp_path: Path) -> None:
    store = write_noise_corpus(Store(tmp_path))
    corpus = stored_corpus(store)
    model, *saes = [c for c in tiny_sweep(corpus) if c.model.width == 16]
    files = []
    for config in (model, *saes):
        path = tmp_path / f"{run_id(config)[:8]}.json"
        path.write_text(dumps(config))
        files.append(str(path))

    def train(log: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "scaling", "train", *words, "--store", str(store.root)]
        with (tmp_path / log).open("wb") as file:
            return subprocess.Popen(
                command, cwd=ROOT, stderr=file, env={**os.environ, "SCALING_LEASE_SECONDS": "6"}
            )  # fmt: skip

    assert train("alone", files[1]).wait(timeout=240) == 2
    missing = f"its model, run {run_id(model)[:12]}: not in the store: train it first"
    assert missing in (tmp_path / "alone").read_text()
    write_sweep(store, "sae", plan_sweep([model, *saes], corpus))
    waiting = train("waiting", *files[1:], "--sweep", "sae")
    until = time.monotonic() + 240
    while "is not trained yet" not in (tmp_path / "waiting").read_text():
        assert waiting.poll() is None and time.monotonic() < until
        time.sleep(0.2)
    assert train("model", files[0], "--sweep", "sae").wait(timeout=240) == 0
    assert waiting.wait(timeout=240) == 0
    records = [store.read(run_id(config)) for config in saes]
    assert all(record is not None and record.status == "done" for record in records)
    assert all(record is not None and record.about["pack"]["runs"] == 2 for record in records)  # one forward pass
