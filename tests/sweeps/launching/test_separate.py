"""Laws of `launch --separate`: the numbers of a shared sweep, each run paid for in full by its own process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from scaling.config.run import run_id
from scaling.store.record import Store
from sweeps.errors import SweepError
from sweeps.launching.launch import launch
from tests.sweeps.launching.test_real_trainer import grid, losses, read
from tests.sweeps.launching.test_real_trainer import store as store  # the fixture


@pytest.mark.slow
def test_separate_runs_have_the_numbers_of_shared_ones_and_share_nothing(store: Store, tmp_path_factory) -> None:
    corpus, seconds = read(store), {}
    other = Store(tmp_path_factory.mktemp("separate"))
    (other.root / "tokens").symlink_to(store.token_files)
    for where, separate in ((store, False), (other, True)):
        begun = time.monotonic()
        assert launch(where, "small", grid(corpus), corpus, separate=separate) == 0
        seconds[separate] = time.monotonic() - begun
    print(
        f"one process a run {seconds[True]:.1f} s, shared {seconds[False]:.1f} s: {seconds[True] / seconds[False]:.1f}x"
    )
    assert losses(other, grid(corpus)) == losses(store, grid(corpus))
    records = [other.read(run_id(config)) for config in grid(corpus)]
    assert all(record is not None and record.about["steps_computed"] == record.config.steps for record in records)
    assert len({record.about["pid"] for record in records if record is not None}) == len(records)


def test_an_engine_without_it_says_so(store: Store, tmp_path: Path) -> None:
    corpus = read(store)
    with pytest.raises(SweepError, match="--separate: engine gke has none"):
        launch(store, "small", grid(corpus), corpus, engine_name="gke", separate=True)
