"""A run under way: what it is, where it stands, what it has measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, run_id
from scaling.data import tokens
from scaling.distributed import collectives
from scaling.evaluate.config import Asked
from scaling.program.step import Program, State
from scaling.store.lease import Lease
from scaling.store.record import Record, Store
from scaling.training.tracking.trackers import Log

Say = Callable[[dict[str, Any]], None]
Rows = list[dict[str, float]]


class Diverged(Exception):
    """The loss or the gradient became NaN or infinite in this step (1-based)."""

    def __init__(self, step: int) -> None:
        super().__init__(f"loss or gradient became NaN or infinite in step {step}")
        self.step = step


class Stopped(Exception):
    """Asked to stop; the state is saved."""


@dataclass
class Run:
    """A run under way: what it is, where it stands, what it has measured."""

    config: RunConfig
    store: Store
    placement: Placement
    compiled: Program
    tokens: tokens.TokenFile
    say: Say
    stop: Callable[[], bool]
    windows: np.ndarray
    followed: np.ndarray | None = None  # training examples that are measured too
    ramp: dict[int, Program] = field(default_factory=dict)  # of the smaller batches that it begins with
    state: State = field(default_factory=dict)
    rows: Rows = field(default_factory=list)
    waited: float | None = None  # seconds that the loop stood still for a batch
    flight: tuple[int, int, dict[str, Any]] | None = None  # first and number of the steps whose figures are to come
    written: int = 0  # rows of the curve that are on disk
    logs: list[Log] = field(default_factory=list)  # where they go beside the store
    word: collectives.Word = field(default_factory=collectives.Word)
    record: Record | None = None  # as it was when this process took the run in hand
    lease: Lease | None = None  # of host 0, which writes
    first: int = 0  # the step it began at
    exam: Asked | None = None  # what it is asked on its way
    examined: float = 0.0  # seconds that took, which are not training's
    share: float = 1.0  # of its devices' time: the runs of a pack may divide one's
    begun: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    @property
    def id(self) -> str:
        return run_id(self.config)

    @property
    def own(self) -> Path:
        """Folder of the checkpoints that only this run needs."""
        return self.store.run_dir(self.id) / "checkpoints"

    @property
    def step(self) -> int:
        return int(self.rows[-1]["step"]) if self.rows else 0
