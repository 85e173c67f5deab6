"""Tests that tables of any size and kind are read within bounds, or refused in one line that says what to do."""

import bz2
import gzip
import json
import lzma
import os
import socket

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis import laws
from analysis.data.load import load
from analysis.data.sources import delimited, files
from analysis.data.sources.readers import read_table
from analysis.data.table import parse_column
from analysis.errors import DataError

RUNS = "N,D,L\n1e6,1e9,3\n2e6,2e9,2.9\n"
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refusal(path):
    with pytest.raises(DataError) as error:
        read_table(path)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{path}: ")


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", '[{"N": 1}, {"N": 1, "config": {"lr": 1, "lr": 2}}]', "row 2, config, key 'lr' twice"),
        ("a.json", '{"runs": [{"N": 1, "N": 1}]}', "runs, row 1, key 'N' twice"),
        ("a.json", '{"N": 1}\n{"N": 2, "N": 3}', "row 2, key 'N' twice"),
        (
            "a.csv",
            'N,config\n1,"{""lr"": 1, ""a"": {""b"": 1, ""b"": 2}}"',
            "row 1 (line 2), column config: a, key 'b' twice",
        ),
        ("a.jsonl", '{"N": 1}\n\n{"N": 2, "N": 3}', "line 3: key 'N' twice"),
    ],
)
def test_a_key_that_an_object_has_twice_is_named(tmp_path, name, text, reason):
    assert refusal(write(tmp_path / name, text)).startswith(reason)


def test_cells_and_lines_that_are_too_long_are_named_by_line(tmp_path):
    path = tmp_path / "a.csv"
    assert refusal(write(path, f"{RUNS}1e6,1e9,{'x' * 200_000}\n")).startswith("line 4: a cell of more than 131,072")
    assert refusal(write(path, f'{RUNS}1e6,1e9,"{"x" * 20}\n' + "1,2,3\n" * 30_000)).startswith("line 4: a cell of")
    assert refusal(write(path, f"N,D,{'x' * 200_000}\n1,2,3\n")).startswith("line 1: a cell of more than 131,072")
    assert refusal(write(path, f"{RUNS}{'1,' * (1 << 23)}\n1,")).startswith("line 4: 16,777,217 characters")


@pytest.mark.parametrize("encoding", ["utf-16le", "utf-16be", "utf-32le", "utf-32be", "utf-32"])
def test_other_encodings_are_named_with_their_conversion(tmp_path, encoding):
    name = encoding.upper()
    for kind, text in (("csv", RUNS), ("json", '[{"N": 1}]')):
        reason = refusal(write(tmp_path / f"a.{kind}", text.encode(encoding)))
        assert reason == f"is {name}: convert it with `iconv -f {name} -t UTF-8 a.{kind} > a-utf8.{kind}`"


def test_utf_16_with_its_mark_is_read_and_other_bytes_are_refused(tmp_path):
    path = tmp_path / "a.csv"
    assert len(read_table(write(path, RUNS.encode("utf-16"))).frame) == 2
    assert "not valid UTF-16" in refusal(write(path, RUNS.encode("utf-16") + b"x"))
    assert refusal(write(path, f"{RUNS}1,2,é\n".encode("latin-1"))).startswith("line 4: byte 32 is not UTF-8")
    assert refusal(write(path, f"{RUNS}1,2,\0\n")).startswith("line 4: has a NUL byte")


def test_pipes_sockets_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    os.symlink("/dev/zero", tmp_path / "zero.csv")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.csv"))
        for name, kind in (("pipe", "a FIFO"), ("zero", "a device"), ("socket", "a socket")):
            assert refusal(tmp_path / f"{name}.csv").startswith(f"is {kind}")


def test_a_small_file_that_unpacks_to_a_large_one_is_refused_within_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_ROWS", 1000)
    for suffix, module in ((".gz", gzip), (".bz2", bz2), (".xz", lzma)):
        path = tmp_path / f"a.csv{suffix}"
        with module.open(path, "wb") as file:
            file.write(RUNS.encode() + b" " * (1 << 21))
        assert path.stat().st_size < 1 << 13
        with pytest.raises(DataError, match=": more than 1 MiB unpacked: keep fewer rows"):
            files.read_bytes(path, 1 << 20)
    pd.DataFrame({"N": np.ones(1001)}).to_parquet(tmp_path / "a.parquet")
    assert refusal(tmp_path / "a.parquet").startswith("1,001 rows: at most 1,000 are read: keep fewer rows")
    assert "1,001 rows" in refusal(write(tmp_path / "a.csv", "N\n" + "1\n" * 1000))
    monkeypatch.setattr(files, "MAX_UNPACKED", 1 << 20)
    pd.DataFrame({"N": np.ones(999), "text": ["x" * 10_000] * 999}).to_parquet(tmp_path / "b.parquet")
    assert (tmp_path / "b.parquet").stat().st_size < 1 << 16
    assert refusal(tmp_path / "b.parquet").startswith("cells of more than 1 MiB in memory: keep fewer rows")


CELLS = st.one_of(
    st.sampled_from(
        [
            "1",
            "2.5e3",
            " 3",
            "4 ",
            "",
            " ",
            "nan",
            "-inf",
            "Infinity",
            "1e999",
            "+1",
            "1_0",
            ".5",
            "5.",
            "70M",
            "١",
            "#1",
        ]
    ),
    st.floats().map(str),
    st.text(st.characters(codec="utf-8"), max_size=3),
)


@FUZZ
@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=2, max_size=6),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    end=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
    last=st.sampled_from(["", "\n", "\nTotal,1,2\n", "\n\n", "\nN,D,L\n"]),
)
def test_regular_text_is_the_same_table_by_either_reader(tmp_path, rows, separator, end, mark, last):
    text = end.join(separator.join(row) for row in [["N", "D", "L"], *rows]) + last
    data = text.encode("utf-8-sig" if mark else "utf-8", "replace")
    path = tmp_path / "a.csv"
    fast = delimited.read_regular_lines(path, data)
    if fast is None:
        return
    careful = delimited.read_delimited(path, data)
    assert (fast.notes, fast.lines.tolist(), fast.decimal_comma) == (careful.notes, careful.lines.tolist(), False)
    assert fast.frame.astype(object).equals(careful.frame)
    for name in fast.frame:
        for counts in (False, True):
            numbers = [parse_column(table.frame[name], counts) for table in (fast, careful)]
            assert np.array_equal(numbers[0].values, numbers[1].values, equal_nan=True)


@given(st.lists(CELLS, min_size=1, max_size=5))
@FUZZ
def test_numbers_of_a_column_do_not_depend_on_how_it_is_converted(cells):
    mixed = pd.Series([*cells, 1], dtype=object)  # a number among texts: every cell is converted on its own
    together = parse_column(pd.Series(cells, dtype=object), False)
    if together.errors is None and not together.example:
        assert np.array_equal(together.values, parse_column(mixed, False).values[:-1], equal_nan=True)


def test_a_regular_file_is_read_with_arrow_and_gives_the_same_points(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    N, D = np.exp(random.uniform(14, 20, (2, 2000))).round()
    rows = [f"{n:.0f},{d:.0f},{1.7 + 400 / n**0.34 + 410 / d**0.28:.5f}" for n, d in zip(N, D, strict=True)]
    path = write(tmp_path / "a.csv", "\n".join(["N,D,L", *rows]))
    careful = load(path, laws.find("chinchilla"))
    monkeypatch.setattr(delimited, "LARGE", 0)
    assert str(read_table(path).frame["N"].dtype) == "string"
    fast = load(path, laws.find("chinchilla"))
    assert (fast.names, fast.notes, fast.labels) == (careful.names, careful.notes, careful.labels)
    assert all(np.array_equal(fast[letter], careful[letter]) for letter in "NDCL")
    table = tmp_path / "a.json"
    table.write_text(json.dumps([{"N": n, "D": d, "L": 3.0} for n, d in zip(N.tolist(), D.tolist(), strict=True)]))
    assert np.array_equal(load(table).N, fast.N)
