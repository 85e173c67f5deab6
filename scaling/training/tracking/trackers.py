"""Where a run's curve goes beside its store: TensorBoard unless it is refused, Weights & Biases if asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.store.record import Record, Store
from scaling.training.tracking.tensorboard import Rows, TensorBoard


class Log(Protocol):
    """What takes in the rows of a curve as they come."""

    def add(self, rows: Rows) -> None: ...

    def end(self, record: Record) -> None: ...


def opened(store: Store, config: RunConfig, placement: Placement, rows: Rows, sweep: str | None) -> list[Log]:
    """The logs that a placement asks for, with the rows that a run begins with."""
    logs: list[Log] = []
    if placement.tensorboard:
        logs.append(TensorBoard(store, config, rows))
    if placement.wandb:
        from scaling.training.tracking.wandb import Wandb

        logs.append(Wandb(store, config, placement.wandb == "online", rows, sweep))
    return logs


def end(logs: Sequence[Log], record: Record) -> None:
    """A run has ended, or goes on in another process."""
    for log in logs:
        log.end(record)
