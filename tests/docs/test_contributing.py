"""The files for contributors agree with the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.docs.harness.blocks import read_blocks
from tests.docs.harness.commands import is_target, problems_of
from tests.support.commands import ROOT

GUIDE = ROOT / "CONTRIBUTING.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_added_line_of_the_worked_commit_is_in_its_file() -> None:
    diffs = [block for block in read_blocks(GUIDE) if block.language == "diff"]
    assert len(diffs) == 5
    for block in diffs:
        header, *added = block.code.splitlines()
        lines = (ROOT / header.removeprefix("+++ b/")).read_text("utf-8").splitlines()
        for line in added:
            assert line.removeprefix("+") in lines, f"{block.place}: {line}"


def test_targets_and_markers_of_the_guide_exist() -> None:
    text = GUIDE.read_text("utf-8")
    assert not [problem for block in read_blocks(GUIDE) if block.language == "bash" for problem in problems_of(block)]
    assert all(is_target(name) for name in re.findall(r"`make ([a-z-]+)`", text))
    markers = {line.partition(":")[0] for line in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    assert all(f"`{marker}`" in text for marker in markers)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", ".github/pull_request_template.md"])
def test_links_to_files_exist(name: str) -> None:
    path = ROOT / name
    for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)[^)]*\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


def test_the_citation_is_of_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    assert [author["name"] for author in citation["authors"]] == [a["name"] for a in PROJECT["project"]["authors"]]


def test_the_licence_is_the_whole_text() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"] and "END OF TERMS AND CONDITIONS" in text
    assert all(f"\n   {number}. " in text for number in range(1, 10)) and "APPENDIX" in text


def test_the_workflow_runs_targets_of_make_on_every_supported_python() -> None:
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"]["test"]
    classifiers = PROJECT["project"]["classifiers"]
    supported = [line.rpartition(" ")[2] for line in classifiers if re.search(r":: 3\.\d+$", line)]
    assert job["strategy"]["matrix"]["python"] == supported
    run = [step["run"] for step in job["steps"] if "run" in step]
    assert {"make test", "make docs", "make test-docs"} <= set(run)
    assert all(is_target(line.removeprefix("make ")) for line in run if line.startswith("make "))


def test_hooks_and_issue_forms_are_complete() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"  # nothing is fetched
    programs = {Path(hook["entry"].split()[0]).name for hook in repository["hooks"]}
    assert {"ruff", "mypy"} <= programs and all(hook["language"] == "system" for hook in repository["hooks"])
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert {form.stem for form in forms} == {"bug", "wrong-number", "feature", "config"}
    for form in forms:
        if form.stem != "config":
            body = yaml.safe_load(form.read_text())
            assert {"name", "description", "body"} <= set(body)
            assert len({field["id"] for field in body["body"]}) == len(body["body"])


def test_the_changelog_has_unreleased_changes_and_kinds_that_are_known() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"^## (\[Unreleased\]|Unreleased)$", text, re.MULTILINE)
    kinds = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
