"""Learning rates of a table: the best rate by size and parametrisation, and what a table must have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.data.options import ReadOptions
from analysis.errors import DataError
from analysis.studies.learning.rates import rate_curves_of_table
from tests.support.commands import PUBLISHED, call_command

RATES = np.geomspace(1e-4, 1e-1, 7)


def grid(name: str = "lr", **columns: object) -> pd.DataFrame:
    """Two widths: the best rate is 1e-2 under muP, and falls as 1/width under the standard parametrisation."""
    rows = []
    for scheme, width in ((scheme, width) for scheme in ("sp", "mup") for width in (64, 256)):
        best = 1e-2 if scheme == "mup" else 1e-2 * 64 / width
        for rate in RATES:
            rows.append({"parameterization": scheme, "d_model": width, name: rate,
                         "val_loss": 3 + 0.05 * np.log(rate / best) ** 2})  # fmt: skip
    return pd.DataFrame(rows).assign(**columns)


def test_the_best_rate_of_each_width_is_that_of_the_table() -> None:
    curves, unit = rate_curves_of_table(grid())
    best = {(curve.parametrization, curve.width): curve.best[0] for curve in curves}
    assert unit == "nats per token"
    assert best == pytest.approx(
        {("standard", 64): 1e-2, ("standard", 256): 2.5e-3, ("mup", 64): 1e-2, ("mup", 256): 1e-2}
    )


def test_seeds_are_averaged_and_runs_that_diverged_are_no_losses() -> None:
    table = pd.concat([grid(seed=0), grid(seed=1, val_loss=grid()["val_loss"] + 0.2)]).astype({"val_loss": object})
    table.loc[(table["lr"] == RATES[-1]) & (table["d_model"] == 256), "val_loss"] = "nan"
    curves, _ = rate_curves_of_table(table)
    assert np.isnan(curves[-1].losses[-1]) and np.isfinite(curves[-1].losses[:-1]).all()
    assert curves[0].losses.min() == pytest.approx(grid()["val_loss"][:7].min() + 0.1)


@pytest.mark.parametrize(
    ("table", "reading", "message"),
    [
        (grid().drop(columns="lr"), {}, "no column for lr: name it with --columns lr=NAME"),
        (grid().drop(columns="d_model"), {}, "no column for width, layers or N"),
        (grid(tokens=[1e9, 2e9] * 14), {}, "several values of tokens"),
        (grid(), {"where": "lr>1"}, "no rows"),
        (grid(), {"columns": {"rate": "lr"}}, "columns rate: allowed here are"),
        (grid()[:2], {}, "no model size has 3 or more learning rates"),
    ],
)
def test_a_table_without_such_a_sweep_is_refused_in_one_line(
    table: pd.DataFrame, reading: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message) as error:
        rate_curves_of_table(table, ReadOptions(**reading))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_the_figure_takes_a_table(tmp_path: Path) -> None:
    cases = PUBLISHED.parent / "cases" / "widths.csv"
    source = cases if cases.is_file() else tmp_path / "grid.csv"
    grid().to_csv(tmp_path / "grid.csv", index=False)
    done = call_command("analysis", "figure", "transfer", source, "--out", tmp_path / "t.svg")
    assert done.returncode == 0, done.stderr
    series = set(pd.read_csv(tmp_path / "t.data.csv")["series"])
    assert any("standard" in name for name in series) and any("muP" in name for name in series)
