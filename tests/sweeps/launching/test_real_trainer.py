"""Laws of a sweep with the real trainer: what a plan promises is what is trained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scaling.config.run import RunConfig, override, run_id
from scaling.data.tokens import open_tokens, write_tokens
from scaling.store.record import Store
from sweeps.launching.launch import launch
from sweeps.planning.budget import by_ratio, isoflop, step_flops
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import cost, execution_order, plan
from sweeps.status.status import status
from sweeps.status.terminal import isoflop_table
from tests.support.commands import ROOT

LAUNCHER = """
import sys
sys.path.insert(0, {root!r})
from tests.sweeps.launching.test_real_trainer import grid, read
from scaling.store.record import Store
from sweeps.launching.launch import launch
store = Store({store!r})
corpus = read(store)
sys.exit(launch(store, "small", grid(corpus), corpus))
"""


def grid(corpus: Corpus) -> list[RunConfig]:
    """Two sizes at two budgets: some 250 steps of small models."""
    return execution_order(
        isoflop(corpus, widths=(8, 16), budgets=(4e9, 6e9), sizes_per_budget=2, centre=by_ratio(90.0), length=16)
    )


def longer(runs: list[RunConfig]) -> list[RunConfig]:
    """With eight times the steps: long enough to be hit on their way."""
    return [override(run, [f"steps={8 * run.steps}"]) for run in runs]


def read(store: Store) -> Corpus:
    """The corpus in a store of ours."""
    file = open_tokens(next(store.token_files.glob("*.tokens")))
    return Corpus(name=file.corpus, tokens=file.content_hash, vocab=file.vocab, train=len(file.train))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with a small token file, and with every process that works in it gone afterwards."""
    tokens = np.random.default_rng(0).integers(0, 16, 60_000).astype(np.uint16)
    write_tokens(
        tmp_path / "tokens", [tokens[:50_000]], [tokens[50_000:]], corpus="noise", tokenizer="symbols",
        vocab=16, eod=None, documents=lambda: 1,
    )  # fmt: skip
    yield Store(tmp_path)


def losses(store: Store, runs: list[RunConfig]) -> dict[str, list[dict[str, float]]]:
    return {run_id(config): store.curve(run_id(config)) for config in runs}


def test_a_sweep_trains_what_its_plan_promises(store: Store, capsys) -> None:
    corpus = read(store)
    planned = plan(grid(corpus), corpus)
    assert sum(run.from_step > 0 for run in planned.runs) == 2
    assert launch(store, "small", grid(corpus), corpus) == 0, capsys.readouterr().err
    for run in planned.runs:
        record = store.read(run.run_id)
        assert record is not None
        assert (record.status, record.sweep, record.config) == ("done", "small", run.config)
        assert record.about["steps_computed"] == run.config.steps - run.from_step  # the branch was taken
        assert (record.params["total"], record.flops["total"]) == (run.N, run.C)
    computed = [(store.read(run.run_id), run.config) for run in planned.runs]
    spent = sum(record.about["steps_computed"] * step_flops(config) for record, config in computed if record)
    assert spent == cost(planned)["flops"]  # as quoted, to the last FLOP
    found = status(store, "small")
    assert found["counts"]["done"] == 4
    assert isoflop_table(found["runs"], ["budget"]).count("*") == 2
    assert plan(grid(corpus), corpus, store).left == []


@pytest.mark.slow
def test_killed_and_interrupted_it_ends_with_the_same_numbers(store: Store, tmp_path_factory) -> None:
    corpus = read(store)
    other = Store(tmp_path_factory.mktemp("undisturbed"))
    (other.root / "tokens").symlink_to(store.token_files)
    assert launch(other, "small", grid(corpus), corpus) == 0
    script = LAUNCHER.format(root=str(ROOT), store=str(store.root))

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE, text=True)

    def trainer(launcher: subprocess.Popen[str]) -> int:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            for run in status(store, "small")["runs"] if (store.root / "sweeps" / "small.json").exists() else []:
                record = store.read(run["run_id"])
                if record is not None and run["state"] == "running" and "step" in run:
                    return int(record.about["pid"])
            assert launcher.poll() is None, "ended before it could be disturbed"
            time.sleep(0.005)
        raise AssertionError("no run was seen running")

    first = begin()
    trainer(first)
    first.send_signal(signal.SIGTERM)  # a preemption: saved, and gone on with at the next launch
    _, said = first.communicate(timeout=120)
    assert first.returncode == 75, said
    second = begin()
    os.kill(trainer(second), signal.SIGKILL)
    _, said = second.communicate(timeout=180)
    assert second.returncode == 0, said
    assert losses(store, grid(corpus)) == losses(other, grid(corpus))
