"""`status`: what it says of a sweep is what the records say, and a page or a screen of it holds it all."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import time
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, override, run_id
from scaling.config.validation import from_dict
from scaling.store import lease
from scaling.store.record import Record, Store
from sweeps.__main__ import main
from sweeps.cost.quote import priced_slice, quote_flops
from sweeps.launching.launch import write_sweep
from sweeps.monitoring.page import write_page
from sweeps.monitoring.status import status
from sweeps.monitoring.terminal import as_text, screen
from sweeps.monitoring.watch import sweep_ended
from sweeps.planning.budget import flops_until
from sweeps.planning.plan import Plan, plan_cost, plan_sweep
from tests.support.known_store import build
from tests.support.sweeps import CORPUS, Page, planned_in_store, small_plan, write_ended


def starts(planned: Plan) -> list[int]:
    return [run.from_step for run in planned.runs]


def test_what_was_quoted_is_the_plans_cost_and_a_sweep_that_ran_as_planned_has_spent_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    planned = planned_in_store(store)
    assert any(starts(planned))  # there is something shared
    before = status(store, "grid")["cost"]
    assert before["flops_quoted"] == before["flops_left"] == plan_cost(planned)["flops"]
    assert before["share_done"] == 0 and "flops_spent" not in before and "hours" not in before
    for run in planned.runs:
        write_ended(store, run.config, computed=run.config.steps - run.from_step, machine_share=0.5)
    after = status(store, "grid")["cost"]
    assert after["flops_spent"] == pytest.approx(plan_cost(planned)["flops"], rel=1e-12)
    assert after["flops_done"] == plan_cost(planned)["flops"] and after["flops_left"] == 0
    assert after["share_done"] == 1 and after["seconds_left"] == 0
    assert after["hours"] == pytest.approx(4 * 10.0 * 0.5 / 3600)  # two trained beside each other on one machine


def test_a_running_run_counts_what_it_has_done_and_what_was_lost_before(tmp_path: Path) -> None:
    store = Store(tmp_path)
    planned = planned_in_store(store)
    first, second = (run.config for run in planned.runs[:2])
    write_ended(store, first)
    started = datetime.now(UTC) - timedelta(seconds=20)
    about = {
        "host": "elsewhere", "started": started.isoformat(), "started_from": {"step": 30, "shared": False},
        "spent_before": {"steps_computed": 50, "seconds": 7.0}, "steps_computed": 60, "seconds": 9.0,
    }  # fmt: skip
    store.write(Record(run_id=run_id(second), config=second, status="running", about=about))
    store.append_curve(run_id(second), [{"step": step, "loss": 4.0} for step in range(1, 81)])
    shown_status = status(store, "grid")
    row = next(run for run in shown_status["runs"] if run["run_id"] == run_id(second))
    a_step = flops_until(second, 1)
    assert (row["state"], row["step"], row["train_loss"]) == ("running", 80, 4.0)
    assert row["flops_spent"] == pytest.approx((50 + 80 - 30) * a_step)
    assert row["machine_seconds"] == pytest.approx(27.0, abs=3.0)
    assert row["flops_done"] == max(0, 80 - planned.runs[1].from_step) * a_step
    assert row["tokens_per_second"] > 0 and shown_status["cost"]["seconds_left"] >= row["seconds_left"] > 0
    assert 0 < shown_status["cost"]["share_done"] < 1


def test_another_machines_run_is_interrupted_once_its_lease_has_been_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALING_LEASE_SECONDS", "0.3")
    store = Store(tmp_path)
    config = planned_in_store(store).runs[0].config
    write_ended(store, config, "running", host="far", pid=1)
    owner = {"host": "far", "pid": 1, "machine": "another", "born": "1"}

    def states(beating: bool) -> set[str]:
        values = set()
        for beat in range(8):
            if beating or not beat:
                store.leases.write(f"leases/{run_id(config)}/00000001.json", lease._file_text(owner, beat))
            values.add(status(store, "grid")["runs"][0]["state"])
            time.sleep(0.1)
        return values

    assert states(beating=True) == {"running"}
    assert states(beating=False) == {"running", "interrupted"}


def test_time_left_is_what_is_left_at_the_rate_of_each_size(tmp_path: Path) -> None:
    store = Store(tmp_path)
    planned = planned_in_store(store)
    done = [run for run in planned.runs if run.config.budget == 2e10]
    for i, run in enumerate(done):
        write_ended(store, run.config, seconds=10.0 * (1 + i))
    left = [run for run in planned.runs if run.config.budget == 4e10]
    rates = {run.N: run.C / (10.0 * (1 + i)) for i, run in enumerate(done)}
    expected = sum((run.C - flops_until(run.config, run.from_step)) / rates[run.N] for run in left)
    assert status(store, "grid")["cost"]["seconds_left"] == pytest.approx(expected)


def test_dollars_are_hours_of_the_slice_beside_its_quote(tmp_path: Path) -> None:
    store, on = Store(tmp_path), priced_slice("v5e-16")
    planned = planned_in_store(store)
    write_ended(store, planned.runs[0].config, seconds=7200.0)
    shown_status = status(store, "grid", on=on, mfu=0.3)
    assert shown_status["cost"]["usd"] == pytest.approx(2 * 16 * on.usd)
    assert shown_status["cost"]["quote"] == quote_flops(plan_cost(planned)["flops"], on, 0.3)
    assert f"${2 * 16 * on.usd:,.2f} of " in as_text(shown_status) and "30% of peak" in as_text(shown_status)


def test_a_sweep_written_without_its_plan_has_the_same_status(tmp_path: Path) -> None:
    store = Store(tmp_path)
    planned = planned_in_store(store)
    write_ended(store, planned.runs[0].config)
    before = status(store, "grid")
    store.write_sweep("grid", [run.config for run in planned.runs], [run.run_id for run in planned.runs])
    assert status(store, "grid") == before


def test_why_a_run_failed_is_told_with_the_last_words_of_its_process(tmp_path: Path) -> None:
    store = Store(tmp_path)
    planned = planned_in_store(store)
    write_ended(
        store,
        planned.runs[0].config,
        "failed",
        error="killed by SIGKILL",
        log=["line one", "about to run out of memory"],
    )
    write_ended(store, planned.runs[1].config, "failed", error="exit status 1")
    (store.run_dir(planned.runs[1].run_id) / "log.txt").write_text("a\n" * 5000 + "\nKeyError: 'x'\n\n")
    write_ended(store, planned.runs[2].config, "diverged", error="loss became NaN in step 3")
    text = as_text(status(store, "grid"))
    for words in ("killed by SIGKILL", "about to run out of memory", "KeyError: 'x'", "NaN in step 3"):
        assert words in text
    assert text.splitlines().count("    a") == 4  # five last lines, no more


class Counting(Store):
    """A store that counts the records it reads."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read_ids: list[str] = []

    def raw_record(self, run_id: str) -> dict | None:
        self.read_ids.append(run_id)
        return super().raw_record(run_id)


def test_a_watch_reads_no_record_again_that_has_ended_and_is_as_it_was(tmp_path: Path) -> None:
    store = Counting(tmp_path)
    planned = planned_in_store(store)
    for run in planned.runs[:3]:
        write_ended(store, run.config, "failed" if run is planned.runs[2] else "done")
    known: dict = {}
    first = status(store, "grid", cache=known)
    store.read_ids.clear()
    assert status(store, "grid", cache=known) == first
    assert set(store.read_ids) == {planned.runs[2].run_id, planned.runs[3].run_id}  # a failed run may go on
    write_ended(store, planned.runs[0].config, seconds=99.0)
    assert status(store, "grid", cache=known)["runs"][0]["seconds"] == 99.0


@pytest.fixture
def known(tmp_path: Path) -> Store:
    """24 runs of four budgets; one failed, one diverged, one stopped, one that seems to run."""
    return build(tmp_path / "known", extras=True, rows=60)


def test_a_screen_fits_a_small_terminal_and_says_the_most_important(known: Store) -> None:
    shown_status = status(known, "quickstart")
    for width, height in ((80, 24), (80, 40), (120, 60), (40, 10)):
        lines = screen(shown_status, width, height)
        assert len(lines) <= height
        text = [line.plain for line in lines]
        assert "20 done" in text[0] and "of 24 runs" in text[0]
        assert any("of the FLOPs" in line for line in text)
        plotted = [line for line in text if re.search("[⠀-⣿]", line)]
        assert all(len(line) <= width for line in plotted)
    best = min(run["loss"] for run in shown_status["runs"] if run.get("budget") == 1e12 and "loss" in run)
    assert "out of memory <at step 3>" in as_text(shown_status) and f"{best:.3f}*" in as_text(shown_status, 120)
    narrow = [line.split() for line in as_text(shown_status, 60).splitlines()]
    assert ["1e12", "5/9", f"{best:.3f}", "41.2k"] in narrow  # the grid does not fit: a line a budget


def test_a_page_is_whole_loads_nothing_and_escapes_everything(known: Store, tmp_path: Path) -> None:
    configs = [from_dict(RunConfig, entry["config"]) for entry in known.sweep("quickstart") or []]
    configs.append(override(configs[0], ["seed=7"]))
    write_ended(known, configs[-1], "failed", error="<script>alert('&')</script>", log=["</pre><img src=x>"])
    known.write_sweep('a<b>"&', configs, [run_id(c) for c in configs])
    shown_status = status(known, 'a<b>"&', on=priced_slice("v5e-16"))
    out = write_page(tmp_path / "page.html", known, shown_status, every=7)
    text = out.read_text()
    page = Page(text)
    assert page.links == ["data:,", "#runs"] and "url(" not in text and "@import" not in text and "<script" not in text
    assert "<script>alert('&')</script>" in page.text and "</pre><img src=x>" in page.text and 'a<b>"&' in page.text
    assert '<meta http-equiv="refresh" content="7">' in text
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["page.html"]
    charts = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]
    assert len(charts) == 3
    assert len([e for e in charts[0].iter("polyline")]) == 4  # a curve a budget
    assert len([e for e in charts[1].iter("polyline")]) == 23  # runs that have begun and have a curve
    assert len([e for e in charts[2].iter("polyline")]) > 15  # those whose end is known or expected
    numbers = [float(n) for e in charts[0].iter("polyline") for n in re.split("[ ,]", e.attrib["points"])]
    assert all(0 <= n <= 760 for n in numbers)
    best = min(run["loss"] for run in shown_status["runs"] if run.get("budget") == 3e13 and "loss" in run)
    for words in (f"{best:.4f}*", "28 × 2", "/5,015", "quoted for v5e-16"):
        assert words in page.text


def test_a_page_of_a_sweep_that_is_over_does_not_refresh(tmp_path: Path) -> None:
    store = build(tmp_path / "known", rows=20)
    text = write_page(tmp_path / "page.html", store, status(store, "quickstart")).read_text()
    assert "http-equiv" not in text and "100% of the FLOPs" in Page(text).text


def test_a_status_of_a_newer_version_is_shown_under_its_own_name_and_counted_as_unknown(
    known: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = [run["run_id"] for run in status(known, "quickstart")["runs"] if run["state"] == "done"]
    for name, recorded in zip(done, ("paused", "waiting", "<b>\x1b[2J[red]"), strict=False):
        path = known.run_dir(name) / "record.json"
        facts = json.loads(path.read_text())
        facts.pop("checksum", None)
        path.write_text(json.dumps(facts | {"status": recorded}))
    shown_status = status(known, "quickstart")
    states = {run["run_id"]: run["state"] for run in shown_status["runs"]}
    assert [states[name] for name in done[:3]] == ["paused", "'waiting'", r"<b>\x1b[2J[red]"]
    assert shown_status["counts"]["unknown"] == 3 and shown_status["counts"]["waiting"] == 0
    assert shown_status["counts"]["done"] == 17 and not sweep_ended(shown_status)
    text = as_text(shown_status, 100)
    assert "3 unknown" in text and "paused" in text and r"<b>\x1b[2J[red]" in text and "\x1b" not in text
    page = Page(write_page(tmp_path / "page.html", known, shown_status).read_text())
    assert "3 unknown" in page.text and "paused" in page.text and r"<b>\x1b[2J[red]" in page.text
    assert main(["status", "quickstart", "--store", str(known.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["unknown"] == 3


@pytest.mark.slow
def test_ten_thousand_records_are_read_once_each_and_no_config_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work is counted, not time: 10,000 small files, and nothing that grows faster than they do."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # building them is not what is measured
    store = Counting(tmp_path)
    base = small_plan().runs[0].config
    configs = [dataclasses.replace(base, seed=i, budget=2e10 * (1 + i % 25)) for i in range(10_000)]
    for config in configs[:9_000]:
        write_ended(store, config)
    write_sweep(store, "big", plan_sweep(configs, CORPUS))
    made_values = [0]
    check = RunConfig.check
    monkeypatch.setattr(
        RunConfig, "check", lambda self: (made_values.__setitem__(0, made_values[0] + 1), check(self))[1]
    )
    known: dict = {}
    shown_status = status(store, "big", cache=known)
    assert shown_status["counts"]["done"] == 9_000 and shown_status["counts"]["waiting"] == 1_000
    assert len(store.read_ids) == 10_000 and made_values[0] == 0
    store.read_ids.clear()
    assert status(store, "big", cache=known) == shown_status and len(store.read_ids) == 1_000
    assert len(as_text(shown_status).splitlines()) < 80
    assert json.loads(json.dumps(shown_status))["counts"] == shown_status["counts"]
