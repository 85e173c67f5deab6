"""The state of one run while this process trains it."""

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
from scaling.evaluation.config import EvaluationOptions
from scaling.program.build import Program
from scaling.program.checkpoint_writer import CheckpointWriter
from scaling.program.step import State
from scaling.store.lease import Lease
from scaling.store.record import Record, Store
from scaling.training.events import EventSink
from scaling.training.telemetry.telemetry import Telemetry
from scaling.training.tracking.trackers import Tracker

Rows = list[dict[str, float]]


class Diverged(Exception):
    """The loss or the gradient became NaN or infinite in this step (1-based)."""

    def __init__(self, step: int) -> None:
        super().__init__(f"loss or gradient became NaN or infinite in step {step}")
        self.step = step


class Stopped(Exception):
    """A stop was requested, and the state has been saved."""


@dataclass
class Run:
    """State of one run during training.

    Attributes:
        config: The run's configuration.
        store: Where its record, curve and checkpoints are written.
        placement: How it is laid out on the devices.
        program: The compiled program for the run's batch size.
        tokens: The token file it reads.
        emit: Receives progress events, one dict each (see scaling/training/events.py).
        should_stop: True once the process has been asked to stop.
        validation_rows: Rows of the validation split, int32 (n, X), the same at each evaluation.
        tracked_rows: Training examples whose loss is evaluated as well, int32 (n, X).
        ramp_programs: Programs of the smaller batches of a batch ramp, by batch size.
        state: Parameters and optimizer state on the devices.
        rows: The training curve so far, one row per step.
        input_wait: Seconds that the loop has waited for batches.
        fetched_ahead: Number of steps whose tokens are being fetched, or were.
        in_flight: First step, number of steps and metrics of the steps that the devices still compute.
        rows_written: Number of rows of the curve in the store.
        trackers: Other destinations of the curve (TensorBoard, Weights & Biases).
        telemetry: What it tells about its machine.
        writer: Writes its checkpoints.
        signals: Exchanges stop and save requests between hosts.
        record: The record, as written when the run started in this process.
        lease: The lease on the run; on host 0 only, which writes.
        first_step: The step at which this process started.
        evaluation: Tasks to evaluate during training.
        evaluation_seconds: Time spent on these tasks, which is not counted as training time.
        device_share: Share of the devices' time that this run has; less than 1 in a pack.
        started_at: When this process started to work on the run (time.monotonic).
        stepping_since: When this process started its first step (time.monotonic).
        saved_at: Time of the last checkpoint (time.monotonic).
    """

    config: RunConfig
    store: Store
    placement: Placement
    program: Program
    tokens: tokens.TokenFile
    emit: EventSink
    should_stop: Callable[[], bool]
    validation_rows: np.ndarray
    tracked_rows: np.ndarray | None = None
    ramp_programs: dict[int, Program] = field(default_factory=dict)
    state: State = field(default_factory=dict)
    rows: Rows = field(default_factory=list)
    input_wait: float | None = None
    fetched_ahead: int = 0
    in_flight: tuple[int, int, dict[str, Any]] | None = None
    rows_written: int = 0
    trackers: list[Tracker] = field(default_factory=list)
    telemetry: Telemetry = field(default_factory=Telemetry)
    writer: CheckpointWriter = field(default_factory=CheckpointWriter)
    signals: collectives.SignalExchange = field(default_factory=collectives.SignalExchange)
    record: Record | None = None
    lease: Lease | None = None
    first_step: int = 0
    evaluation: EvaluationOptions | None = None
    evaluation_seconds: float = 0.0
    device_share: float = 1.0
    started_at: float = field(default_factory=time.monotonic)
    stepping_since: float = field(default_factory=time.monotonic)
    saved_at: float = field(default_factory=time.monotonic)

    @property
    def id(self) -> str:
        """The run id, a SHA-256 in hexadecimal."""
        return run_id(self.config)

    @property
    def own_checkpoints(self) -> Path:
        """Folder of the checkpoints that only this run needs."""
        return self.store.run_dir(self.id) / "checkpoints"

    @property
    def step(self) -> int:
        """Number of finished steps whose metrics are in `rows`."""
        return int(self.rows[-1]["step"]) if self.rows else 0
