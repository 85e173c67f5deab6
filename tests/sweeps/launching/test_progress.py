"""What a sweep says of itself as it goes: time left, progress, and the state of every run."""

from __future__ import annotations

import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scaling.config.run import override, run_id
from scaling.counting.counts import run_flops
from scaling.store.record import Record, Store
from sweeps.launching.progress import SweepProgress, plan_progress
from sweeps.monitoring.status import status
from sweeps.monitoring.terminal import as_text
from sweeps.planning import rules, workers
from sweeps.planning.budget import IsoflopDesign, isoflop_grid, size_at_ratio
from sweeps.planning.plan import execution_order, plan_sweep
from tests.support.sweeps import CORPUS, SMALL_GRID_IDS, launch_small_grid, small_grid


def test_time_left_counts_steps_as_well_as_flops() -> None:
    """A small model's steps and scores take long for their FLOPs: by FLOPs alone, minutes were predicted as a day."""
    small, large = small_grid()[0], override(small_grid()[0], ["model.width=512", "model.mlp_width=2048", "steps=100"])
    small = override(small, ["steps=5000"])
    progress = SweepProgress(runs={"small": small, "large": large}, start={"small": 0, "large": 0})
    progress.note({"event": "start", "run_id": "small", "from": 0})
    progress.note({"event": "step", "run_id": "small", "step": 5000, "loss": 4.0})
    scores = [c.batch * c.model.layers * c.model.heads * c.data.length**2 for c in (small, large)]
    beside = [workers.STEP_FLOPS + workers.SCORE_FLOPS * entry for entry in scores]
    times = [run_flops(c)["total"] + c.steps * entry for c, entry in zip((small, large), beside, strict=True)]
    assert progress.share == times[0] / sum(times) > 2 * progress.done / progress.total
    assert progress.seconds_left == pytest.approx(progress.seconds * times[1] / times[0], rel=0.1)


def test_progress_is_weighted_by_flops_and_knows_what_prefixes_save(tmp_path) -> None:
    planned = plan_sweep(small_grid(), CORPUS)
    small = plan_progress(planned)
    assert small.total == sum(r.flops_to_run for r in planned.runs)
    assert small.seconds_left is None
    first, second = planned.runs[:2]
    small.note({"event": "start", "run_id": first.run_id, "steps": first.config.steps, "from": 0})
    small.note({"event": "step", "run_id": first.run_id, "step": first.config.steps // 2, "loss": 4.0})
    assert small.done == first.config.steps // 2 * (first.C / first.config.steps)
    assert small.seconds_left is not None and small.seconds_left > 0
    small.note({"event": "end", "run_id": first.run_id, "status": "done", "loss": 3.0})
    assert small.done == first.C
    small.note({"event": "start", "run_id": second.run_id, "steps": second.config.steps, "from": second.from_step})
    assert small.done == first.C
    small.note({"event": "end", "run_id": second.run_id, "status": "diverged"})
    assert small.total == first.C + sum(r.flops_to_run for r in planned.runs[2:])
    third = planned.runs[2]  # done by another process in the meantime: neither paid for here nor left to pay
    small.note({"event": "end", "run_id": third.run_id, "status": "done", "loss": 3.0})
    assert small.done == first.C
    assert small.total == first.C + planned.runs[3].flops_to_run


def at(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_status_tells_every_state(tmp_path) -> None:
    store = Store(tmp_path)
    runs = isoflop_grid(
        CORPUS,
        IsoflopDesign(
            widths=(8, 16, 24, 32), budgets=(2e10, 4e10), sizes_per_budget=4, centre=size_at_ratio(20.0), length=16
        ),
    )
    configs = execution_order(runs)
    ids = [run_id(c) for c in configs]
    store.write_sweep("grid", configs, ids)
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    living = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "train"])
    host = socket.gethostname()
    abouts: dict[str, dict[str, Any]] = {
        "done": {"seconds": 3.0},
        "running": {
            "pid": living.pid,
            "host": host,
            "started": at(-20),
            "started_from": {"step": 10},
            "compile_seconds": 10,
        },
        "stopped": {},
        "diverged": {},
        "failed": {"error": "out of memory"},
    }
    try:
        for name, config, (state, about) in zip(ids, configs, abouts.items(), strict=False):
            final = {"loss": 3.25} if state == "done" else {}
            store.write(Record(run_id=name, config=config, status=state, final=final, about=about))
        store.append_curve(ids[1], [{"step": 20, "loss": 4.5}])
        interrupted = {"pid": int(gone.stdout), "host": host}
        store.write(Record(run_id=ids[5], config=configs[5], status="running", about=interrupted))
        shown_status = status(store, "grid")
    finally:
        living.kill()
        living.wait()
    assert [r["state"] for r in shown_status["runs"]] == [*abouts, "interrupted", "waiting", "waiting"]
    under_way = shown_status["runs"][1]
    assert (under_way["step"], under_way["train_loss"]) == (20, 4.5)
    assert under_way["tokens_per_second"] == pytest.approx(10 * rules.BATCH_TOKENS / 10, rel=0.1)
    assert under_way["seconds_left"] == pytest.approx((configs[1].steps - 20) / 1, rel=0.1)
    shown = as_text(shown_status)
    for text in ("3.250*", "tokens/s", "out of memory", "resumes at the next launch", "2 waiting"):
        assert text in shown


def test_status_of_done_runs_reads_no_curve(tmp_path) -> None:
    assert launch_small_grid(tmp_path) == 0
    for name in SMALL_GRID_IDS:
        (Store(tmp_path).run_dir(name) / "curve.jsonl").write_text("not a curve\n")
    assert status(Store(tmp_path), "grid")["counts"]["done"] == 4
