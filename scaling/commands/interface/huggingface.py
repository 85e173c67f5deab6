"""Models of Hugging Face's transformers, both ways, and fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling.config.run import RunConfig
from scaling.inference.huggingface import export
from scaling.inference.huggingface import import_model as importing
from scaling.store.open import as_store
from scaling.store.record import Record, Store
from scaling.training.initial import with_initial_parameters


def export_model(
    run: str,
    store: Store | str | Path,
    folder: str | Path,
    *,
    dtype: str = "float32",
    shard_bytes: float = export.SHARD_BYTES,
    step: int | None = None,
) -> dict[str, Any]:
    """Writes a run as a model of transformers: config.json, safetensors files and the tokenizer.

    Args:
        run: Run id, or its first characters.
        store: Folder or address of the store.
        folder: The folder to make.
        dtype: Type of the weights: float32 (exact) or bfloat16 (rounded).
        shard_bytes: Largest number of bytes of tensors in one file.
        step: Use the checkpoint after this step; None: the last step.

    Returns:
        Facts of what was written: run_id, step, architecture, parameters, files.

    Raises:
        ConfigError: No architecture of transformers expresses the model, or the folder exists.
        StoreError: There is no such run or checkpoint.
    """
    options = export.ExportOptions(dtype=dtype, shard_bytes=shard_bytes, step=step)
    return export.export_run(as_store(store), run, Path(folder), options)


def import_model(
    folder: str | Path,
    store: Store | str | Path,
    *,
    sweep: str | None = None,
    length: int | None = None,
    tokens: str = "",
) -> Record:
    """Makes a run, of no training steps, of a model of transformers.

    Args:
        folder: Folder with config.json, safetensors files and a tokenizer.
        store: Folder or address of the store.
        sweep: Name of a sweep, noted in the record.
        length: Longest context in tokens; None: the model's own.
        tokens: Content hash of a token file of the store, the text whose activations can be read.

    Returns:
        The record of the run.

    Raises:
        ConfigError: The folder has no such model, or one that is not supported.
        CorpusError: Its tokenizer cannot be used.
    """
    options = importing.ImportOptions(sweep=sweep, length=length, tokens=tokens)
    return importing.import_model(as_store(store), Path(folder), options)[0]


def init_from(config: RunConfig, run: str, store: Store | str | Path) -> RunConfig:
    """Returns a config that starts from the last parameters of another run, for fine-tuning with `train`.

    The schedule starts at step 0 and the optimizer is fresh. The parameters' hash is part of the run's id.

    Args:
        config: The run.
        run: The run whose parameters it starts from, trained or imported: its id, or its first characters.
        store: Folder or address of the store with both.

    Raises:
        ConfigError: The model has other parameters than that run.
        StoreError: There is no such run or checkpoint.
    """
    return with_initial_parameters([config], as_store(store), run)[0]
