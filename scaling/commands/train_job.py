"""The runs of one `train` command and how to train them."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling.config.placement import Placement
    from scaling.config.run import RunConfig
    from scaling.evaluation.config import EvaluationOptions
    from scaling.store.record import Store


@dataclasses.dataclass(frozen=True)
class TrainJob:
    """The runs of one `train` command and how to train them.

    Attributes:
        configs: The runs, in the order given.
        store: Where records, curves and checkpoints are written.
        placement: How the runs are laid out on the devices.
        stop_signals: Signals received so far; not empty once a stop is requested.
        sweep: Name of the sweep, noted in the records.
        evaluation: Tasks to evaluate.
        pack: Largest number of runs trained as one program; None trains each alone.
        retries: Further attempts for a run that crashes.
        in_order: Train strictly in the given order and stop at the first failure.
        events: Print JSON events on standard output.
    """

    configs: Sequence[RunConfig]
    store: Store
    placement: Placement
    stop_signals: list[int]
    sweep: str | None = None
    evaluation: EvaluationOptions | None = None
    pack: int | None = None
    retries: int = 0
    in_order: bool = False
    events: bool = False

    def should_stop(self) -> bool:
        """Whether a stop was requested."""
        return bool(self.stop_signals)

    def on_broken_pipe(self) -> None:
        """Stops the runs when the reader of the events has gone."""
        self.stop_signals.append(signal.SIGTERM)
