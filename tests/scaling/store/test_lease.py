"""A lease: one holder at a time, kept while it lives, another's once it is gone or silent, never two's."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaling.commands import schedule_runs
from scaling.config.run import RunConfig, override, run_id
from scaling.store import lease
from scaling.store.files import LocalFiles
from scaling.store.record import Record, Store

HOLDER = """
import sys, time
from pathlib import Path
from scaling.store import lease
from scaling.store.files import LocalFiles
held = lease.acquire_lease(LocalFiles(Path(sys.argv[1])), "run")
print("taken", flush=True)
for line in sys.stdin:
    try:
        held.check()
        print("mine", flush=True)
    except lease.LeaseLostError as error:
        print(error, flush=True)
"""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence of a second is long."""
    monkeypatch.setenv("SCALING_LEASE_SECONDS", "1")


@pytest.fixture
def place(tmp_path: Path) -> LocalFiles:
    return LocalFiles(tmp_path)


def other(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that holds the lease; a line to it is answered with whether it still does."""
    line = [sys.executable, "-c", HOLDER, str(tmp_path)]
    child = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "taken\n"
    return child


def ask_child(child: subprocess.Popen[str]) -> str:
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write("?\n")
    child.stdin.flush()
    return child.stdout.readline().strip()


def end(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()


def acquired_within(place: LocalFiles, seconds: float) -> lease.Lease | None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            return lease.acquire_lease(place, "run")
        except lease.LeaseHeldError:
            time.sleep(lease.silence_seconds() / 20)
    return None


def test_at_most_one_holds_it_however_many_ask(place: LocalFiles, tmp_path: Path) -> None:
    inside, faults, times = [0], [], [0]

    def work() -> None:
        for _ in range(40):
            try:
                with lease.hold_lease(place, "run"):
                    inside[0] += 1
                    time.sleep(0.003)
                    faults.append(inside[0]) if inside[0] != 1 else None
                    times[0] += 1
                    inside[0] -= 1
            except lease.LeaseHeldError:
                pass

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not faults and times[0] > 0
    assert len(os.listdir(tmp_path / "leases" / "run")) == 1  # what is left: the last number, given back


def test_it_is_kept_as_long_as_its_holder_lives(place: LocalFiles, tmp_path: Path) -> None:
    child = other(tmp_path)
    assert acquired_within(place, 2.5) is None and ask_child(child) == "mine"
    with pytest.raises(lease.LeaseHeldError, match=f"process {child.pid} on "):
        lease.acquire_lease(place, "run")
    end(child)


def test_a_holder_of_this_machine_that_was_killed_is_followed_at_once(place: LocalFiles, tmp_path: Path) -> None:
    child = other(tmp_path)
    end(child)
    lease.acquire_lease(place, "run").release()


def test_a_silent_holder_loses_it_to_one_of_those_who_wait_and_finds_out(place: LocalFiles, tmp_path: Path) -> None:
    child = other(tmp_path)
    child.send_signal(signal.SIGSTOP)
    won: list[lease.Lease | None] = []
    waiting = [threading.Thread(target=lambda: won.append(acquired_within(place, 4.0))) for _ in range(4)]
    began = time.monotonic()
    for entry in waiting:
        entry.start()
    for entry in waiting:
        entry.join()
    [own_path] = [entry for entry in won if entry is not None]
    assert time.monotonic() - began > 1.0
    child.send_signal(signal.SIGCONT)
    assert "another process took it over" in ask_child(child)
    own_path.check()
    own_path.release()
    end(child)


def test_another_machines_process_is_not_judged_by_its_number_here(place: LocalFiles) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    owner = {"host": "far", "pid": int(gone.stdout), "machine": "another", "born": "1"}
    assert place.create(lease._file_name("run", 1), lease._file_text(owner, 3))
    with pytest.raises(lease.LeaseHeldError, match=f"process {int(gone.stdout)} on far"):
        lease.acquire_lease(place, "run")
    lease_found = acquired_within(place, 4.0)
    assert lease_found is not None and lease_found.number == 2
    lease_found.release()


def test_a_file_that_is_half_written_is_held(place: LocalFiles) -> None:
    assert place.create(lease._file_name("run", 1), b"")
    with pytest.raises(lease.LeaseHeldError):
        lease.acquire_lease(place, "run")


def test_numbers_only_grow_and_a_late_sign_of_life_gives_nothing_back(place: LocalFiles) -> None:
    first = lease.acquire_lease(place, "run")
    first._ended.set()  # it falls silent
    second = acquired_within(place, 4.0)
    assert second is not None and second.number == first.number + 1
    place.write(first.file, lease._file_text(first.owner, 99))  # it had been about to
    with pytest.raises(lease.LeaseLostError):
        first._ended.clear()
        first._beat()
        first.check()
    second.check()
    second.release()
    third = lease.acquire_lease(place, "run")
    assert third.number == second.number + 1
    third.release()


def test_two_trainers_given_the_same_runs_share_them_out(tmp_path: Path, tiny: RunConfig) -> None:
    """Each run is done once, by either; no trunk is at two hands at a time; both know of all in the end."""
    store = Store(tmp_path)
    configs = [override(tiny, [f"seed={seed}", f"steps={steps}"]) for seed in range(3) for steps in (20, 40)]
    trained: list[str] = []
    at_work: set[tuple[int, int]] = set()

    def trainer(number: int, text: list[str]) -> None:
        def attempt(config: RunConfig, attempt_label: str) -> int:
            with store.lease(run_id(config)):
                if (known := store.read(run_id(config))) is None:
                    assert not any(seed == config.seed for _, seed in at_work)
                    at_work.add((number, config.seed))
                    trained.append(run_id(config))
                    time.sleep(0.05)
                    store.write(Record(run_id=run_id(config), config=config, status="done"))
                    at_work.discard((number, config.seed))
                assert known is None or known.status == "done"
            text.append(run_id(config))
            return 0

        schedule = schedule_runs.Schedule(store, lambda event: None, [], lock_trunks=True)
        assert schedule_runs.train_in_turn(configs, attempt, schedule) == 0

    text: tuple[list[str], list[str]] = ([], [])
    both = [threading.Thread(target=trainer, args=(number, text[number])) for number in (0, 1)]
    for entry in both:
        entry.start()
    for entry in both:
        entry.join()
    assert sorted(trained) == sorted(map(run_id, configs)) == sorted(text[0]) == sorted(text[1])


def test_a_run_that_failed_at_its_holders_is_not_tried_again(tmp_path: Path, tiny: RunConfig) -> None:
    store, events, holding = Store(tmp_path), [], contextlib.ExitStack()
    holding.enter_context(store.lease(run_id(tiny)))

    def attempt(config: RunConfig, attempt_label: str) -> int:
        with store.lease(run_id(config)):
            raise AssertionError("tried")

    def say(event: dict) -> None:
        events.append(event)
        store.write(Record(run_id=run_id(tiny), config=tiny, status="failed", about={"error": "no memory"}))
        holding.close()

    schedule = schedule_runs.Schedule(store, say, [], lock_trunks=False)
    assert schedule_runs.train_in_turn([tiny], attempt, schedule) == 1
    assert [event["event"] for event in events] == ["waits", "waiting", "end"] and events[2]["error"] == "no memory"


def test_a_lease_that_could_not_be_given_back_is_not_in_its_holders_own_way(place: LocalFiles, tmp_path: Path) -> None:
    """The disk may be full when it is to be given back."""
    first = lease.acquire_lease(place, "run")
    folder = tmp_path / "leases" / "run"
    before = (folder / "00000001.json").read_bytes()
    first.release()
    (folder / "00000001.json").write_bytes(before)
    lease.acquire_lease(place, "run").release()


OWNER = {"host": "far", "pid": 17, "machine": "another", "born": "1", "token": "ab"}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["pid", "host", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
LEASE_CONTENT = st.fixed_dictionaries(
    {},
    optional={
        "owner": JSON_VALUES | st.fixed_dictionaries({}, optional=dict.fromkeys(OWNER, JSON_VALUES)),
        "beats": JSON_VALUES,
        "released": JSON_VALUES,
    },
)


@pytest.mark.parametrize("field", ["owner", *OWNER])
@pytest.mark.parametrize("value", [None, [], {}, "x", True, -1, 10**30, 1.5])
def test_a_lease_of_wrong_types_is_held_until_it_has_been_silent(
    place: LocalFiles, monkeypatch: pytest.MonkeyPatch, field: str, value: Any
) -> None:
    if field != "owner" and (isinstance(value, str) and field != "pid"):
        pytest.skip("a value of this field")
    monkeypatch.setenv("SCALING_LEASE_SECONDS", "0.03")
    owner = value if field == "owner" else {**OWNER, field: value}
    assert place.create(lease._file_name("run", 1), json.dumps({"owner": owner, "beats": 3}).encode())
    with pytest.raises(lease.LeaseHeldError, match=r"lease file .*/leases/run/00000001\.json is unreadable"):
        lease.acquire_lease(place, "run")
    acquired = acquired_within(place, 4.0)
    assert acquired is not None and acquired.number == 2
    acquired.release()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=20) | LEASE_CONTENT.map(lambda content: json.dumps(content).encode()))
def test_any_content_of_a_lease_is_held_or_free_and_free_after_silence(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setenv("SCALING_LEASE_SECONDS", "0.01")
    place = LocalFiles(tmp_path_factory.mktemp("lease"))
    assert place.create(lease._file_name("run", 1), data)
    acquired = acquired_within(place, 4.0)
    assert acquired is not None
    acquired.release()


def test_a_deep_value_a_directory_and_other_digits_are_no_leases(
    place: LocalFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALING_LEASE_SECONDS", "0.03")
    (tmp_path / "leases" / "run" / "00000001.json").mkdir(parents=True)
    (tmp_path / "leases" / "run" / "²².json").touch()  # a digit, but no decimal number
    with pytest.raises(lease.LeaseHeldError, match="unreadable"):
        lease.acquire_lease(place, "run")
    first = acquired_within(place, 4.0)
    assert first is not None and first.number == 2
    first.release()
    assert place.create(lease._file_name("run", 3), b"[" * 200_000)
    second = acquired_within(place, 4.0)
    assert second is not None and second.number == 4
    second.release()


def test_control_characters_in_a_host_name_are_escaped(place: LocalFiles) -> None:
    assert place.create(lease._file_name("run", 1), lease._file_text({**OWNER, "host": "a\x1b[2Jb"}, 3))
    with pytest.raises(lease.LeaseHeldError, match=r"process 17 on a\\x1b\[2Jb"):
        lease.acquire_lease(place, "run")
