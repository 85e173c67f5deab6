"""Sealed forecasts: nothing about them can change unnoticed, and none is made after its run has started."""

from __future__ import annotations

import errno
import json
import stat
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError
from analysis.figures.fits import forecasts
from analysis.figures.marks import mark_rows
from analysis.figures.source import Source, no_points
from analysis.figures.source import load as load_source
from analysis.fitting.options import FitOptions
from analysis.report.findings import Findings
from analysis.report.html import render
from analysis.report.page import describe
from analysis.report.sections.forecasts import Forecasts, describe_forecasts, figure_titles
from analysis.studies.forecast.forecast import forecast_run
from analysis.studies.forecast.options import ForecastOptions
from analysis.studies.forecast.result import Forecast
from analysis.studies.forecast.scores import score_seals, summarise
from analysis.studies.forecast.seals import FILE, hash_entry, read_seals, seal_forecast
from analysis.studies.forecast.target import run_target
from scaling.config.run import RunConfig, dumps, run_id
from scaling.counting.counts import parameters, run_flops
from scaling.store.open import open_store
from scaling.store.record import Record, Store
from tests.support import known_store

TARGET = known_store.config(160, 6, 9e14)


@pytest.fixture(scope="module")
def forecast(tmp_path_factory: pytest.TempPathFactory) -> Forecast:
    folder = tmp_path_factory.mktemp("forecast")
    path = folder / "target.json"
    path.write_text(dumps(TARGET))
    store = known_store.build(folder / "store")
    options = ForecastOptions(target_run=str(path), law=("chinchilla",))
    return forecast_run(StoreSnapshot(store.root), options, FitOptions(bootstrap=100))


@pytest.fixture
def sealed(tmp_path: Path, forecast: Forecast) -> Store:
    """A store with the seals of two runs."""
    store = Store(tmp_path / "store")
    store.root.mkdir()
    for seed in range(2):
        target = run_target(replace(TARGET, seed=seed))
        seal_forecast(store, replace(forecast, target=target), ["--law", "chinchilla"])
    return store


def write_result(store: Store, config: RunConfig, loss: float) -> None:
    counts = {"params": parameters(config.model), "flops": run_flops(config)}
    final = {"loss": loss, "tokens": float(config.sequences(config.steps) * config.data.length)}
    store.write(
        Record(run_id=run_id(config), sweep="target", config=config, **counts, final=final, status="done", about={})
    )


def test_a_seal_holds_the_distribution_and_what_it_rests_on(sealed: Store, forecast: Forecast) -> None:
    first, second = read_seals(sealed)
    assert (first.index, second.index) == (0, 1)
    assert first.run_id == run_id(replace(TARGET, seed=0))
    assert first.predictive.interval(0.95) == pytest.approx(forecast.interval, rel=1e-6)
    assert first.forecast["points"]["sha256"] == forecast.points_hash
    assert first.forecast["target"]["config"]["model"]["width"] == TARGET.model.width


def change_loss(lines: list[dict]) -> list[dict]:
    lines[0]["forecast"]["loss"] += 1e-9
    return lines


def change_and_hash(lines: list[dict]) -> list[dict]:
    lines[0]["time"] = "2020-01-01T00:00:00+00:00"
    lines[0]["hash"] = hash_entry(lines[0])
    return lines


def newer(lines: list[dict]) -> list[dict]:
    lines[1]["version"] = 99
    return lines


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_loss, "line 1: altered"),
        (change_and_hash, "line 2: does not follow"),
        (lambda lines: lines[1:], "line 1: does not follow"),
        (lambda lines: lines[::-1], "line 1: does not follow"),
        (lambda lines: [lines[0], lines[0]], "line 2: does not follow"),
        (newer, "line 2: written by a newer version"),
        (lambda lines: [lines[0], {"version": 1}], "line 2: is no sealed forecast"),
    ],
)
def test_any_change_is_detected(sealed: Store, change: Callable[[list[dict]], list[dict]], message: str) -> None:
    path = sealed.root / FILE
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in change(lines)))
    with pytest.raises(DataError, match=message):
        read_seals(sealed)


def test_a_file_cut_inside_a_line_is_detected(sealed: Store) -> None:
    path = sealed.root / FILE
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="line 2: is no sealed forecast"):
        read_seals(sealed)


@pytest.mark.parametrize("file", ["record.json", "curve.jsonl", "curve.parquet"])
def test_a_run_that_has_started_cannot_be_sealed(tmp_path: Path, forecast: Forecast, file: str) -> None:
    store = Store(tmp_path)
    folder = store.run_dir(run_id(TARGET))
    folder.mkdir(parents=True)
    (folder / file).write_bytes(b"")
    with pytest.raises(DataError, match=f"{run_id(TARGET)[:16]} has a"):
        seal_forecast(store, forecast, [])
    assert not (store.root / FILE).exists()


def test_a_run_is_sealed_once_and_a_size_alone_not_at_all(sealed: Store, forecast: Forecast) -> None:
    with pytest.raises(DataError, match="has a sealed forecast"):
        seal_forecast(sealed, replace(forecast, target=run_target(replace(TARGET, seed=1))), [])
    with pytest.raises(DataError, match="--target-run"):
        seal_forecast(sealed, replace(forecast, target=replace(forecast.target, run_id=None)), [])
    assert len(read_seals(sealed)) == 2


def test_scores_compare_the_forecast_with_the_run(sealed: Store, forecast: Forecast) -> None:
    write_result(sealed, replace(TARGET, seed=0), forecast.quantiles["0.5"] * 1.001)
    first, second = score_seals(StoreSnapshot(sealed.root), read_seals(sealed))
    assert second.loss is None and second.status is None
    assert first.error == pytest.approx(0.001, rel=1e-3)
    assert first.inside is True
    assert first.pit is not None and 0.5 < first.pit < 0.9
    assert summarise([first, second]) | {"scored": 1, "inside": 1, "coverage": 1.0} == summarise([first, second])


def test_a_loss_outside_the_interval_counts_against_it(sealed: Store, forecast: Forecast) -> None:
    write_result(sealed, replace(TARGET, seed=0), forecast.interval[1] * 1.01)
    outcome = score_seals(StoreSnapshot(sealed.root), read_seals(sealed))[0]
    assert outcome.inside is False
    assert outcome.pit is not None and outcome.pit > 0.975


def test_commands_list_and_verify(sealed: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecasts", str(sealed.root)]) == 0
    assert "2 forecasts, none scored yet" in capsys.readouterr().out
    assert main(["forecasts", str(sealed.root), "--verify"]) == 0
    assert f"2 sealed, none changed; the last hash is {read_seals(sealed)[-1].hash}" in capsys.readouterr().out
    (sealed.root / FILE).write_text((sealed.root / FILE).read_text().replace('"index": 0', '"index": 1', 1))
    for words in (["forecasts", "--verify"], ["forecasts"]):
        assert main([words[0], str(sealed.root), *words[1:]]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "line 1: altered: its content does not match its hash" in error


def test_the_figure_shows_intervals_outcomes_and_what_the_forecast_rests_on(sealed: Store, forecast: Forecast) -> None:
    write_result(sealed, replace(TARGET, seed=0), forecast.quantiles["0.5"] * 1.001)
    figure = forecasts.figure(forecasts.read(sealed.root))
    rows = [row for row in mark_rows(figure) if row["series"] == "measured loss"]
    assert [row["y"] for row in rows] == pytest.approx([0.1], rel=1e-3)
    names = {str(row["series"]) for row in mark_rows(figure)}
    assert {"95% interval", *(effect.name for effect in forecast.effects)} <= names
    (sealed.root.parent / "empty" / "runs").mkdir(parents=True)
    with pytest.raises(DataError, match="no sealed forecasts"):
        forecasts.figure(forecasts.read(sealed.root.parent / "empty"))


def test_a_run_that_cannot_be_sealed_is_one_line_before_anything_is_fitted(
    sealed: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("the forecast was computed")

    monkeypatch.setattr("analysis.studies.forecast.forecast.forecast_run", refuse)
    config = tmp_path / "target.json"

    def refusal(target: RunConfig) -> str:
        config.write_text(dumps(target))
        assert main(["forecast", str(sealed.root), "--target-run", str(config), "--seal"]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert f"run {run_id(TARGET)[:16]} has a sealed forecast: see `analysis forecasts`" in refusal(TARGET)
    started = replace(TARGET, seed=7)
    write_result(sealed, started, 2.0)
    assert f"run {run_id(started)[:16]} has a record: a forecast is sealed before" in refusal(started)
    (sealed.root / FILE).write_text("{}\n")
    assert "line 1: is no sealed forecast" in refusal(replace(TARGET, seed=8))
    (sealed.root / FILE).unlink()
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: (_ for _ in ()).throw(full))  # a full or read-only disk
    assert f"store {sealed.root} cannot be written: No space left" in refusal(replace(TARGET, seed=8))
    assert not (sealed.root / FILE).exists()


def test_a_store_without_room_for_seals_is_one_line(
    sealed: Store, tmp_path: Path, forecast: Forecast, capsys: pytest.CaptureFixture[str]
) -> None:
    (sealed.root / FILE).unlink()
    (sealed.root / FILE).mkdir()  # a directory in place of the file: the superuser may write anywhere else
    with pytest.raises((DataError, OSError), match=FILE):
        seal_forecast(sealed, forecast, [])
    assert main(["forecasts", str(sealed.root)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and FILE in error
    assert stat.S_ISDIR((sealed.root / FILE).stat().st_mode)


def page_with(source: Source, section: Forecasts) -> str:
    """The report of a source without finished runs, with a section on sealed forecasts."""
    page = describe(Findings(replace(source, points=no_points(source.name, "no runs"))), [])
    return render("report.html.j2", {"page": replace(page, forecasts=section)})


def test_the_report_has_a_section_on_sealed_forecasts(sealed: Store, forecast: Forecast) -> None:
    write_result(sealed, replace(TARGET, seed=0), forecast.quantiles["0.5"] * 1.001)
    source = load_source(sealed.root)
    assert figure_titles(source) == {"forecasts": "Forecasts and measured losses"}
    section = describe_forecasts(source, [])
    assert section is not None and section.table is not None
    scored, waiting = section.table.rows
    assert scored[5:8] == (f"{forecast.quantiles['0.5'] * 1.001:.4f}", "+0.10%", "yes")
    assert waiting[5:] == ("not trained", "—", "—", "—", "—")
    assert section.coverage.startswith("Inside the interval: 1 of 1 scored forecast, 100% (95% interval 21% to 100%)")
    html = page_with(source, section)
    assert '<h2 id="forecasts">Sealed forecasts</h2>' in html and section.coverage in html


def test_the_report_of_altered_seals_says_so_and_without_seals_has_no_section(sealed: Store) -> None:
    path = sealed.root / FILE
    path.write_text(path.read_text().replace('"index": 0', '"index": 1', 1))
    sealed.write(known_store.record(TARGET, "running", None))
    source = load_source(sealed.root)
    section = describe_forecasts(source, [])
    assert section is not None and "altered" in section.error and figure_titles(source) == {}
    assert "cannot be trusted" in page_with(source, section)
    path.unlink()
    assert describe_forecasts(load_source(sealed.root), []) is None


def test_a_seal_at_an_address_is_that_of_all_machines(
    tmp_path: Path, forecast: Forecast, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bucket").mkdir()
    stores = []
    for machine in ("one", "two"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        stores.append(open_store(f"file://{tmp_path / 'bucket'}"))
    first, second = stores
    seal = seal_forecast(first, forecast, [])
    with pytest.raises(DataError, match="has a sealed forecast"):
        seal_forecast(second, forecast, [])
    other = seal_forecast(second, replace(forecast, target=run_target(replace(TARGET, seed=1))), [])
    first.fetch_results()
    assert [sealed.hash for sealed in read_seals(first)] == [seal.hash, other.hash]
    assert (tmp_path / "bucket" / FILE).read_bytes() == (first.root / FILE).read_bytes()
