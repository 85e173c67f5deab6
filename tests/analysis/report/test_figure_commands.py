"""The command that the report shows for a figure makes that figure."""

from __future__ import annotations

import html
import re
import shlex
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.data.options import ReadOptions
from analysis.fitting.options import FitOptions
from analysis.report.build import write_report
from tests.support.known_store import build

OPTIONS = FitOptions(bootstrap=100, level=0.8, objective="huber-log")
READING = ReadOptions(where="N>10000", flops="exact", params="nonembedding")


@pytest.mark.docs
@pytest.mark.parametrize(("options", "reading"), [
    (FitOptions(bootstrap=100), ReadOptions()),
    (OPTIONS, READING),
], ids=["defaults", "options"])  # fmt: skip
def test_each_command_makes_the_same_figure_and_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: FitOptions, reading: ReadOptions
) -> None:
    monkeypatch.chdir(tmp_path)
    build(Path("my store"), extras=True, rows=40)
    page = write_report("my store", "out", options, reading)
    commands = [html.unescape(text) for text in re.findall("<code>(python -m [^<]*)</code>", page.read_text())]
    names = []
    for text in commands:
        python, _, package, *words = shlex.split(text)
        assert (python, package, words[0], words[2]) == ("python", "analysis", "figure", "my store")
        assert main(words) == 0, text
        names.append(words[1])
        for suffix in ("pdf", "data.csv"):
            made, shown = Path(f"{words[1]}.{suffix}"), Path("out", "figures", f"{words[1]}.{suffix}")
            assert made.read_bytes() == shown.read_bytes(), text
    assert names == ["isoflop", "curves", "collapse", "contours", "kaplan", "parity", "conventions"]
