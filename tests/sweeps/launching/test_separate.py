"""`launch --separate`: the numbers of a shared sweep, each run paid for in full by its own process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from scaling.config.run import run_id
from scaling.store.record import Store
from sweeps.errors import SweepError
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
from tests.support.sweeps import curves, stored_corpus, trained_grid


@pytest.mark.slow
def test_separate_runs_have_the_numbers_of_shared_ones_and_share_nothing(noise_store: Store, tmp_path_factory) -> None:
    corpus, seconds = stored_corpus(noise_store), {}
    other = Store(tmp_path_factory.mktemp("separate"))
    (other.root / "tokens").symlink_to(noise_store.token_files)
    for where, separate in ((noise_store, False), (other, True)):
        started_at = time.monotonic()
        assert launch(where, "small", trained_grid(corpus), corpus, LaunchOptions(separate=separate)) == 0
        seconds[separate] = time.monotonic() - started_at
    print(
        f"one process a run {seconds[True]:.1f} s, shared {seconds[False]:.1f} s: {seconds[True] / seconds[False]:.1f}x"
    )
    assert curves(other, trained_grid(corpus)) == curves(noise_store, trained_grid(corpus))
    records = [other.read(run_id(config)) for config in trained_grid(corpus)]
    assert all(record is not None and record.about["steps_computed"] == record.config.steps for record in records)
    assert len({record.about["pid"] for record in records if record is not None}) == len(records)


def test_an_engine_without_it_says_so(noise_store: Store, tmp_path: Path) -> None:
    corpus = stored_corpus(noise_store)
    with pytest.raises(SweepError, match="--separate: not supported by engine gke"):
        launch(noise_store, "small", trained_grid(corpus), corpus, LaunchOptions(engine="gke", separate=True))
