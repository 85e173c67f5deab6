"""Figures in a user's own file: drawn like the built-in ones, and one line with file and line number when they fail."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from analysis import EmergenceOptions, ReadOptions, plot
from analysis.__main__ import main
from analysis.errors import DataError
from analysis.figures import save
from analysis.figures.source import Source
from tests.support.known_store import build

MY_FIGURES = '''\
"""Figures of my own."""
from matplotlib.figure import Figure

from analysis.figures import marks, style


def by_column(source, width, *, column="N", log=True, bins=3, name=None):
    figure, (axes,) = style.panels(width, 1, 1, height=2.0)
    runs = source.runs.dropna(subset=["loss"])
    marks.points(axes, f"{bins} {name}", runs[column], runs["loss"])
    axes.set(xlabel=column, ylabel="loss", xscale="log" if log else "linear")
    return figure


def plain(source):
    figure = Figure()
    figure.add_subplot().plot(source.points.N, source.points.L, "o", label="runs")
    return figure


def of_a_law(source, law="chinchilla"):
    raise ValueError(f"fitted\\n{law}")


def nothing(source):
    pass


def unfittable(source):
    return source.fit("routing")


number = 3
'''


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("own") / "store", extras=True).root


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_figures.py").write_text(MY_FIGURES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_figure_of_an_own_file_is_saved_with_its_data_origin_and_command(folder: Path, store: Path) -> None:
    flags = ["--out", "f.pdf", "--where", "N>20000", "--width", "column", "--set", "column=D,log=false,bins=5"]
    assert main(["figure", "my_figures.py:by_column", str(store), *flags]) == 0
    assert Path("f.pdf").read_bytes().startswith(b"%PDF")
    about = json.loads(Path("f.about.json").read_text())
    assert len(about["code_sha256"]) == 64 and about["alt_text"].startswith("loss, ")
    python, _, package, *words = shlex.split(about["command"])
    assert (python, package) == ("python", "analysis")
    before = Path("f.pdf").read_bytes(), Path("f.data.csv").read_text()
    assert "a,5 None,point," in before[1]
    assert str(store) not in about["command"] and store.name in words  # as it may be published
    words[words.index(store.name)] = str(store)
    assert main(words) == 0  # the command that it records makes the same figure
    assert (Path("f.pdf").read_bytes(), Path("f.data.csv").read_text()) == before


def test_a_mark_is_named_by_its_label_and_a_module_is_as_good_as_a_file(
    folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(folder)
    assert main(["figure", "my_figures:plain", str(store), "--out", "f.svg"]) == 0
    assert Path("f.data.csv").read_text().count("\na,runs,line,") == 20


@pytest.mark.parametrize(("name", "flags", "message"), [
    ("my_figures.py:of_a_law", [], "my_figures.py, line 22: ValueError: fitted chinchilla"),
    ("my_figures.py:of_a_law", ["--law", "power-n"], "my_figures.py, line 22: ValueError: fitted power-n"),
    ("my_figures.py:nothing", [], "my_figures.py, line 25: the figure returned NoneType: must be a matplotlib"),
    ("my_figures.py:number", [], "must be a function"),
    ("my_figures.py:gone", [], "my_figures.py has no gone: it has by_column, plain"),
    ("other.py:gone", [], "other.py: no such file"),
    ("nowhere", [], "must be one of kaplan, "),
    ("my_figures.py:by_column", ["--set", "color=red"], "must be one of column, log, bins, name"),
    ("my_figures.py:by_column", ["--set", "bins=2.5"], "--set bins=2.5: must be a whole number"),
    ("my_figures.py:by_column", ["--set", "log=yes"], "--set log=yes: must be true or false"),
    ("my_figures.py:plain", ["--width", "column"], "does not use --width"),
    ("my_figures.py:plain", ["--law", "m1"], "does not use --law"),
    ("isoflop", ["--set", "a=1"], "figure isoflop does not use --set"),
])  # fmt: skip
def test_an_error_is_one_line_that_names_file_and_line(
    folder: Path, store: Path, capsys: pytest.CaptureFixture[str], name: str, flags: list[str], message: str
) -> None:
    assert main(["figure", name, str(store), "--out", "f.pdf", *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and "Traceback" not in error
    assert not Path("f.pdf").exists()


def test_an_error_of_this_package_in_an_own_figure_keeps_its_status(folder: Path, store: Path) -> None:
    assert main(["figure", "my_figures.py:unfittable", str(store), "--out", "f.pdf"]) in (1, 2)


def test_a_function_of_a_notebook_is_drawn_without_a_file(store: Path, tmp_path: Path) -> None:
    seen: list[Source] = []

    def loss_figure(source: Source, width: float) -> Figure:
        seen.append(source)
        return Figure(figsize=(width, 2))

    figure = plot(store, loss_figure, "column")
    assert figure.get_size_inches() == pytest.approx((3.25, 2)) and len(seen[0].points) == 20


def test_a_plot_of_a_store_is_the_figure_of_the_command(folder: Path, store: Path) -> None:
    name, reading = "my_figures.py:by_column", ReadOptions(where="N>20000")
    drawn = save.render(plot(store, name, "column", reading=reading), "svg")
    assert main(["figure", name, str(store), "--out", "f.svg", "--width", "column", "--where", "N>20000"]) == 0
    assert drawn == Path("f.svg").read_bytes()
    with pytest.raises(DataError, match="does not use --score"):
        plot(store, name, scores=EmergenceOptions(score="exact"))
