"""Evaluates a sparse autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scaling.config.user_code.blocks import use_code
from scaling.evaluation.sae.run import evaluate_sae as evaluate_subject
from scaling.evaluation.sae.text import TOKENS, load_subject
from scaling.evaluation.summary import Score
from scaling.inference.sae.load import load_sae
from scaling.store.open import as_store
from scaling.store.record import Store


def evaluate_sae(
    run: str, store: Store | str | Path, *, tokens: int = TOKENS, step: int | None = None, code: Sequence[str] = ()
) -> dict[str, Score]:
    """Evaluates a sparse autoencoder on held-out text of its model; scores go into its record, tables beside it.

    Args:
        run: Run id of the autoencoder, or its first characters.
        store: Folder or address of the store, which has its model too.
        tokens: Tokens of text.
        step: Use the checkpoint after this step; None: the last step.
        code: Your files with blocks of the model, FILE.py or package.module; they are run.

    Returns:
        The scores by name, such as `scores["ce_score"].value`; `interval` is the 95% interval over sequences, `count`
        their number.

    Raises:
        ConfigError: The run is that of a model, or the autoencoder was trained on a file of activations.
        StoreError: There is no such run or checkpoint, or the store does not have the model.
    """
    use_code(code)
    opened = as_store(store)
    return evaluate_subject(load_subject(opened, load_sae(opened, run, step)), opened, tokens).scores
