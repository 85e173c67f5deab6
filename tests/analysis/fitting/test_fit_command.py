"""python -m analysis fit: what it writes, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.data.load import load
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from tests.support.commands import call_command, command
from tests.support.fits import grid


def test_the_command_writes_the_contract(tmp_path: Path) -> None:
    data = grid(0.003)
    source, out = tmp_path / "runs.csv", tmp_path / "fit.json"
    rows = zip(data.N, data.D, data.L, strict=True)
    source.write_text("params,tokens,loss\n" + "".join(f"{n},{d},{x}\n" for n, d, x in rows))
    ran = command("analysis", "fit", source, "--json", out, "--bootstrap", "100", "--where", "N < 1e9")
    assert ran.returncode == 0, ran.stderr
    assert "alpha" in ran.stdout and "verdict: converged" in ran.stdout
    result = json.loads(out.read_text())
    for key in ("law", "points", "params", "intervals", "level", "objective", "starts", "verdict", "optimum"):
        assert key in result
    assert result["verdict"] == ["converged"] and result["level"] == 0.95 and result["points"] == 25
    assert list(result["params"]) == ["E", "A", "B", "alpha", "beta"]
    assert [round(at["C"] / data.C.max()) for at in result["optimum"]["at"]] == [10, 100]
    assert result["params"] == fit(load(source), options=FitOptions(bootstrap=100)).params


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.csv"], 2, "does not exist"),
        (["RUNS", "--law", "nope"], 2, "must be one of chinchilla"),
        (["RUNS", "--objective", "nope"], 2, "huber-log"),
        (["RUNS", "--columns", "L"], 2, "--columns"),
        (["RUNS", "--where", "N <"], 2, "where"),
        (["RUNS", "--delta", "0"], 2, "delta 0.0"),
        (["RUNS", "--objective", "mse", "--delta", "1e-3"], 2, "has no delta"),
        (["RUNS", "--undertuned", "0.7"], 2, "undertuned 0.7"),
        (["RUNS", "--bootstrap", "3"], 2, "bootstrap 3"),
        (["RUNS"], 1, "3 points"),
    ],
)
def test_bad_input_gets_one_line_and_its_status(
    tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    runs = tmp_path / "runs.csv"
    runs.write_text("N,D,L\n1e6,1e8,3\n2e6,2e8,2.9\n4e6,4e8,2.8\n")
    ran = call_command("analysis", "fit", *[runs if a == "RUNS" else a for a in arguments])
    assert ran.returncode == status, ran.stderr
    assert ran.stderr.count("\n") == 1 and message in ran.stderr
