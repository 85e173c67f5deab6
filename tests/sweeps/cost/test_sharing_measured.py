"""`sweeps saving`: both ways from nothing, and the same records bit for bit where one process shares."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from scaling.config.exit_status import CAPPED
from scaling.config.run import override, run_id
from scaling.counting.counts import total_run_flops
from scaling.store.record import Store
from sweeps.cost import sharing_measured
from sweeps.cost.caps import Caps
from sweeps.errors import SweepError
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
from sweeps.monitoring.status import status
from tests.support.commands import command
from tests.support.sweeps import stored_corpus, trained_grid


@pytest.mark.long
def test_the_command_finds_the_same_records_bit_for_bit_where_one_process_shares(noise_store: Store) -> None:
    """Small budgets of the demo's grid; the whole of it is `python -m sweeps saving quickstart --store DIR`."""
    words = (
        "sweeps",
        "saving",
        "isoflop",
        "--store",
        noise_store.root,
        "--workers",
        1,
        "--json",
        "--rounds",
        2,
        "--cold",
    )
    settings = ("rules=small", "budgets=2e11,4e11", "sizes=3")
    done = command(*words, *(argument for setting in settings for argument in ("--set", setting)), timeout=3000)
    assert done.returncode == 0, done.stderr
    print(done.stdout, file=sys.stderr)
    result = json.loads(done.stdout)
    assert result["records"] == {"runs": result["records"]["runs"], "same": result["records"]["runs"], "loss_apart": 0}
    assert result["ratios"]["cold"] > result["ratios"]["separate"] > 1
    assert {case: len(seconds) for case, seconds in result["seconds"].items()} == {
        "shared": 2,
        "separate": 2,
        "cold": 2,
    }
    second = command(*words)
    assert second.returncode == 2 and "exists: its finished runs would not be measured" in second.stderr


@pytest.mark.slow
def test_a_launch_with_packs_has_the_records_of_separate_runs_to_rounding(noise_store: Store, tmp_path: Path) -> None:
    corpus = stored_corpus(noise_store)
    runs = [override(trained_grid(corpus)[0], [f"seed={i}", f"optimizer.lr=0.00{i}"]) for i in (3, 4, 5)]
    other = Store(tmp_path / "turn")
    other.root.mkdir()
    (other.root / "tokens").symlink_to(noise_store.token_files)
    assert launch(noise_store, "packed", runs, corpus, LaunchOptions(pack=8, workers=1)) == 0
    assert launch(other, "turn", runs, corpus, LaunchOptions(separate=True)) == 0
    records = [noise_store.read(run_id(run)) for run in runs]
    assert all(record is not None and record.about["pack"]["runs"] == 3 for record in records)
    assert sharing_measured.compare_records(noise_store, other, runs)["loss_apart"] < 1e-3


@pytest.mark.slow
def test_a_cap_holds_for_packs_and_status_tells_what_they_did(noise_store: Store) -> None:
    corpus = stored_corpus(noise_store)
    runs = [override(trained_grid(corpus)[0], [f"seed={i}"]) for i in range(3)]
    two = Caps(flops=2 * total_run_flops(runs[0]))
    assert launch(noise_store, "packed", runs, corpus, LaunchOptions(pack=8, workers=1, caps=two)) == CAPPED
    rows = status(noise_store, "packed")["runs"]
    assert [row["state"] for row in rows] == ["done", "done", "waiting"]
    values = [record for record in noise_store.records() if record.status == "done"]
    assert len(values) == 2 and all(record.about["pack"]["runs"] == 2 for record in values)
    spent = status(noise_store, "packed")["cost"]
    assert spent["flops_spent"] == two.flops and spent["flops_left"] == total_run_flops(runs[0])
    assert spent["hours"] * 3600 <= sum(record.about["seconds"] for record in values) + 1e-6
    assert launch(noise_store, "packed", runs, corpus, LaunchOptions(pack=8, workers=1)) == 0
    assert [row["state"] for row in status(noise_store, "packed")["runs"]] == ["done"] * 3


def test_records_that_differ_in_a_bit_are_not_the_same(noise_store: Store, tmp_path: Path) -> None:
    from scaling.store.record import Record

    config = trained_grid(stored_corpus(noise_store))[0]
    record = Record(run_id=run_id(config), config=config, status="done", final={"loss": 2.0})
    noise_store.write(record)
    shutil.copytree(noise_store.root / "runs", tmp_path / "other" / "runs")
    other = Store(tmp_path / "other")
    assert sharing_measured.compare_records(noise_store, other, [config]) == {"runs": 1, "same": 1, "loss_apart": 0.0}
    noise_store.finish_curve(record.run_id, [{"step": 1, "loss": 3.0}])
    assert sharing_measured.compare_records(noise_store, other, [config])["same"] == 0
    with pytest.raises(SweepError, match="no record"):
        sharing_measured.compare_records(noise_store, Store(tmp_path / "empty"), [config])


def test_the_measurement_reads_as_a_few_lines() -> None:
    text = sharing_measured.as_text(
        {
            "seconds": {"shared": [100.0, 110.0], "separate": [300.0, 330.0], "cold": [400.0, 440.0]},
            "ratios": {"separate": 3.0, "cold": 4.0},
            "records": {"runs": 4, "same": 1, "loss_apart": 0.012},
            "quotes": [{"in_hindsight": 90.0, "measured": 100.0}, {"quoted": 121.0, "measured": 110.0}],
        }
    )
    assert "as planned: 100.0 s, 110.0 s\n" in text
    assert "sharing only compiled programs: 300.0 s, 330.0 s, 3.00 times as long" in text
    assert "sharing nothing: 400.0 s, 440.0 s, 4.00 times as long" in text
    assert "1 of 4 identical, validation losses differ by up to 1.20%" in text
    assert "estimated from the previous launch: 121.0 s, measured 110.0 s (+10%)" in text
