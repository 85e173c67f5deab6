"""The collection of published problems: its manifest describes the files at hand, and other files are not fitted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.errors import FitError
from analysis.studies.published.manifest import VARIABLE, published_data_sets
from analysis.studies.published.outcomes import Comparison, Outcome, describe_outcomes
from analysis.studies.published.problems import PROBLEMS, run_problem
from tests.support.commands import PUBLISHED
from tests.support.fits import needs_published

NAME = "bnsl2023"
FILE = "four_digit_addition.csv"


def test_every_set_has_a_publication_an_origin_a_licence_and_hashes() -> None:
    sets = published_data_sets()
    assert len(sets) == 21 and set(PROBLEMS) < set(sets)
    for entry in sets.values():
        assert all((entry.title, entry.paper, entry.origin, entry.commit, entry.licence)) and entry.files
        assert all(len(file.sha256) == 64 and set(file.sha256) <= set("0123456789abcdef") for file in entry.files)
        if entry.name in PROBLEMS:
            assert entry.files[0].columns, entry.name


@needs_published
def test_the_files_at_hand_are_those_of_the_manifest() -> None:
    for entry in published_data_sets().values():
        assert entry.problems(PUBLISHED) == []


@needs_published
def test_a_changed_file_is_one_line_and_its_set_is_not_fitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (NAME, "obsscaling2024_agentbench"):
        shutil.copytree(PUBLISHED / name, tmp_path / name, copy_function=shutil.copyfile)
    with (tmp_path / NAME / FILE).open("a") as file:
        file.write("1,1,0\n")
    assert main(["problems", "--data", str(tmp_path), "--only", f"{NAME},obsscaling2024_agentbench"]) == 1
    done = capsys.readouterr()
    changed, fitted = done.err.splitlines()
    assert f"{FILE}: changed: SHA-256" in changed and fitted.startswith("obsscaling2024_agentbench: 2 figures")
    assert "four-digit addition" not in done.out and "2 figures of 1 data set" in done.out
    (tmp_path / NAME / FILE).unlink()
    assert main(["problems", "--data", str(tmp_path), "--only", NAME]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / NAME / FILE}: missing\n"


@needs_published
def test_a_set_that_cannot_be_fitted_is_one_line_and_the_others_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(data: Path, fits: object) -> Iterator[Comparison]:
        raise FitError("no start converged")
        yield

    monkeypatch.setitem(PROBLEMS, NAME, fail)
    assert main(["problems", "--data", str(PUBLISHED), "--only", f"{NAME},obsscaling2024_agentbench"]) == 1
    done = capsys.readouterr()
    assert f"{NAME}: no start converged\n" in done.err and "2 figures of 1 data set" in done.out


def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    for words, text in (
        ([], "give it with --data FOLDER or in SCALING_DATA"),
        (["--data", str(tmp_path / "none")], "not a folder"),
        (["--data", str(tmp_path), "--only", "hoffman"], "no such data set: allowed are besiroglu2024_chinchilla"),
    ):
        assert main(["problems", *words]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and text in error
    assert main(["problems", "--data", str(tmp_path)]) == 2  # every set is missing: a line for each, and the error
    assert capsys.readouterr().err.count("\n") == len(published_data_sets()) + 1


def test_the_manifest_is_listed_as_text_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sets.json"
    assert main(["problems", "--list", "--only", NAME, "--json", str(file)]) == 0
    assert "none stated" in capsys.readouterr().out
    (entry,) = json.loads(file.read_text())["data_sets"]
    assert entry["files"][0]["columns"]["train_set_size"] == "examples" and entry["state"] == "not looked for"


@needs_published
def test_an_outcome_has_published_procedure_default_and_differences() -> None:
    outcome = run_problem(NAME, PUBLISHED)
    first = outcome.comparisons[0]
    assert first.procedure_difference == pytest.approx(0, abs=1e-5)
    assert first.inside is True
    entry = outcome.to_json()["figures"][0]
    assert entry["published"] == first.authors and entry["default_interval"][0] < first.authors


def test_a_published_figure_outside_the_interval_is_marked() -> None:
    outcome = Outcome(
        "set", [Comparison("set", "alpha", 0.5, 0.5, (0.3, 0.2, 0.4)), Comparison("set", "R²", 0.9, None, 0.99)]
    )
    text = describe_outcomes([outcome])
    assert "0.3 [0.2, 0.4] outside" in text and "-40%" in text and "+10%" in text
    assert [c.inside for c in outcome.comparisons] == [False, None]
