"""Laws of what a node does with a trunk's runs, and of what is given out again: real processes, no cluster."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.store.record import Store
from sweeps.engines import cluster_jobs, cluster_tasks, node_worker
from sweeps.engines.cluster_tasks import Outcome, Tasks
from sweeps.engines.node_worker import AGAIN, ENDED, Asked, Refused, Work, keep, note, notes
from tests.sweeps.launching.test_launch import IDS, TRAINER, grid


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    cluster_jobs.write_configs(store, grid())
    return store


def works(store: Store, jobs: int = 1, command: tuple[str, ...] = TRAINER) -> list[Work]:
    return cluster_tasks.shared_out(store, "grid", grid(), jobs=jobs, restarts=2, command=command, of="t")


def statuses(store: Store) -> list[str]:
    return [record.status if (record := store.read(name)) else "waiting" for name in IDS]


def test_a_trunk_is_a_task_in_order_and_fewer_tasks_have_whole_trunks(store: Store) -> None:
    by_trunk = works(store, jobs=0)
    assert [work.names for work in by_trunk] == [tuple(IDS[:2]), tuple(IDS[2:])]  # the longest first
    (all_of_them,) = works(store, jobs=1)
    assert all_of_them.names == tuple(IDS)
    assert (
        cluster_tasks.shared_out(store, "grid", [], jobs=0, restarts=2, command=(), of="t") == []
    )  # all are under way
    cluster_tasks.write_given(store, "grid", "some", by_trunk)
    assert cluster_tasks.read_given(store, "grid") == {"some": by_trunk}


def test_a_node_trains_its_runs_in_one_process_and_a_second_one_finds_nothing_to_do(store: Store) -> None:
    (work,) = works(store)
    assert keep(work, node="n1") == ENDED and keep(work, node="n2") == ENDED
    assert statuses(store) == ["done"] * 4 and len((store.root / "started").read_text().split()) == 1
    assert [line["node"] for line in notes(work) if line["event"] == "began"] == ["n1", "n2"]
    assert "a library's greeting" in work.log.read_text()


def test_a_run_that_kills_its_process_has_its_attempts_over_all_nodes_and_fails_alone(store: Store) -> None:
    (store.root / "behave.json").write_text(json.dumps({IDS[1]: "die"}))
    (work,) = works(store)
    note(work, {"event": "died", "run_id": IDS[1], "how": "ended as OUT_OF_MEMORY", "log": [], "attempt": 1})
    assert keep(work) == ENDED
    assert statuses(store) == ["done", "failed", "done", "done"]
    assert [line["attempt"] for line in notes(work) if line["event"] == "died"] == [1, 2, 3]
    record = store.read(IDS[1])
    assert record is not None and record.about["error"].endswith("3 times: about to run out of memory")
    assert record.about["log"][-1] == "about to run out of memory"
    assert keep(work) == ENDED and statuses(store)[1] == "failed"  # a node that takes over does not begin anew


def test_half_a_line_of_a_node_that_had_no_room_costs_no_other_line(store: Store) -> None:
    (work,) = works(store)
    note(work, {"event": "began", "node": "n1"})
    with work.notes.open("a") as file:
        file.write('{"event": "died", "run')
    assert [line["event"] for line in notes(work)] == ["began"]
    note(work, {"event": "began", "node": "n2"})
    note(work, {"event": "left", "how": ENDED})
    assert [line.get("node") for line in notes(work)] == ["n1", "n2", None]
    with work.notes.open("a") as file:
        file.write('{"ev{"event": "left"}\n')  # as two launches ago
    assert len(notes(work)) == 3


def test_a_launcher_that_asks_has_the_runs_saved_and_the_next_node_goes_on(store: Store) -> None:
    (store.root / "pace").write_text("0.01")
    (work,) = works(store)
    assert keep(work, lambda: Asked("time") if len(store.curve(IDS[0])) > 2 else None) == AGAIN
    assert statuses(store) == ["stopped", "waiting", "waiting", "waiting"]
    (store.root / "pace").write_text("0")
    work.stop.touch()
    assert keep(replace(work, token="u", names=work.names[:1])) == ENDED  # another launch's stop is not ours
    work.stop.unlink()
    assert keep(work) == ENDED and statuses(store) == ["done"] * 4
    assert [row["step"] for row in store.curve(IDS[0])] == list(range(1, grid()[0].steps + 1))


def test_a_trainer_that_was_told_is_not_told_twice(store: Store) -> None:
    """The second signal would end it at once: the trainer here lives on after one, and dies of two."""
    step = json.dumps({"event": "step", "run_id": IDS[0], "step": 1, "loss": 1.0})
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

    def told() -> Iterator[Asked | None]:
        while not (store.root / "ready").exists():
            yield None
        os.kill(int((store.root / "ready").read_text()), signal.SIGTERM)  # as SLURM does, to every process of a job
        while True:
            yield Asked("ended", told=True)

    answers = told()
    assert keep(work, lambda: next(answers)) == AGAIN


@pytest.mark.parametrize(
    ("code", "said"), [(75, "the trainer did no step before it stopped by itself"), (2, "refused its arguments")]
)
def test_what_gets_nowhere_is_not_tried_for_ever(store: Store, code: int, said: str) -> None:
    (work,) = works(store, command=(sys.executable, "-c", f"import sys; sys.exit({code})"))
    with pytest.raises(Refused, match=said):
        keep(work)
    assert said in node_worker.whereabouts(notes(work))["how"]


class Given:
    """A cluster that says what it is told to say, and remembers what it was given."""

    def __init__(self, store: Store) -> None:
        self.store, self.given = store, list[str]()
        self.phases: dict[str, Outcome] = {}
        self.of = Tasks(
            store, "grid", 3, works(store, jobs=0), lambda some: self.given.extend(w.key for w in some), self.look
        )

    def look(self) -> dict[str, Outcome]:
        return {work.key: self.phases.get(work.key, Outcome("running")) for work in self.of.works}

    def states(self, phase: str, why: str = "") -> dict[str, cluster_jobs.State]:
        self.phases[self.of.works[0].key] = Outcome(phase, why)
        return self.of.states()


def test_what_was_lost_is_given_out_again_as_often_as_it_must_be_and_nothing_is_counted(store: Store) -> None:
    cluster = Given(store)
    for count in range(1, 6):
        states = cluster.states("lost")
        assert cluster.given == ["t-0"] * count and set(states) == set(IDS)
        assert all(state.phase in ("waiting", "running") and not state.crashes for state in states.values())


def test_what_crashed_is_given_out_a_stated_number_of_times_and_then_fails_alone(store: Store) -> None:
    cluster = Given(store)
    cluster.of.works[0].log.parent.mkdir(parents=True)
    cluster.of.works[0].log.write_text("step 1\n\nout of memory\n")
    first, second = IDS[:2]
    for count in (1, 2):
        states = cluster.states("crashed", "ended as OUT_OF_MEMORY")
        assert states[first] == cluster_jobs.State("waiting", "ended as OUT_OF_MEMORY", count)
        assert cluster.given == ["t-0"] * count
    states = cluster.states("crashed", "ended as OUT_OF_MEMORY")
    assert states[first].phase == "failed" and states[first].crashes == 3
    assert states[first].why == "its job ended as OUT_OF_MEMORY, 3 times: out of memory"
    assert (
        states[second] == cluster_jobs.State("waiting", "", 0) and cluster.given == ["t-0"] * 3
    )  # goes on with the next
    assert cluster.of.log(first) == ["step 1", "out of memory"]


def test_what_is_cancelled_or_refused_is_not_given_out_again(store: Store) -> None:
    cluster = Given(store)
    assert set(cluster.states("cancelled")) == set(IDS[2:])  # gone: the launch is over when the others are
    assert {state.phase for name, state in cluster.states("refused", "no").items() if name in IDS[:2]} == {"failed"}
    cluster.of.cancelled = True
    assert set(cluster.states("lost")) == set(IDS[2:]) and cluster.given == []
