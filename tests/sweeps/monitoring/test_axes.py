"""What a sweep is drawn against: its curves, each with its own runs, in a plot, on a screen and in a page."""

from __future__ import annotations

import dataclasses
import re
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from scaling.config.run import run_id
from scaling.store.record import Record, Store
from sweeps.definitions import DEFINITIONS
from sweeps.launching.launch import write_sweep
from sweeps.monitoring.axes import axes, loss_curves
from sweeps.monitoring.braille import PlotAxes, plot
from sweeps.monitoring.page import write_page
from sweeps.monitoring.status import status
from sweeps.monitoring.terminal import as_text
from sweeps.planning.plan import plan_sweep
from sweeps.planning.settings import parse_settings
from tests.support.sweeps import CORPUS, Page, small_plan


def planned_entries(name: str, **options: str) -> list[dict]:
    make = DEFINITIONS[name].make
    planned = plan_sweep(
        make(CORPUS, seed=0, **parse_settings(name, make, [f"{k}={v}" for k, v in options.items()])), CORPUS
    )
    return [
        {"N": r.N, "D": r.D, "budget": r.config.budget, "config": dataclasses.asdict(r.config)} for r in planned.runs
    ]


@pytest.mark.parametrize(
    ("name", "options", "x", "by"),
    [
        ("quickstart", {}, "N", ["budget"]),
        ("compare", {"rules": "small", "budgets": "2e11,4e11"}, "N", ["budget", "model.mlp"]),
        ("markov", {}, "N", ["D"]),
        ("transfer-check", {}, "optimizer.lr", ["N", "model.parametrization"]),
        ("seeds", {"rules": "small"}, "seed", ["N"]),
    ],
)
def test_a_sweep_is_drawn_against_what_it_sweeps(name: str, options: dict, x: str, by: list[str]) -> None:
    result = axes(planned_entries(name, **options))
    assert result["x"] == x and result["by"] == by


@pytest.mark.parametrize("change", ["mlp=geglu", "mlp=gelu", "window=64", "kv_heads=1"])
def test_two_architectures_are_two_curves_of_a_budget_each_with_its_lowest_and_no_run_vanishes(
    change: str, tmp_path: Path
) -> None:
    store, make = Store(tmp_path / "s"), DEFINITIONS["compare"].make
    table = parse_settings("compare", make, [f"change={change}", "rules=small", "budgets=2e11,4e11", "sizes=3"])
    runs = make(CORPUS, **table)
    write_sweep(store, "compare", plan_sweep(runs, CORPUS))
    for i, run in enumerate(runs):  # the rules' model and the changed one in turn
        loss = 3.0 + i % 2 + i / 1000
        store.write(Record(run_id=run_id(run), config=run, status="done", final={"loss": loss}, about={}))
    shown_status = status(store, "compare")
    field = f"model.{change.partition('=')[0]}"
    assert shown_status["axes"] == {"x": "N", "by": ["budget", field]}
    curves = loss_curves(shown_status["runs"])
    assert len(curves) == 4 and all(len({round(y) for _, y in points}) == 1 for points in curves.values())
    assert sorted(y for points in curves.values() for _, y in points) == sorted(
        3 + i % 2 + i / 1000 for i in range(len(runs))
    )
    rows = [line for line in as_text(shown_status, 300).splitlines() if "*" in line and "lowest" not in line]
    assert [(line.count("*"), len(re.findall(r"[34]\.\d{3}", line))) for line in rows] == [(1, 3)] * 4
    narrow = [tuple(line.split()[-3:-1]) for line in as_text(shown_status, 30).splitlines()]
    assert {("3/3", f"{loss:.3f}") for loss in (3.0, 4.001, 3.006, 4.007)} < set(narrow)
    text = write_page(tmp_path / "page.html", store, shown_status).read_text()
    chart = ET.fromstring(re.findall(r"<svg.*?</svg>", text, re.DOTALL)[0])
    assert len(list(chart.iter("polyline"))) == 4 and f"One curve per budget, in FLOPs, {field}" in Page(text).text
    assert len(re.findall(r"[34]\.\d{4}\*", Page(text).text)) == 4


def test_seeds_of_one_config_are_one_point_their_mean(tmp_path: Path) -> None:
    store, runs = Store(tmp_path), [run.config for run in small_plan().runs]
    runs += [dataclasses.replace(run, seed=1) for run in runs]
    write_sweep(store, "seeds", plan_sweep(runs, CORPUS))
    for run in runs:
        final = {"loss": 3.0 + run.seed + run.model.width / 1000}
        store.write(Record(run_id=run_id(run), config=run, status="done", final=final, about={}))
    shown_status = status(store, "seeds")
    assert shown_status["axes"]["by"] == ["budget"]
    assert {y for points in loss_curves(shown_status["runs"]).values() for _, y in points} == {3.516, 3.524}
    rows = [line.split() for width in (120, 20) for line in as_text(shown_status, width).splitlines()]
    for budget in ("2e10", "4e10"):
        assert [budget, "3.516*", "3.524"] in rows and [budget, "4/4", "3.516"] in [row[:3] for row in rows]


def test_curves_are_means_of_what_is_done_and_those_to_come_are_known() -> None:
    def row(x: float, by: float, loss: float | None, state: str = "done") -> dict:
        return {"x": x, "by": [by], "state": state} | ({} if loss is None else {"loss": loss})

    rows = [row(2, 10, 3.0), row(2, 10, 4.0), row(1, 10, 5.0), row(1, 9, None, "waiting"), row(3, 10, 1.0, "diverged")]
    assert loss_curves(rows) == {(9,): [], (10,): [(1, 5.0), (2, 3.5)]}
    assert len(loss_curves([row(1, i, 1.0) for i in range(100)], most=7)) == 7


def test_a_plot_holds_every_curve_within_its_width() -> None:
    curves = [[(10.0**i, 3.0 + (i - 5) ** 2 / 10 + j) for i in range(3, 8)] for j in range(3)]
    lines = plot(curves, 80, 12, PlotAxes(log_x=True, x_text="{:.0e}".format, y_text="{:.2f}".format))
    text = [line.plain for line in lines]
    assert len(text) == 14 and all(len(line) <= 80 for line in text)
    assert all(sum(line.count(letter) for line in text[:-1]) >= 4 for letter in "abc")
    assert "3.00" in text[11] and "1e+03" in text[-1] and text[-1].endswith("1e+07")
    assert (text[11].index("a") + text[11].rindex("a")) / 2 == pytest.approx(
        6 + 74 / 2, abs=1
    )  # the least in the middle
    assert plot([[], []], 80, 12, PlotAxes(log_x=True, x_text=str, y_text=str)) == []
    assert plot([[(5.0, 2.0)]], 40, 6, PlotAxes(log_x=False, x_text=str, y_text=str))
    points = [(1, 2.0), (2, 2.1), (3, 2.2), (4, 900.0)]
    outlier = plot([points], 40, 6, PlotAxes(log_x=False, x_text=str, y_text="{:.1f}".format))
    assert "900" not in "".join(line.plain for line in outlier)


@pytest.mark.parametrize("budget", [2e10, None])
def test_what_ten_thousand_runs_are_drawn_against_is_soon_known(budget: float | None) -> None:
    config = dataclasses.asdict(small_plan().runs[0].config)
    entries = [{"N": 1, "D": 1, "budget": budget, "config": config | {"seed": i}} for i in range(10_000)]
    start = time.process_time()
    assert axes(entries) == ({"x": "N", "by": ["budget"]} if budget else {"x": "seed", "by": []})
    assert time.process_time() - start < 5
