"""Whatever a source holds, it gives points or one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.errors import DataError
from scaling.training.tracking.tensorboard import bytes_field, tfrecord, varint_field
from tests.support.tables import write_table

CELLS = st.one_of(
    st.sampled_from(
        ["1e6", "3", "70M", "1,000", "1,5", "nan", "", "inf", "-2", "0", "true", '"', "'", "\n", "\0", ";", "="]
    ),
    st.text(max_size=6),
    st.floats(width=32).map(str),
    st.integers(-(10**30), 10**30).map(str),
)
HEADS = st.one_of(
    st.sampled_from(
        [
            *("N", "D", "L", "C", "loss", "Params (B)", "tokens", "Step", "State", "config", "name", "runs", "history"),
            *("a - loss", "b - loss", "70M", "160M", "1e18", "loss_1B", "loss_2B", "acc (%)", "# N", "|", "results"),
        ]
    ),
    st.text(max_size=5),
)
FUZZ = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(
    head=st.lists(HEADS, max_size=6),
    rows=st.lists(st.lists(CELLS, max_size=7), max_size=6),
    separator=st.sampled_from([",", ";", "\t", " "]),
    kind=st.sampled_from(["csv", "tsv", "txt"]),
    drop=st.booleans(),
    wide=st.sampled_from([None, None, "N", "budget:loss"]),
    names=st.sampled_from([None, None, "{N}*", "n{N}-d{D}"]),
)
def test_any_text_gives_points_or_one_line(
    tmp_path: Path,
    head: list[str],
    rows: list[list[str]],
    separator: str,
    kind: str,
    drop: bool,
    wide: str | None,
    names: str | None,
) -> None:
    path = tmp_path / f"fuzz.{kind}"
    path.write_bytes("\n".join(separator.join(row) for row in [head, *rows]).encode("utf-8", "surrogatepass"))
    either(path, drop_bad=drop, wide=wide, run_names=names)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(HEADS, inner, max_size=4),
    max_leaves=20,
)


@FUZZ
@given(data=JSON, kind=st.sampled_from(["json", "jsonl"]))
def test_any_json_gives_points_or_one_line(tmp_path: Path, data: object, kind: str) -> None:
    either(write_table(tmp_path, json.dumps(data), f"fuzz.{kind}"))


def tfrecords(messages: list[bytes]) -> bytes:
    return b"".join(tfrecord(message) for message in messages)


MESSAGES = st.recursive(
    st.binary(max_size=8) | st.integers(0, 2**64).map(lambda value: varint_field(2, value)),
    lambda inner: st.tuples(st.integers(1, 9), inner).map(lambda pair: bytes_field(*pair)),
    max_leaves=8,
)


@FUZZ
@given(
    data=st.lists(MESSAGES, max_size=5).map(tfrecords) | st.binary(max_size=40),
    cut=st.integers(0, 8),
    flip=st.booleans(),
)
def test_any_event_file_gives_points_or_one_line(tmp_path: Path, data: bytes, cut: int, flip: bool) -> None:
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes((data[: len(data) - cut] if cut < len(data) else data) + b"\x01" * flip)
    either(path)
    either(tmp_path)


OBJECTS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.decimals(), st.fractions(),
    st.text(max_size=4), st.binary(max_size=3), st.timedeltas(), st.datetimes(), st.lists(st.floats(), max_size=2),
    st.just(np.array([1.0])), st.just(pd.NA), st.just(pd.NaT),
)  # fmt: skip


@FUZZ
@given(
    columns=st.integers(1, 4).flatmap(
        lambda n: st.dictionaries(HEADS, st.lists(OBJECTS, min_size=n, max_size=n), max_size=5)
    ),
    drop=st.booleans(),
)
def test_any_objects_give_points_or_one_line(columns: dict[str, list[object]], drop: bool) -> None:
    either(columns, drop_bad=drop)


def either(source: object, **options: Any) -> None:
    """Points that are numbers, or one line."""
    try:
        points = load(source, options=ReadOptions(**options))
    except DataError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert len(points) and np.isfinite(points.L).all() and (points.L > 0).all()
