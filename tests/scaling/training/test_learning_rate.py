"""Schedules: rates and batches step by step, and which runs share a prefix (invariant 3)."""

import dataclasses
import itertools
import math
from collections import Counter

import numpy as np
import pytest

from analysis.data import runs as runs_module
from analysis.figures.source import load
from scaling.config.run import RunConfig, learning_rate, override, prefix_id, run_id
from scaling.config.schedule import ScheduleConfig
from scaling.config.validation import ConfigError
from scaling.counting.counts import run_flops, total_run_flops, training_flops
from scaling.data import windows
from scaling.data.tokens import find_tokens, open_tokens
from scaling.store.record import Store
from sweeps.planning.plan import shared_steps
from tests.support import corpora
from tests.support.training import assert_same_run, train_run


def rates(config: RunConfig) -> list[float]:
    return [learning_rate(config, step) for step in range(config.steps)]


def test_warm_up_climbs_in_equal_steps_to_the_peak(tiny: RunConfig) -> None:
    first = rates(tiny)[:5]
    np.testing.assert_allclose(first, [0.0025, 0.005, 0.0075, 0.01, 0.01])


HALFWAY = {"linear": 0.5, "1-sqrt": 1 - math.sqrt(0.5), "cosine": 0.5}


@pytest.mark.parametrize("shape", HALFWAY)
def test_wsd_is_flat_then_decays_over_its_share_to_its_floor(tiny: RunConfig, shape: str) -> None:
    schedule = ScheduleConfig(warmup=10, decay=0.2, decay_shape=shape, floor=0.1)
    at = rates(dataclasses.replace(tiny, steps=1000, schedule=schedule))
    assert set(at[10:801]) == {0.01} and at[801] < 0.01
    assert at[900] == pytest.approx(0.01 * (0.1 + 0.9 * HALFWAY[shape]))
    assert all(b < a for a, b in itertools.pairwise(at[800:]))
    assert 0.001 < at[999] < 0.00106


def test_a_cosine_decay_is_flat_at_both_ends(tiny: RunConfig) -> None:
    at = rates(dataclasses.replace(tiny, steps=1000, schedule=ScheduleConfig(decay=0.2, decay_shape="cosine")))
    assert at[850] == pytest.approx(0.01 * (0.5 + math.sqrt(0.125))) and at[999] < 0.01 * 1e-4


def test_cosine_is_half_a_period_from_peak_to_floor(tiny: RunConfig) -> None:
    schedule = ScheduleConfig(name="cosine", warmup=10, floor=0.1)
    at = rates(dataclasses.replace(tiny, steps=1010, schedule=schedule))
    assert at[10] == 0.01 and at[510] == pytest.approx(0.0055) and 0.001 <= at[1009] < 0.00101


def test_linear_falls_by_equal_steps_from_peak_to_floor(tiny: RunConfig) -> None:
    schedule = ScheduleConfig(name="linear", warmup=10, floor=0.1)
    at = np.array(rates(dataclasses.replace(tiny, steps=1010, schedule=schedule)))
    assert at[10] == 0.01 and 0.001 < at[1009] < 0.00101
    np.testing.assert_allclose(np.diff(at[10:]), -0.9e-5, rtol=1e-6)


def test_constant_stays(tiny: RunConfig) -> None:
    at = rates(dataclasses.replace(tiny, schedule=ScheduleConfig(name="constant", warmup=2)))
    assert at[0] == 0.005 and set(at[1:]) == {0.01}


def test_inverse_sqrt_falls_by_root_two_in_its_timescale_whatever_the_length(tiny: RunConfig) -> None:
    schedule = ScheduleConfig(name="inverse-sqrt", warmup=10, timescale=40, floor=0.2)
    short, long = (dataclasses.replace(tiny, steps=n, schedule=schedule) for n in (300, 3000))
    at = rates(long)
    assert at[10] == 0.01 and at[50] == pytest.approx(0.01 / math.sqrt(2)) and at[130] == pytest.approx(0.005)
    assert rates(short) == at[:300] and at[2999] == 0.002
    vaswani = rates(dataclasses.replace(long, schedule=ScheduleConfig(name="inverse-sqrt", warmup=10)))
    assert vaswani[1000] == pytest.approx(0.01 * math.sqrt(10 / 1000))


def test_a_warm_up_in_tokens_follows_the_tokens_through_a_ramp(tiny: RunConfig) -> None:
    assert rates(override(tiny, ["schedule.warmup=0", f"schedule.warmup_tokens={4 * 8 * 32}"])) == rates(tiny)
    ramped = override(
        tiny, ["schedule.warmup=0", f"schedule.warmup_tokens={10 * 32 + 7}", "schedule.batch_ramp=[[2,3]]"]
    )
    assert ramped.warmup_steps == 4
    expected = np.minimum(1, np.array([2, 4, 6, 14]) * 32 / 327)
    np.testing.assert_allclose(rates(ramped)[:5], [*(0.01 * expected), 0.01])


SCHEDULES = [
    ["schedule.name=wsd"],
    ["schedule.name=wsd", "schedule.decay=0.5", "schedule.decay_shape=1-sqrt"],
    ["schedule.name=wsd", "schedule.decay_shape=cosine", "schedule.floor=0.1"],
    ["schedule.name=constant"],
    ["schedule.name=cosine"],
    ["schedule.name=linear"],
    ["schedule.name=inverse-sqrt"],
    ["schedule.name=inverse-sqrt", "schedule.timescale=9"],
    ["schedule.name=inverse-sqrt", "schedule.timescale=9", "schedule.floor=0.3"],
]
BEGINNINGS = [
    ["schedule.warmup=4"],
    ["schedule.warmup=6"],
    ["schedule.warmup=0", "schedule.warmup_tokens=1024"],  # four steps
    ["schedule.warmup=0", "schedule.warmup_tokens=1100"],
    ["schedule.warmup=4", "schedule.batch_ramp=[[2,3],[4,6]]"],
    ["schedule.warmup=4", "schedule.batch_ramp=[[2,3],[6,6]]"],
    ["schedule.warmup=0", "schedule.warmup_tokens=1024", "schedule.batch_ramp=[[2,3],[4,6]]"],
]


def test_prefix_ids_are_equal_exactly_where_the_trajectories_are(tiny: RunConfig) -> None:
    """A trajectory is its batches and its rates as the device is given them. Nothing is shared from the decay on:
    there equal ids must mean equal trajectories, and no more."""
    runs = [
        override(tiny, [f"steps={steps}", *schedule, *beginning])
        for schedule in SCHEDULES
        for beginning in BEGINNINGS
        for steps in (20, 30)
    ]
    for step in (1, 3, 4, 5, 8, 13, 16, 18, 20):
        by_id: dict[str, set] = {}
        shared: dict[tuple, set[str]] = {}
        for run in runs:
            lived = tuple((run.batch_at(i), np.float32(learning_rate(run, i))) for i in range(step))
            by_id.setdefault(prefix_id(run, step), set()).add(lived)
            floor = run.schedule.name == "inverse-sqrt" and run.schedule.floor > 0  # not reached yet, and counted
            late = run.schedule.name == "inverse-sqrt" and step == run.warmup_steps + 1  # at its peak still
            if step <= run.decay_start and not floor and not late:
                shared.setdefault(lived, set()).add(prefix_id(run, step))
        assert all(len(lives) == 1 for lives in by_id.values()), step
        assert all(len(ids) == 1 for ids in shared.values()), step
        assert len(by_id) > 1


RAMP = "schedule.batch_ramp=[[2,5],[4,12]]"
SHARING = {  # short run, what the longer one has otherwise, step up to which they share
    "constant": (["schedule.name=constant"], [], 20),
    "constant to wsd": (["schedule.name=constant"], ["schedule.name=wsd"], 20),
    "wsd to another decay": ([], ["schedule.decay_shape=cosine", "schedule.decay=0.4"], 16),
    "wsd to constant": ([], ["schedule.name=constant"], 16),
    "inverse-sqrt": (["schedule.name=inverse-sqrt", "schedule.timescale=6"], [], 20),
    "cosine": (["schedule.name=cosine"], [], 4),
    "linear": (["schedule.name=linear"], ["schedule.name=inverse-sqrt"], 4),
    "warm-up in tokens": (["schedule.warmup=0", "schedule.warmup_tokens=1100"], [], 16),
}
FAST_CASES = ("constant", "wsd to constant")


@pytest.mark.parametrize(
    "case",
    [case if case in FAST_CASES else pytest.param(case, marks=pytest.mark.slow) for case in SHARING],
)
def test_a_branch_equals_the_run_from_scratch(store: Store, second_store: Store, tiny: RunConfig, case: str) -> None:
    changes, more, step = SHARING[case]
    short = override(tiny, changes)
    long = override(short, ["steps=40", *more])
    assert shared_steps([short, long]) == [0, step]
    train_run(short, store)
    branched = train_run(long, store)
    assert branched.about["started_from"] == {"step": step, "shared": True}
    train_run(long, second_store)
    assert_same_run(store, second_store, long)


@pytest.mark.slow
def test_a_ramped_branch_equals_the_run_from_scratch(store: Store, second_store: Store, tiny: RunConfig) -> None:
    short = override(tiny, [RAMP])
    long = override(short, ["steps=40"])
    assert shared_steps([short, long, override(long, ["schedule.batch_ramp=[[2,5],[4,13]]"])]) == [0, 16, 0]
    train_run(short, store)
    assert train_run(long, store).about["started_from"] == {"step": 16, "shared": True}
    assert train_run(long, second_store, stop_after=9).status == "stopped"
    train_run(long, second_store)
    assert_same_run(store, second_store, long)


@pytest.mark.slow
def test_schedules_that_part_share_nothing(store: Store, tiny: RunConfig) -> None:
    train_run(tiny, store)
    for change in (["schedule.name=inverse-sqrt"], ["schedule.name=linear"], ["schedule.warmup=5"]):
        assert "started_from" not in train_run(override(tiny, ["steps=25", *change]), store).about, change


def test_a_ramp_reads_every_sequence_once_and_is_counted_as_it_is(store: Store, tiny: RunConfig) -> None:
    ramped = override(tiny, [RAMP])
    sizes = [ramped.batch_at(step) for step in range(20)]
    assert sizes == [2] * 5 + [4] * 7 + [8] * 8
    assert [ramped.sequences(step) for step in range(21)] == [sum(sizes[:step]) for step in range(21)]
    assert ramped.tokens == sum(sizes) * 32
    assert run_flops(ramped) == {
        part: sum(Counter(sizes)[size] * training_flops(tiny.model, 32, size)[part] for size in (2, 4, 8))
        for part in training_flops(tiny.model, 32, 1)
    }
    assert run_flops(ramped, 7)["total"] == training_flops(tiny.model, 32, 5 * 2 + 2 * 4)["total"]
    relative = override(ramped, ["model.positions=relative"])  # whose distances are projected once a batch
    for config in (ramped, relative):
        assert [total_run_flops(config, n) for n in (0, 3, 7)] == [
            run_flops(config, n).get("total", 0) for n in (0, 3, 7)
        ]
        assert total_run_flops(config) == run_flops(config)["total"]
    stopped = train_run(override(ramped, ["seed=1"]), store, stop_after=9)
    assert stopped.status == "stopped"
    record = train_run(ramped, store)
    assert record.final["tokens"] == record.config.tokens and record.flops == run_flops(ramped)
    runs = runs_module.read_runs(store.root, "exact").set_index("run_id")
    assert runs["D"][record.run_id] == runs["D"][stopped.run_id] == ramped.tokens
    [curve] = [curve for curve in load(store.root).curves() if curve.run_id == record.run_id]
    np.testing.assert_allclose(curve.C[6] / curve.C[19], ramped.sequences(7) / ramped.sequences(20))
    tokens = open_tokens(find_tokens(store.token_files, tiny.data.tokens))
    read = [
        windows.training_windows(tokens, seed=0, length=32, rows=ramped.sequences(step) + np.arange(size))
        for step, size in enumerate(sizes)
    ]
    whole = [corpora.training_batch(tokens, seed=0, size=11, length=32, index=i) for i in range(10)]
    np.testing.assert_array_equal(np.concatenate(read)[:100], np.concatenate(whole)[:100])


@pytest.mark.parametrize(
    ("assignments", "says"),
    [
        (["schedule.decay_shape=square"], "must be one of linear, 1-sqrt, cosine"),
        (["schedule.name=step"], "must be one of wsd, cosine, constant, linear, inverse-sqrt"),
        (["schedule.warmup_tokens=500"], "warmup = 4 and warmup_tokens = 500: give one of them"),
        (["schedule.warmup=0", "schedule.warmup_tokens=99999"], "99999 (391 steps): must be at most steps = 20"),
        (["schedule.timescale=5"], "must be null with name = 'wsd'"),
        (["schedule.batch_ramp=[[4,3],[2,6]]"], "[[4, 3], [2, 6]]: batches and steps must both rise"),
        (["schedule.batch_ramp=[[4,3],[8,6]]"], "must stay below batch = 8 and end before steps = 20"),
        (["schedule.batch_ramp=[[4,20]]"], "must stay below batch = 8 and end before steps = 20"),
        (["schedule.batch_ramp=[[4]]"], "batch_ramp[0] = [4]: must have 2 entries"),
        (["schedule.batch_ramp=4"], "batch_ramp = 4: must be a list"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_in_one_line(tiny: RunConfig, assignments: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        override(tiny, assignments)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_new_fields_of_schedules_are_identity(tiny: RunConfig) -> None:
    schedules = [[], ["schedule.name=inverse-sqrt"], ["schedule.name=inverse-sqrt", "schedule.timescale=3"]]
    schedules += [[RAMP], ["schedule.batch_ramp=[[2,5]]"], ["schedule.warmup=0", "schedule.warmup_tokens=9"]]
    assert len({run_id(override(tiny, changes)) for changes in schedules}) == len(schedules)
