"""Counts parameters and training FLOPs from a config alone. No JAX, except for blocks in a user's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scaling.config.model import ModelConfig
from scaling.config.presets import preset
from scaling.config.run import RunConfig, load_configs, resolve_code
from scaling.config.user_code.blocks import resolve_blocks, use_code
from scaling.config.validation import ConfigError
from scaling.counting import counts

DEFAULT_LENGTH = 2048  # tokens of a model's sequence


@dataclass(frozen=True)
class Counts:
    """Exact counts of a model or run.

    Attributes:
        params: Parameters by group, and `total`.
        flops: Training FLOPs by part, and `total`: of a run, those of all its steps; of a model, of one sequence.
        sequences: Sequences that the FLOPs are of.
        length: Tokens of each.
    """

    params: dict[str, int]
    flops: dict[str, int]
    sequences: int
    length: int


def count(
    model: RunConfig | ModelConfig | str | Path, *, length: int | None = None, code: Sequence[str] = ()
) -> Counts:
    """Counts parameters by group and training FLOPs by part, without allocating memory.

    Args:
        model: A run or its JSON file, a model, or the name of a preset such as "llama3-8b".
        length: Tokens of the sequence of a model or preset (default 2048); a run's is its data.length.
        code: Your files with blocks of the model, FILE.py or package.module; they are run.

    Raises:
        ConfigError: The config is not valid, the preset is unknown, or a block's file is not in `code`.
    """
    use_code(code)
    if str(model).endswith(".json") or isinstance(model, RunConfig):
        if length is not None:
            raise ConfigError(f"--length {length}: only with a preset; a run's is its data.length")
        run = resolve_code(model) if isinstance(model, RunConfig) else load_configs([str(model)])[0]
        params, flops = counts.parameters(run.model), counts.run_flops(run)
        return Counts(params, flops, run.sequences(run.steps), run.data.length)
    length = DEFAULT_LENGTH if length is None else length
    if length < 1:
        raise ConfigError(f"--length {length}: must be 1 or more")
    resolved = resolve_blocks(model) if isinstance(model, ModelConfig) else preset(str(model))
    return Counts(counts.parameters(resolved), counts.training_flops(resolved, length, 1), 1, length)
