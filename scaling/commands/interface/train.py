"""Trains one run in this process."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scaling.commands.interface.evaluate import evaluate
from scaling.config.placement import Placement
from scaling.config.run import RunConfig, load_configs, resolve_code
from scaling.config.user_code.blocks import use_code
from scaling.config.validation import require
from scaling.evaluation.config import EvaluationOptions
from scaling.store.open import as_store
from scaling.store.record import Record, Store
from scaling.training import loop, process
from scaling.training.events import end_event, event_reporter
from scaling.training.sae.loop import train_saes


def train(
    config: RunConfig | str | Path,
    store: Store | str | Path,
    placement: Placement = Placement(),
    *,
    evaluation: EvaluationOptions | None = None,
    sweep: str | None = None,
    code: Sequence[str] = (),
    progress: bool = True,
) -> Record:
    """Trains one run to its end and returns its record; a run that is done is not trained again.

    A run that was interrupted resumes from its newest checkpoint. Ctrl-C, or the Interrupt button of a notebook, saves
    a checkpoint after the current step and returns the record as "stopped"; a second one raises KeyboardInterrupt.

    Args:
        config: The run, or the JSON file of its config; of a model, or of a sparse autoencoder (`sae_run`).
        store: Folder or address of the store, which gets record, curve and checkpoints.
        placement: How the run is laid out on the devices; numbers differ by rounding only.
        evaluation: Tasks to evaluate after training, and after the steps in its field `steps`.
        sweep: Name of a sweep, noted in the record.
        code: Your files with blocks of the model, FILE.py or package.module; they are run.
        progress: Whether to print progress on standard error.

    Returns:
        The record: status, final losses, counts of parameters and FLOPs, and where it was trained.

    Raises:
        ConfigError: The config is not valid, or a block's file is not in `code`.
        CorpusError: The store does not have the run's tokens.
        LeaseHeldError: Another process trains the run.
        Exception: The error that made the run fail; its record has the message.
    """
    use_code(code)
    run = resolve_code(config) if isinstance(config, RunConfig) else load_configs([config])[0]
    opened = as_store(store)
    emit = event_reporter(run, events=False, on_broken_pipe=lambda: None) if progress else lambda event: None
    process.prepare_process()
    with process.stop_signals(signal.SIGINT, at_second=signal.default_int_handler) as received:
        options: dict[str, Any] = {"sweep": sweep, "emit": emit, "should_stop": lambda: bool(received)}
        if run.sae is None:
            record = loop.train(run, opened, placement, evaluation=evaluation, **options)
        else:
            require(evaluation is None, "evaluation: not of a sparse autoencoder: use scaling.evaluate_sae")
            [record] = train_saes([run], opened, placement, **options)
    emit(end_event(record))
    if evaluation is not None and record.status == "done":
        evaluate(record.run_id, opened, evaluation, only_missing=True)
        record = opened.read(record.run_id) or record
    return record
