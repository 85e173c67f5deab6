"""Writes a run as a model of transformers, one array at a time."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling.config.model import ModelConfig
from scaling.config.validation import ConfigError, ValidatedConfig, require, require_choice
from scaling.data.tokenizers import Tokenizer
from scaling.inference.huggingface.families import Family, find_family
from scaling.inference.huggingface.safetensors_files import DTYPES, Writer
from scaling.inference.huggingface.tensors import array_parts, tensor_shapes
from scaling.inference.huggingface.tokenizer import export_tokenizer
from scaling.inference.huggingface.write_config import generation_json, model_json
from scaling.inference.load import run_tokenizer
from scaling.inference.parameters import abstract_parameters, find_checkpoint, nested, read_run
from scaling.program.checkpoint import restore_params
from scaling.program.checkpoint_files import CheckpointFiles, named_leaves
from scaling.store.files import write_json
from scaling.store.record import Record, Store

SHARD_BYTES = 5e9  # largest file, as transformers writes them


@dataclass(frozen=True, kw_only=True)
class ExportOptions(ValidatedConfig):
    """How a model is written.

    Attributes:
        dtype: Type of the weights, float32 (exact) or bfloat16 (rounded).
        shard_bytes: Largest number of bytes of tensors in one file.
        step: Training steps done; None: the last step.
    """

    dtype: str = "float32"
    shard_bytes: float = SHARD_BYTES
    step: int | None = None

    def check(self) -> None:
        """Raises ConfigError where a value is out of range."""
        require_choice("--dtype", self.dtype, tuple(DTYPES))
        require(self.shard_bytes > 0, f"--shard-bytes {self.shard_bytes:g}: must be above 0")


def export_run(store: Store, run: str, folder: Path, options: ExportOptions) -> dict[str, Any]:
    """Writes config.json, generation_config.json, safetensors and the tokenizer of a run.

    The folder is complete or absent. In memory is one array of the model at a time (all layers of one kind of matrix),
    with the copies that reading and verifying it make.

    Args:
        store: The store.
        run: Run id, or its first characters.
        folder: The folder to make.
        options: How it is written.

    Returns:
        Facts: run_id, step, architecture, parameters, files, and `rounded_gains`, the gains that are not exactly
        representable as transformers stores them (Gemma 2).

    Raises:
        ConfigError: No architecture of transformers expresses the model, or the folder exists.
        StoreError: There is no such run or checkpoint.
        CheckpointError: The checkpoint is damaged.
    """
    record = read_run(store, run)
    family = find_family(record.config.model)
    require(
        not folder.exists() or (folder.is_dir() and not any(folder.iterdir())),
        f"--to hf:{folder}: exists already: choose another folder, or remove it",
    )
    step, checkpoint = find_checkpoint(store, record, options.step)
    store.fetch_tokens(record.config.data.tokens)
    tokenizer = run_tokenizer(record, store.token_files)
    parent = folder.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    temporary = parent / f".{folder.name}.writing-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        _write_description(record, tokenizer, store, temporary, options)
        facts = _write_tensors(record, family, checkpoint, temporary, options)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return {"run_id": record.run_id, "step": step, "architecture": family.architecture, "dtype": options.dtype} | facts


def _write_description(
    record: Record, tokenizer: Tokenizer, store: Store, folder: Path, options: ExportOptions
) -> None:
    """Writes the JSON files and the tokenizer."""
    special = export_tokenizer(tokenizer, store.token_files, folder)
    write_json(folder / "config.json", model_json(record.config, options.dtype, special))
    write_json(folder / "generation_config.json", generation_json(record.config, special))


def _write_tensors(
    record: Record, family: Family, checkpoint: CheckpointFiles, folder: Path, options: ExportOptions
) -> dict[str, Any]:
    """Writes the safetensors files array by array; returns facts about them."""
    model = record.config.model
    leaves = named_leaves(abstract_parameters(model))
    shapes = tensor_shapes(family, model, {name: leaf.shape for name, leaf in leaves.items()})
    needed = sum(int(np.prod(shape)) for shape in shapes.values()) * DTYPES[options.dtype][1]
    free = shutil.disk_usage(folder).free
    require(free >= needed, f"--to hf:{folder}: {needed:,} bytes are needed, {free:,} are free")
    writer = Writer(folder, shapes, options.dtype, options.shard_bytes)
    rounded = 0
    for name, leaf in leaves.items():
        rounded += _write_array(family, model, name, restore_params(checkpoint, nested({name: leaf})), writer)
    writer.finish()
    facts: dict[str, Any] = {"parameters": sum(int(np.prod(s)) for s in shapes.values()), "files": writer.files}
    return facts | ({"rounded_gains": rounded} if rounded else {})


def _write_array(family: Family, model: ModelConfig, name: str, tree: Any, writer: Writer) -> int:
    """Writes the tensors of one parameter; returns how many gains are rounded."""
    (array,) = named_leaves(tree).values()
    rounded = 0
    for part in array_parts(family, model, name, np.asarray(array)):
        tensor = part.read()
        if part.offset:
            rounded += int(np.sum(tensor + np.float32(part.offset) != part.view.reshape(part.shape)))
        writer.write(part.name, tensor)
    return rounded


def parse_folder(text: str, flag: str) -> Path:
    """Returns the folder of `hf:DIR`.

    Args:
        text: The argument.
        flag: Its flag or name, for the message.

    Raises:
        ConfigError: It is something else.
    """
    kind, colon, folder = text.partition(":")
    if kind != "hf" or not colon or not folder:
        raise ConfigError(f"{flag} {text}: must be hf:DIR, a folder of Hugging Face's layout")
    if "://" in folder:
        raise ConfigError(f"{flag} {text}: must be a local folder")
    return Path(folder)
