"""What the README shows runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT

SNIPPETS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_runs(snippet: str, tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{snippet}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_there_are_snippets() -> None:
    assert SNIPPETS


def test_every_command_of_the_readme_exists() -> None:
    """Every `python -m PACKAGE COMMAND` of the README is a command of that package."""
    output = set(re.findall(r"^python -m (\w+) (\w[\w-]*)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE))
    for section in {section for section, _ in output}:
        done = subprocess.run(
            [sys.executable, "-m", section, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        missing = {command for entry, command in output if entry == section and command not in done.stdout}
        assert not missing, f"python -m {section}: {missing}"
