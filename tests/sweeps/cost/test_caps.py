"""What a cap counts: what was lost with a process too, and the hours of machines that runs have had."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, run_id
from scaling.store.record import Record, Store
from sweeps.cost.caps import Caps, MachineTime, plan_spending
from sweeps.cost.quote import priced_slice
from sweeps.errors import SweepError
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
from sweeps.launching.progress import plan_progress
from sweeps.planning.budget import flops_until, step_flops
from sweeps.planning.plan import plan_sweep
from tests.support.sweeps import CORPUS, small_grid


def under_way(store: Store, config: RunConfig, ago: float, step: int, **more: object) -> None:
    """A run whose process began so long ago and now stands at a step that it has not saved."""
    started = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
    about = {"started": started, "compile_seconds": 1.0, "started_from": {"step": 10}, **more}
    store.write(Record(run_id=run_id(config), config=config, status="running", about=about))
    store.append_curve(run_id(config), [{"step": step, "loss": 4.0}])


def test_what_a_process_had_not_saved_when_it_was_killed_is_spent_too(tmp_path: Path) -> None:
    store, planned = Store(tmp_path), plan_sweep(small_grid(), CORPUS)
    config = planned.runs[0].config
    before = {"steps_computed": 40, "seconds": 7.0}
    under_way(store, config, 100.0, 60, spent_before=before, machine_share=0.5, steps_computed=70, seconds=9.0)
    flops, seconds = plan_spending(planned, store)
    assert flops == (40 + 60 - 10) * step_flops(config) and seconds == pytest.approx(0.5 * 107.0, abs=1.0)
    under_way(store, config, 100.0, 60, pack={"runs": 4, "places": 4, "devices": 1})
    assert plan_spending(planned, store)[1] == pytest.approx(25.0, abs=1.0)  # a quarter of its device
    old = store.run_dir(run_id(config)) / "curve.jsonl"  # of the process before: this one has not begun
    about = {"seconds": 9.0, "started": datetime.now(UTC).isoformat()}
    store.write(Record(run_id=run_id(config), config=config, status="running", about=about))
    assert old.exists() and plan_spending(planned, store) == (0, 9.0)


def test_hours_are_the_launchers_here_and_each_runs_own_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten slices an hour by the clock is ten; of a run that waits in a queue it is none."""
    monkeypatch.setattr("sweeps.cost.caps.CHECK_SECONDS", 0.0)
    store, planned = Store(tmp_path), plan_sweep(small_grid(), CORPUS)
    an_hour_ago = time.monotonic() - 3600
    assert MachineTime(planned, store, 5.0, one_machine=True, started_at=an_hour_ago).seconds() == pytest.approx(
        3605, abs=1.0
    )
    elsewhere = MachineTime(planned, store, 0.0, one_machine=False, started_at=an_hour_ago)
    assert elsewhere.seconds() == 0
    for run in planned.runs[:3]:
        under_way(store, run.config, 600.0, 20)
    assert elsewhere.seconds() == pytest.approx(1800, abs=3.0)


def test_the_slice_whose_dollars_are_capped_is_the_one_that_runs(tmp_path: Path) -> None:
    options = {"topology": "v5e-16", "image": "i", "bucket": "gs://my-runs"}
    with pytest.raises(SweepError, match="--slice v5e-8: must be the slice of the runs, --option topology=v5e-16"):
        caps = Caps(usd=5.0, priced=priced_slice("v5e-8"))
        launch(
            Store(tmp_path), "s", small_grid(), CORPUS, LaunchOptions(engine="gke", engine_options=options, caps=caps)
        )


def test_steps_lost_with_a_process_count_for_the_cap_though_not_for_what_is_done() -> None:
    planned, run = plan_progress(plan_sweep(small_grid(), CORPUS)), plan_sweep(small_grid(), CORPUS).runs[0]
    for event in ({"event": "start", "from": 0}, {"event": "step", "step": 50}, {"event": "start", "from": 20}):
        planned.note({"run_id": run.run_id, "steps": run.config.steps, **event})
    assert planned.done == flops_until(run.config, 20) and planned.lost == flops_until(run.config, 50) - planned.done
