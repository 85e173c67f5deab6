"""Reading many small files: in order, near or far, and side by side where they are far."""

from __future__ import annotations

import threading
import time

import pytest

from sweeps.monitoring import read_many


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("count", [0, 5, read_many.PROBE, 3 * read_many.PROBE])
def test_each_name_is_read_once_and_answered_in_order_side_by_side_only_where_it_is_far(
    count: int, far: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_many, "CHUNK", 10)
    monkeypatch.setattr(read_many, "SLOW_SECONDS", 0.0 if far else 1e9)
    requested, at_once, most, lock = list[str](), 0, 0, threading.Lock()

    def read(name: str) -> int:
        nonlocal at_once, most
        with lock:
            requested.append(name)
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.002)
        with lock:
            at_once -= 1
        return int(name) ** 2

    names = [str(i) for i in range(count)]
    assert list(read_many.read_all(read, names)) == [i * i for i in range(count)]
    assert sorted(requested, key=int) == names
    assert (most > 1) == (far and count > read_many.PROBE)


def test_an_error_of_one_name_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_many, "SLOW_SECONDS", 0.0)

    def read(name: str) -> str:
        if name == "60":
            raise ValueError(name)
        return name

    with pytest.raises(ValueError, match="60"):
        list(read_many.read_all(read, [str(i) for i in range(90)]))
