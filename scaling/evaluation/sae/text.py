"""The text on which a sparse autoencoder is evaluated: windows of the validation split of the model's run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scaling.config.validation import require
from scaling.data import windows
from scaling.evaluation.perplexity import open_text
from scaling.inference.load import TrainedModel, load_model
from scaling.inference.sae.load import TrainedSae
from scaling.inference.sae.steering import check_model
from scaling.store.record import Store

TOKENS = 32_768  # evaluated unless another number is given
BATCH_TOKENS = 4096  # at most, computed at once
BATCH_ELEMENTS = 2**25  # at most, of logits or latents computed at once


@dataclass(frozen=True)
class Subject:
    """A sparse autoencoder with the model whose activations it reads.

    Attributes:
        sae: The autoencoder.
        model: The model.
    """

    sae: TrainedSae
    model: TrainedModel


def load_subject(store: Store, sae: TrainedSae, model: TrainedModel | None = None) -> Subject:
    """Loads the model of an autoencoder, after its last step, as in training.

    Args:
        store: The store.
        sae: The autoencoder.
        model: The model, if it is loaded already.

    Raises:
        ConfigError: The autoencoder was trained on a file of activations.
        StoreError: The store does not have the model.
    """
    run, model_run = sae.record.run_id[:12], sae.sae.model_run
    require(model_run is not None, f"run {run}: trained on a file of activations: must be one of a model in the store")
    if model is None or model.record.run_id != model_run:
        model = load_model(store, str(model_run))
    check_model(sae, model)
    return Subject(sae, model)


def held_out_rows(store: Store, model: TrainedModel, tokens: int) -> np.ndarray:
    """Reads windows evenly spread over the validation split of the model's text.

    Args:
        store: The store with the text.
        model: The model.
        tokens: Number of tokens; it is rounded up to whole windows, and all are read where there are fewer.

    Returns:
        int32 (S, L + 1): inputs are [:, :-1], targets [:, 1:].

    Raises:
        ConfigError: The number is not valid, or the model reads no text.
        CorpusError: There is no such text.
    """
    require(tokens > 0, f"--tokens {tokens}: must be 1 or more")
    data = model.config.data
    sequences = -(-tokens // data.length)
    return windows.validation_windows(
        open_text(model, store, None), length=data.length, sequences=sequences, stride=data.stride
    )


def row_batches(rows_SX: np.ndarray, subject: Subject) -> Iterator[tuple[np.ndarray, int]]:
    """Yields rows that are computed at once, all of one shape, and how many of them are not padding.

    Args:
        rows_SX: All rows.
        subject: What is computed.
    """
    length, largest = rows_SX.shape[1] - 1, max(subject.model.model.vocab, subject.sae.sae.latents)
    size = max(1, min(len(rows_SX), min(BATCH_TOKENS, BATCH_ELEMENTS // largest) // length))
    for start in range(0, len(rows_SX), size):
        batch_BX = rows_SX[start : start + size]
        yield np.concatenate([batch_BX, np.repeat(batch_BX[:1], size - len(batch_BX), 0)]), len(batch_BX)
