"""Tables with a column per model or budget, plots with a column per run, and values in the names of runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from tests.support.tables import refusal, write_table


@pytest.mark.parametrize(
    ("header", "wide"),
    [
        ("tokens,70M,1.4B", "N"),
        ("tokens,N=70M,N=1.4B", "N"),
        ("tokens,70e6,1400000000", "N"),
        ("tokens,pythia-70m,pythia-1.4b", "N"),
        ("tokens,Model-2-70M,Model-2-1.4B", "N"),
        ("tokens,loss_70M,loss_1.4B", "N"),
        ("tokens,val/loss (70M),val/loss (1.4B)", "N"),
        ("tokens,70M params,1.4B params", "N"),
        ("tokens,params=70M,params=1.4B", "N:loss"),
        ("tokens;70 M;1,4 B", "N"),
        ("tokens,seed,70M,1.4B", "N"),
        ("tokens,final_loss_N=70M,final_loss_N=1.4B", "N"),
    ],
)
def test_columns_named_by_a_size_are_runs_of_that_size(tmp_path: Path, header: str, wide: str) -> None:
    comma = ";" if ";" in header else ","
    seed = f"0{comma}" if "seed" in header else ""
    cells = [["1e9", seed + "3.5", "3.2"], ["2e9", seed + "3.3", ""], ["4e9", seed + "3.1", "2.9"]]
    text = "\n".join(comma.join(row).replace(".", "," if comma == ";" else ".") for row in cells)
    points = load(write_table(tmp_path, f"{header}\n{text}\n"), options=ReadOptions(wide=wide))
    rows = sorted(zip(points.N, points.D, points.L, strict=True))
    assert rows == [(7e7, 1e9, 3.5), (7e7, 2e9, 3.3), (7e7, 4e9, 3.1), (1.4e9, 1e9, 3.2), (1.4e9, 4e9, 2.9)]


@pytest.mark.parametrize(
    "header", ["params,1e18,6e18", "params,1 EFLOP,6 EFLOP", "params,C=1e18 FLOPs,C=6e18 FLOPs", "params,1.0e+18,6E18"]
)
def test_columns_named_by_a_budget_carry_its_unit(tmp_path: Path, header: str) -> None:
    path = write_table(tmp_path, f"{header}\n1e8,3.5,3.2\n3e8,3.4,3.0\n")
    points = load(path, options=ReadOptions(wide="C"))
    assert points.C.tolist() == [1e18, 1e18, 6e18, 6e18] and points.L.tolist() == [3.5, 3.4, 3.2, 3.0]
    assert pytest.approx(points.C / (6 * points.N)) == points.D


def test_several_quantities_by_size_are_columns(tmp_path: Path) -> None:
    text = "tokens,val_loss_70M,acc_70M,val_loss_160M,acc_160M\n1e9,3.5,.2,3.2,.3\n2e9,3.4,.25,3.1,.35\n"
    points = load(write_table(tmp_path, text), options=ReadOptions(wide="N", where="acc>0.22"))
    assert sorted(points.L) == [3.1, 3.2, 3.4] and set(points.N) == {7e7, 1.6e8}


def test_columns_of_seeds_are_runs_of_each_seed(tmp_path: Path) -> None:
    path = write_table(tmp_path, "tokens,params,loss_seed0,loss_seed1\n1e9,1e8,3.5,3.4\n2e9,1e8,3.3,3.2\n")
    points = load(path, options=ReadOptions(wide="seed", replicates="all"))
    assert sorted(zip(points.D, points.L, strict=True)) == [(1e9, 3.4), (1e9, 3.5), (2e9, 3.2), (2e9, 3.3)]


def test_names_of_columns_with_several_values_are_given_as_a_form(tmp_path: Path) -> None:
    path = write_table(tmp_path, "tokens,70M_seed0,70M_seed1,1.4B_seed0\n1e9,3.5,3.4,3.1\n2e9,3.3,,2.9\n")
    assert "no columns whose names are values" in refusal(path, wide="N")
    options = ReadOptions(wide="{N}_seed{seed}", replicates="all", where="seed<1 or N<1e9")
    rows = sorted(zip(load(path, options=options).N, load(path, options=options).L, strict=True))
    assert rows == [(7e7, 3.3), (7e7, 3.4), (7e7, 3.5), (1.4e9, 2.9), (1.4e9, 3.1)]
    assert "no column has this form" in refusal(path, wide="{N}-{seed}")
    assert "already has a column" in refusal(path, wide="{tokens}_seed*")
    assert "already has a column" in refusal(path, wide="{N}_seed{seed}:tokens")
    assert "in braces" in refusal(path, wide="{1x}_seed*") and "in braces" in refusal(path, run_names="{1x}*")


def test_cells_of_a_wide_table_can_be_what_the_law_predicts(tmp_path: Path) -> None:
    law = laws.Law(lambda N, D, *, E: E + 0 * N * D, "", {"E": (1.0,)}, output="lr")
    path = write_table(tmp_path, "params,1B,2B\n1e8,3e-4,2e-4\n2e8,2e-4,1e-4\n")
    assert load(path, law, ReadOptions(wide="D"))["lr"].tolist() == [3e-4, 2e-4, 2e-4, 1e-4]


def test_a_table_that_looks_wide_is_refused_with_the_flag_that_reads_it(tmp_path: Path) -> None:
    path = write_table(tmp_path, "tokens,70M,160M,410M\n1e9,3.5,3.2,3.0\n")
    assert "--wide N" in refusal(path) and "--wide N" in refusal(path, laws.find("chinchilla"))
    assert "--wide" not in refusal(write_table(tmp_path, "tokens,params\n1,2\n"))


@pytest.mark.parametrize(
    ("header", "wide", "message"),
    [
        ("tokens,loss,params", "N", "no columns whose names are values"),
        ("tokens,70M", "N", "no columns whose names are values"),
        ("tokens,N,70M,160M", "N", "already has a column 'N'"),
        ("tokens,loss,70M,160M", "N", "already has a column 'loss'"),
        ("tokens,70M,160M", ":loss", "no columns whose names are values"),
    ],
)
def test_what_is_not_wide_is_refused(tmp_path: Path, header: str, wide: str, message: str) -> None:
    row = ",".join(["1"] * len(header.split(",")))
    assert message in refusal(write_table(tmp_path, f"{header}\n{row}\n"), wide=wide)


PLOT = """"tokens","n70M-a - val_loss","n70M-a - val_loss__MIN","n1.4B - val_loss","n1.4B - _step"
"1e9","3.5","3.5","3.2","10"
"2e9","3.3","3.3","",""
"4e9","3.1","3.1","2.9","40"
"""


@pytest.mark.parametrize("axis", ["tokens", "throughput/total_tokens", "trainer/tokens", "train/tokens_seen"])
def test_a_line_plot_over_tokens_gives_the_tokens_of_each_run(tmp_path: Path, axis: str) -> None:
    path = write_table(tmp_path, PLOT.replace('"tokens"', f'"{axis}"'))
    points = load(path, options=ReadOptions(run_names="n{N}*", checkpoints="final"))
    assert sorted(zip(points.N, points.D, points.L, strict=True)) == [(7e7, 4e9, 3.1), (1.4e9, 4e9, 2.9)]
    message = refusal(path, laws.find("chinchilla"))
    assert "no column for N" in message and "names of runs such as 'n70M-a' contain it" in message


def test_a_line_plot_over_tokens_gives_learning_curves(tmp_path: Path) -> None:
    points = load(write_table(tmp_path, PLOT), options=ReadOptions(run_names="n{N}*"))
    assert points.curves is not None and points.L.tolist() == [3.1, 2.9]
    curves = {curve.name: curve for curve in points.curves}
    assert curves["n70M-a"].D.tolist() == [1e9, 2e9, 4e9] and curves["n70M-a"].N == 7e7
    assert curves["n1.4B"].L.tolist() == [3.2, 2.9]


def test_a_line_plot_over_time_or_with_tokens_as_a_metric_is_read(tmp_path: Path) -> None:
    text = "Relative Time (Process),a - val_loss,a - tokens,b - val_loss,b - tokens\n1,3.5,1e9,3.2,1e9\n2,3.3,2e9,,\n"
    points = load(write_table(tmp_path, text), options=ReadOptions(checkpoints="final"))
    assert points.D.tolist() == [2e9, 1e9] and points.L.tolist() == [3.3, 3.2]


def test_names_of_runs_hold_values_only_where_it_is_said(tmp_path: Path) -> None:
    text = "name,tokens,loss\nn70M-s1,1e9,3.5\nn1.4B-s2,1e9,3\n"
    path = write_table(tmp_path, text)
    assert "no column for N" in refusal(path, laws.find("chinchilla"))
    points = load(path, options=ReadOptions(run_names="n{N}-s{seed}", where="seed >= 1"))
    assert points.N.tolist() == [7e7, 1.4e9]
    assert "does not have the form" in refusal(path, run_names="m{N}")
    assert "in braces" in refusal(path, run_names="n*")
    assert "already has a column" in refusal(path, run_names="{loss}-*")
    assert load(pd.read_csv(path), options=ReadOptions(run_names="n{N}-*")).N.tolist() == points.N.tolist()


def test_a_wide_frame_in_memory_is_read_as_the_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"tokens": [1e9, 2e9], "70M": [3.5, 3.3], "160M": [3.2, np.nan]})
    points = load(frame, options=ReadOptions(wide="N"))
    assert sorted(zip(points.N, points.L, strict=True)) == [(7e7, 3.3), (7e7, 3.5), (1.6e8, 3.2)]
