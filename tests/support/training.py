"""Training runs in this process or in one of their own, and comparing what two runs left."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, dumps, run_id
from scaling.program import checkpoint
from scaling.program.build import build_program
from scaling.store.record import Record, Store
from scaling.training.loop import train
from tests.support.commands import ROOT

STEPWISE = Placement(data=1, save_seconds=1e9, block=1)  # stops are counted in steps


def train_run(
    config: RunConfig, store: Store, placement: Placement = STEPWISE, stop_after: int | None = None
) -> Record:
    """Train in this process; stop is requested once `stop_after` steps are on disk."""
    calls = iter(range(10**9))
    stop = (lambda: next(calls) >= stop_after - 1) if stop_after else (lambda: False)
    return train(config, store, placement, sweep=None, emit=lambda event: None, should_stop=stop)


def final_state(store: Store, config: RunConfig) -> list[np.ndarray]:
    """Parameters and optimiser state at the last step of a finished run."""
    final = checkpoint.checkpoint_path(store.run_dir(run_id(config)) / "checkpoints", config, config.steps)
    tree, _ = checkpoint.restore_checkpoint(final, build_program(config, STEPWISE)[0].abstract)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def assert_same_run(a: Store, b: Store, config: RunConfig) -> None:
    """Curves, records and final states of a run in two stores are equal bit for bit."""
    assert a.curve(run_id(config)) == b.curve(run_id(config))
    first, second = a.read(run_id(config)), b.read(run_id(config))
    assert first is not None and second is not None
    assert dataclasses.replace(first, about={}, sweep=None) == dataclasses.replace(second, about={}, sweep=None)
    for x, y in zip(final_state(a, config), final_state(b, config), strict=True):
        np.testing.assert_array_equal(x, y)


def losses(store: Store, config: RunConfig) -> np.ndarray:
    """Training losses of a run, step by step."""
    return np.array([row["loss"] for row in store.curve(run_id(config))])


def start_trainer(config: RunConfig, store: Store, tmp_path: Path, *flags: str) -> subprocess.Popen[str]:
    """`scaling train` in a process of its own; events on its standard output."""
    path = tmp_path / "config.json"
    path.write_text(dumps(config))
    line = [sys.executable, "-m", "scaling", "train", str(path), "--store", str(store.root), "--events", *flags]
    env = {**os.environ, "XLA_FLAGS": ""}
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env)


def wait_for_event(child: subprocess.Popen[str], event: str) -> dict:
    """The first event of this kind that a trainer writes."""
    assert child.stdout is not None
    for line in child.stdout:
        row = json.loads(line)
        if row["event"] == event:
            return row
    raise AssertionError(f"the process ended without {event}: {child.communicate()[1]}")
