"""Slow steps are reported once, while they run or afterwards, and nothing else is."""

from __future__ import annotations

import threading

from scaling.training.telemetry.slow_steps import FEWEST_STEPS, LEAST_SECONDS, MOST_REPORTS, SlowStep, SlowStepWatch


class WatchedSteps:
    """A watch without its thread, on a clock that the test sets."""

    def __init__(self) -> None:
        self.now, self.step = 0.0, 0
        self.reports: list[SlowStep] = []
        self.watch = SlowStepWatch(self.reports.append, lambda: self.now)

    def run(self, steps: int, seconds: float, count: int = 1, sequences: int = 8) -> None:
        for _ in range(steps):
            self.watch.begin_steps(self.step + 1, count, count * sequences)
            self.now += seconds
            self.step += count


def test_a_step_of_more_than_ten_medians_is_reported_while_it_runs_and_once() -> None:
    steps = WatchedSteps()
    steps.run(20, 1.0)
    steps.watch.begin_steps(21, 1, 8)
    for _ in range(12):
        steps.watch.check()
        steps.now += 1.0
    [slow] = steps.reports
    assert (slow.step, slow.count, slow.expected) == (21, 1, 1.0) and 10.0 < slow.seconds <= 11.0
    steps.watch.begin_steps(22, 1, 8)
    assert len(steps.reports) == steps.watch.slow == 1
    assert slow.describe().startswith("step 21: 11.0 s so far") or "step 21" in slow.describe()


def test_a_slow_step_that_ended_unseen_is_counted_without_stacks() -> None:
    """As after SIGSTOP and SIGCONT, when the main thread may be faster than the watching one."""
    steps = WatchedSteps()
    steps.run(20, 1.0)
    steps.watch.check()
    steps.run(1, 60.0)
    steps.run(1, 1.0)
    [slow] = steps.reports
    assert slow.step == 21 and slow.seconds == 60.0 and not slow.stacks


def test_the_first_steps_pauses_larger_batches_and_short_pauses_are_no_slow_steps() -> None:
    steps = WatchedSteps()
    steps.run(1, 300.0)  # nothing is known yet
    steps.run(FEWEST_STEPS, 1.0)
    steps.watch.check()
    steps.watch.begin_steps(steps.step + 1, 1, 8)
    steps.watch.pause()
    steps.now += 500.0  # a validation, a checkpoint
    steps.watch.check()
    steps.watch.resume()
    steps.run(5, 1.0)
    steps.watch.check()
    steps.run(1, 32.0, count=32)  # a block of steps
    steps.run(1, 16.0, sequences=128)  # of a batch ramp
    assert not steps.reports and steps.watch.slow == 0
    fast = WatchedSteps()
    fast.run(20, 0.001)
    fast.watch.check()
    fast.run(1, 0.9 * LEAST_SECONDS)
    fast.run(1, 0.001)
    assert not fast.reports


def test_a_run_of_slow_steps_writes_a_limited_number_of_reports_and_counts_all() -> None:
    steps = WatchedSteps()
    for _ in range(MOST_REPORTS + 5):
        steps.run(20, 1.0)
        steps.watch.check()
        steps.run(1, 60.0)
    steps.run(1, 1.0)
    assert len(steps.reports) == MOST_REPORTS and steps.watch.slow == MOST_REPORTS + 5


def test_the_thread_reports_the_stack_of_what_the_main_thread_waits_for() -> None:
    reported, reports = threading.Event(), []

    def report(slow: SlowStep) -> None:
        reports.append(slow)
        reported.set()

    now = [0.0]
    watch = SlowStepWatch(report, lambda: now[0])
    for step in range(1, 21):
        watch.begin_steps(step, 1, 1)
        now[0] += 1.0
    watch.start_thread()
    now[0] += 100.0
    wait_for_the_batch(reported)
    watch.stop()
    assert "wait_for_the_batch" in reports[0].stacks and reports[0].stacks.startswith("thread MainThread")


def wait_for_the_batch(event: threading.Event) -> None:
    assert event.wait(30)
