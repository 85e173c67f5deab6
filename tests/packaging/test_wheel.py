"""What is installed is complete: commands, data files, types, metadata and licence."""

from __future__ import annotations

import csv
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from tests.packaging.wheel import InstalledWheel, build
from tests.support.commands import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("scaling", "sweeps", "analysis")
pytestmark = pytest.mark.docs


def files_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_every_file_of_the_packages_is_in_the_wheel(installed_wheel: InstalledWheel) -> None:
    """Modules, templates, prices, tasks, and the markers of types."""
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    assert {f"{package}/py.typed" for package in PACKAGES} <= tracked
    assert tracked <= files_of(installed_wheel.wheel)


def test_an_sdist_makes_the_same_wheel(installed_wheel: InstalledWheel, tmp_path: Path) -> None:
    sdist = build("sdist", tmp_path / "dist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = (path for path in tmp_path.glob("scaling-*") if path.is_dir())
    assert files_of(build("wheel", tmp_path / "again", source)) == files_of(installed_wheel.wheel)


def test_metadata_name_licence_versions_and_extras(installed_wheel: InstalledWheel) -> None:
    about = metadata(installed_wheel.wheel)
    assert (about["Name"], about["Version"]) == ("scaling", PROJECT["version"])
    assert about["License-Expression"] == "Apache-2.0" and about["License-File"] == "LICENSE"
    assert about["Requires-Python"] == PROJECT["requires-python"]
    assert set(about.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    assert str(about.get_payload()) == (ROOT / "README.md").read_text()


def test_the_packages_are_those_of_the_environment_and_not_of_the_checkout(installed_wheel: InstalledWheel) -> None:
    shown = installed_wheel.run(
        "-c", "import analysis, scaling, sweeps; print(*map(lambda m: m.__file__, (analysis, scaling, sweeps)))"
    )
    assert all(Path(name).is_relative_to(installed_wheel.python.parents[1]) for name in shown.stdout.split())


@pytest.mark.parametrize("package", PACKAGES)
def test_help_answers(installed_wheel: InstalledWheel, package: str) -> None:
    assert f"python -m {package}" in installed_wheel.run("-m", package, "--help").stdout


def test_a_sweep_is_priced_trained_shown_and_reported(installed_wheel: InstalledWheel, tmp_path: Path) -> None:
    """The price file, the page of the status and the templates of the report are found."""
    corpus, store = ("--corpus", "markov:vocab=16,tokens=200000"), ("--store", "store")
    grid = ("--set", "rules=small", "budgets=1.5e10,3e10", "sizes=2")
    run, where = installed_wheel.run, tmp_path
    plan = run("-m", "sweeps", "plan", "isoflop", *grid, *corpus, *store, "--slice", "v5e-4", folder=where)
    assert "$" in plan.stdout
    run("-m", "sweeps", "launch", "isoflop", *grid, *corpus, *store, folder=where)
    run("-m", "sweeps", "status", "isoflop", *store, "--html", "status.html", folder=where)
    run("-m", "analysis", "table", "store", "--csv", "runs.csv", folder=where)
    with (where / "runs.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert rows and {row["status"] for row in rows} == {"done"}
    run("-m", "analysis", "report", "store", "--out", "report", folder=where)
    assert "<svg" in (where / "status.html").read_text() and (where / "report" / "report.html").exists()


SCRIPT = """\
from analysis.errors import DataError
from scaling.config.run import RunConfig
from sweeps.errors import SweepError

reveal_type(RunConfig.steps)
RunConfig(steps="many")
error: int = DataError("") or SweepError("")
"""


def test_a_type_checker_sees_the_types_of_the_installed_packages(
    installed_wheel: InstalledWheel, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(SCRIPT)
    mypy = [sys.executable, "-m", "mypy", "--python-executable", installed_wheel.python, "--cache-dir", "cache"]
    done = subprocess.run([*mypy, "own.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 'own.py:5: note: Revealed type is "int"' in done.stdout, done.stdout
    assert 'own.py:6: error: Argument "steps" to "RunConfig" has incompatible type "str"' in done.stdout
    assert '(expression has type "DataError | SweepError"' in done.stdout and "py.typed" not in done.stdout
