"""A store with runs that use blocks of a user's file is read, and other sweeps are planned in it, without that file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scaling.config.run import RunConfig, run_id
from scaling.config.schedule import ScheduleConfig
from scaling.store.record import Record, Store
from sweeps.cost.pace import measure_pace
from sweeps.monitoring.status import status
from tests.support.sweeps import small_grid


def own_runs() -> list[RunConfig]:
    ramp = ScheduleConfig(warmup=2, batch_ramp=((2, 4),))
    return [
        replace(config, model=replace(config.model, mlp="gone.py:Block@0123456789abcdef"), schedule=ramp)
        for config in small_grid()[:2]
    ]


def test_status_and_pace_of_runs_with_a_users_blocks_need_no_code(tmp_path: Path) -> None:
    store, runs = Store(tmp_path), own_runs()
    planned = [{"N": 1000, "D": run.tokens, "C": 6000 * run.tokens, "from": 0} for run in runs]
    store.write_sweep("own", runs, map(run_id, runs), planned)
    for run in runs:
        about = {"seconds": 10.0, "steps_computed": run.steps, "training_seconds": 8.0}
        flops = {"total": 6000 * run.tokens}
        store.write(
            Record(run_id=run_id(run), config=run, status="done", flops=flops, final={"loss": 2.0}, about=about)
        )
    assert status(store, "own")["counts"]["done"] == 2
    pace = measure_pace(store)
    assert pace is not None and len(pace.rates) == 1
