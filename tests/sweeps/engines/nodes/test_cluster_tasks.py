"""What a node does with a trunk's runs, and of what is given out again: real processes, no cluster."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.store.record import Store
from sweeps.engines import cluster_jobs
from sweeps.engines.nodes import cluster_tasks, node_worker
from sweeps.engines.nodes.cluster_tasks import TaskQueue, TaskState
from sweeps.engines.nodes.node_worker import (
    FINISHED,
    UNFINISHED,
    NodeTask,
    StopRequest,
    TaskRefused,
    append_note,
    read_notes,
    run_task,
)
from sweeps.engines.submission import Submission, write_configs
from tests.support.sweeps import SMALL_GRID_IDS, TRAINER, small_grid


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    write_configs(Submission(store=store, sweep="grid", configs=small_grid()))
    return store


def works(store: Store, jobs: int = 1, command: tuple[str, ...] = TRAINER) -> list[NodeTask]:
    return cluster_tasks.divide_runs(
        Submission(store=store, sweep="grid", configs=small_grid(), command=command), "t", jobs=jobs, restarts=2
    )


def statuses(store: Store) -> list[str]:
    return [record.status if (record := store.read(name)) else "waiting" for name in SMALL_GRID_IDS]


def test_a_trunk_is_a_task_in_order_and_fewer_tasks_have_whole_trunks(store: Store) -> None:
    by_trunk = works(store, jobs=0)
    assert [work.run_ids for work in by_trunk] == [
        tuple(SMALL_GRID_IDS[:2]),
        tuple(SMALL_GRID_IDS[2:]),
    ]  # the longest first
    (all_of_them,) = works(store, jobs=1)
    assert all_of_them.run_ids == tuple(SMALL_GRID_IDS)
    assert (
        cluster_tasks.divide_runs(Submission(store=store, sweep="grid", configs=[]), "t", jobs=0, restarts=2) == []
    )  # all are under way
    cluster_tasks.write_tasks(store, "grid", "some", by_trunk)
    assert cluster_tasks.read_tasks(store, "grid") == {"some": by_trunk}


def test_a_node_trains_its_runs_in_one_process_and_a_second_one_finds_nothing_to_do(store: Store) -> None:
    (work,) = works(store)
    assert run_task(work, node="n1") == FINISHED and run_task(work, node="n2") == FINISHED
    assert statuses(store) == ["done"] * 4 and len((store.root / "started").read_text().split()) == 1
    assert [line["node"] for line in read_notes(work) if line["event"] == "began"] == ["n1", "n2"]
    assert "a library's greeting" in work.log.read_text()


def test_a_run_that_kills_its_process_has_its_attempts_over_all_nodes_and_fails_alone(store: Store) -> None:
    (store.root / "behave.json").write_text(json.dumps({SMALL_GRID_IDS[1]: "die"}))
    (work,) = works(store)
    append_note(
        work, {"event": "died", "run_id": SMALL_GRID_IDS[1], "how": "ended as OUT_OF_MEMORY", "log": [], "attempt": 1}
    )
    assert run_task(work) == FINISHED
    assert statuses(store) == ["done", "failed", "done", "done"]
    assert [line["attempt"] for line in read_notes(work) if line["event"] == "died"] == [1, 2, 3]
    record = store.read(SMALL_GRID_IDS[1])
    assert record is not None and record.about["error"].endswith("3 times: about to run out of memory")
    assert record.about["log"][-1] == "about to run out of memory"
    assert run_task(work) == FINISHED and statuses(store)[1] == "failed"  # a node that takes over does not begin anew


def test_half_a_line_of_a_node_that_had_no_room_costs_no_other_line(store: Store) -> None:
    (work,) = works(store)
    append_note(work, {"event": "began", "node": "n1"})
    with work.notes.open("a") as file:
        file.write('{"event": "died", "run')
    assert [line["event"] for line in read_notes(work)] == ["began"]
    append_note(work, {"event": "began", "node": "n2"})
    append_note(work, {"event": "left", "how": FINISHED})
    assert [line.get("node") for line in read_notes(work)] == ["n1", "n2", None]
    with work.notes.open("a") as file:
        file.write('{"ev{"event": "left"}\n')  # as two launches ago
    assert len(read_notes(work)) == 3


def test_a_launcher_that_asks_has_the_runs_saved_and_the_next_node_goes_on(store: Store) -> None:
    (store.root / "pace").write_text("0.01")
    (work,) = works(store)
    assert (
        run_task(work, lambda: StopRequest("time") if len(store.curve(SMALL_GRID_IDS[0])) > 2 else None) == UNFINISHED
    )
    assert statuses(store) == ["stopped", "waiting", "waiting", "waiting"]
    (store.root / "pace").write_text("0")
    work.stop.touch()
    assert run_task(replace(work, token="u", run_ids=work.run_ids[:1])) == FINISHED  # another launch's stop is not ours
    work.stop.unlink()
    assert run_task(work) == FINISHED and statuses(store) == ["done"] * 4
    assert [row["step"] for row in store.curve(SMALL_GRID_IDS[0])] == list(range(1, small_grid()[0].steps + 1))


def test_a_trainer_that_was_told_is_not_told_twice(store: Store) -> None:
    """The second signal would end it at once: the trainer here lives on after one, and dies of two."""
    step = json.dumps({"event": "step", "run_id": SMALL_GRID_IDS[0], "step": 1, "loss": 1.0})
    script = (
        "import os, signal, sys, time\n"
        "heard = []\n"
        "signal.signal(signal.SIGTERM, lambda *_: (heard.append(1), len(heard) > 1 and sys.exit(3)))\n"
        f"print({step!r}, flush=True)\n"
        f"open({str(store.root / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        f"os.rename({str(store.root / 'pid')!r}, {str(store.root / 'ready')!r})\n"
        "while not heard: time.sleep(0.01)\n"
        "time.sleep(1.2)\n"
        "sys.exit(75)\n"
    )
    (work,) = works(store, command=(sys.executable, "-c", script))

    def stop_requests() -> Iterator[StopRequest | None]:
        while not (store.root / "ready").exists():
            yield None
        os.kill(int((store.root / "ready").read_text()), signal.SIGTERM)  # as SLURM does, to every process of a job
        while True:
            yield StopRequest("ended", delivered=True)

    answers = stop_requests()
    assert run_task(work, lambda: next(answers)) == UNFINISHED


@pytest.mark.parametrize(
    ("code", "message"),
    [(75, "the trainer did not finish a step before it stopped"), (2, "rejected its arguments")],
)
def test_what_gets_nowhere_is_not_tried_for_ever(store: Store, code: int, message: str) -> None:
    (work,) = works(store, command=(sys.executable, "-c", f"import sys; sys.exit({code})"))
    with pytest.raises(TaskRefused, match=message):
        run_task(work)
    assert message in node_worker.last_transition(read_notes(work))["how"]


class StubCluster:
    """A cluster whose tasks are in the phases that a test sets, and that remembers which it was given."""

    def __init__(self, store: Store) -> None:
        self.store, self.given = store, list[str]()
        self.phases: dict[str, TaskState] = {}
        self.of = TaskQueue(store, "grid", 3, works(store, jobs=0), self)

    def start(self, tasks: Sequence[NodeTask]) -> None:
        self.given.extend(task.key for task in tasks)

    def stop(self, tasks: Sequence[NodeTask]) -> None:
        pass

    def task_states(self, tasks: Sequence[NodeTask]) -> dict[str, TaskState]:
        return {task.key: self.phases.get(task.key, TaskState("running")) for task in tasks}

    def states(self, phase: str, message: str = "") -> dict[str, cluster_jobs.JobState]:
        self.phases[self.of.tasks[0].key] = TaskState(phase, message)
        return self.of.run_states()


def test_what_was_lost_is_given_out_again_as_often_as_it_must_be_and_nothing_is_counted(store: Store) -> None:
    cluster = StubCluster(store)
    for count in range(1, 6):
        states = cluster.states("lost")
        assert cluster.given == ["t-0"] * count and set(states) == set(SMALL_GRID_IDS)
        assert all(state.phase in ("waiting", "running") and not state.crashes for state in states.values())


def test_what_crashed_is_given_out_a_stated_number_of_times_and_then_fails_alone(store: Store) -> None:
    cluster = StubCluster(store)
    cluster.of.tasks[0].log.parent.mkdir(parents=True)
    cluster.of.tasks[0].log.write_text("step 1\n\nout of memory\n")
    first, second = SMALL_GRID_IDS[:2]
    for count in (1, 2):
        states = cluster.states("crashed", "ended as OUT_OF_MEMORY")
        assert states[first] == cluster_jobs.JobState("waiting", "ended as OUT_OF_MEMORY", count)
        assert cluster.given == ["t-0"] * count
    states = cluster.states("crashed", "ended as OUT_OF_MEMORY")
    assert states[first].phase == "failed" and states[first].crashes == 3
    assert states[first].reason == "its job ended as OUT_OF_MEMORY, 3 times: out of memory"
    assert (
        states[second] == cluster_jobs.JobState("waiting", "", 0) and cluster.given == ["t-0"] * 3
    )  # goes on with the next
    assert cluster.of.log_lines(first) == ["step 1", "out of memory"]


def test_what_is_cancelled_or_refused_is_not_given_out_again(store: Store) -> None:
    cluster = StubCluster(store)
    assert set(cluster.states("cancelled")) == set(SMALL_GRID_IDS[2:])  # gone: the launch is over when the others are
    assert {state.phase for name, state in cluster.states("refused", "no").items() if name in SMALL_GRID_IDS[:2]} == {
        "failed"
    }
    cluster.of.cancelled = True
    assert set(cluster.states("lost")) == set(SMALL_GRID_IDS[2:]) and cluster.given == []
