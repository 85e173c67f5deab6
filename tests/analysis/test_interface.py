"""The Python interface of analysis: the same as the commands, from names that are imported on first use."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis import DataError, FitOptions, ReadOptions, curves, table, write_report
from analysis.__main__ import main
from scaling.store.record import Store
from tests.support.known_store import build, config, record


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("interface") / "store", extras=True, rows=10).root


def test_a_table_is_the_csv_of_the_command(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", str(store), "--csv", "-", "--where", "N>20000", "--flops", "exact"]) == 0
    written = pd.read_csv(io.StringIO(capsys.readouterr().out), low_memory=False)
    frame = table(store, ReadOptions(where="N>20000", flops="exact"))
    assert list(frame.columns) == list(written.columns) and 0 < len(frame) == len(written)
    assert len(frame) < len(table(store)) == 24 and frame["C"].is_monotonic_increasing
    for name in ("N", "D", "C", "loss"):
        np.testing.assert_allclose(frame[name], written[name], rtol=1e-12)


def test_curves_have_the_logged_steps_with_tokens_and_flops(store: Path) -> None:
    frame, runs = curves(store), table(store).set_index("run_id")
    for run_id, steps in frame.groupby("run_id"):
        logged = Store(store).curve(str(run_id))
        assert steps["step"].tolist() == [row["step"] for row in logged]
        assert steps["loss"].tolist() == [row["loss"] for row in logged]
        share = steps["step"] / runs.loc[run_id, "steps"]
        np.testing.assert_allclose(steps["D"], runs.loc[run_id, "D"] * share)
        np.testing.assert_allclose(steps["C"], runs.loc[run_id, "C"] * share)
    held_out = frame["val_loss"].notna()
    assert held_out.any() and not held_out.all()  # missing where it was not measured
    assert set(curves(store, ReadOptions(where="N>100000"))["run_id"]) < set(frame["run_id"])


def test_a_store_without_curves_has_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.write(record(config(16, 1, 1e12), "running", None))
    assert len(table(store.root)) == 1 and len(curves(store.root)) == 0


def test_bad_input_is_one_line(store: Path, tmp_path: Path) -> None:
    for read in (table, curves):
        with pytest.raises(DataError, match="not a store"):
            read(tmp_path / "runs.csv")
        with pytest.raises(DataError, match="does not use --drop-bad: it uses --where, --flops, --params"):
            read(store, ReadOptions(drop_bad=True))
        with pytest.raises(DataError, match="flops"):
            read(store, ReadOptions(flops="7nd"))


def test_options_besides_those_of_a_fit_are_an_error() -> None:
    points = {"N": np.geomspace(1e6, 1e9, 12), "L": 1.5 + np.geomspace(1e6, 1e9, 12) ** -0.1}
    result = analysis.fit(points, "power-n", FitOptions(bootstrap=100))
    with pytest.raises(DataError, match="pass no others"):
        analysis.plot(result, "law", options=FitOptions(level=0.9))


def test_every_public_name_exists_and_importing_the_package_is_light() -> None:
    for name in analysis.__all__:
        assert getattr(analysis, name) is not None
    heavy = "{'numpy', 'pandas', 'scipy', 'matplotlib', 'jinja2'}"
    code = f"import sys, analysis; print(*{heavy} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
    with pytest.raises(AttributeError):
        analysis.nothing  # noqa: B018


@pytest.mark.docs
def test_the_report_of_the_interface_is_that_of_the_command(store: Path, tmp_path: Path) -> None:
    page = write_report(store, tmp_path / "a", FitOptions(bootstrap=100))
    assert main(["report", str(store), "--out", str(tmp_path / "b"), "--bootstrap", "100"]) == 0
    assert page == tmp_path / "a" / "report.html" and page.read_text() == (tmp_path / "b" / "report.html").read_text()
