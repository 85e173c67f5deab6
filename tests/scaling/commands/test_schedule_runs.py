"""Runs trained in turn: a crash has a given number of further attempts, after the others; wrong input has none."""

import signal
from pathlib import Path

import pytest

from scaling.commands import schedule_runs
from scaling.config.exit_status import STOPPED
from scaling.config.run import RunConfig, dumps, override, run_id
from scaling.store.record import Store
from tests.support.commands import call_command


def test_a_run_that_crashes_is_tried_again_after_the_others(
    tmp_path: Path, tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_runs, "RETRY_SECONDS", 0.01)
    monkeypatch.setenv("SCALING_LEASE_SECONDS", "0.1")
    configs = [override(tiny, [f"seed={seed}"]) for seed in range(3)]
    attempts: list[tuple[int, str]] = []

    def attempt(config: RunConfig, retry: str) -> int:
        attempts.append((config.seed, retry))
        if config.seed == 1:
            return 0
        if config.seed == 0 and len(attempts) > 3:
            return 0
        return schedule_runs.CRASHED if retry else 1

    schedule = schedule_runs.Schedule(Store(tmp_path), lambda event: None, [], lock_trunks=False, retries=2)
    assert schedule_runs.train_in_turn(configs, attempt, schedule) == 1
    first, second = "attempt 1 of 3", "attempt 2 of 3"
    assert attempts == [(0, first), (1, first), (2, first), (0, second), (2, second), (2, "")]


def test_no_run_starts_after_a_stop_signal(tmp_path: Path, tiny: RunConfig) -> None:
    schedule = schedule_runs.Schedule(Store(tmp_path), print, [signal.SIGTERM], lock_trunks=True)
    assert schedule_runs.train_in_turn([tiny], lambda config, retry: pytest.fail("started"), schedule) == STOPPED


def test_wrong_input_is_not_tried_again_and_a_crash_is(
    store: Store, tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing corpus is wrong input; a curve that cannot be written is a crash."""
    monkeypatch.setattr(schedule_runs, "RETRY_SECONDS", 0.01)
    path = tmp_path / "config.json"
    path.write_text(dumps(tiny))
    arguments = ("scaling", "train", path, "--store", store.root, "--retries", 1, "--place", "data=1")
    done = call_command(*arguments, "--set", f"data.tokens={'1' * 64}")
    assert done.returncode == 2 and "attempt" not in done.stderr
    curve = store.run_dir(run_id(tiny)) / "curve.jsonl"
    curve.mkdir(parents=True)
    done = call_command(*arguments)
    assert done.returncode == 1 and done.stderr.count("(attempt 1 of 2)") == 1, done.stderr
    record = store.read(run_id(tiny))
    assert record is not None and record.status == "failed" and len(record.about["before"]) == 1
