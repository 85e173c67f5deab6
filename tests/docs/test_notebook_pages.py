"""Notebooks become pages with their outputs; an error fails the build, and an unchanged notebook is not run again."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("nbclient")

from mkdocs.exceptions import PluginError

from docs.generate import notebooks

pytestmark = pytest.mark.docs

SOURCE = """\
# %% [markdown]
# # A table and a figure
# %%
import pandas as pd
import matplotlib.pyplot as plt

pd.DataFrame({"N": [1, 2]})
# %%
print("printed")
plt.plot([1, 2])
plt.show()
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(notebooks, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(notebooks, "SOURCES", tmp_path)
    path = tmp_path / "shown.py"
    path.write_text(SOURCE)
    return path


def test_a_page_has_the_outputs_and_an_unchanged_notebook_is_not_run_again(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = notebooks.pages()
    text = str(pages["notebooks/shown.md"])
    assert "# A table and a figure" in text and "<table>" in text and '```text title="Output"\nprinted' in text
    assert "![Figure of the section “A table and a figure”](shown-1.png)" in text
    assert bytes(pages["notebooks/shown-1.png"]).startswith(b"\x89PNG")  # type: ignore[arg-type]
    assert '"output_type": "display_data"' in str(pages["notebooks/shown.ipynb"])

    runs: list[Path] = []
    monkeypatch.setattr(notebooks, "execute", lambda path: runs.append(path))
    assert notebooks.pages() == pages and not runs
    source.write_text(SOURCE + "# %%\n1 + 1\n")
    with pytest.raises(AttributeError):  # it would be run: the stand-in returns nothing
        notebooks.pages()
    assert runs == [source]


def test_an_error_in_a_cell_fails_the_build(source: Path) -> None:
    source.write_text("# %%\n1 / 0\n")
    with pytest.raises(PluginError, match=r"shown.py.*\n(.*\n)*.*ZeroDivisionError"):
        notebooks.pages()
