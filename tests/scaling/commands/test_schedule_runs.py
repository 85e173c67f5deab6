"""Laws of runs in turn: a crash has a stated number of further attempts, after the others; wrong input has none."""

import signal
from pathlib import Path

import pytest

from scaling.commands import schedule_runs
from scaling.config.run import RunConfig, dumps, override, run_id
from scaling.store.record import Store
from tests.support.commands import command


def test_a_run_that_crashes_is_tried_again_after_the_others(
    tmp_path: Path, tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_runs, "PAUSE", 0.01)
    monkeypatch.setenv("SCALING_LEASE_SECONDS", "0.1")
    configs = [override(tiny, [f"seed={seed}"]) for seed in range(3)]
    turn: list[tuple[int, str]] = []

    def attempt(config: RunConfig, again: str) -> int:
        turn.append((config.seed, again))
        if config.seed == 1:
            return 0
        if config.seed == 0 and len(turn) > 3:
            return 0
        return schedule_runs.CRASHED if again else 1

    assert (
        schedule_runs.in_turn(configs, Store(tmp_path), attempt, lambda event: None, [], trunks=False, retries=2) == 1
    )
    first, second = "attempt 1 of 3", "attempt 2 of 3"
    assert turn == [(0, first), (1, first), (2, first), (0, second), (2, second), (2, "")]


def test_one_asked_to_stop_begins_no_run(tmp_path: Path, tiny: RunConfig) -> None:
    attempt = lambda config, again: pytest.fail("begun")  # noqa: E731
    assert schedule_runs.in_turn([tiny], Store(tmp_path), attempt, print, [signal.SIGTERM], trunks=True) == 75


def test_wrong_input_is_not_tried_again_and_a_crash_is(store: Store, tiny: RunConfig, tmp_path: Path) -> None:
    """By the real trainer: no corpus is input; a checkpoint that cannot be written is a crash."""
    path = tmp_path / "config.json"
    path.write_text(dumps(tiny))
    words = ("scaling", "train", path, "--store", store.root, "--retries", 1)
    done = command(*words, "--set", f"data.tokens={'1' * 64}")
    assert done.returncode == 2 and "attempt" not in done.stderr
    store.checkpoints.write_text("in the way")
    done = command(*words)
    assert done.returncode == 1 and done.stderr.count("(attempt 1 of 2)") == 1, done.stderr
    record = store.read(run_id(tiny))
    assert record is not None and record.status == "failed" and len(record.about["before"]) == 1
