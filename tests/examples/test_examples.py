"""Each script of examples/ is short, uses the public interface alone, and runs in an empty folder."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.harness.session import environment
from tests.support.commands import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PACKAGES = ("scaling", "sweeps", "analysis")
MAX_LINES = 40
every_example = pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)


def test_there_are_examples_of_each_package() -> None:
    sources = [script.read_text() for script in EXAMPLES]
    assert len(sources) >= 8
    assert all(any(re.search(rf"^(from|import) {package}\b", text, re.M) for text in sources) for package in PACKAGES)


@every_example
def test_an_example_is_short_and_says_its_purpose_in_two_lines(script: Path) -> None:
    text = script.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    lines = (ast.get_docstring(ast.parse(text)) or "").splitlines()
    assert len(lines) == 3 and not lines[1] and all(line.endswith(".") for line in lines[::2])


@every_example
def test_an_example_imports_public_names_alone(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
            assert node.module in PACKAGES, f"{script.name} imports from {node.module}"
            public = importlib.import_module(node.module).__all__
            assert {alias.name for alias in node.names} <= {*public}


@pytest.mark.docs
@every_example
def test_an_example_runs_in_an_empty_folder(script: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout and "Warning" not in done.stderr
