"""What the runs of a sweep tell about their machines: sums over runs, in lines that fit a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.store.cost import WALL_TIME_PARTS
from scaling.store.record import Store
from sweeps.monitoring.machine import machine_cells, machine_lines, machine_totals
from sweeps.monitoring.page import write_page
from sweeps.monitoring.status import status
from sweeps.monitoring.terminal import as_text
from tests.support import known_store

FACTS = {
    "timing": {"wall": 20.0, **dict.fromkeys(WALL_TIME_PARTS, 1.0), "steps": 12.0},
    "goodput": 0.6, "mfu": 0.31, "peak_source": "measured", "memory_peak_bytes": 2**30, "memory_peak_of": "process",
    "slow_steps": 1, "attempts": 2, "timed_until": "2026-11-30T12:00:00.000+00:00",
}  # fmt: skip


def test_totals_are_those_of_the_runs_that_have_them() -> None:
    slower = {**FACTS, "timing": {**FACTS["timing"], "wall": 60.0, "between": 41.0}, "mfu": 0.11}
    totals = machine_totals([{"machine": FACTS}, {"machine": slower}, {"machine": {"attempts": 1}}, {}])
    assert totals["timing"]["wall"] == 80.0 and totals["timing"]["steps"] == 24.0 and totals["goodput"] == 0.3
    assert totals["mfu"] == pytest.approx(0.21) and totals["mfu_runs"] == 2 and totals["slow_steps"] == 2
    assert machine_totals([{}, {"machine": {}}]) == {} and machine_lines({}) == []
    first, second = machine_lines(totals)
    assert first == "MFU 21% of the measured peak (median), goodput 30%, peak memory 1 GiB, 2 slow steps"
    assert second.startswith("not in steps: between processes 52%") and max(map(len, (first, second))) <= 90
    assert machine_cells({}) == ("", "", "") and machine_cells({"machine": FACTS}) == ("31%", "60%", "1 GiB")


def test_status_shows_them_for_each_run_and_old_records_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = known_store.build(tmp_path / "old", per_budget=1, extras=True, rows=60)
    shown = status(old, "quickstart")
    assert shown["machine"] == {} and "MFU" not in as_text(shown) and not any("machine" in r for r in shown["runs"])
    without = known_store.record
    monkeypatch.setattr(known_store, "record", lambda *args, **about: without(*args, **about, **FACTS))
    store: Store = known_store.build(tmp_path / "new", per_budget=1, extras=True, rows=60)
    shown = status(store, "quickstart")
    assert all(run["machine"]["mfu"] == 0.31 for run in shown["runs"])
    text = as_text(shown)
    assert "MFU 31% of the measured peak" in text and "MFU 31%, 1 slow step" in text
    page = write_page(tmp_path / "page.html", store, shown).read_text()
    assert '<th scope="col" class="n">goodput</th>' in page and '<td class="n">60%</td>' in page
