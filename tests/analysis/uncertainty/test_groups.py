"""Groups that differ are named, groups that do not are rarely; --by fits each group."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.errors import DataError, FitError
from analysis.fitting.by_group import fit_by
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.parametric import make_problem
from analysis.solver.objective import OBJECTIVES
from analysis.solver.search import search
from analysis.uncertainty.groups import CHANCE, find_group_effects
from tests.support.commands import call_command

FAST = FitOptions(bootstrap=100)
CORPORA = ("books", "code", "web")


def table(offsets: tuple[float, ...] = (0.0, 0.0, 0.0), seed: int = 0, noise: float = 0.002) -> pd.DataFrame:
    """60 runs of five budgets in turn on three corpora, whose losses differ by relative offsets."""
    rng = np.random.default_rng(seed)
    C = np.repeat(np.geomspace(1e18, 1e20, 5), 12)
    N = np.exp(np.log((C / 6) ** 0.5 / 4.5) + rng.uniform(-1.3, 1.3, 60))
    D = C / 6 / N
    group = np.arange(60) % 3
    L = (1.8 + 450 * N**-0.34 + 1800 * D**-0.36) * np.exp(np.array(offsets)[group] + noise * rng.normal(size=60))
    return pd.DataFrame({"params": N, "tokens": D, "loss": L, "corpus": np.array(CORPORA)[group]})


@pytest.mark.parametrize("name", ["corpus", "dataset", "optimizer", "arch", "group"])
def test_corpora_that_differ_are_named_with_their_deviations(name: str) -> None:
    """Deviations of -4.7%, 0.1% and 1.4% of three corpora in one table."""
    frame = table((0.001, -0.047, 0.014)).rename(columns={"corpus": name})
    (line,) = (line for line in fit(frame, options=FAST).verdict if line.startswith("group-effect"))
    assert f"differ by {name}" in line and "code -4" in line and "books " in line and "web +" in line
    assert f"--by {name}" in line


def test_the_column_of_groups_is_named_too() -> None:
    frame = table((0.001, -0.047, 0.014)).rename(columns={"corpus": "mix"}).assign(lot=np.arange(60) % 30)
    for column in ("mix", "lot"):
        reading = ReadOptions(columns={"group": column})
        lines = [line for line in fit(frame, options=FAST, reading=reading).verdict if line.startswith("group-effect")]
        assert any("--by mix" in line for line in lines)


def test_groups_whose_exponents_differ_are_named() -> None:
    frame = table()
    code = frame["corpus"] == "code"
    N = frame["params"]
    frame["loss"] = np.where(code, frame["loss"] + 450 * (N**-0.37 * 1.78 - N**-0.34), frame["loss"])
    assert any(line.startswith("group-effect") for line in fit(frame, options=FAST).verdict)


def test_one_corpus_and_names_of_sizes_are_no_groups() -> None:
    frame = table().assign(corpus="web", name=[f"run-{i}" for i in range(60)], status="finished")
    assert load(frame).labels == {} and fit(frame, options=FAST).verdict == ("converged",)
    N, D = (x.ravel() for x in np.meshgrid([7e7, 1.6e8, 4.1e8, 1e9, 2.8e9], [1e9, 4e9, 2e10, 1e11]))
    L = (1.8 + 450 * N**-0.34 + 1800 * D**-0.36) * np.exp(0.002 * np.random.default_rng(1).normal(size=20))
    sizes = pd.DataFrame({"params": N, "tokens": D, "loss": L, "variant": np.tile(["S", "M", "L", "XL", "XXL"], 4)})
    assert set(load(sizes).labels) == {"variant"} and fit(sizes, options=FAST).verdict == ("converged",)


def false_alarms(seeds: range) -> float:
    """Share of tables of equal corpora with a group effect."""
    law, objective, alarms = laws.LAWS["chinchilla"], OBJECTIVES["huber-log"], 0
    for seed in seeds:
        points = load(table(seed=seed))
        problem = make_problem(points, law, objective)
        effects = find_group_effects(problem, search(problem, find_others=False).u_P, points)
        alarms += effects[0].p <= CHANCE
    return alarms / len(seeds)


@pytest.mark.long  # some minutes: the rate of 400 tables
def test_equal_groups_are_rarely_named() -> None:
    assert false_alarms(range(400)) <= 0.025  # 0.01 is nominal


def test_each_group_is_fitted_to_its_own_runs() -> None:
    frame = table((0.0, -0.05, 0.0))
    result = fit_by(frame, "corpus", options=FAST)
    assert list(result.fits) == list(CORPORA) and result.errors == {}
    alone = fit(frame[frame["corpus"] == "code"].drop(columns="corpus"), options=FAST)
    assert result.fits["code"].params == pytest.approx(alone.params, rel=1e-9)
    assert result.fits["code"].verdict == alone.verdict == ("converged",)
    lines = repr(result).splitlines()
    assert lines[0].split() == ["corpus", *CORPORA] and lines[1].split() == ["points", "20", "20", "20"]
    few = frame.assign(corpus=np.where(np.arange(60) < 4, "few", "web"))
    assert "few" in fit_by(few, "corpus", options=FAST).errors
    sizes = frame.drop(columns="corpus").rename(columns={next(iter(set(frame) & {"N", "params"})): "params"})
    sizes["params"] = 10 ** np.round(np.log10(sizes["params"]))
    with pytest.raises(
        FitError, match=r"no group can be fitted.* at least 6 are needed"
    ):  # a column that is also an input
        fit_by(sizes, "params", options=FAST)
    with pytest.raises(DataError, match="no column 'corpse'"):
        fit_by(frame, "corpse", options=FAST)
    with pytest.raises(FitError, match="no group can be fitted"):
        fit_by(frame.iloc[:9], "corpus", options=FAST)


@pytest.mark.parametrize("command", ["fit", "optimum"])
def test_the_commands_have_an_entry_for_each_group(command: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    table((0.0, -0.05, 0.0)).to_csv(path, index=False)
    data = json.loads(
        call_command("analysis", command, path, "--by", "corpus", "--bootstrap", "100", "--json", "-").stdout
    )
    assert data["by"] == "corpus" and list(data["groups"]) == list(CORPORA)
    assert all(entry["verdict"] == ["converged"] for entry in data["groups"].values())
    text = call_command("analysis", command, path, "--by", "corpus", "--bootstrap", "100").stdout
    assert all(f"corpus {name}" in text for name in CORPORA)
