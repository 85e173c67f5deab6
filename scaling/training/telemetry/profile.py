"""`--place profile=100:105`: a trace of these steps by JAX's profiler, for TensorBoard and Perfetto.

STORE/runs/RUN_ID/profile/[hostK/]plugins/profile/TIME/NAME.xplane.pb           for TensorBoard's profile plugin
                                                       perfetto_trace.json.gz   for ui.perfetto.dev
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import jax

from scaling.config.placement import Placement, profiled_steps
from scaling.config.validation import ConfigError
from scaling.distributed import collectives
from scaling.store.origin.anonymous import is_anonymous
from scaling.store.record import Store

STEP_NAME = "train"  # of the step events in the trace


def check_profile(store: Store, placement: Placement) -> None:
    """Raises ConfigError if a trace is requested in an anonymous store."""
    if placement.profile and is_anonymous(store.root):
        raise ConfigError(
            f"Placement.profile = {placement.profile!r}: a trace has names of the machine and of its folders, which an "
            "anonymous store may not have: leave it out"
        )


class StepProfile:
    """The trace of some steps of a run.

    Args:
        steps: First and last step of the trace, counted from 1; None: no trace.
        folder: Where it is written.

    Attributes:
        boundaries: Numbers of finished steps at which a dispatch must end, so that the trace has these steps alone.
    """

    def __init__(self, steps: tuple[int, int] | None, folder: Path) -> None:
        self.folder = folder / f"host{jax.process_index()}" if collectives.is_multi_host() else folder
        self.first, self.last = steps or (1, 0)
        self.boundaries = (self.first - 1, self.last) if steps else ()
        self.is_running = False

    def changes_at(self, step: int) -> bool:
        """Whether the trace starts or ends after `step` finished steps; no step may be in flight then."""
        return self.is_running != (self.first - 1 <= step < self.last)

    def change(self, step: int) -> None:
        """Starts or ends the trace as is due after `step` finished steps."""
        if self.is_running:
            self.stop()
        elif self.changes_at(step):
            try:
                jax.profiler.start_trace(str(self.folder), create_perfetto_trace=True)
                self.is_running = True
            except RuntimeError as error:  # the program that called `train` traces it already
                self.last = 0
                _print_line(f"profile: {error}: no trace")

    def stop(self) -> None:
        """Ends the trace, if it runs, and writes its files."""
        if self.is_running:
            self.is_running, self.last = False, 0
            jax.profiler.stop_trace()
            _print_line(f"profile: trace written to {self.folder}")

    def step(self, step: int) -> AbstractContextManager[object]:
        """Context that marks a dispatch in the trace.

        Args:
            step: Its first step, counted from 1.
        """
        if not self.is_running:
            return contextlib.nullcontext()
        return jax.profiler.StepTraceAnnotation(STEP_NAME, step_num=step)


@contextlib.contextmanager
def step_profile(placement: Placement, run_folder: Path, first_step: int, steps: int) -> Iterator[StepProfile]:
    """Context of the training loop with its trace, which ends with it.

    One line on standard error says if none of the steps of the trace are trained here.

    Args:
        placement: The run's placement, with the steps of the trace.
        run_folder: Folder of the run.
        first_step: Finished steps at the start of the loop.
        steps: Steps of the run.
    """
    wanted = profiled_steps(placement.profile)
    profile = StepProfile(wanted, run_folder / "profile")
    if wanted is not None and (wanted[0] > steps or wanted[1] <= first_step):
        reason = f"the run has {steps} steps" if wanted[0] > steps else f"this process starts after step {first_step}"
        _print_line(f"profile {placement.profile}: {reason}: no trace")
    try:
        yield profile
    finally:
        profile.stop()


def _print_line(line: str) -> None:
    if collectives.is_main_host():
        print(line, file=sys.stderr)
