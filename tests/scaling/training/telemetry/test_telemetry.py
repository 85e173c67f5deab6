"""What a run tells about its machine: in its record, in TensorBoard, and in files of its folder."""

from __future__ import annotations

import dataclasses
import gzip
import json
import signal
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, override, run_id
from scaling.counting.counts import total_run_flops
from scaling.store.cost import MACHINE_FACTS, TIMING_FILE, WALL_TIME_PARTS, machine_facts
from scaling.store.record import Record, Store
from scaling.training.claim import claim_run
from scaling.training.loop import EVENT_SECONDS
from scaling.training.telemetry import telemetry
from scaling.training.telemetry.profile import StepProfile
from scaling.training.telemetry.slow_steps import SlowStepWatch
from scaling.training.telemetry.telemetry import NOTE_SECONDS, ProcessStart, Telemetry
from tests.support.training import STEPWISE, start_trainer, train_run, wait_for_event

sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))


def assert_whole(record: Record) -> dict[str, float]:
    """The parts of the wall time add up, and goodput is the share of the steps; returns the parts."""
    timing = record.about["timing"]
    assert set(timing) == {"wall", *WALL_TIME_PARTS} and min(timing.values()) >= 0.0
    assert timing["wall"] == pytest.approx(sum(timing[name] for name in WALL_TIME_PARTS), abs=1e-9)
    assert record.about["goodput"] == pytest.approx(timing["steps"] / timing["wall"], abs=1e-6)
    return timing


def test_a_run_that_was_stopped_tells_its_whole_wall_time(store: Store, tiny: RunConfig) -> None:
    began = time.time()
    stopped = train_run(tiny, store, stop_after=9)
    noted = store.run_dir(run_id(tiny)) / TIMING_FILE
    assert stopped.status == "stopped" and noted.exists() and assert_whole(stopped)["lost"] == 0.0
    time.sleep(0.5)
    record = train_run(tiny, store)
    timing, about = assert_whole(record), record.about
    elapsed = time.time() - began
    assert timing["between"] >= 0.5 and 0.9 * elapsed - 0.2 < timing["wall"] < elapsed + 0.01
    assert about["attempts"] == 2 and timing["lost"] < timing["wall"] / 10  # saved at the stop
    assert timing["validation"] > 0.0 and timing["checkpoint"] > 0.0
    assert about["checkpoints"]["saved"] >= 2 and about["checkpoints"]["write_seconds"] > 0.0
    assert about["memory_peak_of"] == "process" and about["memory_peak_bytes"] > 2**20
    assert about["peak_source"] == "measured" and about["mfu"] > 0.0
    flops = total_run_flops(tiny) * (tiny.steps - about["started_from"]["step"]) / tiny.steps
    assert flops / (about["mfu"] * about["peak_flops_per_second"]) < timing["steps"] + timing["input"] + 0.1
    assert not noted.exists() and about["slow_steps"] == 0
    assert set(MACHINE_FACTS) <= set(about)


def test_a_record_without_these_facts_opens_and_its_goodput_stays_unknown(store: Store, tiny: RunConfig) -> None:
    stopped = train_run(tiny, store, stop_after=9)
    (store.run_dir(run_id(tiny)) / TIMING_FILE).unlink()
    earlier = {name: value for name, value in stopped.about.items() if name not in MACHINE_FACTS}
    store.write(dataclasses.replace(stopped, about=earlier))
    record = train_run(tiny, store)
    assert record.status == "done" and "mfu" in record.about
    assert not {"timing", "goodput"} & set(record.about)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"timing": {"wall": -1}}', '{"goodput": "high"}'])
def test_a_damaged_note_is_named_and_the_record_used(store: Store, content: str) -> None:
    folder = store.run_dir("0" * 64)
    folder.mkdir(parents=True)
    (folder / TIMING_FILE).write_text(content)
    assert machine_facts(store, "0" * 64, {"mfu": 0.3, "steps_computed": 7}) == {"mfu": 0.3}
    assert list(store.damaged) == [f"runs/{'0' * 64}/{TIMING_FILE}"]


def test_tensorboard_has_the_figures_of_all_processes_once(
    store: Store, tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setattr("scaling.training.loop.EVENT_SECONDS", 0.0)
    assert train_run(tiny, store, stop_after=9).status == "stopped"
    [folder] = (store.root / "tensorboard").iterdir()

    def steps(tag: str) -> list[int]:
        read = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        return [event.step for event in read.Scalars(tag)]

    before = steps("machine/goodput")
    assert len(before) > 3 and steps("machine/mfu")[-1] == before[-1]
    train_run(tiny, store)
    after = steps("machine/goodput")
    assert after == sorted(set(after)) and after[: len(before) - 1] == before[:-1] and after[-1] == tiny.steps
    assert steps("loss/train") == list(range(1, tiny.steps + 1))


@pytest.mark.slow
def test_a_frozen_and_killed_run_reports_its_stacks_and_counts_what_was_lost(
    store: Store, tiny: RunConfig, tmp_path: Path
) -> None:
    config = override(tiny, ["steps=400000", "eval.every=0"])
    began = time.time()
    child = start_trainer(config, store, tmp_path, "--place", "save_seconds=1000", "--place", "block=1")
    first = wait_for_event(child, "step")
    since, step = time.time(), first["step"]
    while step < first["step"] + 30:  # a median is known then
        step = wait_for_event(child, "step")["step"]
    frozen = max(4.0, 25 * (time.time() - since) / (step - first["step"]))  # also on a busy machine
    child.send_signal(signal.SIGSTOP)
    time.sleep(frozen)
    child.send_signal(signal.SIGCONT)
    slow = wait_for_event(child, "slow")
    assert (
        slow["seconds"] > 0.8 * frozen
        and slow["seconds"] > 10 * slow["expected"]
        and Path(slow["file"]).read_text().startswith(f"step {slow['step']}")
    )
    time.sleep(7.0)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    time.sleep(3.0)
    second = start_trainer(config, store, tmp_path)
    wait_for_event(second, "step")
    second.send_signal(signal.SIGTERM)
    second.communicate(timeout=300)
    elapsed = time.time() - began
    assert second.returncode == 75
    record = store.read(run_id(config))
    assert record is not None
    timing = assert_whole(record)
    assert 0.7 * elapsed - 5.0 < timing["wall"] < elapsed + 1.0
    assert timing["between"] >= 3.0 and timing["lost"] > 0.0
    assert record.about["attempts"] == 2 and record.about["slow_steps"] >= 1


@pytest.mark.slow
def test_it_costs_less_than_a_hundredth_of_a_step(
    store: Store, tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each dispatch, and once a second, what the loop does for it; steps of a model smaller than any of the demo.

    The shortest of many times on both sides, which other programs on the machine disturb least.
    """
    watches: list[SlowStepWatch] = []
    monkeypatch.setattr(telemetry, "SlowStepWatch", lambda report: watches.append(SlowStepWatch(report)) or watches[-1])
    config = override(tiny, ["steps=400", "eval.every=0"])
    record = train_run(config, store)
    step_seconds = min(watches[0]._per_sequence) * config.batch
    told = Telemetry()
    told.begin(ProcessStart(store, config, record.flops["total"], lambda event: None, 0, 1.0, 0.0, False, 1, None))
    profile = StepProfile(None, store.root)

    def shortest(work: Callable[[int], object], repeats: int, times: int = 1) -> float:
        seconds = []
        for i in range(repeats):
            began = time.perf_counter()
            for _ in range(times):
                work(i)
            seconds.append((time.perf_counter() - began) / times)
        return min(seconds)

    def dispatch(i: int) -> None:
        with profile.step(i):
            pass
        told.add_input_wait(1e-6, devices_are_idle=i % 2 == 0)
        told.begin_steps(i % 399, 1)

    with told.stepping():
        per_dispatch = shortest(dispatch, 399, times=10)
        per_second = shortest(lambda i: told.note(i + 1, at_once=True), 50) / NOTE_SECONDS
        per_second += shortest(lambda i: told.figures(i + 1), 200) / EVENT_SECONDS
    cost = per_dispatch / step_seconds + per_second
    print(f"{per_dispatch * 1e6:.1f} us of {step_seconds * 1e6:.0f} us per step; {per_second:.3%} of the time")
    assert cost < 0.01


@pytest.mark.slow
def test_a_trace_has_the_requested_steps_for_tensorboard_and_perfetto(store: Store, tiny: RunConfig) -> None:
    from jax.profiler import ProfileData

    train_run(tiny, store, dataclasses.replace(STEPWISE, profile="5:7"))
    folder = store.run_dir(run_id(tiny)) / "profile"
    [xplane], [perfetto] = folder.rglob("*.xplane.pb"), folder.rglob("perfetto_trace.json.gz")
    events = [
        dict(event.stats)
        for plane in ProfileData.from_file(str(xplane)).planes
        for line in plane.lines
        for event in line.events
        if event.name == "train"
    ]
    assert [event["step_num"] for event in events] == [5, 6, 7]
    trace = json.loads(gzip.decompress(perfetto.read_bytes()))
    names = [event.get("name") for event in trace["traceEvents"]]
    assert "train" in names and len(names) > 50


def test_steps_outside_the_run_or_done_before_are_one_line(
    store: Store, tiny: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    train_run(tiny, store, dataclasses.replace(STEPWISE, profile="21:30"), stop_after=9)
    assert "profile 21:30: the run has 20 steps: no trace\n" in capsys.readouterr().err
    train_run(tiny, store, dataclasses.replace(STEPWISE, profile="2:3"))
    assert "profile 2:3: this process starts after step 9: no trace\n" in capsys.readouterr().err
    assert not (store.run_dir(run_id(tiny)) / "profile").exists()


def test_an_unwritable_cache_only_means_that_the_rate_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scaling.program import matmul_rate

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measured = iter([5e9, 7e9, 8e9])
    monkeypatch.setattr(matmul_rate, "matmul_rate", lambda *_: next(measured))
    measure = matmul_rate.machine_matmul_rate.__wrapped__
    assert [measure("float32") for _ in range(3)] == [5e9, 5e9, 5e9]
    assert measure("bfloat16") == 7e9
    (tmp_path / "scaling" / matmul_rate.RATES_FILE).write_text("{")
    assert measure("float32") == 8e9


def test_a_process_killed_before_its_first_step_counts_as_time_between(store: Store, tiny: RunConfig) -> None:
    record = claim_run(tiny, store, None, None)
    assert record.about["timing"] == {"wall": 0.0} and "goodput" not in record.about
    time.sleep(0.3)
    again = claim_run(tiny, store, record, None)
    assert again.about["timing"] == {"wall": 0.0} and len(again.about["before"]) == 1
    told = Telemetry()
    told.begin(
        ProcessStart(
            store, tiny, 1, lambda event: None, 0, 1.0, 0.0, False, 2, machine_facts(store, again.run_id, again.about)
        )
    )
    facts = told.facts(0)
    assert facts["attempts"] == 2 and 0.25 < facts["timing"]["between"] < facts["timing"]["wall"] and told.wall.is_known
