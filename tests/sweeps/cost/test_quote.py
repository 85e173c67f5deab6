"""The quote and the caps: prices sourced, arithmetic right, what a plan promises is what the records hold."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import pytest

from scaling.config.exit_status import CAPPED
from scaling.config.validation import ConfigError
from scaling.counting.peak_flops import ACCELERATORS
from scaling.counting.tpu import GENERATIONS, tpu_slice
from scaling.store.record import Record, Store
from sweeps.__main__ import main
from sweeps.commands.launch import launch_slice
from sweeps.cost.caps import Caps, plan_spending, runs_within_caps
from sweeps.cost.pace import estimate_seconds_left, measure_pace
from sweeps.cost.quote import CHIP_FIELDS, OPTIONAL_CHIP_FIELDS, PRICES, load_prices, priced_slice, quote_flops
from sweeps.cost.quote import as_text as quoted_text
from sweeps.definitions import DEFINITIONS
from sweeps.errors import SweepError
from sweeps.interface.plan_table import as_text
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
from sweeps.planning.budget import step_flops
from sweeps.planning.plan import plan_cost, plan_sweep
from tests.support.sweeps import CORPUS, TRAINER, small_grid


def test_every_price_has_a_source_and_the_table_a_date() -> None:
    table = json.loads(PRICES.read_text())
    assert table["date"] and "edit me" in table
    for chip in table["chips"].values():
        for name in ("usd", "usd_spot", "watts"):
            assert len(chip[f"{name}_source"]) > 20
        assert chip["usd_spot"] < chip["usd"] and "peak_flops" not in chip  # from scaling/counting/peak_flops.py
    assert all(len(chip["peak_source"]) > 20 for chip in load_prices()["chips"].values())
    assert all(f"{name}_source" in table for name in ("host_watts", "pue")) and "kg_co2_source" in table


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_price_table_has_every_slice_with_its_peak_rate(generation: str) -> None:
    facts = GENERATIONS[generation]
    for size in facts.slices:
        name = f"{generation}-{size}"
        on = priced_slice(name)
        assert (on.chips, on.peak_flops) == (tpu_slice(name).chips, ACCELERATORS[generation].rates["bfloat16"])


def test_a_quote_is_flops_over_the_peak_and_its_price() -> None:
    on = priced_slice("v5e-16")
    hour = quote_flops(16 * 197e12 * 0.4 * 3600, on, 0.4)
    assert hour["seconds"] == pytest.approx(3600) and hour["chip_hours"] == pytest.approx(16)
    assert hour["usd"] == pytest.approx(16 * 1.20)
    assert hour["kwh"] == pytest.approx(16 * (200 + 75) * 1.10 / 1000)
    assert hour["kg_co2"] == pytest.approx(hour["kwh"] * 0.4)
    assert quote_flops(1e20, priced_slice("v5e-16", spot=True), 0.4)["usd"] < quote_flops(1e20, on, 0.4)["usd"]
    assert quote_flops(1e20, priced_slice("v5e-256"), 0.4)["usd"] == pytest.approx(quote_flops(1e20, on, 0.4)["usd"])
    assert "16 chips, on demand" in quoted_text(hour) and "$19.20" in quoted_text(hour)


@pytest.mark.parametrize("name", ["v9-16", "", "16", "V5E-16"])
def test_a_kind_of_chip_that_is_none_lists_those_there_are(name: str) -> None:
    with pytest.raises(SweepError, match="such as v4-8, v5e-8, v5p-8, v6e-8"):
        priced_slice(name)


@pytest.mark.parametrize("name", ["v5e-17", "v5p-2", "v5e", "v5e-0", "v5p-7", "v5e-x", "v5e-²", "v5e-016", "v4--8"])
def test_a_size_that_nobody_rents_out_lists_those_of_its_kind(name: str) -> None:
    kind = name.partition("-")[0]
    subset, other = ("16, v5e-32, v5e-64", "v5p") if kind == "v5e" else (f"16, {kind}-32, {kind}-64", "v5e")
    for refusing, error in ((priced_slice, SweepError), (tpu_slice, ConfigError)):
        with pytest.raises(error, match=rf"{kind}-8, {kind}-{subset}") as text:
            refusing(name)
        assert "\n" not in str(text.value) and (refusing is not priced_slice or f"{other}-" not in str(text.value))


@pytest.mark.parametrize(
    ("name", "chips"), [("v4-32", 16), ("v5p-32", 16), ("v5e-16", 16), ("v6e-16", 16), ("v5p-12288", 6144)]
)
def test_slices_have_the_chips_that_google_publishes(name: str, chips: int) -> None:
    assert priced_slice(name).chips == tpu_slice(name).hosts * tpu_slice(name).chips_per_host == chips


def test_a_kind_that_only_ones_own_table_has_may_have_any_size(tmp_path: Path) -> None:
    table = json.loads(PRICES.read_text())
    table["chips"]["h100"] = {**table["chips"]["v5e"], "peak_flops": 989e12}
    table["chips"]["cores"] = {**table["chips"]["v5e"], "peak_flops": 1e12, "named_by": 2}
    own_path = tmp_path / "mine.json"
    own_path.write_text(json.dumps(table))
    for size in (1, 7, 8, 100):
        assert priced_slice(f"h100-{size}", own_path).chips == size
    assert priced_slice("cores-8", own_path).chips == 4
    for name in ("h100", "h100-0", "h100-²", "h100--1", "h100-" + "9" * 5000, "cores-7"):
        with pytest.raises(
            SweepError, match=r"must be (h100|cores) and a number, such as (h100-8|cores-16) for 8 chips"
        ):
            priced_slice(name, own_path)
    assert priced_slice("v5e-16", own_path).chips == 16


@pytest.mark.parametrize("change", [{"usd": 0}, {"usd": "1"}, {"watts": -1}, {"named_by": True}, {"peak_flops": None}])
def test_a_table_with_a_hole_is_one_line_that_names_it(change: dict[str, object], tmp_path: Path) -> None:
    table = json.loads(PRICES.read_text())
    table["chips"]["v5e"] |= change
    (tmp_path / "mine.json").write_text(json.dumps(table))
    (name,) = change
    with pytest.raises(SweepError, match=rf"mine.json: chips.v5e.{name} = .*must be a number above 0"):
        priced_slice("v5e-16", tmp_path / "mine.json")
    assert name in (*CHIP_FIELDS, *OPTIONAL_CHIP_FIELDS)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"chips": {}, "date": "now"}', '{"chips": {"v5e": {}}}'])
def test_what_is_no_table_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(SweepError, match=r"mine\.json: "):
        priced_slice("v5e-16", tmp_path / "mine.json")


def test_an_utilisation_beyond_the_peak_is_refused() -> None:
    for mfu in (0.0, 1.1, float("nan")):
        with pytest.raises(SweepError, match="--mfu"):
            quote_flops(1.0, priced_slice("v5e-16"), mfu)


@pytest.mark.slow
def test_a_plan_of_ten_thousand_runs_is_made_and_priced_in_two_seconds() -> None:
    budgets = tuple(1e17 * 3000 ** (i / 1666) for i in range(1668))
    start = time.process_time()  # of this process: what else the machine does is not its own
    planned = plan_sweep(DEFINITIONS["isoflop"].make(CORPUS, budgets=budgets), CORPUS)
    text = as_text(planned, quoted=quote_flops(plan_cost(planned)["flops_left"], priced_slice("v5e-16"), 0.4))
    assert len(planned.runs) > 10_000 and "chip-hours" in text
    assert time.process_time() - start < 2


def write_timed_run(store: Store, name: str, seconds: float, compiling: float, training: float | None = None) -> None:
    """Run `name` of the grid as done in so many seconds, of which `training` from its first step on."""
    config = next(run.config for run in plan_sweep(small_grid(), CORPUS).runs if run.run_id == name)
    about = {"seconds": seconds, "compile_seconds": compiling, "steps_computed": config.steps}
    more = {} if training is None else {"tokens_per_second": config.tokens / training}
    store.write(Record(run_id=name, config=config, status="done", about=about | more))


def test_time_left_is_by_steps_of_the_shape_evaluations_beginnings_and_compilation(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert measure_pace(store) is None
    first = plan_sweep(small_grid(), CORPUS).runs[0]
    config = first.config
    steps = config.steps + config.eval.sequences / config.batch / 3  # evaluated once: a third of a step's FLOPs
    write_timed_run(store, first.run_id, 5.0 + 2.0 + 0.01 * steps, 5.0, 0.01 * steps)
    planned = plan_sweep(small_grid(), CORPUS, store)
    by = measure_pace(store)
    assert by is not None and by.compile_seconds == 5.0 and by.run_seconds == pytest.approx(2.0)
    rate = step_flops(config) / 0.01  # FLOP/s, of the shape that was not seen too
    changes = 2.0 * len(planned.remaining) + 5.0 * len({run.config.model for run in planned.remaining})
    for run in planned.remaining:
        evaluated = run.config.eval.sequences / run.config.batch / 3 * step_flops(run.config)
        changes += (run.flops_to_run + evaluated) / rate
    assert estimate_seconds_left(planned, by) == pytest.approx(changes)


def test_a_cap_on_flops_begins_no_run_that_would_exceed_it(tmp_path: Path) -> None:
    store, runs = Store(tmp_path), plan_sweep(small_grid(), CORPUS).runs
    total = plan_cost(plan_sweep(small_grid(), CORPUS))["flops"]
    assert runs_within_caps(plan_sweep(small_grid(), CORPUS), Caps(flops=total), store).runs == runs
    remaining = runs_within_caps(plan_sweep(small_grid(), CORPUS), Caps(flops=total - 1), store).runs
    assert remaining == runs[:-1]
    cap = runs[0].flops_to_run + runs[1].flops_to_run
    assert runs_within_caps(plan_sweep(small_grid(), CORPUS), Caps(flops=cap), store).runs == runs[:2]
    assert runs_within_caps(plan_sweep(small_grid(), CORPUS), Caps(flops=1.0), store).runs == []


def test_a_capped_launch_keeps_what_is_done_says_so_and_goes_on(tmp_path: Path, capsys) -> None:
    store, runs = Store(tmp_path), plan_sweep(small_grid(), CORPUS).runs
    cap = runs[0].C + runs[1].C  # this trainer leaves no checkpoints: the second pays for its trunk again
    for _ in range(2):  # again under the same cap: nothing more
        assert launch(store, "s", small_grid(), CORPUS, LaunchOptions(command=TRAINER, caps=Caps(flops=cap))) == CAPPED
        output = capsys.readouterr().err.strip().splitlines()
        assert "stopped at --cap-flops" in output[-1] and f"{len(runs) - 2} of {len(runs)} runs remaining" in output[-1]
        assert "launch s again" not in "\n".join(output)
        assert [store.read(run.run_id) is not None for run in runs] == [True, True] + [False] * (len(runs) - 2)
    assert launch(store, "s", small_grid(), CORPUS, LaunchOptions(command=TRAINER, caps=Caps(flops=1e18))) == 0


def test_a_cap_on_hours_stops_the_run_under_way_which_goes_on_later(tmp_path: Path, capsys) -> None:
    store = Store(tmp_path)
    (tmp_path / "pace").write_text("0.02")
    start = time.monotonic()
    assert launch(store, "s", small_grid(), CORPUS, LaunchOptions(command=TRAINER, caps=Caps(hours=2 / 3600))) == CAPPED
    assert time.monotonic() - start < 8
    assert "stopped at --cap-hours" in capsys.readouterr().err
    statuses = {record.status for record in store.records()}
    assert "stopped" in statuses and "failed" not in statuses and "running" not in statuses
    (tmp_path / "pace").write_text("0")
    assert launch(store, "s", small_grid(), CORPUS, LaunchOptions(command=TRAINER, caps=Caps(hours=1.0))) == 0


def test_dollars_are_hours_of_a_slice() -> None:
    on = priced_slice("v5e-16")
    assert Caps(usd=16 * 1.20, priced=on).seconds == pytest.approx(3600)
    assert Caps(usd=16 * 1.20, hours=0.5, priced=on).seconds == pytest.approx(1800)
    assert Caps().seconds is None and not Caps().is_exceeded(1e30, 1e30)
    with pytest.raises(SweepError, match="--cap-usd 5: requires the price of a slice: add --slice"):
        Caps(usd=5.0)
    with pytest.raises(SweepError, match="--cap-hours 0: must be a number above 0"):
        Caps(hours=0.0)


def test_a_launch_on_a_slice_is_capped_at_its_price() -> None:
    parsed = argparse.Namespace(slice=None, spot=False, prices=None)
    on_demand = launch_slice(parsed, {"topology": "v5e-16", "spot": "no"})
    assert on_demand == priced_slice("v5e-16")
    assert launch_slice(parsed, {"topology": "v5e-16"}) == priced_slice("v5e-16", spot=True)
    assert launch_slice(parsed, {}) is None
    assert launch_slice(argparse.Namespace(slice="v5p-8", spot=False, prices=None), {}) == priced_slice("v5p-8")
    with pytest.raises(ConfigError, match="topology 'v5e-17': must be one of"):
        launch_slice(parsed, {"topology": "v5e-17"})


def test_a_run_spends_what_it_has_computed(tmp_path: Path) -> None:
    store, runs = Store(tmp_path), plan_sweep(small_grid(), CORPUS).runs
    write_timed_run(store, runs[0].run_id, 7.0, 1.0)
    assert plan_spending(plan_sweep(small_grid(), CORPUS, store), store) == (runs[0].C, 7.0)


def test_the_command_quotes_and_refuses_in_one_line(tmp_path: Path, capsys) -> None:
    words = ["plan", "quickstart", "--corpus", "markov:order=1,vocab=16,tokens=20000,seed=0", "--store", str(tmp_path)]
    assert main([*words, "--slice", "v5e-16", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["cost"]["quote"]["seconds"] == pytest.approx(result["cost"]["flops_left"] / (16 * 197e12 * 0.4))
    assert main([*words, "--slice", "v9-16"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert main(["launch", "quickstart", "--store", str(tmp_path), "--cap-usd", "5"]) == 2
    assert "add --slice" in capsys.readouterr().err
