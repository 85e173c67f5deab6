"""Evaluates a sparse autoencoder, and exchanges autoencoders with other packages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scaling.config.user_code.blocks import use_code
from scaling.evaluation.sae.run import evaluate_sae as evaluate_subject
from scaling.evaluation.sae.text import TOKENS, load_subject
from scaling.evaluation.summary import Score
from scaling.inference.sae.formats import exchange
from scaling.inference.sae.load import load_sae
from scaling.store.open import as_store
from scaling.store.record import Record, Store


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


def export_sae(
    run: str, store: Store | str | Path, folder: str | Path, *, format: str = "sae-lens", step: int | None = None
) -> dict[str, Any]:
    """Writes a sparse autoencoder in the format of another package, with the scale of the activations folded in.

    Args:
        run: Run id of the autoencoder, or its first characters.
        store: Folder or address of the store.
        folder: The folder to make.
        format: sae-lens (cfg.json and sae_weights.safetensors) or gemma-scope (params.npz).
        step: Use the checkpoint after this step; None: the last step.

    Returns:
        Facts of what was written: run_id, step, kind, latents, width, files.

    Raises:
        ConfigError: The format cannot express the autoencoder, or the folder exists.
        StoreError: There is no such run or checkpoint.
    """
    return exchange.export_sae(as_store(store), run, Path(folder), format, step)


def import_sae(
    path: str | Path,
    store: Store | str | Path,
    model: str,
    *,
    layer: int | None = None,
    site: str | None = None,
    l0: float | None = None,
    sweep: str | None = None,
) -> Record:
    """Makes a run, of no training steps, of a sparse autoencoder of SAELens or Gemma Scope.

    Args:
        path: Folder of SAELens, or params.npz of Gemma Scope or its folder.
        store: Folder or address of the store, with the model's run.
        model: Run id of the model whose activations it reads, or its first characters.
        layer: Layer of the model, from 0; None: as its files say.
        site: residual, attention or mlp; None: as its files say, else residual.
        l0: Mean number of active latents per token; None: as its files say.
        sweep: Name of a sweep, noted in the record.

    Returns:
        The record of the run.

    Raises:
        ConfigError: The files are damaged or not supported, or do not fit the model.
        StoreError: There is no run of the model.
    """
    options = exchange.SaeImportOptions(model=model, layer=layer, site=site, l0=l0, sweep=sweep)
    return exchange.import_sae(as_store(store), Path(path), options)[0]
