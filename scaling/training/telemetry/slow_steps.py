"""Slow steps: a thread reports a step that takes ten times the median, with the stacks of all threads, while it runs.

    STORE/runs/RUN_ID/slow-steps/STEP-hostK.txt

Every host watches its own steps: on several hosts a step is slow on all of them, and the stack of each shows which one
the others wait for. Compilation, validation, evaluation and checkpoints are not part of a step.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

FACTOR = 10.0  # of the median
LEAST_SECONDS = 1.0  # shorter steps are not reported: other programs on the machine cause pauses of this length
FEWEST_STEPS = 10  # dispatches before a median is known
WINDOW = 101  # dispatches of the median
MOST_REPORTS = 20  # per process; later slow steps are counted
SHORTEST_WAIT, LONGEST_WAIT = 0.2, 10.0  # seconds between two looks of the thread


@dataclass(frozen=True)
class Dispatch:
    """Steps that are computed.

    Attributes:
        number: Number of the dispatch in this process.
        step: Its first step, counted from 1.
        count: Its steps.
        sequences: Sequences of its batches: the time is expected to be proportional to them.
        since: When it started, without pauses (seconds of the watch's clock).
    """

    number: int
    step: int
    count: int
    sequences: int
    since: float


@dataclass(frozen=True)
class SlowStep:
    """A dispatch that takes too long.

    Attributes:
        step: Its first step, counted from 1.
        count: Its steps.
        seconds: Time so far, or all of it if it has ended.
        expected: Time of a dispatch of this size at the median speed.
        stacks: Stacks of all threads of this process while it ran; empty if it has ended.
    """

    step: int
    count: int
    seconds: float
    expected: float
    stacks: str

    def describe(self) -> str:
        """Returns the slow step as one line."""
        name = f"step {self.step}" if self.count == 1 else f"steps {self.step} to {self.step + self.count - 1}"
        return f"{name}: {self.seconds:.1f} s{' so far' * bool(self.stacks)}, where {self.expected:.3g} s is the median"


class SlowStepWatch:
    """Watches the steps of a run.

    Args:
        report: Called once per slow dispatch, from the watching thread while it runs, or after it has ended.
        clock: Seconds by a clock that does not jump.

    Attributes:
        slow: Number of slow dispatches so far.
    """

    def __init__(self, report: Callable[[SlowStep], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.report, self.clock, self.slow = report, clock, 0
        self._current: Dispatch | None = None
        self._per_sequence: deque[float] = deque(maxlen=WINDOW)
        self._median = float("inf")  # seconds per sequence
        self._paused_at: float | None = None
        self._reported = -1
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def start_thread(self) -> None:
        """Starts the thread that looks at the current dispatch."""
        self._thread = threading.Thread(target=self._watch, name="slow steps", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def begin_steps(self, step: int, count: int, sequences: int) -> None:
        """Notes that the current dispatch has ended and the next one is computed.

        Args:
            step: First step of the next dispatch.
            count: Its steps.
            sequences: Sequences of its batches.
        """
        now, ended = self.clock(), self._current
        self._current = Dispatch(ended.number + 1 if ended else 0, step, count, sequences, now)
        if ended is not None:
            seconds = now - ended.since
            if seconds > self._limit(ended):
                self._report(ended, seconds, "")
            self._per_sequence.append(seconds / ended.sequences)

    def pause(self) -> None:
        """Notes that the process does something else than the current steps."""
        self._paused_at = self.clock()

    def resume(self) -> None:
        """Notes the end of that."""
        if self._current is not None and self._paused_at is not None:
            self._current = replace(self._current, since=self._current.since + self.clock() - self._paused_at)
        self._paused_at = None

    def check(self) -> float:
        """Reports the current dispatch if it is slow; returns the seconds until the next look."""
        current = self._current
        if current is None or len(self._per_sequence) < FEWEST_STEPS:
            return SHORTEST_WAIT
        self._median = statistics.median(list(self._per_sequence))
        elapsed, limit = self.clock() - current.since, self._limit(current)
        if self._paused_at is None and elapsed > limit and self._current is current:
            self._report(current, elapsed, thread_stacks())
        return min(LONGEST_WAIT, max(SHORTEST_WAIT, limit / 4))

    def _limit(self, dispatch: Dispatch) -> float:
        return max(LEAST_SECONDS, FACTOR * self._median * dispatch.sequences)

    def _report(self, dispatch: Dispatch, seconds: float, stacks: str) -> None:
        with self._lock:
            if self._reported == dispatch.number:
                return
            self._reported, self.slow = dispatch.number, self.slow + 1
        if self.slow <= MOST_REPORTS:
            expected = self._median * dispatch.sequences
            self.report(SlowStep(dispatch.step, dispatch.count, seconds, expected, stacks))

    def _watch(self) -> None:
        wait = SHORTEST_WAIT
        while not self._ended.wait(wait):
            wait = self.check()


def thread_stacks() -> str:
    """Returns the stacks of all threads of this process but the calling one, the main thread first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()
    order = sorted(frames, key=lambda ident: ident != threading.main_thread().ident)
    return "\n".join(
        f"thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frames[ident]))}"
        for ident in order
        if ident != threading.get_ident()
    )
