"""Fixtures of the engines' tests."""

import os
from pathlib import Path

import pytest

from tests.support.clusters.gke import KUBECTL


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubectl whose answers are a file."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    (folder / "kubectl").write_text(KUBECTL)
    (folder / "kubectl").chmod(0o755)
    (folder / "list.json").write_text('{"items": []}')
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CLUSTER", str(folder))
    return folder
