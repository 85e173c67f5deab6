"""Every notebook runs from top to bottom in an empty folder, and shows what it draws as an image."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.commands import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.py"))


@pytest.mark.docs
@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda source: source.stem)
@pytest.mark.filterwarnings("default")  # of Jupyter's own packages
def test_a_notebook_runs_and_shows_its_figures(source: Path) -> None:
    from docs.generate.notebooks import executed  # here: it needs MkDocs, Jupytext and nbclient

    images = 0
    for cell in executed(source).cells:
        for output in cell.get("outputs", []):
            assert output.output_type in ("stream", "execute_result", "display_data"), output
            assert not re.search("Warning|Traceback", output.get("text", "")), output["text"]
            data = output.get("data", {})
            assert "Figure size" not in data.get("text/plain", "") or "image/png" in data
            images += "image/png" in data
    assert images
