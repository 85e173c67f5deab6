"""The parts of the wall time: they add up, and time lost to a restart is never counted as progress."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from scaling.store.cost import WALL_TIME_PARTS
from scaling.training.telemetry.wall_time import WallTime


class Clocks:
    """A monotonic clock and the time of day, which can be set apart."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.now, self.offset = 1000.0, tmp_path / "offset"
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "time", lambda: 1.7e9 + self.now)
        monkeypatch.setenv("SCALING_CLOCK_FILE", str(self.offset))
        self.set_clock(0.0)

    def set_clock(self, offset: float) -> None:
        """Sets the time of day forth or back by so many seconds."""
        self.offset.write_text(str(offset))

    def day(self) -> float:
        return time.time() + float(self.offset.read_text())


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clocks:
    return Clocks(monkeypatch, tmp_path)


def process(clocks: Clocks, kept: float | None, earlier: WallTime | None, until: float | None) -> WallTime:
    """A process that starts now, compiles for 3 s and steps from 5 s after its start on."""
    wall = WallTime(kept_seconds=kept, began_at=clocks.now, compile_seconds=3.0)
    wall.begin(earlier.parts() if earlier else {}, until, is_first_run=False)
    clocks.now += 5.0
    wall.stepping_since = clocks.now
    return wall


def test_parts_are_what_happened_and_add_up_to_the_wall_time(clocks: Clocks) -> None:
    began = clocks.now
    wall = process(clocks, 0.0, None, None)
    clocks.now += 10.0
    wall.phases["input"] += 1.0
    with wall.phase("validation"), wall.phase("checkpoint"):  # the inner one is part of the outer one
        clocks.now += 2.0
        during = wall.parts()
    clocks.now += 4.0
    parts = wall.parts()
    assert parts == {
        "steps": 13.0, "lost": 0.0, "input": 1.0, "validation": 2.0, "evaluation": 0.0, "checkpoint": 0.0,
        "compile": 3.0, "start": 2.0, "between": 0.0,
    }  # fmt: skip
    assert during["steps"] == 9.0 and during["validation"] == 2.0
    assert tuple(parts) == tuple(WALL_TIME_PARTS) and sum(parts.values()) == clocks.now - began
    assert wall.step_seconds() == 14.0


def test_steps_after_the_restored_checkpoint_are_lost_and_the_gap_is_between(clocks: Clocks) -> None:
    began = clocks.now
    first = process(clocks, 0.0, None, None)
    clocks.now += 20.0  # its checkpoint was saved after 12 s of steps
    noted, until = noted_process(first.parts()), clocks.day()
    clocks.now += 100.0  # killed right after its last note
    second = process(clocks, 12.0, noted, until)
    clocks.now += 30.0
    parts = second.parts()
    assert (parts["steps"], parts["lost"]) == (42.0, 8.0)
    assert parts["compile"] == 6.0 and parts["start"] == 4.0 and second.step_seconds() == 30.0
    assert sum(parts.values()) == pytest.approx(clocks.now - began) and parts["between"] == pytest.approx(100.0)


def noted_process(parts: dict[str, float]) -> WallTime:
    wall = WallTime(earlier=parts)
    wall.parts = lambda: parts  # type: ignore[method-assign]
    return wall


def test_a_checkpoint_newer_than_the_last_note_counts_its_steps_once(clocks: Clocks) -> None:
    until = clocks.day()
    clocks.now += 10.0  # 4 s of steps, a checkpoint, and a kill before the next note
    second = process(clocks, 24.0, noted_process({"steps": 20.0}), until)
    assert second.parts()["steps"] == 24.0 and second.parts()["between"] == pytest.approx(6.0)


def test_a_clock_that_is_set_back_makes_no_part_negative_and_does_not_change_durations(clocks: Clocks) -> None:
    until = clocks.day()
    clocks.set_clock(-86400.0)
    second = process(clocks, 20.0, noted_process({"steps": 20.0}), until)
    clocks.set_clock(86400.0)
    clocks.now += 7.0
    parts = second.parts()
    assert min(parts.values()) >= 0.0 and parts["between"] == 0.0 and parts["steps"] == 27.0
