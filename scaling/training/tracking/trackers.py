"""Trackers of a run: TensorBoard unless switched off, Weights & Biases if requested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.store.record import Record, Store
from scaling.training.tracking.tensorboard import Rows, TensorBoard


class Tracker(Protocol):
    """Receives the rows of a training curve."""

    def add(self, rows: Rows, figures: Mapping[str, float]) -> None:
        """Adds new rows, and figures about the machine, by tag, as they are after the last row."""

    def end(self, record: Record) -> None:
        """Ends the run, or this process's part of it, with its record."""


def open_trackers(
    store: Store, config: RunConfig, placement: Placement, rows: Rows, sweep: str | None
) -> list[Tracker]:
    """Opens the trackers of a run.

    Args:
        store: The store; TensorBoard and offline Weights & Biases files are written into it.
        config: The run's configuration.
        placement: Its fields `tensorboard` and `wandb` select the trackers.
        rows: The curve so far.
        sweep: Name of the sweep.
    """
    opened: list[Tracker] = []
    if placement.tensorboard:
        opened.append(TensorBoard(store, config, rows))
    if placement.wandb:
        from scaling.training.tracking.wandb import Wandb

        opened.append(Wandb(store, config, placement.wandb == "online", rows, sweep))
    return opened


def end_trackers(trackers: Sequence[Tracker], record: Record) -> None:
    """Ends all trackers of a run.

    Args:
        trackers: The trackers.
        record: The run's record.
    """
    for tracker in trackers:
        tracker.end(record)
