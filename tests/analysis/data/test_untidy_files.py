"""Text files as spreadsheets, scripts and people leave them: read as they are meant, with a note, or refused."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from tests.support.tables import refusal, write_table

N, D, L = [1e8, 2e8, 4e8], [1e9, 3e9, 9e9], [3.5, 3.1, 2.8]
ROWS = [f"{n:.0f},{d:.0f},{x}" for n, d, x in zip(N, D, L, strict=True)]
BODY = "\n".join(ROWS)

UNTIDY = {
    "title above the header": (f"Sweep of March,,\n\nN,D,L\n{BODY}\n", "1 line above the header"),
    "two titles": (f"Sweep\nby hand\nN,D,L\n{BODY}\n", "2 lines above the header"),
    "separator of Excel": ("sep=;\nN;D;L\n" + BODY.replace(",", ";").replace(".", ","), "semicolons"),
    "quoted separator of Excel": ('"sep=,"\r\nN,D,L\r\n' + "\r\n".join(ROWS), ""),
    "units below the header": ("N,D,L\n(M),(B),(nats)\n100,1,3.5\n200,3,3.1\n400,9,2.8\n", "row below the header"),
    "units without brackets": ("name,params,tokens,loss\n,M,B,\na,100,1,3.5\nb,200,3,3.1\nc,400,9,2.8\n", "M, B"),
    "totals at the end": (f"N,D,L\n{BODY}\nTotal,,9.4\n", "'Total'"),
    "mean and deviation": (
        "name,N,D,L\n" + "\n".join(f"r{i},{row}" for i, row in enumerate(ROWS)) + "\nMean,1,1,3\nstd,1,1,1\n",
        "2 rows at the end",
    ),
    "header again": (f"N,D,L\n{ROWS[0]}\nN,D,L\n{ROWS[1]}\n{ROWS[2]}\n", "1 repeated header"),
    "comments between": (f"N,D,L\n{ROWS[0]}\n# the next, at twice the size\n{ROWS[1]}\n{ROWS[2]}\n", "1 comment"),
    "Markdown": ("| N | D | L |\n|---|:-:|--:|\n" + "\n".join(f"| {r} |".replace(",", " | ") for r in ROWS), "bars"),
    "numpy.savetxt": ("# N D L\n" + BODY.replace(",", " "), ""),
    "write.table of R": (
        '"N" "D" "L"\n' + "\n".join(f'"{i}" {r}' for i, r in enumerate(ROWS, 1)).replace(",", " "),
        "",
    ),
    "index of pandas": (",N,D,L\n" + "\n".join(f"{i},{r}" for i, r in enumerate(ROWS)), ""),
    "Unnamed: 0": ("Unnamed: 0,N,D,L\n" + "\n".join(f"{i},{r}" for i, r in enumerate(ROWS)), ""),
    "empty columns": ("N,,D,L,,\n" + "\n".join(r.replace(",", ",,", 1) + ",," for r in ROWS), ""),
    "spaces after commas": ('N, D, L\n"100,000,000", 1e9, 3.5\n"200,000,000", 3e9, 3.1\n"4e8", 9e9, 2.8\n', ""),
    "semicolons around a comma": ("N;D;L (nats, final)\n" + BODY.replace(",", ";").replace(".", ","), "semicolons"),
    "old line ends": ("N,D,L\r" + BODY.replace("\n", "\r"), ""),
    "byte-order mark and blank lines": ("\ufeff\n\nN,D,L\r\n\r\n" + "\r\n".join(ROWS) + "\r\n\r\n", ""),
}


@pytest.mark.parametrize("case", UNTIDY)
def test_untidy_files_give_the_rows_that_are_meant_and_say_what_was_left_out(tmp_path: Path, case: str) -> None:
    text, note = UNTIDY[case]
    points = load(write_table(tmp_path, text, "a.txt" if case[0] in "nw" else "a.csv"))
    assert points.N.tolist() == N and points.D.tolist() == D and points.L.tolist() == L
    assert note in " ".join(points.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{BODY}\n", "has only numbers"),
        ("N D C L\n1e8 1e9 6e17 3.5\n2e8 3e9 3.1\n", "line 3: 3 cells"),
        ("N,D,L\n1e8,1e9,3.5,2021\n2e8,3e9,3.1,2022\n", "line 2: 4 cells"),
        ("Params (M) tokens loss\n1e8 1e9 3.5\n", "3 cells, but the header has 4"),
        ("N,D,L\n1e8,1e9,3.5\nTotal,,3.5\n1e8,1e9,3.5\n", "'Total'"),
    ],
)
def test_rows_that_would_be_shifted_or_pooled_are_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(write_table(tmp_path, text, "a.txt" if " " in text else "a.csv"))


def test_errors_of_spreadsheets_and_numbered_rows_are_not_comments(tmp_path: Path) -> None:
    assert "#REF!" in refusal(write_table(tmp_path, f"N,D,L\n{BODY}\n#REF!,1e9,3\n"))
    numbered = "\n".join(f"#{i},{row}" for i, row in enumerate(ROWS))
    assert load(write_table(tmp_path, f"run,N,D,L\n{numbered}\n")).names == ["#0", "#1", "#2"]


@pytest.mark.parametrize(
    ("name", "cell"), [("acc", "35%"), ("acc", "35 %"), ("acc (%)", "35"), ("acc (percent)", "35"), ("acc %", "35")]
)
def test_scores_in_percent_are_shares(tmp_path: Path, name: str, cell: str) -> None:
    path = write_table(tmp_path, f"loss,{name}\n3.0,{cell}\n2.9,{cell.replace('35', '36')}\n")
    points = load(path, laws.find("sigmoid"))
    assert points["Acc"] == pytest.approx([0.35, 0.36])
    assert any("percent" in note or "are read as 0.35" in note for note in points.notes)


def test_scores_above_one_are_said_to_look_like_percent(tmp_path: Path) -> None:
    path = write_table(tmp_path, "loss,acc\n3.0,35\n2.9,36\n")
    assert any("--units Acc=percent" in note for note in load(path, laws.find("sigmoid")).notes)
    points = load(path, laws.find("sigmoid"), ReadOptions(units={"Acc": "percent"}))
    assert points["Acc"] == pytest.approx([0.35, 0.36])


def test_rows_whose_label_is_also_a_value_are_kept(tmp_path: Path) -> None:
    """A column such as the reduction of the loss can end with "mean" without being a row of totals."""
    text = "reduction,N,D,L\nmean,1e8,1e9,3.5\nsum,2e8,3e9,3.1\nmean,4e8,9e9,2.8\n"
    assert load(write_table(tmp_path, text)).L.tolist() == L


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_truncated_archives_are_refused_in_one_line(tmp_path: Path, suffix: str, compress: object) -> None:
    assert callable(compress)
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(compress(f"N,D,L\n{BODY}\n".encode())[:-9])
    assert "cannot be read" in refusal(path)
